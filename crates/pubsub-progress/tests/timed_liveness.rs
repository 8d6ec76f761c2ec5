//! How soon a worker learns that it is to stop, and a watcher that a worker is gone.

mod common;

use std::env;
use std::time::{Duration, Instant};

use cenote_pool_core::redis::cmd;
use cenote_pubsub_progress::{Cancel, Delivery, Event, Liveness, Progress};
use cenote_testkit::{Server, within};
use common::process::{Process, ROLE, URL};
use common::{SOON, next, pool, progress};

/// Not a test of its own: workers that do nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_process() {
    let (Ok(role), Ok(url)) = (env::var(ROLE), env::var(URL)) else { return };
    let progress = if role == "quiet" { Progress::new(&pool(url)) } else { progress(url) };
    let job = progress.start("job").await.unwrap();
    println!("<ready>");
    job.cancellation().cancelled().await;
    println!("<stopping>");
    assert_eq!(job.cancelled().await.unwrap(), Delivery::Confirmed);
    println!("<stopped>");
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_to_stop_reaches_a_quiet_worker_in_another_process_within_250_ms_and_is_acknowledged() {
    let server = Server::start();
    let here = Progress::new(&pool(server.url()));
    let mut took = Vec::new();
    for _ in 0..5 {
        let mut process = Process::start("quiet", &server.url());
        process.said("ready");
        let mut watch = within(SOON, here.watch("job")).await.unwrap();
        // The heart of this worker beats every 5 s: it hears of this by the channel or far too late.
        let began = Instant::now();
        assert_eq!(within(SOON, here.cancel("job")).await.unwrap(), Cancel::Acknowledged);
        took.push(began.elapsed());
        process.said("stopped");
        assert_eq!(within(SOON, here.cancel("job")).await.unwrap(), Cancel::AlreadyFinished);
        loop {
            let event = next(&mut watch).await;
            if event.is_end() {
                assert!(matches!(event, Event::Cancelled { .. }), "{event:?}");
                break;
            }
        }
        process.kill();
        let () = cmd("FLUSHALL").query_async(&mut pool(server.url()).conn()).await.unwrap();
        assert_eq!(within(SOON, here.cancel("job")).await.unwrap(), Cancel::NotFound);
    }
    took.sort_unstable();
    println!("acknowledged after {took:?}");
    // The machine may stop for a moment in one of five.
    assert!(took[3] <= Duration::from_millis(250), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_does_not_answer_is_asked_and_a_killed_one_is_seen_within_two_heartbeats() {
    const BEAT: Duration = Duration::from_millis(500);
    let server = Server::start();
    let here = progress(server.url());
    let mut process = Process::start("busy", &server.url());
    process.said("ready");
    let mut watch = within(SOON, here.watch("job")).await.unwrap();
    assert!(matches!(next(&mut watch).await, Event::Snapshot { .. }));
    process.kill();
    let killed = Instant::now();
    loop {
        if let Event::Liveness { liveness, .. } = next(&mut watch).await {
            assert_eq!(liveness, Liveness::Stalled);
            break;
        }
    }
    let took = killed.elapsed();
    println!("seen stalled after {took:?}");
    // Two heartbeats, and half a second for a machine that stops.
    assert!(took <= 2 * BEAT + Duration::from_millis(500), "{took:?}");
    assert_eq!(within(SOON, here.cancel("job")).await.unwrap(), Cancel::Requested);
}
