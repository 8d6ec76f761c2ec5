//! What is counted, each for what it says.

mod common;

use std::env;
use std::time::Duration;

use cenote_pool_core::redis::cmd;
use cenote_pubsub_progress::{Delivery, Event, JobHandle, Progress, Stats};
use cenote_testkit::{Proxy, Server, eventually, within};
use common::process::{Process, ROLE, URL};
use common::{MINUTE, SOON, builder, next, pool, progress, to_the_end};

/// Nothing but what the test does: no sign of life, no look.
fn still(url: impl Into<String>) -> Progress {
    builder(url).heartbeat(Duration::from_secs(600)).build().unwrap()
}

async fn start(progress: &Progress, job: &str) -> JobHandle {
    within(SOON, progress.start(job).into_future()).await.unwrap()
}

async fn confirmed(job: &JobHandle) {
    assert_eq!(within(SOON, job.flush()).await.unwrap(), Delivery::Confirmed);
}

fn is(progress: &Progress, what: &str, expected: impl Fn(&Stats) -> bool) {
    eventually(SOON, what, || expected(&progress.stats()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_and_watches_are_counted_where_they_happen() {
    let server = Server::start();
    let slow = |url| builder(url).heartbeat(Duration::from_secs(600)).throttle(Duration::from_secs(600));
    let (here, there) = (slow(server.url()).build().unwrap(), still(server.url()));
    assert_eq!(here.stats(), Stats::default());
    let (job, other) = (start(&here, "job").await, start(&here, "other").await);
    // At the first report, all that has changed by then; later ones wait for the throttle, and a line takes them along.
    confirmed(&job).await;
    let mut watches = Vec::new();
    for _ in 0..3 {
        watches.push(within(SOON, there.watch("job")).await.unwrap());
    }
    let before = here.stats();
    assert_eq!((before.published, before.jobs, before.ended_jobs), (2, 2, 0), "{before:?}");
    let seen = there.stats();
    assert_eq!((seen.watchers, seen.watched_jobs, seen.loads), (3, 1, 1), "one read for all: {seen:?}");
    (1..=10).for_each(|n| job.set(n));
    job.log("with ten changes");
    confirmed(&job).await;
    let after = here.stats();
    // A worker that begins to listen reports once more, and may do so in between.
    let reports = after.published - before.published;
    assert!((1..=3).contains(&reports) && after.coalesced >= 8, "{after:?}");
    assert!((10..=11).contains(&(after.coalesced + reports)), "{after:?}");
    assert_eq!(within(SOON, job.finish(())).await.unwrap(), Delivery::Confirmed);
    for watch in &mut watches {
        to_the_end(watch).await;
    }
    let (worker, watcher) = (here.stats(), there.stats());
    assert_eq!((worker.jobs, worker.ended_jobs), (1, 1), "{worker:?}");
    let (told, bad) = (worker.published, (worker.failures, worker.retries, worker.fenced, worker.pending));
    assert!((4..=6).contains(&told), "two starts, the line and the end: {worker:?}");
    assert_eq!(bad, (0, 0, 0, 0));
    assert!((1..=4).contains(&watcher.messages), "{watcher:?}");
    let bad =
        (watcher.gaps, watcher.repairs, watcher.stalls, watcher.lost, watcher.reconnects, watcher.lagged);
    assert_eq!(bad, (0, 0, 0, 0, 0, 0));
    watches.pop();
    assert_eq!(there.stats().watchers, 2);
    drop(other);
    is(&here, "what is dropped has ended", |stats| (stats.jobs, stats.ended_jobs) == (0, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_signs_of_life_and_gaps_are_counted() {
    let server = Server::start();
    let (first, second) = (progress(server.url()), still(server.url()));
    let one = start(&first, "job").await;
    is(&first, "a quiet job gives signs of life", |stats| stats.duplicates >= 2);
    assert_eq!(first.stats().published, 1);
    let two = start(&second, "job").await;
    one.set(7);
    assert!(within(SOON, one.flush()).await.unwrap_err().is_fenced());
    let stats = first.stats();
    assert_eq!((stats.fenced, stats.jobs), (1, 0), "{stats:?}");
    assert!(within(SOON, first.start("job").attempt(1).into_future()).await.unwrap_err().is_fenced());
    assert_eq!(first.stats().fenced, 2);
    let few = builder(server.url()).log_lines(10).build().unwrap();
    let mut watch = within(SOON, few.watch("job")).await.unwrap();
    assert!(matches!(next(&mut watch).await, Event::Snapshot { .. }));
    (0..100).for_each(|n| two.log(&n.to_string()));
    assert_eq!(within(SOON, two.finish(())).await.unwrap(), Delivery::Confirmed);
    is(&few, "all is there", |stats| stats.messages >= 1);
    let events = to_the_end(&mut watch).await;
    let gaps = events.iter().filter(|event| matches!(event, Event::Gap { .. })).count() as u64;
    assert_eq!(few.stats().gaps, gaps);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_counted_as_failures_retries_pending_ends_and_one_return() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let limit = Duration::from_millis(500);
    let (here, there) = (builder(proxy.url()).timeout(limit).build().unwrap(), progress(proxy.url()));
    let job = start(&here, "job").await;
    let mut watch = within(SOON, there.watch("job")).await.unwrap();
    assert!(matches!(next(&mut watch).await, Event::Snapshot { .. }));
    assert_eq!((here.stats().failures, there.stats().reconnects), (0, 0));
    proxy.reset_on_accept(true);
    proxy.cut();
    assert_eq!(within(SOON, job.finish(())).await.unwrap(), Delivery::Pending);
    let away = here.stats();
    assert!(away.failures >= 1 && away.pending == 1, "{away:?}");
    is(&here, "it is tried again", |stats| stats.retries >= 1);
    proxy.pass();
    to_the_end(&mut watch).await;
    is(&there, "it came back", |stats| stats.reconnects >= 1);
}

/// Not a test of its own: a worker that says nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_process() {
    let (Ok(role), Ok(url)) = (env::var(ROLE), env::var(URL)) else { return };
    let _job = progress(url).start(&role).await.unwrap();
    println!("<ready>");
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_repaired_and_lost_jobs_are_counted() {
    let server = Server::start();
    let there = builder(server.url()).lost_after(Duration::from_secs(2)).build().unwrap();
    let mut process = Process::start("gone", &server.url());
    process.said("ready");
    let mut watch = within(SOON, there.watch("gone")).await.unwrap();
    assert!(matches!(next(&mut watch).await, Event::Snapshot { .. }));
    process.kill();
    is(&there, "it is stalled", |stats| stats.stalled_jobs == 1 && stats.stalls >= 1);
    assert_eq!((there.stats().repairs, there.stats().lost), (0, 0));
    // A state that no message told.
    let key = "progress:1:jobs:{gone}:state";
    let () = cmd("HINCRBY").arg(&[key, "v", "1"]).query_async(&mut pool(server.url()).conn()).await.unwrap();
    is(&there, "it is found", |stats| stats.repairs >= 1 && stats.loads >= 2);
    let () = cmd("FLUSHALL").query_async(&mut pool(server.url()).conn()).await.unwrap();
    while !matches!(within(MINUTE, watch.next()).await, Some(Event::Lost { .. })) {}
    let stats = there.stats();
    assert_eq!((stats.lost, stats.stalled_jobs), (1, 0), "{stats:?}");
}
