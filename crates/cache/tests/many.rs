//! Many keys at once: one round trip to look, one loader, and still one load for each key.

mod common;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cenote_cache::{Cache, Event, LoadError, Lookup};
use cenote_testkit::{Server, eventually_async, within};
use common::gate::Gate;
use common::{MINUTE, SOON, Source, patient, text, texts};

type Texts = Cache<u64, String>;
type Many<E = io::Error> = Result<HashMap<u64, Arc<String>>, LoadError<E>>;

fn named(keys: Vec<u64>) -> HashMap<u64, String> {
    keys.into_iter().map(|key| (key, key.to_string())).collect()
}

async fn never(_: Vec<u64>) -> io::Result<HashMap<u64, String>> {
    panic!("nothing is missing")
}

async fn waiting(cache: &Texts, count: u64) {
    eventually_async(SOON, "they wait", || async { cache.stats().coalesced >= count }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_asked_once_for_all_keys() {
    let server = Server::start();
    let observer = server.observer();
    let cache = texts(&patient(server.url()), "t").build().unwrap();
    let keys: Vec<u64> = (0..100).collect();
    let loads = Arc::new(AtomicU64::new(0));
    for round in 0..3 {
        observer.reset_stats();
        let loads = loads.clone();
        let load = move |missing: Vec<u64>| async move {
            loads.fetch_add(1, Ordering::SeqCst);
            assert_eq!(missing.len(), 100);
            Ok::<_, io::Error>(named(missing))
        };
        assert_eq!(cache.get_or_load_many(&keys, load).await.unwrap().len(), 100);
        assert_eq!(observer.calls("mget"), 1);
        if round > 0 {
            assert_eq!((observer.calls("get"), observer.calls("set")), (0, 0));
        }
    }
    assert_eq!((loads.load(Ordering::SeqCst), cache.stats().loads), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_being_loaded_is_waited_for_and_one_that_many_load_is_not_loaded_again() {
    let server = Server::start();
    let cache = texts(&patient(server.url()), "t").build().unwrap();
    // First the single one, then many.
    let (gate, single) = (Gate::shut(), cache.clone());
    let load = gate.load("single");
    let single = tokio::spawn(async move { single.get_or_load(&1, load).await });
    gate.has_begun().await;
    let (many, gate_of_many) = (cache.clone(), Gate::shut());
    let passing = gate_of_many.clone();
    let many = tokio::spawn(async move {
        let load = move |keys: Vec<u64>| {
            assert_eq!(keys, [2, 3]);
            passing.then(move || Ok::<_, io::Error>(named(keys)))
        };
        many.get_or_load_many(&[1, 2, 3], load).await
    });
    gate_of_many.has_begun().await;
    // Then a single one of those that many load.
    let (late, source) = (cache.clone(), Source::default());
    let load = source.load("late");
    let late = tokio::spawn(async move { late.get_or_load(&3, load).await });
    waiting(&cache, 2).await;
    gate.open();
    assert_eq!(text(within(SOON, single).await.unwrap()), "single");
    gate_of_many.open();
    let all: Many = within(SOON, many).await.unwrap();
    let all = all.unwrap();
    assert_eq!((all[&1].as_str(), all[&2].as_str(), all[&3].as_str()), ("single", "2", "3"));
    assert_eq!(text(within(SOON, late).await.unwrap()), "3");
    assert_eq!(source.asked(), 0);
    assert_eq!(cache.get_or_load_many(&[1, 2, 3], never).await.unwrap().len(), 3);
}

/// A load of key 1 that fails with `error`, and whoever asks for many meanwhile.
async fn joins_a_failing_load<E: Send + Sync + 'static>(
    cache: &Texts,
    keys: &'static [u64],
    error: impl FnOnce() -> E + Send + 'static,
) -> (Many, Vec<u64>) {
    let (gate, single) = (Gate::shut(), cache.clone());
    let passing = gate.then(|| Err::<Option<String>, _>(error()));
    let single = tokio::spawn(async move { single.get_or_load(&1, move |_| passing).await.is_err() });
    gate.has_begun().await;
    let before = cache.stats().coalesced;
    let loaded = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (many, notes) = (cache.clone(), loaded.clone());
    let many = tokio::spawn(async move {
        let load = move |missing: Vec<u64>| async move {
            notes.lock().unwrap().extend_from_slice(&missing);
            Ok::<_, io::Error>(named(missing))
        };
        many.get_or_load_many(keys, load).await
    });
    waiting(cache, before + 1).await;
    gate.open();
    assert!(within(SOON, single).await.unwrap());
    let all = within(SOON, many).await.unwrap();
    // A failure is told at once, whether or not its own loader was asked yet.
    eventually_async(SOON, "its own loader is asked", || async { !loaded.lock().unwrap().is_empty() }).await;
    let loaded = loaded.lock().unwrap().clone();
    (all, loaded)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_failure_of_a_load_that_was_joined_is_told_and_one_of_another_type_is_made_up_for() {
    let server = Server::start();
    let cache = texts(&patient(server.url()), "t").build().unwrap();
    let no_source = || io::Error::other("no source");
    let (told, loaded) = joins_a_failing_load(&cache, &[1, 2], no_source).await;
    assert!(matches!(told, Err(LoadError::Loader(error)) if error.to_string() == "no source"));
    // What its own loader brought is there all the same.
    assert_eq!(loaded, [2]);
    eventually_async(SOON, "it is stored", || async { cache.get(&2).await.unwrap().value().is_some() }).await;
    // Its loader is left, and runs now.
    let (told, loaded) = joins_a_failing_load(&cache, &[1, 2], || "another type").await;
    assert_eq!((told.unwrap()[&1].as_str(), loaded), ("1", vec![1]));
    let _ = cache.remove_many(&[1, 2]).await.unwrap();
    // Its loader has run: there is none for the key whose load came to nothing.
    let (told, loaded) = joins_a_failing_load(&cache, &[1, 2], || "another type").await;
    assert!(matches!(told, Err(LoadError::Interrupted)), "{told:?}");
    assert_eq!(loaded, [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loader_of_many_that_fails_or_panics_leaves_every_key_free() {
    let server = Server::start();
    let cache = texts(&patient(server.url()), "t").wait_for_others(Duration::from_secs(600)).build().unwrap();
    let told: Many = cache.get_or_load_many(&[1, 2], |_| async { Err(io::Error::other("no source")) }).await;
    assert!(matches!(told, Err(LoadError::Loader(_))));
    let told: Many = cache.get_or_load_many(&[1, 2], |_| async { panic!("on purpose") }).await;
    assert!(matches!(told, Err(LoadError::Panicked)));
    assert_eq!((cache.stats().loads, cache.stats().load_failures), (2, 2));
    assert_eq!(server.observer().get::<Vec<String>>(&["KEYS", "*:fill"]), [""; 0]);
    let source = Source::default();
    assert_eq!(text(within(SOON, cache.get_or_load(&1, source.load("one"))).await), "one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_values_are_served_and_loaded_behind_the_call() {
    let server = Server::start();
    let told = Arc::new(AtomicU64::new(0));
    let tells = told.clone();
    let cache = texts(&patient(server.url()), "t")
        .ttl(Duration::from_millis(20))
        .stale(MINUTE)
        .on_event(move |event| {
            tells.fetch_add(u64::from(matches!(event, Event::RefreshFailed { .. })), Ordering::SeqCst);
        })
        .build()
        .unwrap();
    let old = "old".to_owned();
    let _ = cache.put_many([(&1, &old), (&2, &old)]).await.unwrap();
    eventually_async(SOON, "they are stale", || async {
        matches!(cache.get(&2).await.unwrap(), Lookup::Stale(_))
    })
    .await;
    let fails = || async { Err::<HashMap<u64, String>, _>(io::Error::other("no source")) };
    eventually_async(SOON, "it is told of both", || async {
        let all = cache.get_or_load_many(&[1, 2], move |_| fails()).await.unwrap();
        assert_eq!((all[&1].as_str(), all[&2].as_str()), ("old", "old"));
        told.load(Ordering::SeqCst) >= 2
    })
    .await;
    // Behind a gate that is shut, the call is done; and what is missing is loaded along.
    let gate = Gate::shut();
    eventually_async(SOON, "the source is asked again", || async {
        let passing = gate.clone();
        let load = move |keys: Vec<u64>| {
            let news = keys.into_iter().map(|key| (key, format!("new {key}"))).collect();
            passing.then(move || Ok::<_, io::Error>(news))
        };
        let all = within(SOON, cache.get_or_load_many(&[1, 2], load)).await.unwrap();
        assert_eq!((all[&1].as_str(), all[&2].as_str()), ("old", "old"));
        gate.began() > 0
    })
    .await;
    // For both at once, or for one after the other.
    assert!(gate.began() <= 2 && told.load(Ordering::SeqCst) == 2);
    gate.open();
    eventually_async(SOON, "they are new", || async {
        let all = cache.get_or_load_many(&[1, 2], move |_| fails()).await.unwrap();
        all[&1].as_str() == "new 1" && all[&2].as_str() == "new 2"
    })
    .await;
}
