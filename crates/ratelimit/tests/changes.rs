//! Quotas that change while the limiter runs.

mod common;

use cenote_pool_core::redis::cmd;
use cenote_ratelimit::{Error, Lease, OnQuotaChange, Quota, RateLimiter, Source};
use cenote_testkit::{Server, eventually_async};
use common::{SOON, patient, pool};

const CHANGES: [OnQuotaChange; 3] =
    [OnQuotaChange::KeepUsed, OnQuotaChange::Reset, OnQuotaChange::Proportional];

fn limiter(server: &Server, name: &str, change: OnQuotaChange) -> RateLimiter {
    let builder = patient(&pool(server.url()), name).quota(Quota::per_hour(10));
    builder.on_quota_change(change).build().unwrap()
}

#[tokio::test]
async fn a_quota_set_at_run_time_keeps_what_was_used_or_forgets_it_or_keeps_its_part() {
    let server = Server::start();
    for (change, left) in CHANGES.into_iter().zip([96, 99, 69]) {
        let limiter = limiter(&server, &format!("{change:?}"), change);
        let clone = limiter.clone();
        assert_eq!(limiter.check_n("a", 3).await.unwrap().remaining, 7);
        limiter.set_quota("default", Quota::per_hour(100)).unwrap();
        let decision = clone.check("a").await.unwrap();
        assert_eq!((decision.limit, decision.remaining, decision.source), (100, left, Source::Redis));
        assert_eq!(clone.check("a").await.unwrap().remaining, left - 1, "it has changed once");
    }
}

#[tokio::test]
async fn only_the_burst_is_another_and_that_is_another_quota() {
    let server = Server::start();
    for (change, left) in CHANGES.into_iter().zip([1, 4, 2]) {
        let limiter = limiter(&server, &format!("{change:?}"), change);
        limiter.set_quota("default", Quota::per_hour(10).burst(10)).unwrap();
        assert_eq!(limiter.check_n("a", 3).await.unwrap().remaining, 7, "the same");
        limiter.set_quota("default", Quota::per_hour(10).burst(5)).unwrap();
        // Of Proportional 1.5 are used, and one more.
        assert_eq!(limiter.check("a").await.unwrap().remaining, left);
    }
}

#[tokio::test]
async fn what_was_refused_by_the_old_quota_is_not_refused_from_memory_by_the_new_one() {
    let server = Server::start();
    let limiter = limiter(&server, "blocked", OnQuotaChange::KeepUsed);
    assert!(limiter.check_n("a", 10).await.unwrap().allowed);
    assert!(!limiter.check("a").await.unwrap().allowed);
    limiter.set_quota("default", Quota::per_hour(11)).unwrap();
    let decision = limiter.check("a").await.unwrap();
    assert_eq!((decision.allowed, decision.source), (true, Source::Redis));
}

#[tokio::test]
async fn a_lease_of_the_old_quota_ends() {
    let server = Server::start();
    let builder = patient(&pool(server.url()), "leased").quota(Quota::per_hour(1_000)).nodes(1);
    let limiter = builder.lease(Lease::of(100)).build().unwrap();
    limiter.check("a").await.unwrap();
    assert_eq!(limiter.check("a").await.unwrap().source, Source::Lease);
    limiter.set_quota("default", Quota::per_hour(2_000)).unwrap();
    assert_eq!(limiter.check("a").await.unwrap().source, Source::Redis);
}

#[tokio::test]
async fn a_quota_that_cannot_be_and_a_policy_that_is_not_there_change_nothing() {
    let server = Server::start();
    let limiter = limiter(&server, "wrong", OnQuotaChange::Reset);
    let error = limiter.set_quota("default", Quota::per_hour(0)).unwrap_err();
    assert!(matches!(error, Error::Quota(_)), "{error}");
    assert!(error.to_string().starts_with("limiter \"wrong\", policy \"default\": 0 per "), "{error}");
    let error = limiter.set_quota("daily", Quota::per_hour(5)).unwrap_err();
    assert!(error.to_string().contains("no policy \"daily\""), "{error}");
    assert_eq!(limiter.check("a").await.unwrap().remaining, 9);
}

#[tokio::test]
async fn a_refusal_by_the_new_quota_leaves_what_is_stored_of_the_old_one() {
    let server = Server::start();
    let state = || server.observer().get::<Vec<String>>(&["MGET", "ratelimit:1:still:{a}:default"]);
    let limiter = limiter(&server, "still", OnQuotaChange::Proportional);
    assert!(limiter.check_n("a", 10).await.unwrap().allowed);
    let before = state();
    limiter.set_quota("default", Quota::per_hour(20)).unwrap();
    for _ in 0..3 {
        assert!(!limiter.check("a").await.unwrap().allowed);
        limiter.peek("a").await.unwrap();
    }
    assert_eq!(state(), before);
}

#[tokio::test]
async fn a_part_of_the_largest_bursts_is_counted_exactly() {
    let server = Server::start();
    // Products of these are far beyond what a double holds.
    let (most, other) = ((1_u64 << 53) - 1, (1_u64 << 52) + 12_345);
    let quota = |burst| Quota::per_second(1_000_000).burst(burst);
    let pool = pool(server.url());
    let now = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(1_764_000_000_000_000));
    let builder = patient(&pool, "huge").quota(quota(most)).injected_time(now).block_keys(0);
    let limiter = builder.on_quota_change(OnQuotaChange::Proportional).build().unwrap();
    for used in [1, 3, most / 3, most / 2 + 7, most - 1, most] {
        limiter.set_quota("default", quota(most)).unwrap();
        assert!(limiter.check_n(&used, used).await.unwrap().allowed);
        limiter.set_quota("default", quota(other)).unwrap();
        let part = (u128::from(used) * u128::from(other)).div_ceil(most.into());
        let left = u128::from(other) - part;
        assert_eq!(u128::from(limiter.peek(&used).await.unwrap().remaining), left, "{used}");
    }
}

#[tokio::test]
async fn a_debt_in_the_form_of_before_is_read() {
    let server = Server::start();
    let pool = pool(server.url());
    for change in CHANGES {
        let limiter = limiter(&server, &format!("{change:?}"), change);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let token = 360_000_000_u64;
        let stored = format!("{}:{}:{token}", 4 * token, now.as_micros());
        let key = format!("ratelimit:1:{change:?}:{{a}}:default");
        let () = cmd("SET").arg(&key).arg(stored).query_async(&mut pool.conn()).await.unwrap();
        assert_eq!(limiter.check("a").await.unwrap().remaining, 5);
    }
}

#[tokio::test]
async fn what_is_settled_after_the_quota_has_changed_forgets_nothing_of_the_new_one() {
    let server = Server::start();
    for actual in [Some(0), Some(3), None] {
        let limiter =
            limiter(&server, &format!("late{actual:?}").replace(['(', ')'], ""), OnQuotaChange::Reset);
        let reservation = limiter.reserve("a", 2).await.unwrap();
        limiter.set_quota("default", Quota::per_hour(20)).unwrap();
        assert_eq!(limiter.check_n("a", 15).await.unwrap().remaining, 5);
        match actual {
            Some(actual) => reservation.settle(actual).await,
            None => {
                drop(reservation);
                let script = || server.observer().calls("evalsha");
                let before = script();
                eventually_async(SOON, "it is given back", || async { script() > before }).await;
            }
        }
        let more = actual.unwrap_or_default().saturating_sub(2);
        assert_eq!(limiter.peek("a").await.unwrap().remaining, 5 - more, "{actual:?}");
    }
}

#[tokio::test]
async fn a_lease_of_the_old_quota_that_is_given_back_forgets_nothing_of_the_new_one() {
    let server = Server::start();
    let pool = pool(server.url());
    let builder = patient(&pool, "back").quota(Quota::per_hour(40)).nodes(1).lease(Lease::of(10));
    let limiter = builder.on_quota_change(OnQuotaChange::Reset).build().unwrap();
    let exact = patient(&pool, "back").quota(Quota::per_hour(80)).nodes(1);
    let exact = exact.on_quota_change(OnQuotaChange::Reset).build().unwrap();
    limiter.check("a").await.unwrap();
    // Processes with leases hear of it one after another.
    assert_eq!(exact.check_n("a", 60).await.unwrap().remaining, 20);
    limiter.return_leases().await;
    assert_eq!(exact.peek("a").await.unwrap().remaining, 20);
}
