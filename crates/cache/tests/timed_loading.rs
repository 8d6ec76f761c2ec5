//! How long callers wait for a load.

mod common;

use std::io;
use std::time::{Duration, Instant};

use cenote_cache::{Cache, LoadError, Lookup};
use cenote_testkit::{Server, eventually_async, within};
use common::gate::Gate;
use common::{MINUTE, SOON, Source, patient, text, texts};

type Texts = Cache<u64, String>;

const SOFT: Duration = Duration::from_millis(300);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_millis(1_500);

/// How long a caller waits, and whether the load goes on then.
async fn times_out(cache: &Texts, gate: &Gate) -> (Duration, bool) {
    let began = Instant::now();
    match within(SOON, cache.get_or_load(&1, gate.load("one"))).await {
        Err(LoadError::StillLoading) => (began.elapsed(), true),
        Err(LoadError::Timeout) => (began.elapsed(), false),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_the_soft_limit_callers_are_let_go_and_the_load_goes_on() {
    let server = Server::start();
    let cache = texts(&patient(server.url()), "t").soft_timeout(SOFT).build().unwrap();
    let gate = Gate::shut();
    let (first, second) = tokio::join!(times_out(&cache, &gate), times_out(&cache, &gate));
    for (took, goes_on) in [first, second] {
        assert!((SOFT - SOFT / 10..SOFT + SLACK).contains(&took) && goes_on, "{took:?}");
    }
    // Who comes later need not wait at all.
    let (late, goes_on) = times_out(&cache, &gate).await;
    assert!(late < SOFT && goes_on, "{late:?}");
    assert_eq!((gate.began(), gate.gone()), (1, 0));
    gate.open();
    eventually_async(SOON, "it is stored", || async { cache.get(&1).await.unwrap().value().is_some() }).await;
    assert_eq!(gate.began(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_hard_limit_a_load_ends_and_its_key_is_free() {
    let server = Server::start();
    for soft in [None, Some(SOFT / 3)] {
        let hard = SOFT;
        let mut builder = texts(&patient(server.url()), "t").hard_timeout(hard).wait_for_others(MINUTE);
        if let Some(soft) = soft {
            builder = builder.soft_timeout(soft);
        }
        let (cache, gate) = (builder.build().unwrap(), Gate::shut());
        let began = Instant::now();
        let (took, goes_on) = times_out(&cache, &gate).await;
        assert_eq!(goes_on, soft.is_some());
        assert!(took >= soft.unwrap_or(hard) * 9 / 10 && took < hard + SLACK, "{took:?}");
        eventually_async(SOON, "its future is dropped", || async { gate.gone() == 1 }).await;
        let took = began.elapsed();
        assert!((hard * 9 / 10..hard + SLACK).contains(&took), "{took:?}");
        eventually_async(SOON, "it is over", || async { cache.stats().load_failures == 1 }).await;
        let (source, began) = (Source::default(), Instant::now());
        // Callers of a moment later may still be told of the end of the former one.
        eventually_async(SOON, "the next loads", || async {
            let loaded = cache.get_or_load(&1, source.load("next")).await;
            matches!(loaded, Ok(Some(text)) if *text == "next")
        })
        .await;
        assert!(began.elapsed() < SLACK && source.asked() == 1);
        let _ = cache.remove(&1).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_has_a_stale_value_never_waits() {
    let server = Server::start();
    for l1 in [false, true] {
        let mut builder = texts(&patient(server.url()), "t")
            .ttl(Duration::from_millis(20))
            .stale(MINUTE)
            .soft_timeout(SOFT)
            .wait_for_others(MINUTE);
        if l1 {
            builder = builder.l1(100, 1 << 20);
        }
        let cache = builder.build().unwrap();
        let _ = cache.put(&1, &"old".to_owned()).await.unwrap();
        let is_stale = || async { matches!(cache.get(&1).await.unwrap(), Lookup::Stale(_)) };
        eventually_async(SOON, "it is stale", is_stale).await;
        let gate = Gate::shut();
        let load = || {
            let passing = gate.then(|| Ok::<_, io::Error>(Some("new".to_owned())));
            move |cx: cenote_cache::Cx<String>| {
                cx.ttl(MINUTE);
                passing
            }
        };
        for _ in 0..20 {
            let began = Instant::now();
            assert_eq!(text(within(SOON, cache.get_or_load(&1, load())).await), "old");
            assert!(began.elapsed() < SLACK, "{:?}", began.elapsed());
        }
        // Past the soft limit of the load nothing changes.
        tokio::time::sleep(SOFT * 2).await;
        assert_eq!(text(within(SOON, cache.get_or_load(&1, load())).await), "old");
        let many = cache.get_or_load_many(&[1], |_| async { Err(io::Error::other("not asked")) });
        assert_eq!(within(SOON, many).await.unwrap()[&1].as_str(), "old");
        assert_eq!(gate.began(), 1);
        gate.open();
        eventually_async(SOON, "the fresh one is there", || async {
            matches!(cache.get(&1).await.unwrap(), Lookup::Hit(found) if *found.value == "new")
        })
        .await;
    }
}

/// A cache as another process would have it, which loads and does not end.
async fn other_process(server: &Server, gate: &Gate) -> tokio::task::JoinHandle<()> {
    let cache = texts(&patient(server.url()), "t").build().unwrap();
    let passing = gate.then(|| Err::<Option<String>, _>(io::Error::other("no source")));
    let task = tokio::spawn(async move {
        let _ = cache.get_or_load(&1, move |_| passing).await;
    });
    gate.has_begun().await;
    task
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_is_waited_for_up_to_the_limit_and_no_longer_than_it_takes() {
    let server = Server::start();
    let wait = Duration::from_millis(400);
    let gate = Gate::shut();
    let other = other_process(&server, &gate).await;
    let pool = patient(server.url());
    let patient = texts(&pool, "t").wait_for_others(wait).build().unwrap();
    let (source, began) = (Source::default(), Instant::now());
    assert_eq!(text(within(SOON, patient.get_or_load(&1, source.load("one"))).await), "one");
    let took = began.elapsed();
    assert!((wait..wait + SLACK).contains(&took), "{took:?}");
    assert_eq!(patient.get(&1).await.unwrap().value().unwrap().as_str(), "one");
    gate.open();
    other.await.unwrap();
    let _ = patient.remove(&1).await.unwrap();

    // One whose loader fails lets those who wait go at once.
    let gate = Gate::shut();
    let other = other_process(&server, &gate).await;
    let waits = texts(&pool, "t").wait_for_others(MINUTE).build().unwrap();
    let (waiting, load, evals) = (waits.clone(), source.load("two"), server.observer().calls("set"));
    let waiting = tokio::spawn(async move { waiting.get_or_load(&1, load).await });
    eventually_async(SOON, "it waits", || async { server.observer().calls("set") >= evals + 2 }).await;
    let began = Instant::now();
    gate.open();
    other.await.unwrap();
    assert_eq!(text(within(SOON, waiting).await.unwrap()), "two");
    assert!(began.elapsed() < SLACK, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_a_stale_value_do_not_keep_up_the_fence_of_a_process_that_died() {
    let server = Server::start();
    let cache = texts(&patient(server.url()), "t")
        .ttl(Duration::from_millis(20))
        .stale(MINUTE)
        .hard_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    let _ = cache.put(&1, &"old".to_owned()).await.unwrap();
    let fence = format!("{}:fill", cache.name(&1));
    // What is left of it ends in a second and a bit, and is asked for much more often.
    server.observer().get::<()>(&["SET", &fence, "of a dead process", "PX", "1200"]);
    let source = Source::default();
    let began = Instant::now();
    eventually_async(SOON, "it is loaded anew", || async {
        assert!(!text(cache.get_or_load(&1, source.load("new")).await).is_empty());
        source.asked() > 0
    })
    .await;
    assert!(began.elapsed() >= Duration::from_millis(500), "the fence was not there");
}
