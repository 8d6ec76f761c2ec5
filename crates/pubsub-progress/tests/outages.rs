//! Redis killed, frozen, cut off or emptied, with many jobs and more watchers: each watcher of a job whose worker lives sees
//! its end, what it missed is announced, nothing comes twice, and what nobody will ever tell of is lost.

mod common;

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cenote_pool_core::redis::cmd;
use cenote_pubsub_progress::{Delivery, Event, Liveness, Progress, Status};
use cenote_testkit::{Proxy, Server, eventually_async, is_long, within};
use common::process::{Process, ROLE, URL};
use common::{Check, MINUTE, SOON, builder, next, pool, progress, to_the_end};
use tokio::sync::watch;
use tokio::task::JoinSet;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Killed,
    Frozen,
    CutOff,
    Emptied,
}

/// What the workers are to do.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Stage {
    Work,
    OddOnesFinish,
    AllFinish,
}

struct Crowd {
    workers: JoinSet<()>,
    watchers: JoinSet<Check>,
    stage: watch::Sender<Stage>,
    /// How many watchers have seen a state.
    began: Arc<AtomicUsize>,
    count: usize,
}

async fn crowd(here: &Progress, there: &Progress, jobs: usize, each: usize) -> Crowd {
    let mut crowd = Crowd {
        workers: JoinSet::new(),
        watchers: JoinSet::new(),
        stage: watch::Sender::new(Stage::Work),
        began: Arc::default(),
        count: jobs * each,
    };
    for number in 0..jobs {
        let id = format!("job {number}");
        for _ in 0..each {
            crowd.watchers.spawn(look(there.clone(), id.clone(), crowd.began.clone()));
        }
        crowd.workers.spawn(work(here.clone(), id, number, crowd.stage.subscribe()));
    }
    let began = crowd.began.clone();
    eventually_async(MINUTE, "all watchers see something", || {
        let all = began.load(Ordering::Relaxed) == jobs * each;
        async move { all }
    })
    .await;
    crowd
}

async fn work(progress: Progress, id: String, number: usize, mut stage: watch::Receiver<Stage>) {
    let job = within(MINUTE, progress.start(&id).into_future()).await.unwrap();
    let until = if number % 2 == 1 { Stage::OddOnesFinish } else { Stage::AllFinish };
    let mut count: u64 = 0;
    while *stage.borrow() < until {
        count += 1;
        job.set(count);
        job.log(&format!("line {count}"));
        let _ = tokio::time::timeout(Duration::from_millis(100), stage.changed()).await;
    }
    // Pending or confirmed: its watchers must see it.
    let _ = within(MINUTE, job.finish(count)).await.unwrap();
}

async fn look(progress: Progress, id: String, began: Arc<AtomicUsize>) -> Check {
    let mut watch = within(MINUTE, progress.watch(&id)).await.unwrap();
    let (mut check, mut seen) = (Check::default(), false);
    while let Some(event) = watch.next().await {
        check.event(&event);
        if event.snapshot().is_some() && !std::mem::replace(&mut seen, true) {
            began.fetch_add(1, Ordering::Relaxed);
        }
        if event.is_end() {
            let Event::Finished { snapshot, .. } = &event else { panic!("{id}: {event:?}") };
            assert_eq!(snapshot.result, Some(snapshot.done.into()), "the last state is the end's");
            assert!(check.lines == snapshot.position.l || check.gaps > 0, "{check:?}");
        }
    }
    check
}

async fn outage(fault: Fault, time: Duration) {
    let server = Server::builder().persistent().start();
    let proxy = Proxy::to(&server);
    let (here, there) = (builder(proxy.url()).build().unwrap(), builder(proxy.url()).build().unwrap());
    let (jobs, each) = if is_long() { (200, 10) } else { (60, 5) };
    let mut crowd = crowd(&here, &there, jobs, each).await;
    match fault {
        Fault::Killed => server.kill(),
        Fault::Frozen => server.freeze(),
        Fault::CutOff => {
            proxy.reset_on_accept(true);
            proxy.cut();
        }
        Fault::Emptied => {
            let () = cmd("FLUSHALL").query_async(&mut pool(server.url()).conn()).await.unwrap();
        }
    }
    crowd.stage.send_replace(Stage::OddOnesFinish);
    tokio::time::sleep(time).await;
    match fault {
        Fault::Killed => drop(server.restart()),
        Fault::Frozen => server.thaw(),
        Fault::CutOff => proxy.pass(),
        Fault::Emptied => {}
    }
    crowd.stage.send_replace(Stage::AllFinish);
    within(MINUTE * 2, async { while crowd.workers.join_next().await.transpose().unwrap().is_some() {} })
        .await;
    let (mut lines, mut gaps) = (0, 0);
    for _ in 0..crowd.count {
        let check = within(MINUTE, crowd.watchers.join_next()).await.unwrap().unwrap();
        (lines, gaps) = (lines + check.lines, gaps + check.gaps);
    }
    println!("{fault:?} for {time:?}: {} watchers of {jobs} jobs, {lines} lines, {gaps} gaps", crowd.count);
    // Redis has it, too.
    for number in 0..jobs {
        let id = format!("job {number}");
        eventually_async(MINUTE, "the end is in Redis", || async {
            let read = there.snapshot(&id).await.unwrap();
            read.is_some_and(|read| read.status == Status::Finished && !read.degraded)
        })
        .await;
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_watcher_sees_the_end_when_redis_is_killed_and_comes_back() {
    outage(Fault::Killed, SECOND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_watcher_sees_the_end_when_redis_stands_still_and_goes_on() {
    outage(Fault::Frozen, SECOND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_watcher_sees_the_end_when_redis_is_cut_off_and_back() {
    outage(Fault::CutOff, SECOND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_watcher_sees_the_end_when_redis_is_emptied() {
    outage(Fault::Emptied, SECOND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_watcher_sees_the_end_after_long_outages_too() {
    if !is_long() {
        return;
    }
    for fault in [Fault::Killed, Fault::Frozen, Fault::CutOff] {
        for seconds in [25, 60] {
            outage(fault, SECOND * seconds).await;
        }
    }
}

/// Not a test of its own: a worker that says nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_process() {
    let (Ok(role), Ok(url)) = (env::var(ROLE), env::var(URL)) else { return };
    let job = progress(url).start(&role).await.unwrap();
    job.log("here");
    assert_eq!(job.flush().await.unwrap(), Delivery::Confirmed);
    println!("<ready>");
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_neither_worker_nor_record_is_lost_and_what_has_either_is_not() {
    let server = Server::start();
    let (here, there) = (progress(server.url()), builder(server.url()).lost_after(SECOND).build().unwrap());
    let mut process = Process::start("gone", &server.url());
    process.said("ready");
    let alive = within(SOON, here.start("alive").into_future()).await.unwrap();
    let ended = within(SOON, here.start("ended").into_future()).await.unwrap();
    assert_eq!(within(SOON, ended.finish("kept")).await.unwrap(), Delivery::Confirmed);
    let mut gone = within(SOON, there.watch("gone")).await.unwrap();
    let mut goes_on = within(SOON, there.watch("alive")).await.unwrap();
    assert!(matches!(next(&mut gone).await, Event::Snapshot { .. }));
    // Its worker must have looked once, to notice that its mark is gone.
    eventually_async(SOON, "the mark is there", || async {
        let keys: Vec<String> =
            cmd("KEYS").arg("*sentinel*").query_async(&mut pool(server.url()).conn()).await.unwrap();
        keys.len() >= 2
    })
    .await;
    process.kill();
    let () = cmd("FLUSHALL").query_async(&mut pool(server.url()).conn()).await.unwrap();
    let events = to_the_end(&mut gone).await;
    assert!(matches!(events.last(), Some(Event::Lost { snapshot: Some(_), .. })), "{events:?}");
    eventually_async(SOON, "a live worker keeps the end of its job", || async {
        there.snapshot("ended").await.unwrap().is_some_and(|read| read.result == Some("kept".into()))
    })
    .await;
    assert_eq!(within(SOON, alive.finish(())).await.unwrap(), Delivery::Confirmed);
    assert!(matches!(to_the_end(&mut goes_on).await.last(), Some(Event::Finished { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_away_watchers_here_go_on_and_those_elsewhere_know_that_nobody_knows() {
    let server = Server::builder().persistent().start();
    let (here, there) = (progress(server.url()), progress(server.url()));
    let job = within(SOON, here.start("job").into_future()).await.unwrap();
    let mut beside = within(SOON, here.watch("job")).await.unwrap();
    let mut elsewhere = within(SOON, there.watch("job")).await.unwrap();
    assert!(matches!(next(&mut beside).await, Event::Snapshot { .. }));
    assert!(matches!(next(&mut elsewhere).await, Event::Snapshot { .. }));
    server.kill();
    loop {
        match next(&mut elsewhere).await {
            Event::Liveness { liveness, .. } => {
                break assert_eq!(liveness, Liveness::Unknown, "and not stalled");
            }
            other => assert!(!other.is_end(), "{other:?}"),
        }
    }
    job.set(7);
    job.log("only here");
    let (mut degraded, mut heard) = (false, false);
    while !(degraded && heard) {
        match next(&mut beside).await {
            Event::Update { snapshot, .. } => degraded = snapshot.degraded && snapshot.done == 7,
            Event::Log { line, .. } => heard = &*line.text == "only here",
            other => assert!(!other.is_end(), "{other:?}"),
        }
    }
    // Begun, watched and ended in the outage.
    let late = within(SOON, here.start("late").into_future()).await.unwrap();
    assert_eq!(within(SOON, late.finish("in the dark")).await.unwrap(), Delivery::Pending);
    let seen = to_the_end(&mut within(SOON, here.watch("late")).await.unwrap()).await;
    assert!(matches!(seen.last(), Some(Event::Finished { .. })));
    let mut unknown = within(SOON, there.watch("late")).await.unwrap();
    assert!(matches!(next(&mut unknown).await, Event::Pending { .. }));
    assert!(within(SOON, there.snapshot("late")).await.unwrap_err().is_unavailable());
    server.restart();
    let events = to_the_end(&mut unknown).await;
    assert_eq!(events.last().unwrap().snapshot().unwrap().result, Some("in the dark".into()));
    let confirmed = within(MINUTE, job.finish("and back")).await.unwrap();
    let events = to_the_end(&mut elsewhere).await;
    assert!(
        events.iter().any(|event| matches!(event, Event::Log { line, .. } if &*line.text == "only here"))
    );
    assert_eq!(events.last().unwrap().snapshot().unwrap().result, Some("and back".into()));
    assert!(matches!(confirmed, Delivery::Confirmed | Delivery::Pending));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_told_when_the_pool_is_closed_and_a_watch_ends_with_its_pool() {
    let server = Server::start();
    let pool = pool(server.url());
    let slow = Progress::builder(&pool).throttle(Duration::from_secs(3600)).build().unwrap();
    let there = progress(server.url());
    let job = within(SOON, slow.start("waits").into_future()).await.unwrap();
    let dropped = within(SOON, slow.start("dropped").into_future()).await.unwrap();
    let mut watch = within(SOON, slow.watch("waits")).await.unwrap();
    job.set(41);
    job.set(42);
    drop(dropped);
    within(SOON, pool.close()).await;
    let read = within(SOON, there.snapshot("waits")).await.unwrap().unwrap();
    assert_eq!((read.done, read.status), (42, Status::Running));
    let read = within(SOON, there.snapshot("dropped")).await.unwrap().unwrap();
    assert_eq!(read.status, Status::Abandoned);
    while let Some(event) = within(SOON, watch.next()).await {
        assert!(!event.is_end(), "the job goes on, and the watch does not: {event:?}");
    }
    assert!(within(SOON, slow.watch("waits")).await.unwrap_err().is_closed());
    assert!(within(SOON, slow.start("another").into_future()).await.unwrap_err().is_closed());
    assert_eq!(within(SOON, job.finish(())).await.unwrap(), Delivery::Pending);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_is_on_its_way_when_the_pool_is_closed_is_pending_at_once_and_not_after_its_limit() {
    let server = Server::start();
    let pool = pool(server.url());
    let here = Progress::builder(&pool).timeout(Duration::from_secs(300)).build().unwrap();
    let job = within(SOON, here.start("job").into_future()).await.unwrap();
    server.freeze();
    let ending = tokio::spawn({
        let job = job.clone();
        async move { job.finish(()).await.unwrap() }
    });
    eventually_async(SOON, "it has ended here", || async { job.status().is_end() }).await;
    within(SOON, pool.close()).await;
    assert_eq!(within(SOON, ending).await.unwrap(), Delivery::Pending);
}
