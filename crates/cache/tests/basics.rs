//! What is put is read, what is removed is not, and who answered is told.

mod common;

use cenote_cache::{Cache, Lookup, Tier, Written};
use cenote_testkit::{Server, eventually_async};
use common::{MINUTE, SOON, Source, patient, text, texts};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_put_is_read_by_another_process_and_what_is_removed_is_not() {
    let server = Server::start();
    let (ours, theirs) = (patient(server.url()), patient(server.url()));
    let (ours, theirs) = (texts(&ours, "t").build().unwrap(), texts(&theirs, "t").build().unwrap());
    assert_eq!(ours.get(&1).await.unwrap(), Lookup::Miss { tier: Tier::L2 });
    assert_eq!(ours.put(&1, &"one".to_owned()).await.unwrap(), Written::Applied);
    let Lookup::Hit(found) = theirs.get(&1).await.unwrap() else { panic!("a hit") };
    assert_eq!((found.value.as_str(), found.tier), ("one", Tier::L2));
    assert_eq!(theirs.remove(&1).await.unwrap(), Written::Applied);
    assert!(ours.get(&1).await.unwrap().value().is_none());
    let source = Source::default();
    assert_eq!(text(ours.get_or_load(&2, source.load("two")).await), "two");
    assert_eq!(text(theirs.get_or_load(&2, source.load("other")).await), "two");
    assert_eq!(source.asked(), 1);
    let _ = ours.clear().await.unwrap();
    assert!(theirs.get(&2).await.unwrap().value().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_removes_what_has_it_and_nothing_else() {
    let server = Server::start();
    let (ours, theirs) = (patient(server.url()), patient(server.url()));
    let (ours, theirs) = (texts(&ours, "t").build().unwrap(), texts(&theirs, "t").build().unwrap());
    let _ = ours.put_tagged(&1, &"one".to_owned(), &["odd", "all"]).await.unwrap();
    let _ = ours.put_tagged(&2, &"two".to_owned(), &["even", "all"]).await.unwrap();
    let loaded = ours.get_or_load(&3, |cx| async move {
        cx.tag("odd");
        Ok::<_, std::io::Error>(Some("three".to_owned()))
    });
    assert_eq!(text(loaded.await), "three");
    let _ = theirs.remove_tag("odd").await.unwrap();
    for cache in [&ours, &theirs] {
        assert!(cache.get(&1).await.unwrap().value().is_none());
        assert!(cache.get(&3).await.unwrap().value().is_none());
        assert!(cache.get(&2).await.unwrap().value().is_some());
    }
    let _ = ours.put_tagged(&1, &"one again".to_owned(), &["odd"]).await.unwrap();
    assert!(theirs.get(&1).await.unwrap().value().is_some());
    let _ = ours.remove_tag("all").await.unwrap();
    assert!(theirs.get(&2).await.unwrap().value().is_none());
    assert!(theirs.get(&1).await.unwrap().value().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_answers_until_redis_tells_of_a_change() {
    let server = Server::start();
    let (ours, theirs) = (patient(server.url()), patient(server.url()));
    let ours: Cache<u64, String> = Cache::builder(&ours, "t").ttl(MINUTE).l1(100, 1 << 20).build().unwrap();
    let theirs = texts(&theirs, "t").build().unwrap();
    let _ = theirs.put(&1, &"one".to_owned()).await.unwrap();
    eventually_async(SOON, "L1 answers", || async { ours.get(&1).await.unwrap().tier() == Tier::L1 }).await;
    let _ = theirs.put(&1, &"two".to_owned()).await.unwrap();
    eventually_async(SOON, "the change is told", || async {
        ours.get(&1).await.unwrap().value().unwrap().as_str() == "two"
    })
    .await;
    eventually_async(SOON, "L1 answers", || async { ours.get(&1).await.unwrap().tier() == Tier::L1 }).await;
    let _ = theirs.clear().await.unwrap();
    eventually_async(SOON, "the clear is told", || async { ours.get(&1).await.unwrap().value().is_none() })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_keys_take_one_load_for_what_is_missing() {
    let server = Server::start();
    let pool = patient(server.url());
    let cache = texts(&pool, "t").build().unwrap();
    let _ = cache.put_many([(&1, &"one".to_owned()), (&2, &"two".to_owned())]).await.unwrap();
    let load = |keys: Vec<u64>| async move {
        assert_eq!(keys, [3, 5, 4]);
        Ok::<_, std::io::Error>(
            keys.into_iter().filter(|key| *key != 5).map(|key| (key, key.to_string())).collect(),
        )
    };
    let all = cache.get_or_load_many(&[1, 3, 2, 3, 5, 4], load).await.unwrap();
    let mut all: Vec<_> = all.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    all.sort();
    assert_eq!(all, ["1=one", "2=two", "3=3", "4=4"]);
    let again =
        cache.get_or_load_many(&[3, 4], |_| async { Err::<_, std::io::Error>(std::io::Error::other("no")) });
    assert_eq!(again.await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_redis_the_fallback_answers() {
    let pool = cenote_pool_core::Pool::embedded(cenote_fallback_lru::FallbackLru::default());
    let cache = texts(&pool, "t").build().unwrap();
    let source = Source::default();
    assert_eq!(text(cache.get_or_load(&1, source.load("one")).await), "one");
    assert_eq!(cache.get(&1).await.unwrap().tier(), Tier::Fallback);
    assert_eq!(text(cache.get_or_load(&1, source.load("one")).await), "one");
    assert_eq!(source.asked(), 1);
    let _ = cache.put_tagged(&2, &"two".to_owned(), &["t"]).await.unwrap();
    assert_eq!(cache.get(&2).await.unwrap().value().unwrap().as_str(), "two");
    let _ = cache.remove_tag("t").await.unwrap();
    assert!(cache.get(&2).await.unwrap().value().is_none());
    assert!(cache.get(&1).await.unwrap().value().is_some());
    let _ = cache.clear().await.unwrap();
    assert!(cache.get(&1).await.unwrap().value().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_asks_or_loads_may_know_where_the_value_comes_from() {
    let server = Server::start();
    let pool = patient(server.url());
    let cache: Cache<u64, String> = Cache::builder(&pool, "t").ttl(MINUTE).l1(100, 1 << 20).build().unwrap();
    let source = Source::default();
    let ask = async || match cache.lookup_or_load(&1, source.load("one")).await.unwrap() {
        Lookup::Hit(found) => (found.value.to_string(), found.tier),
        other => panic!("{other:?}"),
    };
    assert_eq!(ask().await, ("one".to_owned(), Tier::Loader));
    assert_ne!(ask().await.1, Tier::Loader);
    eventually_async(SOON, "L1 answers", || async { ask().await.1 == Tier::L1 }).await;
    assert_eq!(source.asked(), 1);
    let nothing = cache.lookup_or_load(&2, |_| async { Ok::<_, std::io::Error>(None) }).await.unwrap();
    assert!(matches!(nothing, Lookup::Absent { tier: Tier::Loader, .. }), "{nothing:?}");
    let _ = cache.clear().await.unwrap();
    assert_eq!(ask().await, ("one".to_owned(), Tier::Loader));
}
