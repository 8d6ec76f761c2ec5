//! What one limiter promises while Redis is there.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cenote_pool_core::redis::cmd;
use cenote_ratelimit::{Charge, Error, Quota, RateLimiter, Source};
use cenote_testkit::{Server, eventually_async, within};
use common::{SOON, limiter, patient, pool, said};

const DAY_US: u64 = 86_400_000_000;

/// A limiter whose time the test makes.
fn timeless(pool: &cenote_pool_core::Pool, name: &str, quota: Quota) -> (RateLimiter, Arc<AtomicU64>) {
    let now = Arc::new(AtomicU64::new(1_764_000_000_000_000));
    let builder = patient(pool, name).quota(quota).injected_time(now.clone()).block_keys(0);
    (builder.build().unwrap(), now)
}

#[tokio::test]
async fn the_first_of_ten_a_second_leaves_nine() {
    let server = Server::start();
    let limiter = limiter(&pool(server.url()), "fresh", Quota::per_second(10).burst(10));
    for number in 0..200 {
        let decision = limiter.check(&number).await.unwrap();
        assert_eq!(said(&decision), (true, 9, 0, 100_000));
        assert_eq!((decision.limit, &*decision.policy, decision.source), (10, "default", Source::Redis));
        assert_eq!(decision.violated().len(), 0);
    }
}

#[tokio::test]
async fn the_three_large_quotas_are_counted_exactly() {
    let server = Server::start();
    let pool = pool(server.url());
    for (quota, burst, token_us) in [
        (Quota::per_day(1_000_000), 1_000_000, 86_400),
        (Quota::per_hour(5_000_000), 5_000_000, 720),
        (Quota::per_month(100_000), 100_000, 25_920_000),
    ] {
        let (limiter, now) = timeless(&pool, "large", quota);
        let key = burst.to_string();
        assert_eq!(said(&limiter.check(&key).await.unwrap()), (true, burst - 1, 0, token_us.into()));
        assert!(limiter.check_n(&key, burst - 1).await.unwrap().allowed);
        now.fetch_add(token_us - 1, Ordering::SeqCst);
        assert_eq!(limiter.check(&key).await.unwrap().retry_after, Duration::from_micros(1));
        now.fetch_add(1, Ordering::SeqCst);
        assert!(limiter.check(&key).await.unwrap().allowed);
    }
}

#[tokio::test]
async fn a_refusal_changes_nothing_in_redis() {
    let server = Server::start();
    let limiter = limiter(&pool(server.url()), "still", Quota::per_hour(2));
    assert!(limiter.check_n("a", 2).await.unwrap().allowed);
    let state = || server.observer().get::<Vec<String>>(&["MGET", "ratelimit:1:still:{a}:default"]);
    let before = state();
    let refused = limiter.check("a").await.unwrap();
    assert!(!refused.allowed && refused.retry_after > Duration::from_secs(1_700), "{refused:?}");
    assert_eq!(state(), before);
}

#[tokio::test]
async fn the_refusal_of_a_narrow_quota_does_not_drain_the_broad_one_and_is_named() {
    let server = Server::start();
    let builder = patient(&pool(server.url()), "both").block_keys(0);
    let builder = builder.policy("broad", Quota::per_hour(1_000)).policy("narrow", Quota::per_hour(1));
    let limiter = builder.build().unwrap();
    let charges = [Charge::new("broad", "tenant").cost(3), Charge::new("narrow", &42)];
    let first = limiter.check_all(&charges).await.unwrap();
    assert!(first.allowed && &*first.policy == "narrow" && first.remaining == 0);
    for _ in 0..10 {
        let refused = limiter.check_all(&charges).await.unwrap();
        assert_eq!(refused.violated().iter().map(|policy| &**policy).collect::<Vec<_>>(), ["narrow"]);
    }
    let broad = limiter.check_all(&[Charge::new("broad", "tenant")]).await.unwrap();
    assert_eq!(broad.remaining, 996);
    for (charges, why) in [
        (vec![], "no charges"),
        (vec![Charge::new("wide", "a")], "no policy \"wide\""),
        (vec![Charge::new("broad", "a"), Charge::new("broad", "a")], "two charges of one subject"),
    ] {
        let error = limiter.check_all(&charges).await.unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[tokio::test]
async fn a_cost_beyond_the_burst_is_an_error_that_says_so_and_takes_nothing() {
    let server = Server::start();
    let limiter = limiter(&pool(server.url()), "cost", Quota::per_hour(5));
    let error = limiter.check_n("a", 6).await.unwrap_err();
    let Error::Cost(cost) = &error else { panic!("{error:?}") };
    assert_eq!((cost.policy.as_str(), cost.cost, cost.burst), ("default", 6, 5));
    assert_eq!(limiter.peek("a").await.unwrap().remaining, 5);
    assert!(limiter.check_n("a", 5).await.unwrap().allowed);
}

#[tokio::test]
async fn a_clock_a_year_ahead_does_no_lasting_harm() {
    let server = Server::start();
    let (limiter, now) = timeless(&pool(server.url()), "clock", Quota::per_minute(10));
    let true_now = now.fetch_add(365 * DAY_US, Ordering::SeqCst);
    assert!(limiter.check_n("partly", 5).await.unwrap().allowed);
    assert!(limiter.check_n("wholly", 10).await.unwrap().allowed);
    now.store(true_now, Ordering::SeqCst);
    assert_eq!(limiter.check("partly").await.unwrap().remaining, 4);
    // What was used stays used, and comes back from now on: also if it was all.
    let refused = limiter.check("wholly").await.unwrap();
    assert_eq!(refused.retry_after, Duration::from_secs(6));
    now.fetch_add(6_000_000, Ordering::SeqCst);
    assert!(limiter.check("wholly").await.unwrap().allowed);
    // A step back within a full drain stands still, and no more.
    now.fetch_sub(30_000_000, Ordering::SeqCst);
    assert_eq!(limiter.check("wholly").await.unwrap().retry_after, Duration::from_secs(36));
}

#[tokio::test]
async fn a_refund_never_admits_more_than_the_quota_has() {
    let server = Server::start();
    let (limiter, now) = timeless(&pool(server.url()), "refund", Quota::per_second(1).burst(10));
    let first = limiter.check_n("a", 10).await.unwrap();
    now.fetch_add(10_000_000, Ordering::SeqCst);
    assert!(limiter.check_n("a", 10).await.unwrap().allowed, "all of it had come back");
    limiter.refund("a", 10, &first).await.unwrap();
    let refused = limiter.check("a").await.unwrap();
    assert!(!refused.allowed, "so there was nothing to give back: {refused:?}");
    // A refusal took nothing, and gives nothing back.
    limiter.refund("a", 1, &refused).await.unwrap();
    assert_eq!(limiter.peek("a").await.unwrap().remaining, 0);
    let second = limiter.check_n("b", 4).await.unwrap();
    now.fetch_add(1_000_000, Ordering::SeqCst);
    limiter.refund("b", 4, &second).await.unwrap();
    assert_eq!(said(&limiter.peek("b").await.unwrap()), (true, 10, 0, 0));
}

#[tokio::test]
async fn a_reservation_is_settled_for_less_or_more_and_given_back_when_it_is_dropped() {
    let server = Server::start();
    let (limiter, _) = timeless(&pool(server.url()), "reserve", Quota::per_hour(100));
    let left = async |key: &str| limiter.peek(key).await.unwrap().remaining;
    limiter.reserve("a", 50).await.unwrap().settle(20).await;
    assert_eq!(left("a").await, 80);
    limiter.reserve("a", 50).await.unwrap().settle(60).await;
    assert_eq!(left("a").await, 20);
    limiter.reserve("a", 10).await.unwrap().settle(200).await;
    let refused = limiter.reserve("a", 1).await.unwrap();
    // 280 are used: 181 must come back before one fits.
    assert_eq!(refused.decision().retry_after, Duration::from_secs(181 * 36));
    refused.settle(50).await;
    assert_eq!(limiter.peek("a").await.unwrap().retry_after, Duration::from_secs(181 * 36));

    drop(limiter.reserve("b", 100).await.unwrap());
    eventually_async(SOON, "it is given back", || async { left("b").await == 100 }).await;
}

#[tokio::test]
async fn when_a_quota_changes_the_tokens_used_stay_used() {
    let server = Server::start();
    let pool = pool(server.url());
    let plans = |_: &str, key: &str| key.starts_with("gold").then(|| Quota::per_hour(1_000));
    let limiter = patient(&pool, "plan").quota(Quota::per_minute(10)).resolver(plans).build().unwrap();
    assert_eq!(limiter.check("gold 1").await.unwrap().remaining, 999);
    assert_eq!(limiter.check("lead 1").await.unwrap().remaining, 9);
    let more = limiter.check_with("lead 1", &Quota::per_day(20)).await.unwrap();
    assert_eq!((more.limit, more.remaining), (20, 18));
    let error = limiter.check_with("lead 1", &Quota::per_day(0)).await.unwrap_err();
    assert!(matches!(error, Error::Quota(_)), "{error}");
}

#[tokio::test]
async fn a_server_that_has_lost_its_scripts_is_given_the_script_again() {
    let server = Server::start();
    let limiter = limiter(&pool(server.url()), "flush", Quota::per_hour(10));
    assert_eq!(limiter.check("a").await.unwrap().remaining, 9);
    server.observer().get::<()>(&["SCRIPT", "FLUSH"]);
    let decision = limiter.check("a").await.unwrap();
    assert_eq!((decision.remaining, decision.source), (8, Source::Redis));
    server.observer().reset_stats();
    assert_eq!(limiter.check("a").await.unwrap().remaining, 7);
    assert_eq!(
        (server.observer().calls("evalsha"), server.observer().calls("eval")),
        (1, 0),
        "one round trip"
    );
}

#[tokio::test]
async fn keys_expire_when_nothing_is_owed_and_hold_no_more_than_text() {
    let server = Server::start();
    let limiter = limiter(&pool(server.url()), "gone", Quota::new(1, Duration::from_millis(20)).burst(5));
    for number in 0..100 {
        limiter.check_n(&format!("{number}}}"), 5).await.unwrap();
    }
    let observer = server.observer();
    let keys: Vec<String> = observer.get(&["KEYS", "*"]);
    assert!(keys.iter().all(|key| key.starts_with("ratelimit:1:gone:{") && key.ends_with("%7D}:default")));
    eventually_async(SOON, "all are gone", || async { observer.get::<u64>(&["DBSIZE"]) == 0 }).await;
}

#[tokio::test]
async fn what_was_refused_is_refused_again_without_redis_until_it_is_given_back() {
    let server = Server::start();
    let limiter = limiter(&pool(server.url()), "block", Quota::per_hour(2));
    let first = limiter.check_n("a", 2).await.unwrap();
    let mut began = Instant::now();
    assert_eq!(limiter.check("a").await.unwrap().source, Source::Redis);
    let mut blocked = limiter.check("a").await.unwrap();
    while blocked.source != Source::BlockedLocally {
        // The machine stopped for longer than Redis is left alone.
        assert!(began.elapsed() >= Duration::from_secs(1), "{blocked:?}");
        began = Instant::now();
        limiter.check("a").await.unwrap();
        blocked = limiter.check("a").await.unwrap();
    }
    assert!(!blocked.allowed);
    assert!(blocked.retry_after > Duration::from_secs(1_700), "{blocked:?}");
    limiter.refund("a", 1, &first).await.unwrap();
    assert!(limiter.check("a").await.unwrap().allowed);
    assert_eq!(limiter.check("a").await.unwrap().source, Source::Redis);
    assert!(limiter.reset("a").await.unwrap());
    assert_eq!(limiter.check("a").await.unwrap().remaining, 1);
    let stats = limiter.stats();
    assert_eq!((stats.redis_allowed, stats.blocked_locally), (3, 1));
    assert!(stats.redis_refused >= 2, "{stats:?}");
}

#[tokio::test]
async fn in_shadow_mode_all_is_allowed_and_what_would_not_be_is_told() {
    let server = Server::start();
    let builder = patient(&pool(server.url()), "shadow").quota(Quota::per_hour(1)).shadow(true);
    let limiter = builder.build().unwrap();
    let first = limiter.check("a").await.unwrap();
    let second = limiter.check("a").await.unwrap();
    assert_eq!(
        [&first, &second].map(|decision| (decision.allowed, decision.shadow)),
        [(true, false), (true, true)]
    );
    assert_eq!(second.violated().len(), 1);
    // It took nothing, so it has nothing to give back.
    limiter.refund("a", 1, &second).await.unwrap();
    assert_eq!((limiter.peek("a").await.unwrap().remaining, limiter.stats().shadowed), (0, 1));
}

#[tokio::test]
async fn until_ready_waits_for_its_turn_and_no_longer_than_its_limit() {
    let server = Server::start();
    let limiter = limiter(&pool(server.url()), "turn", Quota::new(1, Duration::from_millis(50)));
    let began = Instant::now();
    for _ in 0..5 {
        assert!(within(SOON, limiter.until_ready("a", SOON)).await.unwrap().allowed);
    }
    assert!(began.elapsed() >= Duration::from_millis(199), "{:?}", began.elapsed());
    let hourly = common::limiter(&pool(server.url()), "hourly", Quota::per_hour(1));
    assert!(hourly.until_ready("a", SOON).await.unwrap().allowed);
    let refused = within(SOON, hourly.until_ready("a", SOON)).await.unwrap();
    assert!(!refused.allowed && refused.retry_after > SOON);
}

#[tokio::test]
async fn a_key_that_is_another_type_is_decided_locally_and_harms_no_other() {
    let server = Server::start();
    let pool = pool(server.url());
    let limiter = limiter(&pool, "type", Quota::per_hour(10));
    let () = cmd("HSET")
        .arg(&["ratelimit:1:type:{bad}:default", "a", "b"])
        .query_async(&mut pool.conn())
        .await
        .unwrap();
    for left in (5..10).rev() {
        let decision = limiter.check("bad").await.unwrap();
        assert_eq!((decision.source, decision.remaining), (Source::Fallback, left));
        assert_eq!(limiter.check("good").await.unwrap().source, Source::Redis);
    }
    assert_eq!((limiter.stats().failures, limiter.stats().misses), (5, 0));
}

#[test]
fn settings_that_cannot_be_are_refused_with_what_would_be_right() {
    let pool = pool("redis://localhost:1");
    let named = |name: &str| RateLimiter::builder(&pool, name);
    let quota = Quota::per_second(1);
    for (builder, why) in [
        (named("a"), "add one with .quota"),
        (named("a b").quota(quota), "no name for a limiter"),
        (named("a").policy("}", quota), "no name for a policy"),
        (named("a").quota(quota).quota(quota), "give one another name"),
        (named("a").quota(quota).nodes(0), "nodes must be at least 1"),
        (named("a").quota(quota).timeout(Duration::ZERO), "timeout must be more than 0"),
        (named("a").quota(quota).timeout(Duration::MAX), "timeout must be a day at most"),
        (named("a").quota(Quota::per_second(0)), "at least 1"),
    ] {
        let error = builder.build().unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}
