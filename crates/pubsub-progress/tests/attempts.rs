//! Workers that take over from one another, in processes that are killed.

mod common;

use std::env;
use std::time::Duration;

use cenote_pool_core::redis::cmd;
use cenote_pubsub_progress::{Delivery, Error, Event, Liveness, Position, Status};
use cenote_testkit::{Server, eventually, eventually_async, within};
use common::process::{Process, ROLE, URL};
use common::{MINUTE, SOON, builder, next, pool, progress, to_the_end};

const BEAT: Duration = Duration::from_millis(500);

/// Not a test of its own: a worker that reports until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_process() {
    let (Ok(role), Ok(url)) = (env::var(ROLE), env::var(URL)) else { return };
    let job = progress(url).start(&role).await.unwrap();
    job.total(1_000_000);
    job.log("from the other process");
    assert_eq!(job.flush().await.unwrap(), Delivery::Confirmed);
    println!("<run>{}", job.position().run);
    loop {
        job.inc(1);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_is_seen_stalled_and_a_second_one_takes_over() {
    let server = Server::start();
    let mut process = Process::start("import", &server.url());
    let run: u64 = process.said("run").parse().unwrap();
    let there = progress(server.url());
    let mut watch = within(SOON, there.watch("import")).await.unwrap();
    assert!(matches!(next(&mut watch).await, Event::Snapshot { .. }));
    process.kill();
    loop {
        if let Event::Liveness { liveness, heartbeat_age, .. } = next(&mut watch).await {
            assert_eq!(liveness, Liveness::Stalled);
            assert!(heartbeat_age.unwrap() > BEAT, "{heartbeat_age:?}");
            break;
        }
    }
    let read = within(SOON, there.snapshot("import")).await.unwrap().unwrap();
    assert_eq!(
        (read.status, read.liveness),
        (Status::Running, Liveness::Stalled),
        "whoever asks is told, too"
    );

    let second = within(SOON, progress(server.url()).start("import").into_future()).await.unwrap();
    assert!(second.position().run > run);
    second.log("from here");
    assert_eq!(within(SOON, second.finish(())).await.unwrap(), Delivery::Confirmed);
    let events = to_the_end(&mut watch).await;
    let text = |event: &Event| matches!(event, Event::Log { line, .. } if &*line.text == "from here");
    assert!(events.iter().any(text), "{events:?}");
    let end = events.last().unwrap().snapshot().unwrap();
    assert_eq!((end.attempt, end.status), (2, Status::Finished));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_flush_too_the_second_attempt_takes_over_and_the_first_is_refused_as_fenced() {
    let server = Server::start();
    let (first, second, there) = (progress(server.url()), progress(server.url()), progress(server.url()));
    let one = within(SOON, first.start("import").into_future()).await.unwrap();
    one.log("of the first");
    let mut watch = within(SOON, there.watch("import")).await.unwrap();
    assert!(matches!(next(&mut watch).await, Event::Snapshot { .. }));
    let () = cmd("FLUSHALL").query_async(&mut pool(server.url()).conn()).await.unwrap();
    let two = within(SOON, second.start("import").into_future()).await.unwrap();
    assert!(two.position().run > one.position().run);

    one.set(7);
    one.log("too late");
    let refused = within(SOON, one.finish("the first's")).await;
    assert!(matches!(refused, Err(Error::Fenced { run }) if run == two.position().run), "{refused:?}");
    assert!(one.is_cancelled() && one.fenced().is_some(), "the first one is to stop");
    drop(one);
    assert_eq!(within(SOON, two.finish("the second's")).await.unwrap(), Delivery::Confirmed);
    let events = to_the_end(&mut watch).await;
    assert_eq!(events.last().unwrap().snapshot().unwrap().result, Some("the second's".into()));
    let late = |event: &&Event| matches!(event, Event::Log { line, .. } if &*line.text == "too late");
    assert_eq!(events.iter().filter(late).count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_that_are_counted_by_the_caller_go_up_only_and_one_that_ended_well_is_not_begun_anew() {
    let server = Server::start();
    let start = |attempt| {
        let progress = progress(server.url());
        async move { within(SOON, progress.start("counted").attempt(attempt).into_future()).await }
    };
    let second = start(2).await.unwrap();
    assert!(matches!(start(1).await, Err(Error::Fenced { run: 2 })));
    assert!(matches!(start(2).await, Err(Error::Fenced { run: 2 })), "another worker with the same number");
    let third = start(3).await.unwrap();
    assert_eq!((third.position().run, third.snapshot().attempt), (3, 3));
    assert!(within(SOON, second.finish(())).await.unwrap_err().is_fenced());
    assert_eq!(within(SOON, third.fail("no")).await.unwrap(), Delivery::Confirmed);
    let fourth = start(4).await.unwrap();
    assert_eq!(within(SOON, fourth.finish(())).await.unwrap(), Delivery::Confirmed);
    let at = fourth.position();
    assert!(matches!(start(5).await, Err(Error::Ended { at: ended }) if ended == at));
    let again = progress(server.url());
    let fifth = within(SOON, again.start("counted").attempt(5).restart().into_future()).await.unwrap();
    assert_eq!(fifth.position(), Position::new(5, 1, 0));
    assert!(start(1 << 53).await.unwrap_err().to_string().contains("too large"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_whose_reply_is_lost_is_told_again_and_that_is_success() {
    let server = Server::start();
    let proxy = cenote_testkit::Proxy::to(&server);
    let (here, there) =
        (builder(proxy.url()).timeout(Duration::from_secs(1)).build().unwrap(), progress(server.url()));
    let job = within(SOON, here.start("import").into_future()).await.unwrap();
    let mut watch = within(SOON, there.watch("import")).await.unwrap();
    assert_eq!(within(SOON, job.flush()).await.unwrap(), Delivery::Confirmed);
    proxy.stall_replies();
    job.log("once");
    let ended = within(SOON, job.finish("done")).await.unwrap();
    assert_eq!(ended, Delivery::Pending, "Redis has it, and nobody here knows");
    eventually(SOON, "replies are held back", || proxy.held_replies() > 0);
    proxy.cut();
    proxy.pass();
    eventually_async(MINUTE, "it is confirmed", || async {
        job.finish("done").await.unwrap() == Delivery::Confirmed
    })
    .await;
    let events = to_the_end(&mut watch).await;
    let lines = events.iter().filter(|event| matches!(event, Event::Log { .. })).count();
    assert_eq!(lines, 1, "{events:?}");
}
