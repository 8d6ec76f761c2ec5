//! Whoever calls again and again without a pause lets the other tasks of its runtime run, though each call is answered or
//! refused at once: those of the pool, which look for Redis, and its own, which it may wait for.

use std::time::Duration;

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::{Pool, State};
use cenote_testkit::{Server, Watchdog, within};
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
