//! How long a look for a permit takes while Redis is away, who gives it, and that the bound is whole again afterwards.

mod common;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cenote_pool_core::Pool;
use cenote_ratelimit::{AcquireError, ConcurrencyLimiter, OnOutage, Permit, Source};
use cenote_testkit::{Server, eventually_async, within};
use common::{MINUTE, SOON, pool};
use tokio::task::JoinSet;

/// For nearly all looks, and for the one that a noisy machine stops at.
const ROOM: Duration = Duration::from_millis(100);
const STOPPED: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_millis(50);
const CALLERS: u64 = 50;
const MOST: u64 = 6;
const SHARE: u64 = 3;

/// With its own limit of 50 ms.
fn limiter(pool: &Pool, policy: OnOutage, lifetime: Duration) -> ConcurrencyLimiter {
    let builder = ConcurrencyLimiter::builder(pool, "c", MOST).nodes(2).on_outage(policy);
    builder.lifetime(lifetime).build().unwrap()
}

/// What callers that look over and over were told.
#[derive(Debug, Default)]
struct Seen {
    redis: u64,
    fallback: u64,
    open: u64,
    full: u64,
    closed: u64,
    /// At once, of those that Redis did not let in.
    most: u64,
    times: Times,
}

/// Too many to be printed.
#[derive(Default)]
struct Times(Vec<Duration>);

impl fmt::Debug for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} looks, {:?} at most", self.0.len(), self.0.iter().max())
    }
}

impl Seen {
    /// How long all but one in a hundred took at most.
    fn nearly_all(&self) -> Duration {
        let mut times = self.times.0.clone();
        times.sort_unstable();
        times[(times.len() - 1) * 99 / 100]
    }
}

async fn load(limiter: &ConcurrencyLimiter, time: Duration) -> Seen {
    let (inside, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (limiter, inside, most) = (limiter.clone(), inside.clone(), most.clone());
        callers.spawn(async move {
            let (began, mut seen) = (Instant::now(), Seen::default());
            while began.elapsed() < time {
                let asked = Instant::now();
                let result = within(SOON, limiter.try_acquire("hot")).await;
                seen.times.0.push(asked.elapsed());
                match &result {
                    Err(AcquireError::Full { limit, .. }) if *limit == SHARE => seen.full += 1,
                    Err(AcquireError::Unavailable) => seen.closed += 1,
                    Ok(permit) if permit.source() == Source::Redis => seen.redis += 1,
                    Ok(permit) => {
                        let by =
                            if permit.source() == Source::Open { &mut seen.open } else { &mut seen.fallback };
                        *by += 1;
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        tokio::time::sleep(Duration::from_millis(2)).await;
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                    Err(other) => panic!("{other:?}"),
                }
                drop(result);
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            seen
        });
    }
    let all = within(MINUTE, callers.join_all()).await;
    let mut sum = Seen { most: most.load(Ordering::SeqCst), ..Seen::default() };
    for seen in all {
        sum.redis += seen.redis;
        sum.fallback += seen.fallback;
        sum.open += seen.open;
        sum.full += seen.full;
        sum.closed += seen.closed;
        sum.times.0.extend(seen.times.0);
    }
    sum
}

async fn until_redis_decides(limiter: &ConcurrencyLimiter) {
    eventually_async(SOON, "Redis decides", || async {
        limiter.try_acquire("warm").await.is_ok_and(|permit| permit.source() == Source::Redis)
    })
    .await;
}

/// As many as may hold `key`, and none more.
async fn exactly_the_bound_holds(pool: &Pool, server: &Server, key: &str) {
    let limiter =
        ConcurrencyLimiter::builder(pool, "c", MOST).timeout(SOON).lifetime(MINUTE).build().unwrap();
    let holders = || server.observer().get::<u64>(&["ZCARD", &format!("concurrency:1:c:{{{key}}}:holders")]);
    eventually_async(SOON, "whoever was let in has gone", || async {
        let permit = limiter.try_acquire(key).await;
        permit.is_ok() && holders() == 1
    })
    .await;
    eventually_async(SOON, "and the one that looked", || async { holders() == 0 }).await;
    let mut all: Vec<Permit> = Vec::new();
    for _ in 0..MOST {
        all.push(limiter.try_acquire(key).await.unwrap());
    }
    assert!(all.iter().all(|permit| permit.source() == Source::Redis && !permit.is_lost()));
    assert!(matches!(limiter.try_acquire(key).await, Err(AcquireError::Full { limit: MOST, .. })));
    assert_eq!((holders(), limiter.stats().out), (MOST, MOST));
    drop(all);
    eventually_async(SOON, "all are freed", || async { holders() == 0 && limiter.stats().out == 0 }).await;
}

/// One caller, who knows from the first three looks that Redis is away.
async fn looks_are_answered_at_once(limiter: &ConcurrencyLimiter) {
    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < Duration::from_millis(300) {
        let asked = Instant::now();
        drop(within(SOON, limiter.try_acquire("cold")).await);
        times.push(asked.elapsed());
    }
    let slow = times.iter().filter(|took| **took > LIMIT / 2).count();
    assert!(slow * 100 <= times.len(), "{slow} of {} were slow: {:?}", times.len(), times.iter().max());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_frozen_each_look_is_answered_in_its_time_and_who_held_a_permit_keeps_it() {
    let server = Server::start();
    let pool = pool(server.url());
    let share = limiter(&pool, OnOutage::Fallback, Duration::from_secs(5));
    until_redis_decides(&share).await;
    let kept = within(SOON, share.acquire("kept")).await.unwrap();
    assert_eq!(kept.source(), Source::Redis);
    let expires = || {
        let all: Vec<(String, u64)> =
            server.observer().get(&["ZRANGE", "concurrency:1:c:{kept}:holders", "0", "-1", "WITHSCORES"]);
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].1
    };
    let before = expires();

    server.freeze();
    let mut waits = Vec::new();
    for _ in 0..3 {
        let asked = Instant::now();
        assert_eq!(share.try_acquire("cold").await.unwrap().source(), Source::Fallback);
        waits.push(asked.elapsed());
    }
    waits.sort_unstable();
    assert!(waits[0] >= LIMIT - Duration::from_millis(5), "{waits:?}");
    assert!(waits[1] < LIMIT + ROOM && waits[2] < LIMIT + STOPPED, "{waits:?}");
    looks_are_answered_at_once(&share).await;
    let seen = load(&share, Duration::from_millis(1_200)).await;
    assert!(seen.fallback > 100 && seen.full > 100 && seen.redis == 0, "{seen:?}");
    assert_eq!((seen.most, seen.open, seen.closed), (SHARE, 0, 0));
    assert!(seen.nearly_all() < LIMIT + ROOM, "{:?}", seen.nearly_all());
    let stats = share.stats();
    // Beside the first three, one a second asked in vain.
    assert!((4..=9).contains(&stats.misses) && stats.pauses == 1, "{stats:?}");
    assert!(stats.fallback_granted > seen.fallback && stats.fallback_full == seen.full, "{stats:?}");
    assert!(!kept.is_lost() && stats.lost == 0 && stats.out == 1, "{stats:?}");

    server.thaw();
    until_redis_decides(&share).await;
    eventually_async(SOON, "it is renewed", || async { expires() > before }).await;
    assert!(!kept.is_lost() && kept.source() == Source::Redis, "{kept:?}");
    kept.release().await;
    for key in ["hot", "cold", "kept"] {
        exactly_the_bound_holds(&pool, &server, key).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_frozen_the_other_policies_are_as_quick() {
    let server = Server::start();
    let pool = pool(server.url());
    let (open, closed) = (limiter(&pool, OnOutage::Open, MINUTE), limiter(&pool, OnOutage::Closed, MINUTE));
    until_redis_decides(&open).await;
    until_redis_decides(&closed).await;
    server.freeze();
    let (all, none) =
        (load(&open, Duration::from_millis(500)).await, load(&closed, Duration::from_millis(500)).await);
    assert!(all.open > CALLERS && all.most > MOST && all.redis + all.full + all.closed == 0, "{all:?}");
    assert!(none.closed > CALLERS && none.redis + none.full + none.open == 0, "{none:?}");
    for (seen, limiter) in [(&all, &open), (&none, &closed)] {
        // All callers looked before the first of them had waited in vain: what came after is most.
        assert!(seen.nearly_all() < LIMIT + ROOM, "{:?}", seen.nearly_all());
        looks_are_answered_at_once(limiter).await;
    }
    assert!(open.stats().open > all.open && closed.stats().closed > none.closed);
    server.thaw();
    for limiter in [&open, &closed] {
        until_redis_decides(limiter).await;
    }
    exactly_the_bound_holds(&pool, &server, "hot").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_held_a_permit_when_redis_was_killed_for_longer_loses_it_and_the_bound_is_whole_again() {
    let server = Server::builder().persistent().start();
    let pool = pool(server.url());
    let limiter = limiter(&pool, OnOutage::Fallback, Duration::from_secs(1));
    until_redis_decides(&limiter).await;
    let mut held = Vec::new();
    for _ in 0..MOST {
        held.push(within(SOON, limiter.acquire("kept")).await.unwrap());
    }
    server.observer().get::<()>(&["SET", "mark", "1"]);
    server.kill();
    let began = Instant::now();
    // Nobody can tell Redis of this one.
    drop(held.pop());
    let seen = load(&limiter, Duration::from_millis(1_500)).await;
    assert!(seen.fallback > 100 && seen.full > 100 && seen.redis == 0, "{seen:?}");
    assert_eq!((seen.most, seen.open, seen.closed), (SHARE, 0, 0));
    assert!(seen.nearly_all() < LIMIT + ROOM, "{:?}", seen.nearly_all());
    for permit in &held {
        within(SOON, permit.lost()).await;
        assert!(permit.is_lost());
    }
    eventually_async(SOON, "it is counted", || async { limiter.stats().lost == MOST - 1 }).await;
    assert!(limiter.stats().unrenewed > 0, "{:?}", limiter.stats());
    assert!(began.elapsed() > Duration::from_millis(1_200), "all have expired");

    server.restart();
    until_redis_decides(&limiter).await;
    assert_eq!(server.observer().get::<u64>(&["GET", "mark"]), 1, "the data is back");
    for key in ["kept", "hot"] {
        exactly_the_bound_holds(&pool, &server, key).await;
    }
    // What was lost frees nobody else's place.
    let others: Vec<_> = {
        let patient =
            ConcurrencyLimiter::builder(&pool, "c", MOST).timeout(SOON).lifetime(MINUTE).build().unwrap();
        let mut others = Vec::new();
        for _ in 0..MOST {
            others.push(patient.try_acquire("kept").await.unwrap());
        }
        others
    };
    drop(held);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.observer().get::<u64>(&["ZCARD", "concurrency:1:c:{kept}:holders"]), MOST);
    assert!(others.iter().all(|permit| !permit.is_lost()));
}
