//! How long a decision takes while Redis is away, who makes it, and that the pool hears nothing of it.

mod common;

use std::time::{Duration, Instant};

use cenote_pool_core::{Pool, State};
use cenote_ratelimit::{Decision, OnOutage, Quota, RateLimiter, Source};
use cenote_testkit::{Proxy, Server, dead_port, eventually_async, within};
use common::{MINUTE, SOON, pool};
use tokio::task::JoinSet;

/// For nearly all calls, and for the one that a noisy machine stops at.
const ROOM: Duration = Duration::from_millis(100);
const STOPPED: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_millis(50);

fn limiter(pool: &Pool, quota: Quota, nodes: u64) -> RateLimiter {
    RateLimiter::builder(pool, "outage").quota(quota).nodes(nodes).build().unwrap()
}

async fn timed(limiter: &RateLimiter, key: &str) -> (Decision, Duration) {
    let began = Instant::now();
    let decision = within(SOON, limiter.check(key)).await.unwrap();
    (decision, began.elapsed())
}

async fn warm(limiter: &RateLimiter) {
    eventually_async(SOON, "Redis answers", || async {
        limiter.check("warm").await.unwrap().source == Source::Redis
    })
    .await;
}

/// Decisions of 50 callers for `time`: how many the fallback made, how many of them were allowed, and how long all but one in
/// a hundred took at most.
async fn load(limiter: &RateLimiter, time: Duration) -> (u64, u64, Duration) {
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let limiter = limiter.clone();
        callers.spawn(async move {
            let (began, mut local, mut allowed, mut times) = (Instant::now(), 0, 0, Vec::new());
            while began.elapsed() < time {
                let (decision, took) = timed(&limiter, "hot").await;
                local += u64::from(decision.source == Source::Fallback);
                allowed += u64::from(decision.source == Source::Fallback && decision.allowed);
                times.push(took);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            (local, allowed, times)
        });
    }
    let all = within(MINUTE, callers.join_all()).await;
    let (local, allowed) = all.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let mut times: Vec<_> = all.into_iter().flat_map(|one| one.2).collect();
    times.sort_unstable();
    (local, allowed, times[(times.len() - 1) * 99 / 100])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_frozen_decisions_come_within_the_limit_and_then_at_once() {
    let server = Server::start();
    let pool = pool(server.url());
    // A share of 10, and 1 each minute.
    let limiter = limiter(&pool, Quota::per_minute(4).burst(40), 4);
    warm(&limiter).await;
    let () = cenote_pool_core::redis::cmd("FLUSHALL").query_async(&mut pool.conn()).await.unwrap();
    server.freeze();
    let mut waits = Vec::new();
    for _ in 0..3 {
        let (decision, took) = timed(&limiter, "cold").await;
        assert_eq!(decision.source, Source::Fallback);
        waits.push(took);
        assert!(took >= LIMIT - Duration::from_millis(5) && took < LIMIT + STOPPED, "{took:?}");
    }
    waits.sort_unstable();
    assert!(waits[1] < LIMIT + ROOM, "a machine may stop at one of them: {waits:?}");
    let paused = Instant::now();
    let mut at_once = Vec::new();
    while paused.elapsed() < Duration::from_millis(500) {
        let (decision, took) = timed(&limiter, "cold").await;
        assert_eq!(decision.source, Source::Fallback);
        at_once.push(took);
    }
    at_once.sort();
    let slow = at_once.iter().filter(|took| **took > LIMIT / 2).count();
    assert!(slow * 100 <= at_once.len(), "{slow} of {} were slow: {:?}", at_once.len(), at_once.last());

    let (local, allowed, nearly_all) = load(&limiter, Duration::from_millis(2_500)).await;
    assert!(local > 1_000 && nearly_all < LIMIT + ROOM, "{local} in {nearly_all:?}");
    assert!((10..=11).contains(&allowed), "a share of 10 was promised, and {allowed} were let through");
    // Beside the first, one call a second asked in vain.
    let misses = limiter.stats().misses;
    assert!((4..=9).contains(&misses), "{misses}");
    assert_eq!(pool.state(), State::Ready, "the pool's own limit is 5 s");

    server.thaw();
    eventually_async(SOON, "Redis decides again", || async {
        limiter.check("back").await.unwrap().source == Source::Redis
    })
    .await;
    // What was sent before the freeze ended was charged once at most, and nothing was sent again.
    let cold = limiter.peek("cold").await.unwrap();
    assert!(cold.source == Source::Redis && cold.remaining >= 37, "{cold:?} after three calls");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_killed_decisions_come_at_once_and_nothing_is_replayed() {
    let server = Server::builder().persistent().start();
    let pool = pool(server.url());
    let limiter = limiter(&pool, Quota::per_hour(100), 2);
    warm(&limiter).await;
    for left in (90..100).rev() {
        assert_eq!(limiter.check("hot").await.unwrap().remaining, left);
    }
    server.kill();
    let (local, allowed, nearly_all) = load(&limiter, Duration::from_millis(1_500)).await;
    assert!(
        local > 1_000 && allowed == 45 && nearly_all < LIMIT + ROOM,
        "{allowed} of {local}, {nearly_all:?}: half of the 90 that were left"
    );
    server.restart();
    eventually_async(SOON, "Redis decides again", || async {
        limiter.check("back").await.unwrap().source == Source::Redis
    })
    .await;
    let hot = limiter.peek("hot").await.unwrap();
    assert_eq!((hot.source, hot.remaining), (Source::Redis, 90), "as it was");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_limits_that_pass_in_vain_never_open_the_breaker_of_the_pool() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = pool(proxy.url());
    let limiter = limiter(&pool, Quota::per_second(1_000), 1);
    warm(&limiter).await;
    proxy.delay_replies(Duration::from_millis(300));
    let mut states = pool.state_changes();
    states.mark_unchanged();
    let mut callers = JoinSet::new();
    for number in 0..200 {
        let limiter = limiter.clone();
        callers.spawn(async move { limiter.check(&number).await.unwrap().source });
    }
    let sources = within(SOON, callers.join_all()).await;
    assert!(sources.iter().all(|source| *source == Source::Fallback));
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(1_000)).await;
        assert_eq!(timed(&limiter, "later").await.0.source, Source::Fallback);
        // Who has time is answered on the same connections.
        let () = cenote_pool_core::redis::cmd("PING").query_async(&mut pool.conn()).await.unwrap();
    }
    // Three at least, and then one each time; most likely 203, but a machine may stop before the others have asked.
    assert!(limiter.stats().misses >= 6, "{:?}", limiter.stats());
    assert!(!states.has_changed().unwrap() && pool.state() == State::Ready);
    assert_eq!((pool.status().reconnects, server.observer().calls("client|kill")), (0, 0));
}

#[tokio::test]
async fn the_other_policies_of_an_outage_let_all_through_or_nothing() {
    let pool = pool(format!("redis://{}", dead_port()));
    let with = |policy| {
        let builder = RateLimiter::builder(&pool, "policy").quota(Quota::per_hour(1));
        builder.on_outage(policy).build().unwrap()
    };
    let (open, closed) = (with(OnOutage::Open), with(OnOutage::Closed));
    for _ in 0..3 {
        let (decision, took) = timed(&open, "a").await;
        assert!(decision.allowed && decision.source == Source::Open && took < LIMIT + STOPPED, "{took:?}");
        let (decision, took) = timed(&closed, "a").await;
        assert!(!decision.allowed && decision.source == Source::Closed && took < LIMIT + STOPPED, "{took:?}");
        assert!(decision.retry_after > Duration::ZERO);
    }
    // Nobody counted, so there is nothing to settle.
    open.reserve("a", 1).await.unwrap().settle(5).await;
    assert_eq!((open.stats().open, closed.stats().closed, open.stats().unsettled), (4, 3, 0));
}

#[tokio::test]
async fn what_was_charged_in_an_outage_is_settled_where_it_was_charged() {
    let pool = pool(format!("redis://{}", dead_port()));
    let limiter = limiter(&pool, Quota::per_hour(100), 2);
    limiter.reserve("a", 40).await.unwrap().settle(10).await;
    assert_eq!(limiter.peek("a").await.unwrap().remaining, 40);
    let decision = limiter.check_n("a", 40).await.unwrap();
    limiter.refund("a", 40, &decision).await.unwrap();
    assert_eq!(limiter.peek("a").await.unwrap().remaining, 40);
    drop(limiter.reserve("a", 40).await.unwrap());
    eventually_async(SOON, "it is given back", || async { limiter.peek("a").await.unwrap().remaining == 40 })
        .await;
}
