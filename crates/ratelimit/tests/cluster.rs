//! A server that is a cluster by itself: it has all slots, and still judges the keys of one slot at a time.

mod common;

use cenote_pool_core::redis::cmd;
use cenote_ratelimit::{Charge, Error, Quota, RateLimiter, Source};
use cenote_testkit::{Server, dead_port, eventually_async};
use common::{SOON, patient, pool};

async fn cluster() -> (Server, RateLimiter) {
    // Its own choice, ten thousand above the other, may be no port at all.
    let bus = dead_port().port().to_string();
    let server = Server::builder().arg("cluster-enabled", "yes").arg("cluster-port", bus).start();
    let pool = pool(server.url());
    server.observer().get::<()>(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    eventually_async(SOON, "the slots are served", || async {
        cmd("GET").arg("a").query_async::<Option<String>>(&mut pool.conn()).await.is_ok()
    })
    .await;
    let builder = patient(&pool, "cluster").nodes(1).policy("user", Quota::per_hour(10));
    (server, builder.policy("tenant", Quota::per_hour(100)).build().unwrap())
}

#[tokio::test]
async fn subjects_in_several_slots_are_an_error_that_says_what_would_be_right_and_nothing_is_charged() {
    let (server, limiter) = cluster().await;
    let charges = [Charge::new("user", &42), Charge::new("tenant", "acme")];
    for _ in 0..5 {
        let error = limiter.check_all(&charges).await.unwrap_err();
        let Error::CrossSlot { policies, .. } = &error else { panic!("{error:?}") };
        assert_eq!(policies, &["user", "tenant"]);
        let text = error.to_string();
        assert!(text.contains("Nothing was charged") && text.contains("one subject in each call"), "{text}");
        assert!(!text.contains("acme"), "a subject may be a secret: {text}");
    }
    assert_eq!(server.observer().get::<u64>(&["DBSIZE"]), 0);
    // It is neither an outage nor a failure, and the fallback took nothing.
    let stats = limiter.stats();
    assert_eq!((stats.failures, stats.misses, stats.fallback_keys, stats.fallback_allowed), (0, 0, 0, 0));
}

#[tokio::test]
async fn one_subject_has_all_its_policies_in_one_slot() {
    let (_server, limiter) = cluster().await;
    let decision = limiter.check(&42).await.unwrap();
    assert_eq!((decision.source, decision.remaining), (Source::Redis, 9));
    let charges = [Charge::new("user", &42).cost(4), Charge::new("tenant", &42).cost(50)];
    let decision = limiter.check_all(&charges).await.unwrap();
    assert_eq!((decision.source, decision.allowed, decision.remaining), (Source::Redis, true, 5));
    limiter.refund_all(&charges, &decision).await.unwrap();
    assert!(limiter.peek(&42).await.unwrap().remaining >= 9);
    assert!(limiter.reset(&42).await.unwrap());
    assert_eq!((limiter.peek(&42).await.unwrap().remaining, limiter.stats().unsettled), (10, 0));
}
