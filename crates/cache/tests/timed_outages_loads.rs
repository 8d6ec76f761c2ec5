//! Loads across the beginning and the end of an outage, L1 in it, and a fallback with little room.

mod common;
mod outage;

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cenote_cache::{Cache, LoadError, OnDisconnect, Tier, Written};
use cenote_fallback_lru::FallbackLru;
use cenote_testkit::{Proxy, Server, eventually_async};
use common::{MINUTE, SOON, builder, text};
use outage::{Caches, REMOVED, Stage, UNTOUCHED, reads_from_fallback, replayed, value};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

type Loading = JoinHandle<Result<Option<Arc<String>>, LoadError<io::Error>>>;

/// A load that began, and ends when it is told to.
struct Load {
    finish: oneshot::Sender<()>,
    loading: Loading,
}

impl Load {
    async fn begin(cache: &Cache<u64, String>, key: u64) -> Self {
        let (finish, finished) = oneshot::channel();
        let (start, started) = oneshot::channel();
        let cache = cache.clone();
        let loading = tokio::spawn(async move {
            let load = cache.get_or_load(&key, |cx| async move {
                cx.tag("t");
                start.send(()).unwrap();
                let _ = finished.await;
                Ok(Some("loaded".to_owned()))
            });
            load.await
        });
        started.await.unwrap();
        Self { finish, loading }
    }

    /// Its callers have what was loaded, whoever removed it meanwhile.
    async fn end(self) {
        self.finish.send(()).unwrap();
        assert_eq!(text(self.loading.await.unwrap()), "loaded");
    }
}

/// How a key of this cache is removed.
async fn remove_all(caches: &Caches, keys: &[u64]) {
    for key in keys {
        assert_eq!(caches.keys.remove(key).await.unwrap(), Written::Pending);
    }
    assert_eq!(caches.tagged.remove_tag("t").await.unwrap(), Written::Pending);
    assert_eq!(caches.cleared.clear().await.unwrap(), Written::Pending);
}

fn each(caches: &Caches) -> [&Cache<u64, String>; 3] {
    [&caches.keys, &caches.tagged, &caches.cleared]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_removed_during_a_load_across_either_end_of_an_outage_never_comes_back() {
    const BEFORE_TO_DURING: u64 = 10;
    const BEFORE_TO_AFTER: u64 = 11;
    const DURING_TO_DURING: u64 = 12;
    const DURING_TO_AFTER: u64 = 13;
    const KEYS: [u64; 4] = [BEFORE_TO_DURING, BEFORE_TO_AFTER, DURING_TO_DURING, DURING_TO_AFTER];
    let stage = Stage::on(Server::start()).await;
    let (mut to_during, mut to_after) = (Vec::new(), Vec::new());
    for cache in each(&stage.ours) {
        to_during.push(Load::begin(cache, BEFORE_TO_DURING).await);
        to_after.push(Load::begin(cache, BEFORE_TO_AFTER).await);
    }
    stage.cut_off().await;
    for cache in each(&stage.ours) {
        to_during.push(Load::begin(cache, DURING_TO_DURING).await);
        to_after.push(Load::begin(cache, DURING_TO_AFTER).await);
    }
    remove_all(&stage.ours, &KEYS).await;
    for load in to_during {
        load.end().await;
    }
    for cache in each(&stage.ours) {
        for key in KEYS {
            reads_from_fallback(cache, key, None).await;
        }
    }
    let nobody = async |when: &str| {
        for caches in [&stage.ours, &stage.theirs, &stage.listening, &Caches::fresh(&stage.server)] {
            for cache in each(caches) {
                for key in KEYS {
                    let found = cache.get(&key).await.unwrap();
                    assert!(found.value().is_none(), "{when}: {key} in {cache:?}: {found:?}");
                }
            }
        }
    };
    stage.proxy.pass();
    replayed(&stage.ours.pool).await;
    nobody("after the replay").await;
    for load in to_after {
        load.end().await;
    }
    replayed(&stage.ours.pool).await;
    nobody("after the last load").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_load_brings_in_an_outage_is_kept_for_it_and_does_not_outlive_it() {
    let stage = Stage::on(Server::start()).await;
    let late = Load::begin(&stage.ours.keys, 21).await;
    stage.cut_off().await;
    Load::begin(&stage.ours.keys, 20).await.end().await;
    reads_from_fallback(&stage.ours.keys, 20, Some("loaded")).await;
    late.end().await;
    reads_from_fallback(&stage.ours.keys, 21, Some("loaded")).await;
    let across = Load::begin(&stage.ours.keys, 22).await;
    stage.proxy.pass();
    replayed(&stage.ours.pool).await;
    assert_eq!(stage.theirs.keys.put(&22, &"theirs".to_owned()).await.unwrap(), Written::Applied);
    across.end().await;
    replayed(&stage.ours.pool).await;
    for caches in [&stage.ours, &stage.theirs, &Caches::fresh(&stage.server)] {
        for key in [20, 21] {
            assert_eq!(value(&caches.keys, key).await, None);
        }
        let found = value(&caches.keys, 22).await;
        assert!(found.as_deref().is_none_or(|found| found == "theirs"), "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_answers_nothing_in_an_outage() {
    let stage = Stage::on(Server::start()).await;
    stage.cut_off().await;
    for cache in each(&stage.ours) {
        // Each is told of it by itself.
        let lost = || async { cache.get(&UNTOUCHED).await.unwrap().tier() != Tier::L1 };
        eventually_async(SOON, "the loss is seen", lost).await;
    }
    for _ in 0..100 {
        for cache in each(&stage.ours) {
            reads_from_fallback(cache, UNTOUCHED, None).await;
        }
    }
    stage.proxy.pass();
    replayed(&stage.ours.pool).await;
    // What another process wrote meanwhile is what is read.
    let _ = stage.theirs.keys.put(&UNTOUCHED, &"theirs".to_owned()).await.unwrap();
    eventually_async(SOON, "L1 answers again", || async {
        let found = stage.ours.keys.get(&UNTOUCHED).await.unwrap();
        assert!(found.tier() != Tier::L1 || found.value().unwrap().as_str() == "theirs", "{found:?}");
        found.tier() == Tier::L1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_that_may_serves_on_for_its_time_but_nothing_that_this_process_changed() {
    const LIMIT: Duration = Duration::from_secs(3);
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = builder(proxy.url()).build().unwrap();
    let cache: Cache<u64, String> = Cache::builder(&pool, "t")
        .ttl(MINUTE)
        .l1(100, 1 << 20)
        .on_disconnect(OnDisconnect::ServeFor(LIMIT))
        .build()
        .unwrap();
    for key in 0..5 {
        let _ = cache.put(&key, &"old".to_owned()).await.unwrap();
        eventually_async(SOON, "L1 has it", || async { cache.get(&key).await.unwrap().tier() == Tier::L1 })
            .await;
    }
    proxy.refuse_after_accept(true);
    proxy.cut();
    let cut = Instant::now();
    assert_eq!(cache.remove(&1).await.unwrap(), Written::Pending);
    assert_eq!(cache.put(&2, &"new".to_owned()).await.unwrap(), Written::Pending);
    reads_from_fallback(&cache, 1, None).await;
    reads_from_fallback(&cache, 2, Some("new")).await;
    let found = cache.get(&0).await.unwrap();
    assert!(cut.elapsed() < LIMIT - Duration::from_millis(300), "the machine is too slow to see anything");
    assert_eq!((found.tier(), found.value().unwrap().as_str()), (Tier::L1, "old"));
    eventually_async(SOON, "its time is over", || async { cache.get(&0).await.unwrap().tier() != Tier::L1 })
        .await;
    let took = cut.elapsed();
    assert!(took > LIMIT - Duration::from_millis(300) && took < LIMIT + Duration::from_secs(1), "{took:?}");
    // A removed tag might have been that of any of them.
    proxy.pass();
    replayed(&pool).await;
    assert_eq!((value(&cache, 1).await, value(&cache, 2).await), (None, None));
    assert_eq!(value(&cache, 0).await.as_deref(), Some("old"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fallback_with_little_room_costs_misses_and_nothing_else() {
    let little = || FallbackLru::new(NonZeroUsize::new(4).unwrap());
    let stage = Stage::with(Server::start(), |pool| pool.fallback(little())).await;
    stage.cut_off().await;
    let keys = &stage.ours.keys;
    for key in 0..200 {
        assert_eq!(keys.put(&key, &key.to_string()).await.unwrap(), Written::Pending);
        reads_from_fallback(keys, key, Some(&key.to_string())).await;
        if key % 3 == 0 {
            assert_eq!(keys.remove(&key).await.unwrap(), Written::Pending);
        }
    }
    let mut kept = 0;
    for key in 0..200 {
        let found = value(keys, key).await;
        kept += u64::from(found.is_some());
        assert!(found.is_none() || key % 3 != 0 && found == Some(key.to_string()), "{key}: {found:?}");
    }
    assert!((1..=4).contains(&kept), "{kept}");
    stage.old_values_are_in_redis();
    stage.proxy.pass();
    replayed(&stage.ours.pool).await;
    for caches in [&stage.ours, &stage.theirs, &Caches::fresh(&stage.server)] {
        for key in [REMOVED, UNTOUCHED, 0, 199] {
            assert_eq!(value(&caches.keys, key).await, None);
        }
    }
}
