//! What is served while it is loaded anew, and what the loader may say of its value.

mod common;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cenote_cache::{Cache, CacheBuilder, Cx, Event, Lookup, Written};
use cenote_testkit::{Server, eventually_async};
use common::gate::Gate;
use common::{MINUTE, SOON, Source, patient, text, texts};

type Texts = Cache<u64, String>;
type BoxedLoad = std::pin::Pin<Box<dyn Future<Output = io::Result<Option<String>>> + Send>>;

/// Values are stale soon after they were put; a loader that wants a fresh one says so.
fn soon_stale(server: &Server) -> CacheBuilder<u64, String> {
    texts(&patient(server.url()), "t").ttl(Duration::from_millis(20)).stale(MINUTE)
}

async fn put_stale(cache: &Texts, key: u64, text: &str) {
    let _ = cache.put(&key, &text.to_owned()).await.unwrap();
    eventually_async(SOON, "it is stale", || async {
        matches!(cache.get(&key).await.unwrap(), Lookup::Stale(_))
    })
    .await;
}

fn fresh(
    text: &str,
) -> impl FnOnce(Cx<String>) -> std::future::Ready<io::Result<Option<String>>> + Send + use<> {
    let text = text.to_owned();
    move |cx| {
        cx.ttl(MINUTE);
        std::future::ready(Ok(Some(text)))
    }
}

async fn becomes(cache: &Texts, key: u64, expected: &str) {
    eventually_async(SOON, "the fresh value is there", || async {
        match cache.get(&key).await.unwrap() {
            Lookup::Hit(found) => *found.value == expected,
            _ => false,
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loader_sees_the_stale_value_and_may_keep_it() {
    let server = Server::start();
    let cache = soon_stale(&server).build().unwrap();
    put_stale(&cache, 1, "old").await;
    let keep = |cx: Cx<String>| async move {
        assert_eq!(cx.stale().unwrap().as_str(), "old");
        cx.not_modified();
        cx.ttl(MINUTE);
        Ok::<_, io::Error>(None)
    };
    assert_eq!(text(cache.get_or_load(&1, keep).await), "old");
    becomes(&cache, 1, "old").await;
    // Where there is none, what it returns counts.
    let none = |cx: Cx<String>| async move {
        assert!(cx.stale().is_none());
        cx.not_modified();
        cx.ttl(MINUTE);
        Ok::<_, io::Error>(Some("new".to_owned()))
    };
    assert_eq!(text(cache.get_or_load(&2, none).await), "new");
    becomes(&cache, 2, "new").await;
}

/// A loader that, once it may, says that what is there is as good as new.
fn not_modified(gate: &Gate) -> impl FnOnce(Cx<String>) -> BoxedLoad + Send + use<> {
    let passing = gate.then(|| ());
    move |cx| {
        Box::pin(async move {
            passing.await;
            cx.ttl(MINUTE);
            cx.not_modified();
            Ok(Some("loaded for want of a stale value".to_owned()))
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_as_good_as_new_keeps_its_tags() {
    let server = Server::start();
    let (cache, other) = (soon_stale(&server).build().unwrap(), soon_stale(&server).build().unwrap());
    for removed_meanwhile in [false, true] {
        let _ = cache.put_tagged(&1, &"old".to_owned(), &["team"]).await.unwrap();
        let is_stale = || async { matches!(cache.get(&1).await.unwrap(), Lookup::Stale(_)) };
        eventually_async(SOON, "it is stale", is_stale).await;
        let gate = Gate::shut();
        let before = cache.stats().loads;
        assert_eq!(text(cache.get_or_load(&1, not_modified(&gate)).await), "old");
        gate.has_begun().await;
        if removed_meanwhile {
            assert_eq!(other.remove_tag("team").await.unwrap(), Written::Applied);
        }
        let scripts = server.observer().calls("eval");
        gate.open();
        eventually_async(SOON, "it is stored", || async { server.observer().calls("eval") > scripts }).await;
        if !removed_meanwhile {
            becomes(&cache, 1, "old").await;
            assert_eq!(other.remove_tag("team").await.unwrap(), Written::Applied);
        }
        for reader in [&cache, &other] {
            let gone = || async { reader.get(&1).await.unwrap().value().is_none() };
            eventually_async(SOON, "it is removed", gone).await;
        }
        assert_eq!(cache.stats().loads, before + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_died_in_its_load_holds_up_no_refresh() {
    let server = Server::start();
    let cache = soon_stale(&server).build().unwrap();
    put_stale(&cache, 1, "old").await;
    let fence = format!("{}:fill", cache.name(&1));
    // Taken just now: somebody is at it. Of the 31 s for which it stands three are over: nobody is any more.
    for (left, loads) in [("31000", 0), ("28000", 1)] {
        server.observer().get::<()>(&["SET", &fence, "of another process", "PX", left]);
        let (source, asked) = (Source::default(), server.observer().calls("pttl"));
        let reads = || async {
            let _ = text(cache.get_or_load(&1, source.load("new")).await);
        };
        eventually_async(SOON, "a reader looked how old the fence is", || async {
            reads().await;
            server.observer().calls("pttl") >= asked + 3 || source.asked() > 0
        })
        .await;
        assert_eq!(source.asked(), loads);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loader_that_finds_nothing_removes_the_stale_value_and_nothing_that_was_put_meanwhile() {
    let server = Server::start();
    let cache = soon_stale(&server).build().unwrap();
    let nothing = |gate: &Gate| {
        let passing = gate.then(|| Ok::<_, io::Error>(None));
        move |_: Cx<String>| passing
    };
    let gate = Gate::shut();
    put_stale(&cache, 1, "old").await;
    assert_eq!(text(cache.get_or_load(&1, nothing(&gate)).await), "old");
    gate.has_begun().await;
    gate.open();
    eventually_async(SOON, "it is gone", || async {
        matches!(cache.get(&1).await.unwrap(), Lookup::Miss { .. })
    })
    .await;

    let gate = Gate::shut();
    put_stale(&cache, 2, "old").await;
    assert_eq!(text(cache.get_or_load(&2, nothing(&gate)).await), "old");
    gate.has_begun().await;
    let _ = cache.put(&2, &"put".to_owned()).await.unwrap();
    gate.open();
    eventually_async(SOON, "the load is over", || async { cache.stats().not_stored == 1 }).await;
    assert_eq!(cache.get(&2).await.unwrap().value().unwrap().as_str(), "put");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_there_is_nothing_is_remembered_for_its_own_ttl_and_only_if_so_asked() {
    let server = Server::start();
    let asked = Arc::new(AtomicU64::new(0));
    let nothing = || {
        let asked = asked.clone();
        move |_: Cx<String>| async move {
            asked.fetch_add(1, Ordering::SeqCst);
            Ok::<Option<String>, io::Error>(None)
        }
    };
    let forgets = soon_stale(&server).build().unwrap();
    for load in 1..=2 {
        assert!(forgets.get_or_load(&1, nothing()).await.unwrap().is_none());
        assert_eq!(asked.load(Ordering::SeqCst), load);
        assert!(matches!(forgets.get(&1).await.unwrap(), Lookup::Miss { .. }));
    }
    let remembers = soon_stale(&server).negative_ttl(MINUTE).build().unwrap();
    for _ in 1..=2 {
        assert!(remembers.get_or_load(&2, nothing()).await.unwrap().is_none());
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        assert!(matches!(remembers.get(&2).await.unwrap(), Lookup::Absent { .. }));
    }
    // There is no stale window for what is not there.
    let soon = soon_stale(&server).negative_ttl(Duration::from_millis(20)).build().unwrap();
    assert!(soon.get_or_load(&3, nothing()).await.unwrap().is_none());
    eventually_async(SOON, "it is forgotten", || async {
        matches!(soon.get(&3).await.unwrap(), Lookup::Miss { .. })
    })
    .await;
    // The loader's own look may be a moment younger, as the server's clock was read anew.
    eventually_async(SOON, "it is loaded", || async {
        soon.get_or_load(&3, fresh("there")).await.unwrap().is_some_and(|text| *text == "there")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_value_is_loaded_early_by_one_of_its_readers() {
    let server = Server::start();
    let builder = texts(&patient(server.url()), "t").early_refresh(1e12);
    let cache = builder.build().unwrap();
    let slow = |_| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok::<_, io::Error>(Some("first".to_owned()))
    };
    assert_eq!(text(cache.get_or_load(&1, slow).await), "first");
    let gate = Gate::shut();
    for _ in 0..100 {
        assert_eq!(text(cache.get_or_load(&1, gate.load("second")).await), "first");
    }
    gate.has_begun().await;
    assert_eq!((gate.began(), cache.stats().refreshes), (1, 1));
    gate.open();
    becomes(&cache, 1, "second").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_l1_keeps_a_value_for_less_than_its_ttl_makes_it_no_sooner_due() {
    let server = Server::start();
    let cache = texts(&patient(server.url()), "t")
        .early_refresh(1.0)
        .l1(100, 1 << 20)
        .l1_ttl(Duration::from_millis(100))
        .build()
        .unwrap();
    let slow = |_| async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok::<_, io::Error>(Some("first".to_owned()))
    };
    assert_eq!(text(cache.get_or_load(&1, slow).await), "first");
    // Past several ends of its time in L1.
    let source = Source::default();
    eventually_async(SOON, "L1 has had it often", || async {
        assert_eq!(text(cache.get_or_load(&1, source.load("second")).await), "first");
        let stats = cache.stats();
        stats.l1_hits >= 100 && stats.l2_hits >= 4
    })
    .await;
    assert_eq!(source.asked(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_that_fails_or_panics_is_told_once_and_the_stale_value_is_served_on() {
    let server = Server::start();
    for (round, expected) in ["failed", "panicked", "timed out"].into_iter().enumerate() {
        let told = Arc::new(std::sync::Mutex::new(Vec::new()));
        let tells = told.clone();
        let cache = soon_stale(&server)
            .hard_timeout(Duration::from_millis(100))
            .on_event(move |event| {
                if let Event::RefreshFailed { how, .. } = event {
                    tells.lock().unwrap().push(*how);
                }
            })
            .build()
            .unwrap();
        let key = round as u64;
        put_stale(&cache, key, "old").await;
        let (gate, source) = (Gate::shut(), Source::default());
        if round < 2 {
            gate.open();
        }
        let ends = gate.then(move || match expected {
            "failed" => Err::<Option<String>, _>(io::Error::other("no source")),
            _ => panic!("on purpose"),
        });
        assert_eq!(text(cache.get_or_load(&key, move |_| ends).await), "old");
        eventually_async(SOON, "it is told", || async { !told.lock().unwrap().is_empty() }).await;
        // Its source is left alone for a second, which is not over yet.
        for _ in 0..10 {
            assert_eq!(text(cache.get_or_load(&key, source.load("new")).await), "old");
        }
        assert_eq!((told.lock().unwrap().as_slice(), source.asked()), ([expected].as_slice(), 0));
        // Then it is asked again.
        eventually_async(SOON, "it is asked again", || async {
            let _ = text(cache.get_or_load(&key, fresh("new")).await);
            matches!(cache.get(&key).await.unwrap(), Lookup::Hit(_))
        })
        .await;
        assert_eq!(told.lock().unwrap().len(), 1);
    }
}
