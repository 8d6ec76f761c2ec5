//! What a decision asks of the allocator, by one that counts. One test, as it counts for the whole process.

mod common;

use std::alloc::System;
use std::time::Duration;

use cenote_ratelimit::{Lease, Quota, RateLimiter, Source};
use cenote_testkit::Server;
use common::{SOON, limiter, patient, pool};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const DECISIONS: usize = 10_000;
const KEY: &str = "2001:db8:1234:5678::/64";
/// Those of a call by Redis: the command, its reply, and what the pool needs for both.
const BY_REDIS: usize = 8;

/// Allocations for a hundred decisions by `source`, rounded down: whatever else the process does at times is less.
async fn of_a_hundred(limiter: &RateLimiter, source: Source) -> usize {
    let before = ALLOCATOR.stats().allocations;
    for _ in 0..DECISIONS {
        let decision = limiter.check(KEY).await.unwrap();
        assert_eq!(decision.source, source, "{decision:?}");
    }
    (ALLOCATOR.stats().allocations - before) * 100 / DECISIONS
}

#[tokio::test]
async fn a_decision_without_redis_needs_no_allocator_and_one_by_redis_needs_it_a_few_times() {
    let server = Server::start();
    let pool = pool(server.url());
    let leased = patient(&pool, "leased").quota(Quota::per_second(1_000_000));
    let leased = leased.lease(Lease::of(100_000).for_at_most(Duration::from_secs(600))).build().unwrap();
    assert!(leased.check(KEY).await.unwrap().allowed);
    let count = of_a_hundred(&leased, Source::Lease).await;
    println!("of a lease: {count} in a hundred");
    assert!(count <= 10, "{count} in a hundred");

    // A refusal is remembered for a second, so each hundred begins with a limiter that remembers none.
    let mut most = usize::MAX;
    for _ in 0..10 {
        let refused = limiter(&pool, "refused", Quota::per_day(1));
        while refused.check(KEY).await.unwrap().source != Source::BlockedLocally {}
        let before = ALLOCATOR.stats().allocations;
        let mut blocked = 0;
        for _ in 0..100 {
            blocked += usize::from(refused.check(KEY).await.unwrap().source == Source::BlockedLocally);
        }
        // A machine may stop for longer than that.
        if blocked == 100 {
            most = most.min(ALLOCATOR.stats().allocations - before);
        }
    }
    let count = most;
    println!("blocked: {count} in a hundred");
    assert!(count <= 10, "{count} in a hundred");

    let asks = RateLimiter::builder(&pool, "asks").timeout(SOON).quota(Quota::per_second(1_000_000)).build();
    let asks = asks.unwrap();
    asks.check(KEY).await.unwrap();
    let count = of_a_hundred(&asks, Source::Redis).await;
    println!("by Redis: {count} in a hundred");
    assert!(count <= 100 * BY_REDIS, "{count} in a hundred");
}
