//! What those who wait for a load are told when it does not end well; and the key is free afterwards.

mod common;

use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use cenote_cache::{Cache, LoadError};
use cenote_testkit::{Server, eventually, eventually_async, within};
use common::gate::Gate;
use common::{SOON, Source, patient, text, texts};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

type Texts = Cache<u64, String>;
type Loaded<E = io::Error> = Result<Option<Arc<String>>, LoadError<E>>;

fn ask(cache: &Texts, gate: &Gate, answer: &str) -> JoinHandle<Loaded> {
    let (cache, loader) = (cache.clone(), gate.load(answer));
    tokio::spawn(async move { cache.get_or_load(&1, loader).await })
}

async fn waiting(cache: &Texts, count: u64) {
    eventually_async(SOON, "they wait", || async { cache.stats().coalesced >= count }).await;
}

/// No fence and no flight is left of the load before: even a cache that waits for others loads at once.
async fn is_free(server: &Server, cache: &Texts) {
    assert_eq!(server.observer().get::<Vec<String>>(&["KEYS", "*:fill"]), [""; 0]);
    let source = Source::default();
    assert_eq!(text(within(SOON, cache.get_or_load(&1, source.load("next"))).await), "next");
    assert_eq!(source.asked(), 1);
}

fn texts_that_wait(server: &Server) -> Texts {
    texts(&patient(server.url()), "t").wait_for_others(Duration::from_secs(600)).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_first_caller_takes_no_load_with_it() {
    let server = Server::start();
    let cache = texts_that_wait(&server);
    let (gate, other) = (Gate::shut(), Gate::shut());
    let first = ask(&cache, &gate, "one");
    gate.has_begun().await;
    let others: Vec<_> = (0..10).map(|_| ask(&cache, &other, "other")).collect();
    waiting(&cache, 10).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    gate.open();
    for other in others {
        assert_eq!(text(within(SOON, other).await.unwrap()), "one");
    }
    assert_eq!((gate.began(), other.began()), (1, 0));
    // Nor does one who is cancelled when nobody else waits.
    let (gate, key) = (Gate::shut(), 2);
    let (alone, loader) = (cache.clone(), gate.load("two"));
    let alone = tokio::spawn(async move { alone.get_or_load(&key, loader).await });
    gate.has_begun().await;
    alone.abort();
    assert!(alone.await.unwrap_err().is_cancelled());
    gate.open();
    eventually_async(SOON, "it is stored", || async { cache.get(&key).await.unwrap().value().is_some() })
        .await;
}

/// All who wait for a load that ends by `end` are told `expected`.
async fn all_are_told<T, E>(
    server: &Server,
    cache: &Texts,
    end: impl FnOnce() -> T + Send + Copy + 'static,
    expected: impl Fn(&LoadError<E>) -> bool,
) -> Vec<LoadError<E>>
where
    T: Into<Result<Option<String>, E>> + Send + 'static,
    E: Debug + Send + Sync + 'static,
{
    let (gate, before) = (Gate::shut(), cache.stats());
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let (cache, gate) = (cache.clone(), gate.clone());
            tokio::spawn(async move {
                cache.get_or_load(&1, move |_| async move { gate.then(end).await.into() }).await
            })
        })
        .collect();
    waiting(cache, before.coalesced + 99).await;
    gate.open();
    let mut errors = Vec::new();
    for caller in asking {
        let error = within(SOON, caller).await.unwrap().unwrap_err();
        assert!(expected(&error), "{error:?}");
        errors.push(error);
    }
    assert_eq!(gate.began(), 1);
    let stats = cache.stats();
    assert_eq!((stats.loads - before.loads, stats.load_failures - before.load_failures), (1, 1));
    is_free(server, cache).await;
    errors
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loader_that_panics_panics_for_nobody_and_is_told_to_all() {
    let server = Server::start();
    let cache = texts_that_wait(&server);
    let panics = || -> Result<Option<String>, io::Error> { panic!("on purpose") };
    all_are_told(&server, &cache, panics, |error| matches!(error, LoadError::Panicked)).await;
    // Before it gave a future at all, too.
    let panics = |_| -> std::future::Ready<io::Result<Option<String>>> { panic!("on purpose") };
    let told = within(SOON, cache.get_or_load(&2, panics)).await.unwrap_err();
    assert!(matches!(told, LoadError::Panicked), "{told:?}");
    assert_eq!(text(within(SOON, cache.get_or_load(&2, Source::default().load("two"))).await), "two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loader_that_fails_gives_all_the_same_error() {
    let server = Server::start();
    let cache = texts_that_wait(&server);
    let fails = || Err(io::Error::other("no source"));
    let told = all_are_told(&server, &cache, fails, |error| matches!(error, LoadError::Loader(_))).await;
    let errors: Vec<_> = told
        .iter()
        .map(|error| match error {
            LoadError::Loader(error) => error,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(errors.iter().all(|error| Arc::ptr_eq(error, errors[0])));
    assert_eq!(errors[0].to_string(), "no source");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_another_type_of_error_runs_its_own_loader_when_the_first_fails() {
    let server = Server::start();
    let cache = texts_that_wait(&server);
    let (gate, source) = (Gate::shut(), Source::default());
    let (first, passing) = (cache.clone(), gate.clone());
    let first = tokio::spawn(async move {
        first.get_or_load(&1, move |_| passing.then(|| Err::<Option<String>, _>("a text"))).await
    });
    gate.has_begun().await;
    let (second, load) = (cache.clone(), source.load("two"));
    let second = tokio::spawn(async move { second.get_or_load(&1, load).await });
    waiting(&cache, 1).await;
    gate.open();
    assert!(
        matches!(within(SOON, first).await.unwrap(), Err(LoadError::Loader(error)) if *error == "a text")
    );
    assert_eq!(text(within(SOON, second).await.unwrap()), "two");
    assert_eq!(source.asked(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_the_hard_limit_the_loader_is_dropped_and_all_are_told() {
    let server = Server::start();
    let cache = texts(&patient(server.url()), "t")
        .hard_timeout(Duration::from_millis(300))
        .wait_for_others(Duration::from_secs(600))
        .build()
        .unwrap();
    let gate = Gate::shut();
    let asking: Vec<_> = (0..10).map(|_| ask(&cache, &gate, "never")).collect();
    for caller in asking {
        let told = within(SOON, caller).await.unwrap();
        assert!(matches!(told, Err(LoadError::Timeout)), "{told:?}");
        assert_eq!(gate.gone(), gate.began(), "its future is dropped before anybody is told");
    }
    is_free(&server, &cache).await;
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn when_the_runtime_of_the_loader_ends_who_waits_on_another_runs_its_own() {
    let server = Server::start();
    for waits in [false, true] {
        let mut builder = texts(&patient(server.url()), &format!("t{waits}"));
        if waits {
            builder = builder.wait_for_others(Duration::from_secs(600));
        }
        let cache = builder.build().unwrap();
        let (ends, stays) = (runtime(), runtime());
        let (gate, source) = (Gate::shut(), Source::default());
        let _guard = ends.enter();
        let first = ask(&cache, &gate, "never");
        eventually(SOON, "the loader begins", || gate.began() == 1);
        let (second, load) = (cache.clone(), source.load("two"));
        let second = stays.spawn(async move { second.get_or_load(&1, load).await });
        eventually(SOON, "it is waited for", || cache.stats().coalesced == 1);
        drop(_guard);
        ends.shutdown_timeout(SOON);
        assert_eq!(text(stays.block_on(within(SOON, second)).unwrap()), "two");
        assert_eq!((gate.gone(), source.asked()), (1, 1));
        assert!(stays.block_on(first).unwrap_err().is_cancelled());
    }
}

#[test]
fn a_caller_whose_own_loader_is_taken_down_with_its_runtime_is_told_so() {
    let server = Server::start();
    let cache = texts(&patient(server.url()), "t").build().unwrap();
    let (ends, stays) = (runtime(), runtime());
    let gate = Gate::shut();
    // Begun on one runtime, and waited for on another.
    let mut asking = Box::pin(cache.get_or_load(&1, gate.load("never")));
    ends.block_on(async {
        let asked = tokio::time::timeout(SOON, async {
            tokio::select! {
                told = &mut asking => panic!("{told:?}"),
                () = gate.has_begun() => {}
            }
        });
        asked.await.unwrap();
    });
    ends.shutdown_timeout(SOON);
    let told = stays.block_on(within(SOON, asking)).unwrap_err();
    assert!(matches!(told, LoadError::Interrupted), "{told:?}");
    let source = Source::default();
    assert_eq!(text(stays.block_on(cache.get_or_load(&1, source.load("next")))), "next");
}
