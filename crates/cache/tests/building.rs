//! Settings that make no sense are all named; and what a cache says that cannot be used.

mod common;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cenote_cache::{Cache, CacheBuilder, Error, LoadError, OnDisconnect, Tier};
use cenote_pool_core::Pool;
use cenote_testkit::{Server, eventually_async};
use common::{MINUTE, SOON, pool};

fn problem<T: Send + Sync + 'static>(builder: CacheBuilder<u64, T>) -> String {
    let error = builder.build().unwrap_err();
    assert!(error.is_config(), "{error:?}");
    error.to_string()
}

fn anywhere() -> Pool {
    pool("redis://localhost")
}

#[test]
fn every_setting_that_makes_no_sense_is_named() {
    let pool = anywhere();
    let begin = || Cache::<u64, String>::builder(&pool, "users");
    let cases: [(&str, CacheBuilder<u64, String>); 14] = [
        ("ttl", begin().ttl(Duration::ZERO)),
        ("ttl", begin().ttl(Duration::from_micros(999))),
        ("negative_ttl", begin().negative_ttl(Duration::ZERO)),
        ("hard_timeout", begin().hard_timeout(Duration::ZERO)),
        ("soft_timeout", begin().soft_timeout(Duration::ZERO)),
        ("soft_timeout", begin().soft_timeout(MINUTE)),
        ("jitter", begin().jitter(1.5)),
        ("jitter", begin().jitter(f64::NAN)),
        ("early_refresh", begin().early_refresh(0.0)),
        ("early_refresh", begin().early_refresh(f64::INFINITY)),
        ("l1", begin().l1(0, 100)),
        ("l1", begin().l1(100, 0)),
        ("l1", begin().l1(100, 160)),
        ("l1_ttl", begin().l1_ttl(Duration::ZERO)),
    ];
    for (name, builder) in cases {
        let shown = format!("{builder:?}");
        let error = problem(builder);
        assert!(error.contains(name) && error.contains("users"), "{name}: {error}");
        assert!(shown.contains("users"), "{shown}");
    }
    let all = problem(begin().ttl(Duration::ZERO).jitter(-1.0).early_refresh(-1.0).l1(0, 0));
    assert!(["ttl", "jitter", "early_refresh", "l1"].iter().all(|name| all.contains(name)), "{all}");
    let fine = begin().soft_timeout(SOON).stale(MINUTE).early_refresh(1.0).negative_ttl(MINUTE).l1(1, 161);
    let fine = fine.on_disconnect(OnDisconnect::ServeFor(MINUTE)).wait_for_others(MINUTE).schema(9);
    assert_eq!(fine.build().unwrap().name(&7), "users:9:{7}");
}

#[test]
fn raw_keys_refuse_each_setting_that_needs_more_than_a_bare_value_by_its_name() {
    let pool = anywhere();
    let begin = || Cache::<u64, String>::builder(&pool, "users").raw_keys(u64::to_string);
    assert!(begin().ttl(MINUTE).soft_timeout(SOON).wait_for_others(MINUTE).build().is_ok());
    let cases: Vec<(&str, CacheBuilder<u64, String>)> = vec![
        ("stale", begin().stale(MINUTE)),
        ("early_refresh", begin().early_refresh(1.0)),
        ("negative_ttl", begin().negative_ttl(MINUTE)),
        ("l1", begin().l1(10, 1000)),
        ("schema", begin().schema(2)),
        #[cfg(feature = "lz4")]
        ("compression", begin().compression(cenote_cache::Compression::Lz4 { above: 100 })),
    ];
    let names = ["stale", "early_refresh", "negative_ttl", "l1", "schema", "compression"];
    for (name, builder) in cases {
        let error = problem(builder);
        let named: Vec<_> = names.into_iter().filter(|name| error.contains(name)).collect();
        assert_eq!(named, [name], "{error}");
        assert!(error.contains("raw_keys"), "{error}");
    }
    let all = problem(begin().stale(MINUTE).early_refresh(1.0).negative_ttl(MINUTE).l1(10, 1000));
    assert!(names[..4].iter().all(|name| all.contains(name)), "{all}");
}

#[test]
fn two_types_of_values_under_the_same_names_are_refused_while_both_live() {
    let pool = anywhere();
    let texts = Cache::<u64, String>::builder(&pool, "users").build().unwrap();
    let numbers = || Cache::<u64, u64>::builder(&pool, "users");
    let error = problem(numbers());
    assert!(error.contains("another type") && error.contains("schema"), "{error}");
    assert!(numbers().schema(2).build().is_ok());
    assert!(Cache::<String, String>::builder(&pool, "users").build().is_ok(), "keys are but names");
    assert!(numbers().raw_keys(u64::to_string).build().is_ok(), "these have names of their own");
    drop(texts);
    assert!(numbers().build().is_ok());
}

#[test]
fn a_namespace_is_refused_with_what_would_be_right() {
    let pool = anywhere();
    for bad in ["", "a{b", "a}b", "a b", ":a", "a:", "a::b", "a\nb", "ä", "a*"] {
        let error = problem(Cache::<u64, String>::builder(&pool, bad));
        assert!(error.contains("namespace") && error.contains("1 to 64 of `A-Z a-z 0-9"), "{bad:?}: {error}");
    }
    for good in ["user", "user-profile", "app:user_profile.v2"] {
        assert!(Cache::<u64, String>::builder(&pool, good).build().is_ok(), "{good}");
    }
}

#[test]
fn a_pool_without_a_fallback_says_what_to_add() {
    let pool = Pool::builder().url("redis://localhost").build().unwrap();
    let error = problem(Cache::<u64, String>::builder(&pool, "users"));
    assert!(error.contains(".fallback("), "{error}");
}

/// What each call says, loads included.
async fn every_call(cache: &Cache<u64, String>) -> Vec<(&'static str, Error)> {
    let value = "x".to_owned();
    let load = |_| async { Ok::<_, io::Error>(Some("x".to_owned())) };
    let many = |_| async { Ok::<_, io::Error>([(1, "x".to_owned())].into()) };
    let unavailable = |error: LoadError<io::Error>| match error {
        LoadError::Unavailable(error) => error,
        other => panic!("{other:?}"),
    };
    vec![
        ("get", cache.get(&1).await.unwrap_err()),
        ("put", cache.put(&1, &value).await.unwrap_err()),
        ("put_tagged", cache.put_tagged(&1, &value, &["t"]).await.unwrap_err()),
        ("put_many", cache.put_many([(&1, &value)]).await.unwrap_err()),
        ("remove", cache.remove(&1).await.unwrap_err()),
        ("remove_many", cache.remove_many([&1]).await.unwrap_err()),
        ("remove_tag", cache.remove_tag("t").await.unwrap_err()),
        ("clear", cache.clear().await.unwrap_err()),
        ("get_or_load", unavailable(cache.get_or_load(&1, load).await.unwrap_err())),
        ("get_or_load_many", unavailable(cache.get_or_load_many(&[1], many).await.unwrap_err())),
    ]
}

/// One with nothing, those with an L1 of either policy, and one with a journal file.
fn several(pool: &Pool, dir: &std::path::Path) -> [Cache<u64, String>; 4] {
    let begin = |name| Cache::<u64, String>::builder(pool, name).ttl(MINUTE);
    let l1 = |name| begin(name).l1(100, 1 << 20);
    let serves_on = l1("serves-on").on_disconnect(OnDisconnect::ServeFor(MINUTE));
    let file = begin("file").journal_file(dir.join("journal"));
    [begin("plain"), l1("l1"), serves_on, file].map(|cache| cache.build().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_the_pool_is_closed_every_call_says_so() {
    let (server, dir) = (Server::start(), tempfile::tempdir().unwrap());
    let pool = pool(server.url());
    let caches = several(&pool, dir.path());
    for cache in &caches {
        let _ = cache.put(&1, &"x".to_owned()).await.unwrap();
    }
    for cache in &caches[1..3] {
        let in_l1 = || async { cache.get(&1).await.unwrap().tier() == Tier::L1 };
        eventually_async(SOON, "L1 answers", in_l1).await;
    }
    pool.close().await;
    for cache in &caches {
        for (call, error) in every_call(cache).await {
            assert!(error.is_closed(), "{call} of {cache:?}: {error}");
        }
    }
}

#[test]
fn outside_a_runtime_every_call_is_an_error_that_says_what_to_do_and_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    let pool = anywhere();
    for cache in several(&pool, dir.path()) {
        let errors = pin!(every_call(&cache)).poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(errors) = errors else { panic!("it waits for something") };
        for (call, error) in errors {
            assert!(error.is_config() && error.to_string().contains("tokio"), "{call} of {cache:?}: {error}");
        }
    }
}

#[test]
fn what_a_living_cache_of_the_namespace_does_not_have_is_refused_and_not_ignored() {
    let pool = Pool::embedded(cenote_fallback_lru::FallbackLru::default());
    let begin = || Cache::<u64, String>::builder(&pool, "users");
    let first = begin().build().unwrap();
    assert!(begin().l1(10, 1000).build().unwrap_err().to_string().contains("another l1 or with none"));
    let error = begin().journal_file("users.journal").build().unwrap_err();
    assert!(error.is_config() && error.to_string().contains("another journal_file or with none"), "{error}");
    drop(first);
    let second = begin().l1(10, 1000).journal_file("users.journal").build().unwrap();
    assert!(begin().build().is_ok() && begin().l1(10, 1000).journal_file("users.journal").build().is_ok());
    assert!(begin().l1(11, 1000).build().is_err());
    drop(second);
}
