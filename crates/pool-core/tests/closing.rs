//! The end of a pool, for those who are waiting for something in that moment.

use std::future::Future;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use cenote_pool_core::{Pool, State};
use cenote_testkit::{Proxy, Server, Watchdog, eventually, eventually_async, within};
use redis::AsyncCommands;
use tokio::runtime::{Builder, Runtime};

const SOON: Duration = Duration::from_secs(5);

fn multi() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn single() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    match std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn who_waits_for_an_exclusive_connection_is_told_at_once() {
    let server = Server::start();
    let builder = Pool::builder().url(server.url()).max_connections(2).socket_timeout(SOON);
    let pool = builder.close_timeout(Duration::from_secs(4)).build().unwrap();
    let held = pool.dedicated().await.unwrap();
    let mut waiters = Vec::new();
    for _ in 0..3 {
        let mut waiter = Box::pin(pool.dedicated());
        assert!(poll_once(&mut waiter).is_none(), "it waits");
        waiters.push(waiter);
    }
    let closing = tokio::spawn({
        let pool = pool.clone();
        async move { pool.close().await }
    });
    let began = Instant::now();
    for waiter in waiters {
        let error = within(SOON, waiter).await.unwrap_err();
        assert!(error.is_closed(), "{error}");
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?} of a drain of 4 s", began.elapsed());
    assert!(!closing.is_finished(), "the holder has its time");
    drop(held);
    assert_eq!(within(SOON, closing).await.unwrap().cut_connections, 0);
    assert_eq!(pool.status().dials, 1);
}

#[tokio::test]
async fn a_connection_that_was_granted_before_the_end_is_not_handed_out_after_it() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).max_connections(2).build().unwrap();
    let held = pool.dedicated().await.unwrap();
    let mut waiter = Box::pin(pool.dedicated());
    assert!(poll_once(&mut waiter).is_none(), "it waits");
    drop(held);
    // The grant is on its way to the caller, who has not looked yet.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let closing = tokio::spawn({
        let pool = pool.clone();
        async move { pool.close().await }
    });
    while pool.state() != State::Closed {
        tokio::task::yield_now().await;
    }
    let error = within(SOON, waiter).await.expect_err("the pool is closed");
    assert!(error.is_closed(), "{error}");
    within(SOON, closing).await.unwrap();
    eventually(SOON, "no connection is left", || server.observer().client_count() == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raw_stream_that_waited_for_its_place_is_not_made_after_the_end() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let builder = Pool::builder().url(proxy.url()).shared_connections(1).max_connections(2);
    let pool = builder.close_timeout(Duration::from_millis(50)).build().unwrap();
    pool.start().await.unwrap();
    // Not a place is free: two runtimes are in the middle of a command.
    let other = thread::spawn(multi).join().unwrap();
    let start = pool.clone();
    other.spawn(async move { start.start().await }).await.unwrap().unwrap();
    proxy.stall_replies();
    let (mut here, mut there) = (pool.conn(), pool.conn());
    tokio::spawn(async move { here.set::<_, _, ()>("a", 1).await });
    other.spawn(async move { there.set::<_, _, ()>("b", 1).await });
    eventually_async(SOON, "both are in flight", || async { pool.status().in_flight == 2 }).await;
    let waiting = tokio::spawn(pool.dedicated_io());
    eventually_async(SOON, "it waits", || async { pool.status().dedicated_in_use == 1 }).await;
    let report = within(SOON, pool.close()).await;
    assert!(report.cut_calls >= 1, "{report:?}");
    let error = within(SOON, waiting).await.unwrap().expect_err("the pool is closed");
    assert!(error.is_closed(), "{error}");
    assert_eq!(pool.status().dials, 2, "nothing was dialled for it");
    let error = pool.dedicated_io().await.expect_err("the pool is closed");
    assert!(error.is_closed(), "{error}");
    proxy.pass();
    eventually_async(SOON, "no connection is left", || async { proxy.open() == 0 }).await;
    other.shutdown_background();
}

/// A dial that finds nobody would take minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dial_that_is_under_way_ends_with_the_pool() {
    let nobody = cenote_testkit::blackhole_addr();
    for url in [nobody.url(), format!("redis+sentinel://{}/main/0", nobody.addr())] {
        let builder = Pool::builder().url(url).connect_timeout(SOON * 60).socket_timeout(SOON * 60);
        let pool = builder.close_timeout(SOON * 4).build().unwrap();
        let raw = tokio::spawn(pool.dedicated_io());
        let exclusive = tokio::spawn(pool.dedicated());
        let shared = tokio::spawn({
            let mut conn = pool.conn();
            async move { conn.get::<_, i64>("k").await }
        });
        eventually_async(SOON, "all three dial", || async { pool.status().dials >= 3 }).await;
        let report = within(SOON, pool.close()).await;
        assert_eq!(report.cut_connections, 0, "nothing had to be cut");
        assert!(within(SOON, raw).await.unwrap().unwrap_err().is_closed());
        assert!(within(SOON, exclusive).await.unwrap().unwrap_err().is_closed());
        let told = within(SOON, shared).await.unwrap().unwrap_err();
        assert!(cenote_pool_core::Error::from_redis(&told).unwrap().is_closed(), "{told}");
        eventually_async(SOON, "no place is taken", || async { pool.status().connections_in_use == 0 }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_look_for_redis_finds_after_the_end_is_not_taken_in() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = Pool::builder().url(proxy.url()).close_timeout(Duration::from_millis(20)).build().unwrap();
    proxy.reset_on_accept(true);
    assert!(matches!(pool.start().await.unwrap(), State::Degraded { .. }));
    proxy.reset_on_accept(false);
    proxy.stall_replies();
    eventually_async(SOON, "a look is under way", || async { proxy.held_replies() > 0 }).await;
    within(SOON, pool.close()).await;
    proxy.pass();
    eventually_async(SOON, "its connection goes too", || async {
        proxy.open() == 0 && server.observer().client_count() == 0 && pool.status().connections_in_use == 0
    })
    .await;
    assert_eq!(pool.state(), State::Closed);
}

#[test]
fn a_second_closer_is_not_held_up_by_a_first_whose_runtime_parked() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let builder = Pool::builder().url(proxy.url()).shared_connections(1);
    let pool = builder.close_timeout(Duration::from_millis(200)).build().unwrap();
    let (parked, other) = (single(), multi());
    other.block_on(pool.start()).unwrap();
    proxy.stall_replies();
    let mut conn = pool.conn();
    other.spawn(async move { conn.set::<_, _, ()>("k", 1).await });
    let observer = server.observer();
    eventually(SOON, "a call is in flight", || observer.calls("set") == 1);
    parked.block_on(async {
        let first = tokio::time::timeout(Duration::from_millis(20), pool.close()).await;
        assert!(first.is_err(), "the drain is under way");
    });
    let report = other.block_on(within(SOON, pool.close()));
    assert_eq!(report.cut_calls, 1, "{report:?}");
    assert_eq!(parked.block_on(within(SOON, pool.close())), report, "one end, one report");
}
