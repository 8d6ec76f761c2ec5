//! Nobody who stands still keeps a place in the budget from others, and where there is none nobody waits for it.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use cenote_pool_core::{Outcome, Pool};
use cenote_testkit::{Proxy, Server, Watchdog, eventually, within};
use redis::AsyncCommands;
use tokio::runtime::{Builder, Handle, Runtime};

const SOON: Duration = Duration::from_secs(5);

fn multi() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn single() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Starts a call and stops running the runtime once `until` holds.
fn park_with_a_call(runtime: &Runtime, pool: &Pool, until: impl Fn() -> bool) {
    runtime.block_on(async {
        let mut conn = pool.conn();
        tokio::spawn(async move { conn.set::<_, _, ()>("parked", 1).await });
        cenote_testkit::eventually_async(SOON, "the runtime may park", || async { until() }).await;
    });
}

#[test]
fn a_runtime_that_parked_while_it_waited_for_a_place_holds_up_no_other() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = Pool::builder().url(proxy.url()).shared_connections(1).max_connections(1).build().unwrap();
    let (holder, parked, other) = (multi(), single(), single());
    holder.block_on(pool.start()).unwrap();
    proxy.stall_replies();
    let mut conn = pool.conn();
    let call = holder.spawn(async move { conn.set::<_, _, ()>("k", 1).await });
    let observer = server.observer();
    eventually(SOON, "the only connection is busy", || observer.calls("set") == 1);
    // It stands in the queue: long enough to have looked, and then it looks no more.
    let began = Instant::now();
    park_with_a_call(&parked, &pool, || began.elapsed() > Duration::from_millis(50));
    proxy.release();
    holder.block_on(call).unwrap().unwrap();
    let began = Instant::now();
    let value: i64 = other.block_on(within(SOON, async { pool.conn().get("k").await })).unwrap();
    assert_eq!(value, 1);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn a_lane_whose_runtime_parked_in_the_middle_of_its_drain_is_given_up() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = Pool::builder().url(proxy.url()).shared_connections(1).max_connections(1).build().unwrap();
    let parked = single();
    parked.block_on(pool.start()).unwrap();
    proxy.stall_replies();
    // The other runtime asks for the place while the first still runs, so the drain is under way.
    let other = thread::spawn({
        let pool = pool.clone();
        move || {
            eventually(SOON, "a call is in flight", || pool.status().in_flight > 0);
            single().block_on(within(SOON, async { pool.conn().get::<_, Option<i64>>("k").await }))
        }
    });
    let began = Instant::now();
    park_with_a_call(&parked, &pool, || began.elapsed() > Duration::from_millis(100));
    proxy.release();
    let value = other.join().unwrap().expect("it got the place well within its limit");
    assert_eq!(value, None);
    drop(parked);
}

#[tokio::test]
async fn without_a_place_for_an_exclusive_connection_the_configuration_is_at_fault_at_once() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).max_connections(1).build().unwrap();
    let began = Instant::now();
    for error in [pool.dedicated().await.unwrap_err(), pool.dedicated_io().await.unwrap_err()] {
        assert!(error.is_config(), "{error}");
        assert_eq!(error.outcome(), Outcome::NotSent);
        assert!(error.to_string().contains("REDIS_MAX_CONNECTIONS"), "{error}");
    }
    assert!(began.elapsed() < Duration::from_secs(1), "nobody waited for a place that cannot be");
    let () = pool.conn().set("k", 1).await.unwrap();
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn one_task_keeps_the_time_of_all_who_wait_for_an_exclusive_connection() {
    let server = Server::start();
    let limit = Duration::from_millis(300);
    let pool = Pool::builder().url(server.url()).max_connections(2).socket_timeout(limit).build().unwrap();
    let _held = pool.dedicated().await.unwrap();
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let (before, began) = (tasks(), Instant::now());
    let mut waiting: Vec<_> = (0..100).map(|_| Box::pin(pool.dedicated())).collect();
    assert!(waiting.iter_mut().all(|wait| poll_once(wait).is_pending()));
    assert_eq!(tasks() - before, 1);
    for wait in waiting {
        let error = within(SOON, wait).await.expect_err("nobody gives the connection back");
        assert!(error.is_timeout() && error.to_string().contains("waited "), "{error}");
    }
    assert!(began.elapsed() >= limit);
    cenote_testkit::eventually_async(SOON, "the task is over", || async { tasks() == before }).await;
}

#[test]
fn whoever_waits_outside_of_a_runtime_that_ends_is_told_so() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).max_connections(2).build().unwrap();
    let runtime = multi();
    let _held = runtime.block_on(pool.dedicated()).unwrap();
    let mut wait = Box::pin(pool.dedicated());
    let entered = runtime.enter();
    assert!(poll_once(&mut wait).is_pending());
    drop(entered);
    drop(runtime);
    let Poll::Ready(Err(error)) = poll_once(&mut wait) else { panic!("nobody keeps its time any more") };
    assert!(error.to_string().contains("runtime of this call has ended"), "{error}");
}
