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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_to_stop_that_nobody_told_comes_with_the_reply_to_a_report_or_a_sign_of_life() {
    let server = Server::start();
    for reports in [true, false] {
        // Only what is looked at can tell.
        let beat = if reports { Duration::from_secs(600) } else { BEAT };
        let here = builder(server.url()).heartbeat(beat).build().unwrap();
        let job = within(SOON, here.start("import").restart().into_future()).await.unwrap();
        job.set(1);
        assert_eq!(within(SOON, job.flush()).await.unwrap(), Delivery::Confirmed);
        // What asks on the channel of all workers when it begins to listen must be over.
        eventually_async(SOON, "it listens", || async {
            let channels: Vec<String> = cmd("PUBSUB")
                .arg(&["CHANNELS", "progress:1:jobs:control"])
                .query_async(&mut pool(server.url()).conn())
                .await
                .unwrap();
            !channels.is_empty()
        })
        .await;
        assert_eq!(within(SOON, job.flush()).await.unwrap(), Delivery::Confirmed);
        assert!(!job.is_cancelled());
        let asked = ["progress:1:jobs:{import}:state", "c", "1"];
        let () = cmd("HSET").arg(&asked).query_async(&mut pool(server.url()).conn()).await.unwrap();
        if reports {
            job.set(2);
        }
        within(SOON, job.cancellation().cancelled()).await;
        eventually_async(SOON, "Redis has it that the worker knows", || async {
            let said: String =
                cmd("HGET").arg(&asked[..2]).query_async(&mut pool(server.url()).conn()).await.unwrap();
            said == "2"
        })
        .await;
        assert_eq!(within(SOON, job.cancelled()).await.unwrap(), Delivery::Confirmed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_keeps_of_a_job_goes_after_the_retention_and_the_log_of_another_attempt_at_once() {
    const KEPT: Duration = Duration::from_secs(1800);
    let server = Server::start();
    let quiet = || builder(server.url()).heartbeat(Duration::from_secs(600)).retention(KEPT).build().unwrap();
    let (state, log) = ("progress:1:jobs:{import}:state", "progress:1:jobs:{import}:log");
    let left = async |key: &str| {
        let ms: i64 = cmd("PTTL").arg(key).query_async(&mut pool(server.url()).conn()).await.unwrap();
        ms
    };
    let job = within(SOON, quiet().start("import").into_future()).await.unwrap();
    job.log("one");
    assert_eq!(within(SOON, job.flush()).await.unwrap(), Delivery::Confirmed);
    for key in [state, log] {
        let ms = left(key).await;
        assert!((1_600_000..=1_800_000).contains(&ms), "{key}: {ms}");
        // As if much time had passed.
        let () =
            cmd("PEXPIRE").arg(key).arg(9_000).query_async(&mut pool(server.url()).conn()).await.unwrap();
    }
    job.set(7);
    assert_eq!(within(SOON, job.flush()).await.unwrap(), Delivery::Confirmed);
    for key in [state, log] {
        assert!(left(key).await > 1_600_000, "{key}: each report keeps both");
    }
    let read = within(SOON, quiet().snapshot("import")).await.unwrap().unwrap();
    assert_eq!((read.position, read.done), (job.position(), 7), "the state and where it is go together");
    let second = within(SOON, quiet().start("import").into_future()).await.unwrap();
    assert_eq!(left(log).await, -2, "a log is that of one attempt");
    drop(second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_redis_refuses_is_told_again_until_it_is_taken() {
    let server = Server::start();
    // No sign of life takes it along, and no connection is lost.
    let here = builder(server.url()).heartbeat(Duration::from_secs(600)).build().unwrap();
    let memory = async |most: &str| {
        let set = ["SET", "maxmemory", most];
        let () = cmd("CONFIG").arg(&set).query_async(&mut pool(server.url()).conn()).await.unwrap();
    };
    let job = within(SOON, here.start("import").into_future()).await.unwrap();
    memory("1").await;
    job.log("in vain at first");
    assert_eq!(within(SOON, job.finish(())).await.unwrap(), Delivery::Pending);
    memory("0").await;
    let events = to_the_end(&mut within(SOON, progress(server.url()).watch("import")).await.unwrap()).await;
    let lines = events.iter().filter(|event| matches!(event, Event::Log { .. })).count();
    assert_eq!(lines, 1, "{events:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_attempt_that_tells_its_end_anew_after_a_flush_does_not_end_the_one_that_has_the_job() {
    let server = Server::start();
    let (first, state) = (progress(server.url()), "progress:1:jobs:{import}:state");
    let mut conn = pool(server.url()).conn();
    let one = within(SOON, first.start("import").into_future()).await.unwrap();
    assert_eq!(within(SOON, one.finish("the first's")).await.unwrap(), Delivery::Confirmed);
    let told: Vec<u8> = cmd("DUMP").arg(state).query_async(&mut conn).await.unwrap();
    let second = builder(server.url()).heartbeat(MINUTE).build().unwrap();
    let two = within(SOON, second.start("import").restart().into_future()).await.unwrap();
    let mut watch = within(SOON, second.watch("import")).await.unwrap();

    // As if the flush came before the first one knew of the second, and it was heard first.
    let () = cmd("FLUSHALL").query_async(&mut conn).await.unwrap();
    let () = cmd("RESTORE").arg(state).arg(0).arg(told).arg("REPLACE").query_async(&mut conn).await.unwrap();
    two.log("of the second");
    assert_eq!(within(SOON, two.finish("the second's")).await.unwrap(), Delivery::Confirmed);
    let events = to_the_end(&mut watch).await;
    assert_eq!(events.last().unwrap().snapshot().unwrap().result, Some("the second's".into()));
    let kept = within(SOON, progress(server.url()).snapshot("import")).await.unwrap().unwrap();
    assert_eq!(kept.result, Some("the second's".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_redis_takes_long_after_it_was_given_up_does_not_refuse_its_own_worker() {
    let server = Server::start();
    let there = progress(server.url());
    let hasty = builder(server.url()).timeout(Duration::from_millis(300)).build().unwrap();
    // There is a connection, and Redis knows the script.
    let warm = within(SOON, hasty.start("warm").into_future()).await.unwrap();
    assert_eq!(within(SOON, warm.finish(())).await.unwrap(), Delivery::Confirmed);
    server.freeze();
    let job = within(SOON, hasty.start("slow").into_future()).await.unwrap();
    job.log("while it is frozen");
    server.thaw();
    let mut watch = within(SOON, there.watch("slow")).await.unwrap();
    within(SOON, async { while job.flush().await.unwrap() == Delivery::Pending {} }).await;
    assert_eq!(job.fenced(), None, "nobody else has it");
    assert_eq!(within(SOON, job.finish(7)).await.unwrap(), Delivery::Confirmed);
    let events = to_the_end(&mut watch).await;
    assert_eq!(events.last().unwrap().snapshot().unwrap().result, Some(7.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_while_redis_is_away_is_one_once_redis_is_back_and_another_beginning_is_refused() {
    let server = Server::builder().persistent().start();
    for (id, restart) in [("again", true), ("once", false)] {
        let before = within(SOON, progress(server.url()).start(id).into_future()).await.unwrap();
        assert_eq!(within(SOON, before.finish(1)).await.unwrap(), Delivery::Confirmed);
        server.kill();
        let there = progress(server.url());
        let start = if restart { there.start(id).restart() } else { there.start(id) };
        let job = within(SOON, start.into_future()).await.unwrap();
        server.restart();
        let ended = within(SOON, async {
            loop {
                match job.finish(2).await {
                    Ok(Delivery::Pending) => tokio::time::sleep(Duration::from_millis(20)).await,
                    ended => return ended,
                }
            }
        });
        assert_eq!(ended.await.is_ok(), restart, "{id}");
    }
}
