//! `cenote watch` in a pipe: what it tells, and how it ends.

mod common;

use std::env;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cenote_pubsub_progress::{JobHandle, Position, Progress};
use cenote_testkit::{Server, is_long};
use serde_json::Value;

use common::{Ended, Running, SOON, assert_plain, cenote, progress};

/// Told to be watched, and as far as anybody knows.
async fn started(progress: &Progress, name: &str) -> JobHandle {
    let job = progress.start(name).await.unwrap();
    job.message("reading");
    let _ = job.flush().await.unwrap();
    job
}

/// Ends it as this word says.
async fn end(job: JobHandle, how: &str) {
    match how {
        "finished" => drop(job.finish("7 rows").await.unwrap()),
        "failed" => drop(job.fail("no disk").await.unwrap()),
        "cancelled" => drop(job.cancelled().await.unwrap()),
        _ => drop(job),
    }
}

const OUTCOMES: [(&str, i32, &str); 4] = [
    ("finished", 0, ": 7 rows"),
    ("failed", 1, ": no disk"),
    ("cancelled", 5, ""),
    ("abandoned", 4, "let go of it"),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_outcome_has_its_exit_code_and_a_line_and_nothing_escapes_into_a_pipe() {
    let server = Server::start();
    let progress = progress(&server);
    for (how, code, said) in OUTCOMES {
        let job = started(&progress, how).await;
        let running = Running::watch(&server, &[how]);
        running.out.has(&format!("{how}: reading\n"));
        job.log("a line");
        end(job, how).await;
        let during = running.ended();
        let after = Running::watch(&server, &[how]).ended();
        for Ended { code: found, out, err } in [&during, &after] {
            assert_eq!(*found, Some(code), "{how}: {out}{err}");
            assert!(out.contains(&format!("{how}: a line\n")), "{out}");
            let last = out.lines().last().unwrap();
            assert!(last.starts_with(&format!("{how}: {how} after ")) && last.contains(said), "{last}");
            assert_plain(out);
            assert_eq!(err, "");
        }
    }
    // Of several the worst, and a job that is named twice is one.
    let all = Running::watch(&server, &["finished", "cancelled", "abandoned", "finished"]).ended();
    assert_eq!(all.code, Some(4), "{all:?}");
    assert_eq!(all.out.matches("finished: finished after").count(), 1, "{}", all.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_one_json_object_on_one_line_with_its_job_and_its_position() {
    let server = Server::start();
    let progress = progress(&server);
    let running = Running::watch(&server, &["--json", "a \"job\"/ä", "other"]);
    running.out.has("pending");
    let (job, other) = (started(&progress, "a \"job\"/ä").await, started(&progress, "other").await);
    running.out.has(r#""reading""#);
    job.total(10);
    for row in 0..10 {
        job.inc(1);
        job.log(&format!("row {row}"));
    }
    end(job, "finished").await;
    end(other, "failed").await;
    let Ended { code, out, err } = running.ended();
    assert_eq!((code, err.as_str()), (Some(1), ""));
    assert_plain(&out);
    let events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of: Vec<_> = events.iter().filter(|event| event["job"] == "a \"job\"/ä").collect();
    let names: Vec<_> = of.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!((names.first(), names.last()), (Some(&"pending"), Some(&"finished")), "{names:?}");
    let lines: Vec<_> =
        of.iter().filter(|it| it["event"] == "log").map(|it| it["data"]["text"].as_str().unwrap()).collect();
    assert_eq!(lines, (0..10).map(|row| format!("row {row}")).collect::<Vec<_>>());
    let positions: Vec<Position> =
        of.iter().map(|it| it["position"].as_str().unwrap().parse().unwrap()).collect();
    assert!(positions.is_sorted(), "{positions:?}");
    assert_eq!(of.last().unwrap()["data"]["result"], "7 rows");
    assert!(events.iter().any(|event| event["job"] == "other" && event["event"] == "failed"));
}

const WORKER: &str = "CENOTE_TEST_WORKER";

/// No test: the process in which the worker of the next one lives.
#[tokio::test]
async fn the_other_process() {
    let Ok(url) = env::var(WORKER) else { return };
    let pool = cenote_pool_core::Pool::builder().url(url).build().unwrap();
    let progress = Progress::builder(&pool).heartbeat(Duration::from_millis(500)).build().unwrap();
    let _job = started(&progress, "job").await;
    std::future::pending::<()>().await;
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_worker_is_killed_is_told_as_stalled_and_as_lost_once_its_record_is_gone() {
    let server = Server::start();
    let worker = Command::new(env::current_exe().unwrap())
        .args(["--exact", "the_other_process"])
        .env(WORKER, server.url())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let worker = Killed(worker);
    let running = Running::watch(&server, &["job"]);
    running.out.has("job: reading\n");
    drop(worker);
    running.out.has("job: stalled: no sign of life for ");
    assert!(server.is_running());
    // Three heartbeats of 5 s have to pass.
    if !is_long() {
        return;
    }
    server.observer().get::<()>(&["FLUSHALL"]);
    let ended = running.ended();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.out.contains("job: lost: "), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_nobody_knows_is_waited_for_as_long_as_there_is_time() {
    let server = Server::start();
    let ended = Running::watch(&server, &["--timeout", "0.5", "--namespace", "imports", "later"]).ended();
    assert_eq!(ended.code, Some(124), "{ended:?}");
    assert_eq!(ended.out, "later: not known yet: waiting for it\n");
    assert_eq!(ended.err, "error: not every job has ended within the 0.5 s of --timeout\n");

    let running = Running::watch(&server, &["later"]);
    running.out.has("not known yet");
    end(started(&progress(&server), "later").await, "finished").await;
    assert_eq!(running.ended().code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_away_that_is_said_and_the_watch_goes_on() {
    let server = Server::builder().persistent().start();
    // It lives on after the end, which may have to wait until its own pool has found Redis.
    let progress = progress(&server);
    let job = started(&progress, "job").await;
    let running = Running::watch(&server, &["job"]);
    running.out.has("job: reading\n");
    server.kill();
    running.err.has("Redis is away, and the watch goes on: ");
    server.restart();
    running.err.has("Redis is back\n");
    end(job, "finished").await;
    let ended = running.ended();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("job: finished after "), "{ended:?}");
    assert_plain(&ended.out);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_watch_and_leaves_the_job_alone() {
    use rustix::process::{Pid, Signal, kill_process};

    let server = Server::start();
    let job = started(&progress(&server), "job").await;
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let running = Running::watch(&server, &["job"]);
        running.out.has("job: reading\n");
        kill_process(Pid::from_child(&running.child), signal).unwrap();
        let ended = running.ended();
        assert_eq!((ended.code, ended.err.as_str()), (Some(code), "no longer watching: the jobs go on\n"));
    }
    let _ = job.flush().await.unwrap();
    assert!(!job.is_cancelled() && !job.status().is_end());
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn who_no_longer_reads_ends_the_watch_without_a_word() {
    let server = Server::start();
    let job = started(&progress(&server), "job").await;
    let mut child = cenote(&["watch", "--url", &server.url(), "job"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let err = common::Text::of(child.stderr.take().unwrap());
    job.log("a line that nobody reads");
    let mut code = None;
    cenote_testkit::eventually(SOON, "the end", || {
        code = child.try_wait().unwrap();
        code.is_some()
    });
    assert_eq!((code.unwrap().code(), err.whole().as_str()), (Some(141), ""));
}
