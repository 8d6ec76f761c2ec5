//! Whoever calls again and again without a pause lets the other tasks of its runtime run, though each call is answered or
//! refused at once: those of the pool, which look for Redis, and its own, which it may wait for.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::{Pool, State};
use cenote_testkit::{Server, Watchdog, dead_port, within};
use redis::AsyncCommands;

const SOON: Duration = Duration::from_secs(10);
/// A limit of the runtime's own would not pass either.
const HANGS: Duration = Duration::from_secs(60);

/// A pool whose Redis was killed and is back, unknown to the pool.
async fn away_no_more() -> (Server, Pool) {
    let server = Server::builder().persistent().start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    let () = pool.conn().set("k", 1).await.unwrap();
    server.kill();
    let mut states = pool.state_changes();
    within(SOON, states.wait_for(|state| matches!(state, State::Degraded { .. }))).await.unwrap();
    server.restart();
    (server, pool)
}

#[tokio::test]
async fn redis_is_found_again_while_its_only_thread_tries_calls_without_a_pause() {
    let _watchdog = Watchdog::new(HANGS);
    let (_server, pool) = away_no_more().await;
    let mut conn = pool.conn();
    while conn.get::<_, i64>("k").await.is_err() {}
    assert_eq!(pool.state(), State::Ready);
}

#[tokio::test]
async fn redis_is_found_again_while_its_only_thread_tries_for_an_exclusive_connection_without_a_pause() {
    let _watchdog = Watchdog::new(HANGS);
    let (_server, pool) = away_no_more().await;
    while pool.dedicated().await.is_err() {}
    assert_eq!(pool.state(), State::Ready);
}

#[tokio::test]
async fn what_another_task_writes_to_an_embedded_pool_is_seen_by_who_reads_without_a_pause() {
    let _watchdog = Watchdog::new(HANGS);
    let pool = Pool::embedded(FallbackLru::default());
    let (mut conn, mut soft, mut writer) = (pool.conn(), pool.degradable().unwrap(), pool.conn());
    let written = tokio::spawn(async move {
        let () = writer.set("one", 1).await.unwrap();
        tokio::task::yield_now().await;
        let () = writer.set("two", 2).await.unwrap();
        tokio::task::yield_now().await;
        let () = writer.set("three", 3).await.unwrap();
    });
    while conn.get::<_, Option<i64>>("one").await.unwrap().is_none() {}
    while soft.get::<_, Option<i64>>("two").await.unwrap().is_none() {}
    let get = redis::pipe().get("three").to_owned();
    while get.query_async::<(Option<i64>,)>(&mut conn).await.unwrap().0.is_none() {}
    within(SOON, written).await.unwrap();
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// As executors do it that know no tokio.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_executor_within_a_task_is_not_left_to_wait_for_a_turn() {
    let _watchdog = Watchdog::new(HANGS);
    let away = Pool::builder()
        .url(format!("redis://{}", dead_port()))
        .fallback(FallbackLru::default())
        .build()
        .unwrap();
    away.conn().get::<_, i64>("k").await.unwrap_err();
    let embedded = Pool::embedded(FallbackLru::default());
    let task = tokio::spawn(async move {
        let (mut conn, mut soft, mut local) = (away.conn(), away.degradable().unwrap(), embedded.conn());
        for _ in 0..1_000 {
            block_on(conn.get::<_, i64>("k")).unwrap_err();
            block_on(away.dedicated()).map(drop).unwrap_err();
            block_on(soft.get::<_, Option<i64>>("k")).unwrap();
            block_on(local.get::<_, Option<i64>>("k")).unwrap();
        }
    });
    task.await.unwrap();
}
