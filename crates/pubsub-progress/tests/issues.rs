//! What users of other clients run into, each as a test: the numbers are those of the list in the design.

mod common;

use std::time::Duration;

use cenote_pool_core::redis::{self, cmd};
use cenote_pubsub_progress::{Delivery, Event, JobHandle, Liveness, Progress, Snapshot, Status, Watch};
use cenote_testkit::{Proxy, Server, eventually_async, within};
use common::{SOON, builder, next, pool, progress, to_the_end};

async fn start(progress: &Progress, job: &str) -> JobHandle {
    within(SOON, progress.start(job).into_future()).await.unwrap()
}

async fn finish(job: &JobHandle) {
    assert_eq!(within(SOON, job.finish("done")).await.unwrap(), Delivery::Confirmed);
}

fn texts(events: &[Event]) -> Vec<String> {
    let text = |event: &Event| match event {
        Event::Log { line, .. } => Some(line.text.to_string()),
        _ => None,
    };
    events.iter().filter_map(text).collect()
}

async fn ask<T: redis::FromRedisValue>(server: &Server, words: &[&str]) -> T {
    let mut cmd = cmd(words[0]);
    cmd.arg(&words[1..]);
    within(SOON, cmd.query_async(&mut pool(server.url()).conn())).await.unwrap()
}

/// Changes the record without telling anybody: a worker whose messages do not arrive.
async fn change_unheard(server: &Server, job: &str, change: impl FnOnce(&mut Snapshot, &mut u64)) {
    let key = format!("progress:1:jobs:{{{job}}}:state");
    let (state, v, l): (String, u64, u64) = ask(server, &["HMGET", &key, "s", "v", "l"]).await;
    let mut snapshot: Snapshot = serde_json::from_str(&state).unwrap();
    let mut lines = l;
    change(&mut snapshot, &mut lines);
    let (state, v, lines) = (snapshot.to_json(), (v + 1).to_string(), lines.to_string());
    let status = snapshot.status.name();
    let () = redis::cmd("HSET")
        .arg(&key)
        .arg(&["s", &*state, "v", &v, "l", &lines, "st", status])
        .exec_async(&mut pool(server.url()).conn())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issues_1_and_2_who_comes_after_the_end_is_told_and_what_follows_a_watch_is_not_missed() {
    let server = Server::start();
    let (here, there) = (progress(server.url()), progress(server.url()));
    for round in 0..50 {
        let id = format!("job {round}");
        let job = start(&here, &id).await;
        let mut watch = within(SOON, there.watch(&id)).await.unwrap();
        // In the very moment in which the subscription is there.
        (0..5).for_each(|n| job.log(&n.to_string()));
        finish(&job).await;
        assert_eq!(texts(&to_the_end(&mut watch).await), ["0", "1", "2", "3", "4"]);
        let late = to_the_end(&mut within(SOON, there.watch(&id)).await.unwrap()).await;
        assert_eq!(texts(&late), ["0", "1", "2", "3", "4"], "and after the end again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issue_3_an_end_whose_message_is_lost_is_found() {
    let server = Server::start();
    let (here, there) = (progress(server.url()), progress(server.url()));
    let job = start(&here, "job").await;
    let mut watch = within(SOON, there.watch("job")).await.unwrap();
    assert!(matches!(next(&mut watch).await, Event::Snapshot { .. }));
    change_unheard(&server, "job", |snapshot, _| snapshot.status = Status::Finished).await;
    let events = to_the_end(&mut watch).await;
    assert!(matches!(events.last(), Some(Event::Finished { .. })), "{events:?}");
    drop(job);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issue_3_an_end_while_the_push_connection_is_killed_again_and_again_is_seen() {
    let server = Server::start();
    let (here, there) = (progress(server.url()), progress(server.url()));
    for round in 0..10 {
        let id = format!("job {round}");
        let job = start(&here, &id).await;
        let mut watch = within(SOON, there.watch(&id)).await.unwrap();
        job.log("a");
        let killing = async { ask::<u64>(&server, &["CLIENT", "KILL", "TYPE", "pubsub"]).await };
        let (_, ()) = tokio::join!(killing, finish(&job));
        let events = to_the_end(&mut watch).await;
        assert_eq!(texts(&events), ["a"]);
        assert!(matches!(events.last(), Some(Event::Finished { .. })));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issue_4_after_a_flush_positions_go_on_and_so_do_those_who_come_back_with_them() {
    let server = Server::start();
    let (here, there) = (progress(server.url()), progress(server.url()));
    let job = start(&here, "job").await;
    (0..5).for_each(|n| job.log(&n.to_string()));
    assert_eq!(within(SOON, job.flush()).await.unwrap(), Delivery::Confirmed);
    let mut watch = within(SOON, there.watch("job")).await.unwrap();
    let mut at = watch.position();
    while at.l < 5 {
        at = next(&mut watch).await.position();
    }
    drop(watch);
    let () = ask(&server, &["FLUSHALL"]).await;
    let mut again = within(SOON, progress(server.url()).watch_from("job", at)).await.unwrap();
    job.log("after");
    finish(&job).await;
    let events = to_the_end(&mut again).await;
    assert_eq!(texts(&events), ["after"], "{events:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issue_5_what_redis_accepts_and_does_not_deliver_is_found() {
    let server = Server::start();
    let (here, there) = (progress(server.url()), progress(server.url()));
    let job = start(&here, "job").await;
    let mut watch = within(SOON, there.watch("job")).await.unwrap();
    assert!(matches!(next(&mut watch).await, Event::Snapshot { .. }));
    change_unheard(&server, "job", |snapshot, lines| {
        snapshot.done = 77;
        *lines += 3;
    })
    .await;
    let (mut done, mut gap) = (0, None);
    while done != 77 || gap.is_none() {
        match next(&mut watch).await {
            Event::Update { snapshot, .. } => done = snapshot.done,
            Event::Gap { from, to, .. } => gap = Some((from, to)),
            other => assert!(!other.is_end(), "{other:?}"),
        }
    }
    assert_eq!(gap, Some((1, 3)), "lines that nobody has are announced");
    drop(job);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issues_6_and_9_all_watchers_share_one_connection_and_leave_no_subscription_behind() {
    let server = Server::start();
    let here = progress(server.url());
    let shared = pool(server.url());
    let there =
        Progress::builder(&shared).linger(Duration::from_millis(300)).heartbeat(Duration::from_millis(200));
    let there = there.build().unwrap();
    let mut watches = Vec::new();
    for number in 0..1_000 {
        watches.push(within(SOON, there.watch(format!("job {}", number % 100))).await.unwrap());
    }
    let list: String = ask(&server, &["CLIENT", "LIST", "TYPE", "pubsub"]).await;
    assert_eq!(list.lines().count(), 1, "{list}");
    assert!(shared.status().connections_in_use < 8, "{:?}", shared.status());
    let channels: Vec<String> = ask(&server, &["PUBSUB", "CHANNELS", "progress:*"]).await;
    assert_eq!(channels.len(), 100);
    let job = start(&here, "job 7").await;
    finish(&job).await;
    let mut told = 0;
    for watch in watches.iter_mut().filter(|watch| watch.job() == "job 7") {
        told += usize::from(to_the_end(watch).await.last().is_some_and(Event::is_end));
    }
    assert_eq!(told, 10);
    drop(watches);
    eventually_async(SOON, "no subscription is left", || async {
        let left: Vec<String> = ask(&server, &["PUBSUB", "CHANNELS", "progress:1:jobs:{job*"]).await;
        left.is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issues_7_and_11_who_does_not_read_is_told_what_it_missed_and_holds_up_nobody() {
    let server = Server::start();
    let (here, there) =
        (builder(server.url()).build().unwrap(), builder(server.url()).log_lines(100).build().unwrap());
    let job = start(&here, "job").await;
    let mut slow = within(SOON, there.watch("job")).await.unwrap();
    let mut quick = within(SOON, there.watch("job")).await.unwrap();
    let reading = tokio::spawn(async move { to_the_end(&mut quick).await });
    for n in 0..1_000 {
        job.set(n);
        job.log(&n.to_string());
        if n % 50 == 0 {
            assert_eq!(within(SOON, job.flush()).await.unwrap(), Delivery::Confirmed);
        }
    }
    finish(&job).await;
    let all = within(SOON, reading).await.unwrap();
    assert_eq!(all.last().unwrap().snapshot().unwrap().done, 999);
    let events = to_the_end(&mut slow).await;
    let gap = events.iter().find_map(|event| match event {
        Event::Gap { from, to, .. } => Some((*from, *to)),
        _ => None,
    });
    assert_eq!(gap, Some((1, 900)));
    assert_eq!(texts(&events).len(), 100);
    let updates = events.iter().filter(|event| matches!(event, Event::Update { .. })).count();
    assert!(updates <= 1, "it sees the latest state only: {updates}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issue_7_a_hole_in_what_is_delivered_is_filled_from_redis_and_not_passed_over() {
    let server = Server::start();
    // Nobody else finds it: the next look is in half a minute.
    let slow = |url| builder(url).heartbeat(Duration::from_secs(60)).build().unwrap();
    let (here, there) = (slow(server.url()), slow(server.url()));
    let job = start(&here, "job").await;
    let mut watch = within(SOON, there.watch("job")).await.unwrap();
    assert!(matches!(next(&mut watch).await, Event::Snapshot { .. }));
    let line = |seq: u64| format!(r#"{{"seq":{seq},"level":"info","text":"{seq}","at_ms":0}}"#);
    let run = job.position().run;
    for seq in 1..=4 {
        let (key, id) = ("progress:1:jobs:{job}:log", format!("{run}-{seq}"));
        let _: String = ask(&server, &["XADD", key, &id, "d", &line(seq)]).await;
    }
    change_unheard(&server, "job", |_, lines| *lines = 4).await;
    let state = job.snapshot().to_json();
    let told = format!(r#"{run}:3:4:{{"a":1,"s":{state},"log":[{}]}}"#, line(4));
    let _: u64 = ask(&server, &["PUBLISH", "progress:1:jobs:{job}", &told]).await;
    let mut events = Vec::new();
    while texts(&events).len() < 4 {
        events.push(next(&mut watch).await);
        assert!(!matches!(events.last(), Some(Event::Gap { .. })), "{events:?}");
    }
    assert_eq!(texts(&events), ["1", "2", "3", "4"]);
    drop(job);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issue_8_who_listens_comes_back_after_every_loss_and_each_is_told() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    // The look at all jobs, once in half a minute, finds nothing in time.
    let there = builder(proxy.url()).heartbeat(Duration::from_secs(60)).build().unwrap();
    let here = progress(server.url());
    let job = start(&here, "job").await;
    let mut watch = within(SOON, there.watch("job")).await.unwrap();
    assert!(matches!(next(&mut watch).await, Event::Snapshot { .. }));
    for round in 1..=8_u64 {
        let before = there.stats().reconnects;
        proxy.reset_on_accept(true);
        proxy.cut();
        job.set(round);
        job.log(&round.to_string());
        let away = |event: &Event| matches!(event, Event::Liveness { liveness: Liveness::Unknown, .. });
        until(&mut watch, away).await;
        if round == 8 {
            // Others have given up by then.
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        proxy.pass();
        // Told meanwhile, and told now.
        until(&mut watch, |event| matches!(event, Event::Log { line, .. } if line.seq == 2 * round - 1))
            .await;
        job.log("here again");
        until(&mut watch, |event| matches!(event, Event::Log { line, .. } if line.seq == 2 * round)).await;
        assert!(there.stats().reconnects > before, "{:?}", there.stats());
    }
    finish(&job).await;
    assert_eq!(to_the_end(&mut watch).await.last().unwrap().snapshot().unwrap().done, 8);
}

async fn until(watch: &mut Watch, is_it: impl Fn(&Event) -> bool) {
    loop {
        let event = next(watch).await;
        assert!(!event.is_end() && !matches!(event, Event::Gap { .. }), "{event:?}");
        if is_it(&event) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issue_10_every_event_has_a_position_and_from_each_the_rest_follows_and_nothing_twice() {
    let server = Server::start();
    let (here, there) =
        (builder(server.url()).throttle(Duration::ZERO).build().unwrap(), progress(server.url()));
    let job = start(&here, "job").await;
    let mut watch = within(SOON, there.watch("job")).await.unwrap();
    for n in 0..10 {
        job.set(n);
        job.log(&n.to_string());
    }
    finish(&job).await;
    let events = to_the_end(&mut watch).await;
    for (index, event) in events.iter().enumerate().filter(|(_, event)| event.position().run > 0) {
        for progress in [&there, &progress(server.url())] {
            let mut rest = within(SOON, progress.watch_from("job", event.position())).await.unwrap();
            let rest = to_the_end(&mut rest).await;
            assert_eq!(texts(&rest), texts(&events[index + 1..]), "after {event:?}");
            assert!(!rest.iter().any(|event| matches!(event, Event::Snapshot { .. })));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issue_12_a_quiet_job_stays_live_and_changes_do_not_cost_a_command_each() {
    let server = Server::start();
    let (here, there) = (progress(server.url()), progress(server.url()));
    let job = start(&here, "job").await;
    let mut watch = within(SOON, there.watch("job")).await.unwrap();
    assert!(matches!(next(&mut watch).await, Event::Snapshot { .. }));
    // Four heartbeats in which nothing happens.
    let quiet = tokio::time::timeout(Duration::from_secs(2), watch.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    let before = server.observer().calls("evalsha");
    let began = std::time::Instant::now();
    for n in 0..100_000 {
        job.set(n);
    }
    finish(&job).await;
    let most = 4 + began.elapsed().as_millis() as u64 / 125 + began.elapsed().as_millis() as u64 / 500;
    let calls = server.observer().calls("evalsha") - before;
    assert!(calls <= most, "{calls} reports, and at most {most} were due");
    assert_eq!(to_the_end(&mut watch).await.last().unwrap().snapshot().unwrap().done, 99_999);
}
