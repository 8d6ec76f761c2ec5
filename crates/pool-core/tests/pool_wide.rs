//! What is one for all clones of a pool: the server it knows, and the companions that others keep with it.

use std::sync::Arc;
use std::time::Duration;

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::Pool;
use cenote_testkit::{Proxy, Server, eventually_async};
use redis::AsyncCommands;

const SOON: Duration = Duration::from_secs(10);

fn run_id(server: &Server) -> Option<Arc<str>> {
    Some(server.observer().info("run_id").into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_is_known_before_its_first_answer_and_the_same_one_counts_once() {
    let (first, second) = (Server::start(), Server::start());
    second.observer().command(&["SET", "which", "second"]).unwrap();
    let proxy = Proxy::to(&first);
    let pool = Pool::builder().url(proxy.url()).build().unwrap();
    assert_eq!((pool.server_id(), pool.server_changes()), (None, 0));

    let mut conn = pool.conn();
    let (before, last) = (pool.clone(), pool.clone());
    assert_eq!(conn.get::<_, Option<String>>("which").await.unwrap(), None);
    assert_eq!((before.server_id(), before.server_changes()), (run_id(&first), 1));

    let mut subscriber = pool.subscriber();
    subscriber.subscribe("news").await.unwrap();
    let mut dedicated = pool.dedicated().await.unwrap();
    assert_eq!(dedicated.get::<_, Option<String>>("which").await.unwrap(), None);
    assert_eq!(last.server_changes(), 1, "however many connections greet it");
    drop((subscriber, dedicated));

    proxy.set_upstream(second.addr());
    proxy.cut();
    eventually_async(SOON, "the second server answers", || {
        let (mut conn, pool) = (pool.conn(), pool.clone());
        let second = run_id(&second);
        async move {
            let answer = conn.get::<_, Option<String>>("which").await.ok().flatten();
            if answer.is_some() {
                assert_eq!((pool.server_changes(), pool.server_id()), (2, second), "it answered");
            }
            answer.is_some()
        }
    })
    .await;

    let before = pool.server_id();
    second.restart();
    eventually_async(SOON, "it answers again", || {
        let (mut conn, pool, before) = (pool.conn(), pool.clone(), before.clone());
        async move {
            // One command on the connection that was lost may fail; none is answered by a server that is not known.
            let answered = conn.exists::<_, bool>("which").await.is_ok();
            assert!(!answered || (pool.server_changes() == 3 && pool.server_id() != before));
            answered
        }
    })
    .await;
}

#[tokio::test]
async fn a_companion_is_one_for_all_clones_and_outlives_none_of_its_holders() {
    struct Companion(&'static str);
    let pool = Pool::embedded(FallbackLru::default());
    let first = pool.companion("a", || Companion("first"));
    let again = pool.clone().companion("a", || Companion("second"));
    assert!(Arc::ptr_eq(&first, &again) && again.0 == "first");
    let elsewhere = Pool::embedded(FallbackLru::default()).companion("a", || Companion("elsewhere"));
    assert_eq!(elsewhere.0, "elsewhere", "another pool has its own");
    let weak = Arc::downgrade(&first);
    drop((first, again));
    assert_eq!(weak.strong_count(), 0, "the pool does not keep it");
    assert_eq!(pool.companion("a", || Companion("third")).0, "third");
}
