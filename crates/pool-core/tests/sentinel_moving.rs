//! What is under way when the master changes, and who hears of it.

use std::time::Duration;

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::{Error, Outcome, Pool};
use cenote_testkit::{Proxy, Server, StandInSentinel, Watchdog, eventually, eventually_async, within};
use redis::AsyncCommands;

const SOON: Duration = Duration::from_secs(30);

/// The old master executed it, and its reply is held up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_under_way_when_the_master_changes_is_in_doubt_and_not_sent_to_the_new_one_and_a_read_is() {
    let (old, new) = (Server::start(), Server::start());
    new.observer().get::<()>(&["SET", "k", "new"]);
    let proxy = Proxy::to(&old);
    let sentinel = StandInSentinel::naming(proxy.addr());
    let pool = Pool::builder()
        .url(sentinel.url())
        .shared_connections(1)
        .socket_timeout(Duration::from_secs(60))
        .fallback(FallbackLru::default())
        .degrade_after(Duration::from_secs(60))
        .degrade_after_first(Duration::from_secs(60))
        .build()
        .unwrap();
    let mut conn = pool.conn();
    let mut held = pool.dedicated().await.unwrap();
    let mut soft = pool.degradable().unwrap();
    let () = conn.set("k", "old").await.unwrap();
    eventually_async(SOON, "it is listened to", || async { sentinel.listeners() == 1 }).await;
    proxy.stall_replies();
    let shared = tokio::spawn({
        let mut conn = conn.clone();
        async move { conn.sadd::<_, _, i64>("ids", "shared").await }
    });
    let exclusive = tokio::spawn(async move { held.sadd::<_, _, i64>("ids", "exclusive").await });
    let overwrite = tokio::spawn(async move { soft.set::<_, _, ()>("soft", "meanwhile").await });
    let read = tokio::spawn(async move { conn.get::<_, String>("k").await });
    let observer = old.observer();
    eventually_async(SOON, "all were executed", || async {
        (observer.calls("sadd"), observer.calls("set"), observer.calls("get")) == (2, 2, 1)
    })
    .await;
    sentinel.announce(new.addr());
    for write in [shared, exclusive] {
        let error = within(SOON, write).await.unwrap().unwrap_err();
        let error = Error::from_redis(&error).expect("the pool's own error");
        assert_eq!(error.outcome(), Outcome::MayHaveExecuted, "{error}");
    }
    assert_eq!(within(SOON, read).await.unwrap().unwrap(), "new");
    // Whoever answered the degradable one: it is not executed at the new master.
    let _ = within(SOON, overwrite).await.unwrap();
    assert_eq!((new.observer().calls("sadd"), new.observer().calls("set")), (0, 1));
    assert_eq!((observer.calls("sadd"), observer.calls("set")), (2, 2));
    proxy.release();
}

async fn which(pool: &Pool) -> usize {
    pool.conn().get("which").await.unwrap()
}

async fn until_it_moves(pool: &Pool, to: usize) {
    let moved = async {
        while which(pool).await != to {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(SOON, moved).await;
}

/// A runtime that stands still hears nothing, and one that has ended neither; the other dials nothing any more.
#[test]
fn who_listened_for_all_is_followed_by_a_runtime_that_only_makes_calls() {
    let _watchdog = Watchdog::new(Duration::from_secs(120));
    let servers = [Server::start(), Server::start()];
    for (index, server) in servers.iter().enumerate() {
        server.observer().get::<()>(&["SET", "which", &index.to_string()]);
    }
    for ends in [false, true] {
        let sentinel = StandInSentinel::naming(servers[0].addr());
        let pool = Pool::builder().url(sentinel.url()).shared_connections(1).build().unwrap();
        let mut runtime = if ends {
            tokio::runtime::Builder::new_multi_thread()
        } else {
            tokio::runtime::Builder::new_current_thread()
        };
        let first = runtime.worker_threads(1).enable_all().build().unwrap();
        let other = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        first.block_on(async {
            assert_eq!(which(&pool).await, 0);
            eventually_async(SOON, "it listens", || async { sentinel.listeners() == 1 }).await;
        });
        other.block_on(async { assert_eq!(which(&pool).await, 0) });
        let dials = pool.status().dials;
        if ends {
            drop(first);
            eventually(SOON, "nobody listens", || sentinel.listeners() == 0);
            other.block_on(async {
                let listens = async {
                    while sentinel.listeners() == 0 {
                        assert_eq!(which(&pool).await, 0);
                    }
                };
                within(SOON, listens).await;
            });
            assert_eq!(pool.status().dials, dials, "calls alone see to it");
            sentinel.announce(servers[1].addr());
            other.block_on(until_it_moves(&pool, 1));
        } else {
            sentinel.announce(servers[1].addr());
            other.block_on(until_it_moves(&pool, 1));
            first.block_on(until_it_moves(&pool, 1));
        }
    }
}
