//! How many hold a key at once, in one process and in several: this test binary, started again.

mod common;

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cenote_pool_core::Pool;
use cenote_pool_core::redis::{Value, cmd};
use cenote_ratelimit::{AcquireError, ConcurrencyLimiter, ConcurrencyLimiterBuilder, OnOutage, Source};
use cenote_testkit::{Observer, Server, eventually, eventually_async, within};
use common::process::{Process, ROLE, URL};
use common::{MINUTE, SOON, pool};
use tokio::task::JoinSet;

const KEY: &str = "concurrency:1:c:{a}:holders";
const MOST: u64 = 5;

fn builder(pool: &Pool, most: u64) -> ConcurrencyLimiterBuilder {
    ConcurrencyLimiter::builder(pool, "c", most).timeout(SOON).lifetime(MINUTE)
}

fn limiter(pool: &Pool, most: u64) -> ConcurrencyLimiter {
    builder(pool, most).build().unwrap()
}

fn holders(observer: &Observer) -> u64 {
    observer.get(&["ZCARD", KEY])
}

fn is_full<T>(result: &Result<T, AcquireError>) -> bool {
    matches!(result, Err(AcquireError::Full { .. }))
}

/// Not a test of its own: what the processes that the others start do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_process() {
    let Ok(role) = env::var(ROLE) else { return };
    let pool = pool(env::var(URL).unwrap());
    match role.as_str() {
        "one of three" => one_of_three(&pool).await,
        "holds two" => {
            let limiter = builder(&pool, 3).lifetime(Duration::from_secs(2)).build().unwrap();
            let _held = (limiter.acquire("a").await.unwrap(), limiter.acquire("a").await.unwrap());
            println!("<held>");
            std::future::pending::<()>().await;
        }
        other => panic!("{other}?"),
    }
}

async fn one_of_three(pool: &Pool) {
    let limiter = limiter(pool, MOST);
    let () = cmd("INCR").arg("ready").query_async(&mut pool.conn()).await.unwrap();
    eventually_async(SOON, "all are ready", || async {
        let ready: u64 = cmd("GET").arg("ready").query_async(&mut pool.conn()).await.unwrap();
        ready == 3
    })
    .await;
    let mut tasks = JoinSet::new();
    for _ in 0..10 {
        let (limiter, mut conn) = (limiter.clone(), pool.conn());
        tasks.spawn(async move {
            let mut most = 0;
            for round in 0..20 {
                let permit = limiter.acquire("a").await.unwrap();
                let now: u64 = cmd("INCR").arg("inside").query_async(&mut conn).await.unwrap();
                tokio::time::sleep(Duration::from_millis(2)).await;
                let () = cmd("DECR").arg("inside").query_async(&mut conn).await.unwrap();
                assert!(!permit.is_lost() && permit.source() == Source::Redis, "{permit:?}");
                most = most.max(now);
                // Of the last drop nobody would hear: the process ends.
                if round == 19 {
                    permit.release().await;
                }
            }
            most
        });
    }
    let most = within(MINUTE, tasks.join_all()).await.into_iter().max().unwrap();
    println!("<most>{most}");
}

#[test]
fn never_more_than_allowed_hold_a_key_over_three_processes() {
    let server = Server::start();
    let mut three: Vec<_> = (0..3).map(|_| Process::start("one of three", &server)).collect();
    let most = three.iter_mut().map(|process| process.said("most").parse::<u64>().unwrap());
    assert_eq!(most.max(), Some(MOST));
    eventually(SOON, "all are freed", || holders(&server.observer()) == 0);
}

#[tokio::test]
async fn what_a_killed_process_held_is_free_after_its_lifetime() {
    let server = Server::start();
    // One that lives, and keeps the others' names where they are.
    let limiter = limiter(&pool(server.url()), 3);
    let alive = limiter.acquire("a").await.unwrap();
    let mut other = Process::start("holds two", &server);
    other.said("held");
    assert!(is_full(&limiter.try_acquire("a").await));
    other.kill();
    assert!(is_full(&limiter.try_acquire("a").await), "nobody knows yet");
    let first = within(SOON, limiter.acquire("a")).await.unwrap();
    let second = within(SOON, limiter.acquire("a")).await.unwrap();
    assert!(is_full(&limiter.try_acquire("a").await));
    drop((alive, first, second));
}

#[tokio::test]
async fn a_dropped_permit_is_free_at_once_and_a_released_one_when_that_returns() {
    let server = Server::start();
    let (limiter, observer) = (limiter(&pool(server.url()), 2), server.observer());
    let (one, two) = (limiter.try_acquire("a").await.unwrap(), limiter.try_acquire("a").await.unwrap());
    assert!(matches!(limiter.try_acquire("a").await, Err(AcquireError::Full { limit: 2, .. })));
    assert!(limiter.try_acquire("b").await.is_ok(), "another key");
    assert!((1..=60_001).contains(&observer.get::<i64>(&["PTTL", KEY])), "if all die it goes, too");
    drop(one);
    eventually_async(SOON, "it is free", || async { holders(&observer) == 1 }).await;
    two.release().await;
    assert_eq!(holders(&observer), 0);
    // From a thread that knows of no runtime.
    let permit = limiter.acquire("a").await.unwrap();
    std::thread::spawn(move || drop(permit)).join().unwrap();
    eventually_async(SOON, "it is free", || async { holders(&observer) == 0 }).await;
}

#[tokio::test]
async fn who_waits_gets_what_is_freed_or_gives_up_in_time() {
    let server = Server::start();
    let limiter = limiter(&pool(server.url()), 1);
    let permit = limiter.acquire("a").await.unwrap();
    let began = Instant::now();
    let waits = limiter.acquire_within("a", Duration::from_millis(100));
    assert!(is_full(&within(SOON, waits).await));
    assert!(began.elapsed() >= Duration::from_millis(100));
    let waits = tokio::spawn({
        let limiter = limiter.clone();
        async move { limiter.acquire("a").await }
    });
    drop(permit);
    assert!(within(SOON, waits).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_permit_is_renewed_for_as_long_as_it_is_held() {
    let server = Server::start();
    let pool = pool(server.url());
    let limiter = builder(&pool, 1).lifetime(Duration::from_millis(1_500)).build().unwrap();
    let permit = limiter.acquire("a").await.unwrap();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        assert!(is_full(&limiter.try_acquire("a").await), "after {:?}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!permit.is_lost());
    let ttl: i64 = server.observer().get(&["PTTL", KEY]);
    assert!((1..=1_501).contains(&ttl), "the key goes with its last holder: {ttl}");
}

#[tokio::test]
async fn without_redis_the_policy_decides() {
    let server = Server::start();
    let pool = pool(server.url());
    let brief = |policy| {
        let builder = builder(&pool, 4).nodes(2).timeout(Duration::from_millis(100));
        builder.on_outage(policy).build().unwrap()
    };
    let (closed, open, share) = (brief(OnOutage::Closed), brief(OnOutage::Open), brief(OnOutage::Fallback));
    let held = share.acquire("a").await.unwrap();
    server.freeze();
    assert_eq!(closed.acquire("a").await.unwrap_err(), AcquireError::Unavailable);
    let all: Vec<_> = {
        let mut all = Vec::new();
        for _ in 0..10 {
            all.push(open.acquire("a").await.unwrap());
        }
        all
    };
    assert!(all.iter().all(|permit| permit.source() == Source::Open && !permit.is_lost()));
    // Two are its share of four, and it has one already.
    let local = share.acquire("a").await.unwrap();
    assert_eq!(local.source(), Source::Fallback);
    assert!(is_full(&share.try_acquire("a").await));
    drop(local);
    assert!(share.try_acquire("a").await.is_ok(), "what is dropped is free");
    server.thaw();
    let observer = server.observer();
    drop(held);
    eventually_async(SOON, "Redis decides again", || async {
        share.try_acquire("b").await.is_ok_and(|permit| permit.source() == Source::Redis)
    })
    .await;
    // Of all that were asked for in vain none is taken.
    eventually_async(SOON, "none is left behind", || async { holders(&observer) == 0 }).await;
}

#[tokio::test]
async fn whose_renewals_fail_for_a_lifetime_has_lost_it_and_is_told() {
    let server = Server::start();
    let pool = pool(server.url());
    let limiter = builder(&pool, 1).lifetime(Duration::from_millis(500)).build().unwrap();
    let permit = limiter.acquire("a").await.unwrap();
    let lost = tokio::spawn(permit.lost());
    server.freeze();
    within(SOON, permit.lost()).await;
    assert!(permit.is_lost());
    within(SOON, lost).await.unwrap();
    server.thaw();
    let other = within(SOON, limiter.acquire("a")).await.unwrap();
    assert!(permit.is_lost() && !other.is_lost(), "lost is lost");
    drop(permit);
    // That freed nobody else's place.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(holders(&server.observer()), 1);
}

#[tokio::test]
async fn whom_redis_has_forgotten_is_told_with_the_next_renewal() {
    let server = Server::start();
    let (pool, observer) = (pool(server.url()), server.observer());
    let limiter = builder(&pool, 1).lifetime(Duration::from_secs(6)).build().unwrap();
    let (began, permit) = (Instant::now(), limiter.acquire("a").await.unwrap());
    let names: Vec<String> = observer.get(&["ZRANGE", KEY, "0", "-1"]);
    // By the server's clock it expired long ago.
    observer.get::<()>(&["ZADD", KEY, "1", &names[0]]);
    within(SOON, permit.lost()).await;
    assert!(permit.is_lost() && began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_holder_that_stood_still_for_a_lifetime_knows_at_once_that_it_is_lost() {
    let server = Server::start();
    let pool = pool(server.url());
    let limiter = builder(&pool, 1).lifetime(Duration::from_millis(300)).build().unwrap();
    let permit = limiter.acquire("a").await.unwrap();
    // The only thread of this runtime.
    std::thread::sleep(Duration::from_millis(350));
    assert!(permit.is_lost());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(permit.is_lost(), "and no renewal makes it good");
}

#[tokio::test]
async fn one_that_is_dropped_while_it_asks_leaves_nothing_behind() {
    let server = Server::start();
    let (limiter, observer) = (limiter(&pool(server.url()), 1), server.observer());
    limiter.acquire("a").await.unwrap().release().await;
    let before = observer.calls("evalsha");
    server.freeze();
    let asks = limiter.try_acquire("a");
    assert!(tokio::time::timeout(Duration::from_millis(100), asks).await.is_err());
    server.thaw();
    eventually_async(SOON, "it was asked for", || async { observer.calls("evalsha") > before }).await;
    eventually_async(SOON, "it is freed", || async { holders(&observer) == 0 }).await;
}

#[tokio::test]
async fn no_time_of_a_client_is_sent_to_redis() {
    let server = Server::start();
    let (pool, observer) = (pool(server.url()), server.observer());
    observer.get::<()>(&["CONFIG", "SET", "slowlog-log-slower-than", "0", "slowlog-max-len", "1000"]);
    let limiter = builder(&pool, 1).lifetime(Duration::from_millis(600)).build().unwrap();
    let permit = limiter.acquire("a").await.unwrap();
    let calls = || observer.calls("eval") + observer.calls("evalsha");
    eventually_async(SOON, "it is renewed twice", || async { calls() >= 4 }).await;
    permit.release().await;
    let log: Vec<Vec<Value>> = observer.get(&["SLOWLOG", "GET", "-1"]);
    let seen = AtomicU64::new(0);
    for entry in log {
        let Value::Array(args) = &entry[3] else { panic!("{entry:?}") };
        let args = args.iter().map(|arg| match arg {
            Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("{other:?}"),
        });
        let args: Vec<String> = args.collect();
        // What a script does is logged, too.
        if !args.iter().any(|arg| arg == KEY) || !["EVAL", "EVALSHA", "ZREM"].contains(&&*args[0]) {
            continue;
        }
        seen.fetch_add(1, Ordering::Relaxed);
        // The longest number is the lifetime: a time of day would be longer.
        let numbers = args.iter().filter(|arg| arg.len() != 32).filter_map(|arg| arg.parse::<u64>().ok());
        assert!(numbers.max().unwrap_or(0) <= 600_000, "{args:?}");
    }
    assert!(seen.into_inner() >= 4);
}

#[tokio::test]
async fn a_server_whose_clock_was_ahead_forgets_the_dead_all_the_same() {
    let server = Server::start();
    let (limiter, observer) = (limiter(&pool(server.url()), 2), server.observer());
    let time: Vec<u64> = observer.get(&["TIME"]);
    let year = ((time[0] + 31_536_000) * 1_000_000).to_string();
    observer.get::<()>(&["ZADD", KEY, &year, "500000:dead", &year, "3600000000:alive"]);
    assert!(is_full(&limiter.try_acquire("a").await));
    let permit = within(SOON, limiter.acquire("a")).await.unwrap();
    assert!(is_full(&limiter.try_acquire("a").await), "the other has an hour");
    drop(permit);
}

#[tokio::test]
async fn without_a_server_a_pool_lets_in_its_share() {
    let pool = Pool::embedded(cenote_fallback_lru::FallbackLru::default());
    let limiter = limiter(&pool, 1);
    let permit = limiter.acquire("a").await.unwrap();
    assert_eq!(permit.source(), Source::Fallback);
    assert!(is_full(&limiter.try_acquire("a").await));
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let pool = Pool::builder().url("redis://localhost:1").build().unwrap();
    let wrong = builder(&pool, 0).nodes(0).timeout(Duration::ZERO).lifetime(Duration::from_millis(29));
    let error = wrong.build().unwrap_err().to_string();
    for part in ["at least 1 must", "nodes", "timeout", "lifetime must be 30 ms to a day"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(ConcurrencyLimiter::builder(&pool, "no name", 1).build().is_err());
}
