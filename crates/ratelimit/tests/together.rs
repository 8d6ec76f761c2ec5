//! Calls of many tasks at once, which share scripts: each is judged by itself, and gets its own answer.

mod common;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cenote_pool_core::redis::cmd;
use cenote_ratelimit::{Charge, Decision, Quota, RateLimiter, Source};
use cenote_testkit::{Server, dead_port, eventually_async, is_long, seed, within};
use common::model::{Model, Rule};
use common::{SOON, limiter, patient, pool, said};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const START: u64 = 1_764_000_000_000_000;
const RULE: Rule = Rule { count: 7, period_us: 60_000_000, burst: 20 };

/// Of which nothing comes back while a test runs.
fn large() -> Quota {
    Quota::new(1, Duration::from_secs(86_400)).burst(100_000)
}

/// One task for each of these, all at once.
async fn checks(limiter: &RateLimiter, all: Vec<(String, u64)>) -> Vec<(String, u64, Decision)> {
    let mut tasks = JoinSet::new();
    for (key, cost) in all {
        let limiter = limiter.clone();
        tasks.spawn(async move {
            let decision = limiter.check_n(&key, cost).await.unwrap();
            (key, cost, decision)
        });
    }
    tasks.join_all().await
}

/// What each was told is what exact fractions say, in the order in which Redis must have judged them: those that were
/// allowed by what was left, and each refusal somewhere between.
fn compare(model: &mut Model, key: &str, now: u64, mut all: Vec<(u64, Decision)>) {
    all.sort_by_key(|(_, decision)| (!decision.allowed, std::cmp::Reverse(decision.remaining)));
    let (allowed, mut refused): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(_, decision)| decision.allowed);
    let mut judged = |cost: u64, charges: bool| {
        let of_model = model.check(&[(key.to_owned(), RULE, cost)], now.into(), charges);
        (of_model[0].fits, of_model[0].remaining, of_model[0].retry, of_model[0].reset)
    };
    let told = |decision: &Decision| {
        let (fits, remaining, retry, reset) = said(decision);
        (fits, i128::from(remaining), retry as i128, reset as i128)
    };
    for next in allowed.iter().map(Some).chain([None]) {
        refused.retain(|(cost, decision)| judged(*cost, false).0 || judged(*cost, true) != told(decision));
        if let Some((cost, decision)) = next {
            assert_eq!(told(decision), judged(*cost, true), "{key}: {decision:?}");
        }
    }
    assert!(refused.is_empty(), "{key}: no order explains {refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_of_many_at_once_equals_that_of_exact_fractions_in_some_order() {
    let server = Server::start();
    let (pool, now) = (pool(server.url()), Arc::new(AtomicU64::new(START)));
    let quota = Quota::new(RULE.count, Duration::from_micros(RULE.period_us)).burst(RULE.burst);
    let limiter = patient(&pool, "exact").nodes(1).quota(quota).block_keys(0).injected_time(now.clone());
    let limiter = limiter.build().unwrap();
    let mut rng = fastrand::Rng::with_seed(seed());
    let (mut model, mut made, mut refused) = (Model::default(), 0, 0);
    for _ in 0..if is_long() { 3_000 } else { 150 } {
        let at = now.load(Ordering::SeqCst) + rng.u64(..40_000_000);
        now.store(at, Ordering::SeqCst);
        let all = (0..rng.usize(1..=70)).map(|_| (rng.u8(..4).to_string(), rng.u64(1..=3))).collect();
        let mut by_key: BTreeMap<String, Vec<(u64, Decision)>> = BTreeMap::new();
        for (key, cost, decision) in checks(&limiter, all).await {
            assert_eq!(decision.source, Source::Redis, "{decision:?}");
            (made, refused) = (made + 1, refused + u64::from(!decision.allowed));
            by_key.entry(key).or_default().push((cost, decision));
        }
        for (key, told) in by_key {
            compare(&mut model, &key, at, told);
        }
    }
    let scripts = server.observer().calls("evalsha");
    println!("{made} checks, of which {refused} were refused, in {scripts} scripts");
    // About a sixth is allowed; all that matters is that both kinds are many.
    assert!(refused > made / 20 && made - refused > made / 20, "{refused} of {made}");
    assert!(scripts < made / 2, "{made} checks in {scripts} scripts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_policies_each_call_of_many_is_charged_to_all_or_to_none() {
    let server = Server::start();
    let pool = pool(server.url());
    let builder = patient(&pool, "all").nodes(1).block_keys(0);
    let builder = builder.policy("narrow", Quota::per_day(30)).policy("broad", Quota::per_day(1_000));
    let limiter = builder.build().unwrap();
    let mut tasks = JoinSet::new();
    for number in 0..200 {
        let limiter = limiter.clone();
        // Those of one key alone are of another length, and go beside them.
        let broad = number % 4 == 0;
        tasks.spawn(async move {
            let mut charges = vec![Charge::new("broad", &number)];
            if !broad {
                charges = vec![Charge::new("broad", "tenant"), Charge::new("narrow", "tenant")];
            }
            (broad, limiter.check_all(&charges).await.unwrap())
        });
    }
    let all = tasks.join_all().await;
    assert!(all.iter().all(|(_, decision)| decision.source == Source::Redis));
    let allowed = |which: bool| all.iter().filter(|(broad, one)| *broad == which && one.allowed).count();
    assert_eq!((allowed(true), allowed(false)), (50, 30));
    let left = limiter.check_all(&[Charge::new("broad", "tenant").cost(0)]).await.unwrap().remaining;
    assert_eq!(left, 1_000 - 30, "a refusal by the narrow one drains nothing");
}

#[tokio::test]
async fn who_is_alone_has_a_script_of_its_own_and_so_have_few() {
    let server = Server::start();
    let limiter = limiter(&pool(server.url()), "alone", large());
    limiter.check("a").await.unwrap();
    let before = server.observer().calls("evalsha");
    for _ in 0..10 {
        limiter.check("a").await.unwrap();
    }
    let _ = tokio::join!(limiter.check("a"), limiter.check("b"));
    assert_eq!(server.observer().calls("evalsha") - before, 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_dropped_harm_none_of_those_they_were_sent_with() {
    let server = Server::start();
    let limiter = limiter(&pool(server.url()), "dropped", large());
    limiter.check("a").await.unwrap();
    let (mut stay, mut go) = (JoinSet::new(), Vec::new());
    let begun = Arc::new(AtomicU64::new(0));
    server.freeze();
    for number in 0..100 {
        let (limiter, begun) = (limiter.clone(), begun.clone());
        let check = async move {
            let mut check = std::pin::pin!(limiter.check("a"));
            let mut first = true;
            let decision = std::future::poll_fn(|context| {
                let polled = check.as_mut().poll(context);
                begun.fetch_add(u64::from(std::mem::take(&mut first)), Ordering::SeqCst);
                polled
            });
            decision.await.unwrap()
        };
        if number % 2 == 0 {
            go.push(tokio::spawn(check));
        } else {
            stay.spawn(check);
        }
    }
    // Each is in a batch, or sent: whichever it is, it may be dropped.
    eventually_async(SOON, "all have begun", || async { begun.load(Ordering::SeqCst) == 100 }).await;
    go.iter().for_each(tokio::task::JoinHandle::abort);
    for gone in go {
        assert!(gone.await.unwrap_err().is_cancelled());
    }
    server.thaw();
    let mut left: Vec<u64> = Vec::new();
    for decision in stay.join_all().await {
        assert!(decision.allowed && decision.source == Source::Redis, "{decision:?}");
        left.push(decision.remaining);
    }
    left.sort_unstable();
    left.dedup();
    assert_eq!(left.len(), 50, "each has its own answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_of_another_type_harms_none_of_those_it_was_sent_with() {
    let server = Server::start();
    let limiter = limiter(&pool(server.url()), "wrong", large());
    limiter.check("a").await.unwrap();
    server.observer().get::<u64>(&["SADD", "ratelimit:1:wrong:{b}:default", "x"]);
    let keys = (0..100).map(|number| ((if number % 5 == 0 { "b" } else { "a" }).to_owned(), 1)).collect();
    for (key, _, decision) in checks(&limiter, keys).await {
        let expected = if key == "b" { Source::Fallback } else { Source::Redis };
        assert_eq!(decision.source, expected, "{key}: {decision:?}");
    }
    assert_eq!(limiter.stats().failures, 20);
    assert_eq!(limiter.peek("a").await.unwrap().remaining, 100_000 - 81);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_some_keys_is_asked_for_each_by_itself() {
    let server = Server::start();
    let observer = server.observer();
    observer.get::<()>(&["ACL", "SETUSER", "some", "on", ">word", "~ratelimit:1:some:{a*", "+@all"]);
    let url = server.url().replace("redis://", "redis://some:word@");
    let limiter = limiter(&pool(url), "some", large());
    limiter.check("a").await.unwrap();
    let keys = || (0..100).map(|number| (format!("{}{number}", ["a", "b"][number % 2]), 1)).collect();
    for _ in 0..2 {
        for (key, _, decision) in checks(&limiter, keys()).await {
            let expected = if key.starts_with('a') { Source::Redis } else { Source::Fallback };
            assert_eq!(decision.source, expected, "{key}: {decision:?}");
        }
    }
    assert_eq!(limiter.peek("a2").await.unwrap().remaining, 100_000 - 2, "and is charged once for each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_never_asked_for_several_subjects_in_one_script() {
    let bus = dead_port().port().to_string();
    let server = Server::builder().arg("cluster-enabled", "yes").arg("cluster-port", bus).start();
    let pool = pool(server.url());
    let observer = server.observer();
    observer.get::<()>(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    eventually_async(SOON, "the slots are served", || async {
        cmd("GET").arg("a").query_async::<Option<String>>(&mut pool.conn()).await.is_ok()
    })
    .await;
    let limiter = limiter(&pool, "cluster", large());
    limiter.check("first").await.unwrap();
    let before = observer.calls("evalsha");
    let all = checks(&limiter, (0..100).map(|number| (number.to_string(), 1)).collect()).await;
    assert!(all.iter().all(|(_, _, decision)| decision.source == Source::Redis));
    assert_eq!(observer.calls("evalsha") - before, 100);
    assert!(observer.info("errorstat_CROSSSLOT").is_empty());
}

/// Twenty checks that were polled once; what they have spawned was not.
fn begun(limiter: &RateLimiter, runtime: &Runtime) -> Vec<Pin<Box<dyn Future<Output = Decision>>>> {
    let mut calls: Vec<Pin<Box<dyn Future<Output = Decision>>>> = Vec::new();
    for _ in 0..20 {
        let limiter = limiter.clone();
        calls.push(Box::pin(async move { limiter.check("a").await.unwrap() }));
    }
    runtime.block_on(std::future::poll_fn(|context| {
        assert!(calls.iter_mut().all(|call| call.as_mut().poll(context).is_pending()));
        std::task::Poll::Ready(())
    }));
    calls
}

#[test]
fn calls_whose_runtime_ends_before_they_are_sent_are_answered_in_the_next() {
    let server = Server::start();
    let limiter = limiter(&pool(server.url()), "ended", large());
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    first.block_on(limiter.check("a")).unwrap();
    let calls = begun(&limiter, &first);
    drop(first);
    runtime().block_on(async {
        for call in calls {
            tokio::time::timeout(SOON * 2, call).await.expect("nobody waits for a task that is gone");
        }
        eventually_async(SOON, "Redis is asked again", || async {
            let all = checks(&limiter, (0..50).map(|_| ("a".to_owned(), 1)).collect()).await;
            all.iter().all(|(_, _, decision)| decision.source == Source::Redis)
        })
        .await;
    });
}

#[test]
fn a_runtime_that_stands_still_holds_up_no_call_of_another() {
    let server = Server::start();
    let limiter = limiter(&pool(server.url()), "parked", large());
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    first.block_on(limiter.check("a")).unwrap();
    let _under_way = begun(&limiter, &first);
    let all = (0..50).map(|number: u32| (number.to_string(), 1)).collect();
    let told = second.block_on(async { within(SOON, checks(&limiter, all)).await });
    assert!(told.iter().all(|(_, _, decision)| decision.source == Source::Redis), "{told:?}");
}

#[tokio::test]
async fn no_script_has_more_than_32_keys_however_many_wait() {
    let server = Server::start();
    let limiter = limiter(&pool(server.url()), "most", large());
    limiter.check("a").await.unwrap();
    let before = server.observer().calls("evalsha");
    checks(&limiter, (0..320).map(|number| (number.to_string(), 1)).collect()).await;
    let scripts = server.observer().calls("evalsha") - before;
    assert!((10..320).contains(&scripts), "{scripts} scripts for 320 keys");
}
