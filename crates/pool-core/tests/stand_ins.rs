//! A full outage journal and those who have a key that stands for all of theirs.

use std::time::Duration;

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::{DegradableConn, Outcome, Pool, PoolBuilder, Source};
use cenote_testkit::{Proxy, Server, eventually, eventually_async};

const SOON: Duration = Duration::from_secs(10);

fn at(proxy: &Proxy) -> PoolBuilder {
    Pool::builder()
        .url(proxy.url())
        .fallback(FallbackLru::default())
        .shared_connections(1)
        .socket_timeout(Duration::from_millis(400))
}

fn set(key: &str, value: &str) -> redis::Cmd {
    redis::cmd("SET").arg(key).arg(value).clone()
}

fn get(key: &str) -> redis::Cmd {
    redis::cmd("GET").arg(key).clone()
}

async fn is_pending(soft: &mut DegradableConn, key: &str) -> bool {
    let answer = soft.query(&set(key, "new")).await.unwrap();
    assert_eq!(answer.source, Source::Fallback);
    answer.pending
}

async fn reopened(pool: &Pool) {
    eventually_async(SOON, "the journal is closed", || async { !pool.journal_status().local }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_journal_is_full_the_stand_in_is_removed_in_place_of_the_keys() {
    for bounds in ["keys", "bytes"] {
        let server = Server::start();
        let proxy = Proxy::to(&server);
        for key in ["a", "b", "c", "d", "space:1", "space:2"] {
            server.observer().command(&["SET", key, "old"]).unwrap();
        }
        let pool = at(&proxy);
        let pool = if bounds == "keys" { pool.journal_keys(2) } else { pool.journal_bytes(2) };
        let pool = pool.build().unwrap();
        let mut plain = pool.degradable().unwrap();
        plain.query(&get("a")).await.unwrap();
        let mut soft = plain.clone().with_stand_in("space:1");
        let other = plain.clone().with_stand_in(*b"space:2");
        proxy.refuse_after_accept(true);
        proxy.cut();

        assert!(is_pending(&mut soft, "a").await && is_pending(&mut soft, "b").await);
        assert_eq!(pool.journal_status().pending_keys, 2, "{bounds}: no stand-in while there is room");
        let error = plain.query(&set("c", "new")).await.unwrap_err();
        assert!(error.is_overloaded() && error.outcome() == Outcome::NotSent, "{error}");
        assert!(is_pending(&mut soft, "c").await);
        assert_eq!(pool.journal_status().pending_keys, 3, "{bounds}: the stand-in alone");
        assert!(is_pending(&mut soft.clone(), "d").await);
        assert_eq!(pool.journal_status().pending_keys, 3, "{bounds}: it is there already");
        assert!(is_pending(&mut other.clone(), "d").await);
        assert_eq!(pool.journal_status().pending_keys, 4, "{bounds}: one for each namespace");
        assert!(is_pending(&mut plain, "a").await, "what is journalled already needs no room");
        let error = plain.query(&set("c", "new")).await.unwrap_err();
        assert!(error.is_overloaded(), "{error}");
        assert_eq!(soft.query(&get("c")).await.unwrap().value, redis::Value::BulkString(b"new".into()));

        proxy.pass();
        reopened(&pool).await;
        let left = ["a", "b", "space:1", "space:2", "c", "d"]
            .map(|key| server.observer().get::<Option<String>>(&["GET", key]).is_some());
        assert_eq!(left, [false, false, false, false, true, true], "{bounds}");
    }
}

#[tokio::test]
async fn a_stand_in_for_what_the_fallback_refused_is_not_kept() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = at(&proxy).journal_keys(1).build().unwrap();
    let mut soft = pool.degradable().unwrap().with_stand_in("space");
    soft.query(&get("a")).await.unwrap();
    proxy.refuse_after_accept(true);
    proxy.cut();
    assert!(is_pending(&mut soft, "a").await);
    let mut refused = redis::cmd("EXPIRE");
    refused.arg("b").arg("soon");
    assert_eq!(soft.query(&refused).await.unwrap_err().outcome(), Outcome::Answered);
    assert_eq!(pool.journal_status().pending_keys, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_redis_answered_after_the_fallback_took_over_has_its_stand_in_too() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    server.observer().command(&["SET", "space", "old"]).unwrap();
    let pool = at(&proxy).socket_timeout(Duration::from_secs(5)).journal_keys(1).build().unwrap();
    let soft = pool.degradable().unwrap();
    soft.clone().query(&get("k")).await.unwrap();
    proxy.stall_requests();
    let mut patient = soft.clone().with_stand_in("space").with_timeout(Duration::from_secs(5));
    let patient = tokio::spawn(async move { patient.query(&set("k", "v")).await.unwrap() });
    eventually(SOON, "the patient write is on its way", || proxy.held_requests() > 0);
    let mut hasty = soft.with_timeout(Duration::ZERO);
    assert!(is_pending(&mut hasty, "other").await);
    proxy.pass();
    let written = patient.await.unwrap();
    assert_eq!((written.source, written.pending), (Source::Redis, true));
    reopened(&pool).await;
    assert_eq!(server.observer().get::<Option<String>>(&["GET", "space"]), None);
}
