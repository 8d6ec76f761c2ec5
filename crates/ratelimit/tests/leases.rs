//! What a limiter with leases promises.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cenote_pool_core::Pool;
use cenote_ratelimit::{Charge, Lease, Quota, RateLimiter, RateLimiterBuilder, Source};
use cenote_testkit::{Observer, Server, eventually_async, within};
use common::{MINUTE, SOON, limiter, patient, pool};
use tokio::task::JoinSet;

const LONG: Duration = Duration::from_secs(600);

fn leasing(pool: &Pool, quota: Quota, tokens: u64) -> RateLimiterBuilder {
    patient(pool, "l").quota(quota).lease(Lease::of(tokens).for_at_most(LONG))
}

fn trips(observer: &Observer) -> u64 {
    observer.calls("eval") + observer.calls("evalsha")
}

/// What Redis has left of it.
async fn left(pool: &Pool, quota: Quota, key: &str) -> u64 {
    limiter(pool, "l", quota).peek(key).await.unwrap().remaining
}

async fn sources(limiter: &RateLimiter, count: usize) -> Vec<Source> {
    let mut sources = Vec::new();
    for _ in 0..count {
        let decision = limiter.check("a").await.unwrap();
        assert!(decision.allowed, "{decision:?}");
        sources.push(decision.source);
    }
    sources
}

#[tokio::test]
async fn tokens_are_charged_first_and_then_spent_without_a_round_trip_and_others_share_the_quota() {
    let server = Server::start();
    let (pool, quota) = (pool(server.url()), Quota::per_hour(1).burst(40));
    let limiter = leasing(&pool, quota, 10).build().unwrap();
    assert_eq!(sources(&limiter, 1).await, [Source::Redis]);
    assert_eq!(left(&pool, quota, "a").await, 30, "all ten are charged");
    let (observer, before) = (server.observer(), trips(&server.observer()));
    assert_eq!(sources(&limiter, 9).await, [Source::Lease; 9]);
    assert_eq!(trips(&observer), before);
    assert_eq!(sources(&limiter, 1).await, [Source::Redis], "they are spent");
    let decision = limiter.check("a").await.unwrap();
    assert_eq!((decision.limit, decision.remaining, &*decision.policy), (40, 28, "default"));
    assert_eq!(decision.reset_after.as_secs().div_ceil(60), 20 * 60);
    let stats = limiter.stats();
    assert_eq!((stats.leased, stats.redis_allowed, stats.leased_keys), (10, 2, 1));
}

#[tokio::test]
async fn near_the_limit_redis_is_asked_for_less_and_then_left_alone() {
    let server = Server::start();
    let (pool, quota) = (pool(server.url()), Quota::per_hour(1).burst(25));
    let leasing = leasing(&pool, quota, 10).build().unwrap();
    let exact = limiter(&pool, "l", quota);
    assert!(exact.check_n("a", 12).await.unwrap().allowed);
    // Ten of thirteen, and then the three that are left.
    sources(&leasing, 13).await;
    let (observer, before) = (server.observer(), trips(&server.observer()));
    let refused = leasing.check("a").await.unwrap();
    assert!(!refused.allowed && refused.source == Source::BlockedLocally, "{refused:?}");
    assert_eq!(trips(&observer), before, "it had given all there was");
    assert_eq!(exact.peek("a").await.unwrap().remaining, 0);
    assert!(refused.retry_after <= Duration::from_secs(3_600), "{refused:?}");
}

#[tokio::test]
async fn a_refusal_is_of_the_cost_and_not_of_the_lease() {
    let server = Server::start();
    let (pool, quota) = (pool(server.url()), Quota::per_hour(2).burst(40));
    // Whose times are not longer than the quota's own.
    let lease = Lease::of(20).for_at_most(Duration::from_secs(10));
    let leasing = patient(&pool, "l").quota(quota).lease(lease).build().unwrap();
    let exact = limiter(&pool, "l", quota);
    assert!(exact.check_n("a", 39).await.unwrap().allowed);
    let refused = leasing.check_n("a", 3).await.unwrap();
    assert!(!refused.allowed && refused.source == Source::Redis, "{refused:?}");
    assert_eq!((refused.remaining, refused.violated().len()), (1, 1));
    // Two are missing, each of half an hour.
    assert_eq!(refused.retry_after.as_secs_f64().round(), 3_600.0, "{refused:?}");
    assert!(leasing.check("a").await.unwrap().allowed, "less fits");
}

#[tokio::test]
async fn a_refused_key_is_left_alone_until_as_much_has_come_back_as_all_lease() {
    let server = Server::start();
    let (pool, quota) = (pool(server.url()), Quota::per_second(100).burst(200));
    // Which stands still: as much as one asks for comes back in a hundredth of a second.
    let now = Arc::new(AtomicU64::new(1_764_000_000_000_000));
    let refused = async |lifetime| {
        let lease = Lease::of(25).for_at_most(Duration::from_secs(lifetime));
        let still = || patient(&pool, "l").quota(quota).injected_time(now.clone());
        let leasing = still().nodes(4).lease(lease).build().unwrap();
        let exact = still().nodes(1).build().unwrap();
        exact.reset("a").await.unwrap();
        assert!(exact.check_n("a", 200).await.unwrap().allowed);
        let refused = leasing.check("a").await.unwrap();
        assert!(!refused.allowed && refused.source == Source::Redis, "{refused:?}");
        refused.retry_after
    };
    // A hundred at a hundred a second, but a tenth of the lifetime at most.
    assert_eq!(refused(60).await, Duration::from_secs(1));
    assert_eq!(refused(3).await, Duration::from_millis(300));
}

#[tokio::test]
async fn what_processes_hoard_and_spend_together_is_within_the_bound() {
    let server = Server::start();
    let (pool, quota) = (pool(server.url()), Quota::per_hour(1).burst(100));
    let now = Arc::new(AtomicU64::new(1_764_000_000_000_000));
    let node = |_| leasing(&pool, quota, 10).nodes(4).injected_time(now.clone()).build().unwrap();
    let nodes: Vec<_> = (0..4).map(node).collect();
    for node in &nodes {
        sources(node, 1).await;
    }
    // All comes back in Redis, by its time, while they hold what they have.
    now.fetch_add(100 * 3_600_000_000, Ordering::SeqCst);
    let mut allowed = 0;
    for node in &nodes {
        while node.check("a").await.unwrap().allowed {
            allowed += 1;
        }
    }
    assert_eq!(allowed, 100 + 4 * 9, "the burst, and what each of four has left of ten");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_quota_all_is_let_through_and_no_more_whoever_leases() {
    let server = Server::start();
    let (pool, quota) = (pool(server.url()), Quota::per_hour(1).burst(500));
    let nodes: Vec<_> = (1..=3).map(|tokens| leasing(&pool, quota, 7 * tokens).build().unwrap()).collect();
    let mut tasks = JoinSet::new();
    for number in 0..60 {
        let limiter = nodes[number % 3].clone();
        tasks.spawn(async move {
            let mut allowed = 0;
            let cost = 1 + number as u64 % 2;
            while limiter.check_n("a", cost).await.unwrap().allowed {
                allowed += cost;
                tokio::task::yield_now().await;
            }
            while limiter.check("a").await.unwrap().allowed {
                allowed += 1;
            }
            allowed
        });
    }
    let allowed: u64 = within(MINUTE, tasks.join_all()).await.iter().sum();
    assert_eq!(allowed, 500);
}

#[tokio::test]
async fn those_who_come_together_ask_once() {
    let server = Server::start();
    let pool = pool(server.url());
    let limiter = leasing(&pool, Quota::per_hour(1).burst(1_000), 100).build().unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let limiter = limiter.clone();
        tasks.spawn(async move { limiter.check("a").await.unwrap() });
    }
    let decisions = within(SOON, tasks.join_all()).await;
    assert!(decisions.iter().all(|decision| decision.allowed));
    assert_eq!(decisions.iter().filter(|decision| decision.source == Source::Redis).count(), 1);
    assert_eq!(server.observer().calls("evalsha"), 1);
}

#[tokio::test]
async fn what_is_given_back_is_less_by_what_has_come_back() {
    let server = Server::start();
    let (pool, quota) = (pool(server.url()), Quota::per_second(1).burst(40));
    let now = Arc::new(AtomicU64::new(1_764_000_000_000_000));
    let timed = |builder: RateLimiterBuilder| builder.injected_time(now.clone()).build().unwrap();
    let leasing = timed(leasing(&pool, quota, 10));
    let exact = timed(patient(&pool, "l").quota(quota));
    sources(&leasing, 1).await;
    now.fetch_add(4_000_000, Ordering::SeqCst);
    leasing.return_leases().await;
    // Ten less four are owed, and of the nine that were not spent five are: the rest came back while it was held.
    assert_eq!(exact.peek("a").await.unwrap().remaining, 39);
    assert_eq!(leasing.stats().leased_keys, 0);
}

#[tokio::test]
async fn a_lease_ends_in_time_and_is_given_back_by_itself() {
    let server = Server::start();
    let (pool, quota) = (pool(server.url()), Quota::per_hour(1).burst(40));
    let lease = Lease::of(10).for_at_most(Duration::from_secs(1));
    let limiter = patient(&pool, "l").quota(quota).lease(lease).build().unwrap();
    let began = std::time::Instant::now();
    sources(&limiter, 1).await;
    assert_eq!(left(&pool, quota, "a").await, 30);
    eventually_async(SOON, "nine are given back", || async { left(&pool, quota, "a").await == 39 }).await;
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(sources(&limiter, 1).await, [Source::Redis], "and not spent, too");
    assert_eq!(left(&pool, quota, "a").await, 29);
}

#[tokio::test]
async fn nothing_is_spent_after_the_lifetime() {
    let server = Server::start();
    let pool = pool(server.url());
    let lease = Lease::of(10).for_at_most(Duration::from_millis(300));
    let limiter = patient(&pool, "l").quota(Quota::per_hour(1).burst(40)).lease(lease).build().unwrap();
    sources(&limiter, 1).await;
    // The only thread of this runtime: nobody looks for what has ended.
    std::thread::sleep(Duration::from_millis(310));
    assert_eq!(sources(&limiter, 1).await, [Source::Redis]);
}

#[tokio::test]
async fn a_limiter_that_is_dropped_gives_back_what_it_holds() {
    let server = Server::start();
    let (pool, quota) = (pool(server.url()), Quota::per_hour(1).burst(40));
    let limiter = leasing(&pool, quota, 10).build().unwrap();
    sources(&limiter, 3).await;
    drop(limiter);
    eventually_async(SOON, "seven are given back", || async { left(&pool, quota, "a").await == 37 }).await;
}

#[tokio::test]
async fn no_more_keys_are_leased_than_was_said_and_the_oldest_are_given_back() {
    let server = Server::start();
    let (pool, quota) = (pool(server.url()), Quota::per_hour(1).burst(40));
    let lease = Lease::of(10).for_at_most(LONG).keys(100);
    let limiter = patient(&pool, "l").quota(quota).lease(lease).build().unwrap();
    for key in 0..1_000 {
        assert!(limiter.check(&key).await.unwrap().allowed);
        assert!(limiter.stats().leased_keys <= 100);
    }
    assert!(limiter.stats().leased_keys >= 50, "{:?}", limiter.stats());
    eventually_async(SOON, "the first is given back", || async { left(&pool, quota, "0").await == 39 }).await;
    assert_eq!(left(&pool, quota, "999").await, 30);
}

#[tokio::test]
async fn when_a_keys_quota_is_another_its_lease_is_given_back() {
    let server = Server::start();
    let pool = pool(server.url());
    let burst = Arc::new(AtomicU64::new(40));
    let now = burst.clone();
    let quota = Quota::per_hour(1).burst(40);
    let limiter = leasing(&pool, quota, 10)
        .resolver(move |_, _| Some(Quota::per_hour(1).burst(now.load(Ordering::SeqCst))))
        .build()
        .unwrap();
    assert_eq!(sources(&limiter, 2).await, [Source::Redis, Source::Lease]);
    burst.store(100, Ordering::SeqCst);
    assert_eq!(sources(&limiter, 1).await, [Source::Redis]);
    let quota = Quota::per_hour(1).burst(100);
    eventually_async(SOON, "eight are given back", || async { left(&pool, quota, "a").await == 88 }).await;
}

#[tokio::test]
async fn of_several_policies_all_are_leased_or_none() {
    let server = Server::start();
    let pool = pool(server.url());
    let narrow = Quota::per_hour(1).burst(20);
    let limiter = leasing(&pool, Quota::per_hour(1).burst(100), 10).policy("narrow", narrow).build().unwrap();
    sources(&limiter, 20).await;
    let refused = limiter.check("a").await.unwrap();
    assert!(!refused.allowed && *refused.policy == *"narrow", "{refused:?}");
    assert_eq!(refused.violated().len(), 1);
    assert_eq!(left(&pool, Quota::per_hour(1).burst(100), "a").await, 80, "the broad one is not drained");
}

#[tokio::test]
async fn what_costs_as_much_as_a_lease_or_is_not_leased_asks_redis() {
    let server = Server::start();
    let (pool, quota) = (pool(server.url()), Quota::per_hour(1).burst(40));
    let limiter = leasing(&pool, quota, 30).build().unwrap();
    sources(&limiter, 1).await;
    assert_eq!(left(&pool, quota, "a").await, 20, "half of the burst at most");
    assert_eq!(limiter.check_n("b", 20).await.unwrap().source, Source::Redis);
    assert_eq!(left(&pool, quota, "b").await, 20);
    assert_eq!(limiter.check_all(&[Charge::new("default", "c")]).await.unwrap().source, Source::Redis);
    assert_eq!(left(&pool, quota, "c").await, 39);
    assert!(limiter.check_n("b", 41).await.is_err());
    assert_eq!(limiter.stats().leased_keys, 1);
}

#[tokio::test]
async fn a_refund_and_a_reset_reach_what_was_leased() {
    let server = Server::start();
    let (pool, quota) = (pool(server.url()), Quota::per_hour(1).burst(40));
    let limiter = leasing(&pool, quota, 10).build().unwrap();
    sources(&limiter, 1).await;
    let decision = limiter.check_n("a", 3).await.unwrap();
    assert_eq!(decision.source, Source::Lease);
    limiter.refund("a", 3, &decision).await.unwrap();
    assert_eq!(left(&pool, quota, "a").await, 33, "where it was charged");
    assert!(limiter.reset("a").await.unwrap());
    assert_eq!(sources(&limiter, 1).await, [Source::Redis], "what was held is gone");
    assert_eq!(left(&pool, quota, "a").await, 30);
}

#[tokio::test]
async fn in_an_outage_what_is_held_is_spent_and_then_the_policy_decides() {
    let server = Server::start();
    let pool = pool(server.url());
    let limiter = leasing(&pool, Quota::per_hour(1).burst(40), 10).build().unwrap();
    sources(&limiter, 1).await;
    server.kill();
    assert_eq!(sources(&limiter, 9).await, [Source::Lease; 9]);
    assert_eq!(sources(&limiter, 1).await, [Source::Fallback]);
}

#[tokio::test]
async fn one_that_is_dropped_while_it_asks_holds_up_nobody() {
    let server = Server::start();
    let pool = pool(server.url());
    let limiter = leasing(&pool, Quota::per_hour(1).burst(40), 10).build().unwrap();
    sources(&limiter, 8).await;
    server.freeze();
    let asks = limiter.check_n("a", 5);
    assert!(tokio::time::timeout(Duration::from_millis(50), asks).await.is_err());
    assert_eq!(sources(&limiter, 2).await, [Source::Lease; 2], "what it had taken out is there again");
    let waits = tokio::spawn({
        let limiter = limiter.clone();
        async move { limiter.check("a").await.unwrap() }
    });
    server.thaw();
    assert!(within(SOON, waits).await.unwrap().allowed);
}

#[test]
fn a_lease_of_nothing_is_refused() {
    let pool = Pool::builder().url("redis://localhost:1").build().unwrap();
    let problem = |lease| {
        let built = patient(&pool, "l").quota(Quota::per_second(1)).lease(lease).build();
        built.map(drop).unwrap_err().to_string()
    };
    assert!(problem(Lease::of(0)).contains("at least 1 token"));
    assert!(problem(Lease::of(1).keys(0)).contains("keys of a lease"));
    assert!(problem(Lease::of(1).for_at_most(Duration::ZERO)).contains("lifetime"));
}
