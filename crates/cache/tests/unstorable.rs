//! What is loaded and cannot be stored: its callers have it, whoever runs the service is told, and a source that is asked
//! for nothing is left alone.

mod common;

use std::sync::Arc;
use std::time::Duration;

use cenote_cache::{Cache, Event, Lookup};
use cenote_testkit::{Server, eventually_async};
use common::{MINUTE, SOON, Source, patient, text, texts};
use parking_lot::Mutex;

/// What was not stored: why, and whether somebody has to mend something.
type Told = Arc<Mutex<Vec<(String, bool)>>>;

fn telling(server: &Server, ttl: Duration) -> (Cache<u64, String>, Told) {
    let told = Told::default();
    let (builder, to) = (texts(&patient(server.url()), "t").ttl(ttl).stale(MINUTE), told.clone());
    let listener = move |event: &Event<'_>| {
        if let Event::NotStored { why, is_fault, .. } = event {
            to.lock().push((why.clone(), *is_fault));
        }
    };
    (builder.on_event(listener).build().unwrap(), told)
}

fn fill_redis(server: &Server) {
    server.observer().get::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_full_is_told_of_with_its_own_words_and_everybody_has_the_value() {
    let server = Server::start();
    let (cache, told) = telling(&server, MINUTE);
    fill_redis(&server);
    let source = Source::default();
    assert_eq!(text(cache.get_or_load(&1, source.load("one")).await), "one");
    let loaded =
        cache.get_or_load_many(&[2], |_| async { Ok::<_, ()>([(2, "two".to_owned())].into()) }).await;
    assert_eq!(loaded.unwrap()[&2].as_str(), "two");
    eventually_async(SOON, "both are told of", || async { told.lock().len() == 2 }).await;
    let told = std::mem::take(&mut *told.lock());
    assert!(told.iter().all(|(why, is_fault)| why.contains("OOM") && *is_fault), "{told:?}");
    assert_eq!(cache.stats().not_stored, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_stale_value_that_cannot_be_replaced_the_source_is_left_alone() {
    let server = Server::start();
    let (cache, told) = telling(&server, Duration::from_millis(20));
    let _ = cache.put(&1, &"old".to_owned()).await.unwrap();
    let is_stale = || async { matches!(cache.get(&1).await.unwrap(), Lookup::Stale(_)) };
    eventually_async(SOON, "it is stale", is_stale).await;
    fill_redis(&server);
    let source = Source::default();
    assert_eq!(text(cache.get_or_load(&1, source.load("new")).await), "old");
    eventually_async(SOON, "it is told", || async { told.lock().len() == 1 }).await;
    let (began, mut reads) = (std::time::Instant::now(), 0);
    loop {
        assert_eq!(text(cache.get_or_load(&1, source.load("new")).await), "old");
        let asked = source.asked();
        if began.elapsed() > Duration::from_millis(500) {
            break;
        }
        reads += 1;
        assert_eq!(asked, 1, "after {reads} reads");
    }
    assert!(reads > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_removed_meanwhile_is_nobodys_fault() {
    let server = Server::start();
    let (cache, told) = telling(&server, MINUTE);
    let gate = common::gate::Gate::shut();
    let asking = tokio::spawn({
        let (cache, load) = (cache.clone(), gate.load("one"));
        async move { text(cache.get_or_load(&1, load).await) }
    });
    gate.has_begun().await;
    let _ = cache.remove(&1).await.unwrap();
    gate.open();
    assert_eq!(asking.await.unwrap(), "one");
    eventually_async(SOON, "it is told", || async { !told.lock().is_empty() }).await;
    assert_eq!(*told.lock(), [("it was written or removed meanwhile".to_owned(), false)]);
}
