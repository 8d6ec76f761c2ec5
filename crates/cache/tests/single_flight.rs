//! However many ask for what is not there, one loader runs.

mod common;

use std::sync::Arc;
use std::time::Duration;

use cenote_cache::{Cache, CacheBuilder, Tier};
use cenote_testkit::{Server, dead_port, eventually_async, within};
use common::gate::Gate;
use common::{SOON, Source, patient, pool, text, texts};
use tokio::task::JoinSet;

const CALLERS: u64 = 10_000;

type Texts = Cache<u64, String>;

/// Callers, each a task of its own, that all are to get `expected`.
fn callers(cache: &Texts, count: u64, gate: &Gate, expected: &'static str) -> JoinSet<()> {
    let mut all = JoinSet::new();
    for _ in 0..count {
        let (cache, loader) = (cache.clone(), gate.load(expected));
        all.spawn(async move { assert_eq!(text(cache.get_or_load(&1, loader).await), expected) });
    }
    all
}

/// A crowd that comes at once, and whose loader ends when all of them had the time to be there.
async fn crowd(cache: &Texts, gate: &Gate, expected: &'static str) {
    let before = cache.stats();
    let all = callers(cache, CALLERS, gate, expected);
    eventually_async(SOON, "all have looked", || async { cache.stats().misses - before.misses >= CALLERS })
        .await;
    gate.open();
    within(SOON, all.join_all()).await;
    assert_eq!(cache.stats().loads - before.loads, 1);
}

async fn one_load_for_each_crowd(server: &Server, builder: CacheBuilder<u64, String>) {
    let cache = builder.build().unwrap();
    let gate = Gate::shut();
    // The namespace has no version yet.
    crowd(&cache, &gate, "one").await;
    assert_eq!(gate.began(), 1);
    // With an L1, Redis tells us of that while the crowd comes.
    let _ = cache.remove(&1).await.unwrap();
    let gate = Gate::shut();
    crowd(&cache, &gate, "two").await;
    assert_eq!(gate.began(), 1);
    assert_eq!(server.observer().get::<Vec<String>>(&["KEYS", "*:fill"]), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_callers_of_a_cold_key_make_one_load_and_one_more_after_a_remove() {
    let server = Server::start();
    one_load_for_each_crowd(&server, texts(&patient(server.url()), "t")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_l1_they_make_one_load_too() {
    let server = Server::start();
    for round in 0..20 {
        let name = format!("t{round}");
        one_load_for_each_crowd(&server, texts(&patient(server.url()), &name).l1(100, 1 << 20)).await;
    }
}

/// Callers that come bit by bit, while tracking begins and the loader runs, and after it.
async fn one_load_for_a_stream_of_callers(cache: &Texts) {
    let gate = Gate::shut();
    let mut all = JoinSet::new();
    let opener = tokio::spawn({
        let gate = gate.clone();
        async move {
            gate.has_begun().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            gate.open();
        }
    });
    for _ in 0..CALLERS / 100 {
        let mut some = callers(cache, 100, &gate, "one");
        all.spawn(async move { while some.join_next().await.transpose().unwrap().is_some() {} });
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    within(SOON, all.join_all()).await;
    opener.await.unwrap();
    assert_eq!((gate.began(), cache.stats().loads), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_come_while_the_loader_runs_and_after_it_add_no_load() {
    let server = Server::start();
    for round in 0..5 {
        let name = format!("t{round}");
        one_load_for_a_stream_of_callers(&texts(&patient(server.url()), &name).build().unwrap()).await;
        let name = format!("l{round}");
        let cache = texts(&patient(server.url()), &name).l1(100, 1 << 20).build().unwrap();
        one_load_for_a_stream_of_callers(&cache).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_from_the_start_there_is_one_load() {
    let url = format!("redis://{}", dead_port());
    for _ in 0..5 {
        one_load_for_a_stream_of_callers(&texts(&pool(url.clone()), "t").build().unwrap()).await;
    }
    // Loaders that are quick, so that many begin to ask when one is just done.
    for key in 0..300 {
        let pool = pool(url.clone());
        let (cache, source) = (Arc::new(texts(&pool, "t").build().unwrap()), Source::default());
        let mut all = JoinSet::new();
        for _ in 0..20 {
            let (cache, load) = (cache.clone(), source.load("one"));
            all.spawn(async move { assert_eq!(text(cache.get_or_load(&key, load).await), "one") });
        }
        within(SOON, all.join_all()).await;
        assert_eq!(source.asked(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_during_the_load_changes_nothing_for_those_who_wait_or_come_later() {
    for l1 in [false, true] {
        let server = Server::start();
        let mut builder = texts(&patient(server.url()), "t");
        if l1 {
            builder = builder.l1(100, 1 << 20);
        }
        let (cache, gate) = (builder.build().unwrap(), Gate::shut());
        let early = callers(&cache, 1_000, &gate, "one");
        eventually_async(SOON, "they have looked", || async { cache.stats().misses >= 1_000 }).await;
        gate.has_begun().await;
        server.kill();
        let late = callers(&cache, 1_000, &gate, "one");
        eventually_async(SOON, "they have looked, too", || async { cache.stats().misses >= 2_000 }).await;
        gate.open();
        within(SOON, early.join_all()).await;
        within(SOON, late.join_all()).await;
        within(SOON, callers(&cache, 100, &gate, "one").join_all()).await;
        assert_eq!(gate.began(), 1, "l1: {l1}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_by_other_code_while_it_is_loaded_makes_no_second_load() {
    let server = Server::start();
    let cache = texts(&patient(server.url()), "t").l1(100, 1 << 20).build().unwrap();
    let _ = cache.put(&9, &"nine".to_owned()).await.unwrap();
    let is_told = || async { cache.get(&9).await.unwrap().tier() == Tier::L1 };
    eventually_async(SOON, "Redis tells of changes", is_told).await;
    let gate = Gate::shut();
    let early = callers(&cache, 1, &gate, "one");
    gate.has_begun().await;
    // No removal of ours, so the fence stands; and whoever comes now does not trust in what began before it.
    let told = cache.stats().invalidations;
    server.observer().get::<()>(&["SET", &cache.name(&1), ""]);
    eventually_async(SOON, "it is told", || async { cache.stats().invalidations > told }).await;
    let fences = server.observer().calls("set");
    let (second, late) = (Source::default(), cache.clone());
    let load = second.load("two");
    let late = tokio::spawn(async move { text(late.get_or_load(&1, load).await) });
    eventually_async(SOON, "it meets the fence", || async { server.observer().calls("set") > fences }).await;
    gate.open();
    within(SOON, early.join_all()).await;
    assert_eq!(within(SOON, late).await.unwrap(), "one");
    assert_eq!(second.asked(), 0);
}
