//! What workers should not send, and what becomes of it: errors that say what is wrong, or a documented bound.

mod common;

use std::collections::HashMap;

use cenote_pubsub_progress::{Delivery, Error, Event, Progress};
use cenote_testkit::{Server, within};
use common::{SOON, builder, next, progress, to_the_end};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_and_wild_texts_are_cut_and_tamed() {
    let server = Server::start();
    let (here, there) = (progress(server.url()), progress(server.url()));
    let job = within(SOON, here.start("wild").into_future()).await.unwrap();
    job.message(&"m".repeat(1 << 20));
    job.log("a\u{1b}[2Jb\u{0}c\nd\u{202e}");
    job.log(&"l".repeat(1 << 20));
    job.child(&"n".repeat(1 << 20)).message("x\u{7}");
    let error = within(SOON, job.finish("r".repeat(1 << 20))).await.unwrap_err();
    assert!(matches!(error, Error::Result(_)) && error.to_string().contains("65536"), "{error}");
    let error = within(SOON, job.finish(HashMap::from([((1, 2), 3)]))).await.unwrap_err();
    assert!(error.to_string().contains("JSON"), "{error}");
    let ended = within(SOON, job.fail("e".repeat(1 << 20))).await.unwrap();
    assert_eq!(ended, Delivery::Confirmed, "the job goes on after a result that cannot be");

    let events = to_the_end(&mut within(SOON, there.watch("wild")).await.unwrap()).await;
    let lines: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Log { line, .. } => Some(line.text.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(&*lines[0], "a\u{FFFD}[2Jb\u{FFFD}c d\u{FFFD}");
    assert!(lines[1].len() < 9_000 && lines[1].ends_with('…'));
    let end = events.last().unwrap().snapshot().unwrap();
    assert!(end.message.as_ref().unwrap().len() < 4_200 && end.error.as_ref().unwrap().len() < 4_200);
    assert!(end.children[0].name.len() < 140);
    assert_eq!(end.children[0].message.as_deref(), Some("x\u{FFFD}"));
    assert!(!end.to_json().contains('\n'));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_text_names_a_job_unless_it_is_empty_or_too_long() {
    let server = Server::start();
    let (here, there) = (progress(server.url()), progress(server.url()));
    let names =
        ["with space", "a/b/../c", "{braces}", "}{", "ünï → 💧", "line\nbreak", "%7B", "*", ":", "control"];
    for name in names {
        let job = within(SOON, here.start(name).into_future()).await.unwrap();
        assert_eq!(within(SOON, job.finish(name)).await.unwrap(), Delivery::Confirmed);
    }
    for name in names {
        let read = within(SOON, there.snapshot(name)).await.unwrap().unwrap();
        assert_eq!((&*read.job, read.result.clone()), (name, Some(name.into())));
    }
    assert_eq!(within(SOON, there.list(100)).await.unwrap().len(), names.len());
    assert_eq!(within(SOON, there.list(3)).await.unwrap().len(), 3);
    for wrong in [String::new(), "x".repeat(513)] {
        for error in [
            within(SOON, here.start(&wrong).into_future()).await.unwrap_err(),
            within(SOON, here.watch(&wrong)).await.unwrap_err(),
            within(SOON, here.snapshot(&wrong)).await.unwrap_err(),
            within(SOON, here.cancel(&wrong)).await.unwrap_err(),
        ] {
            assert!(error.to_string().contains("512"), "{error}");
        }
    }
    let settings =
        |change: fn(cenote_pubsub_progress::ProgressBuilder) -> cenote_pubsub_progress::ProgressBuilder| {
            change(builder(server.url())).build().unwrap_err().to_string()
        };
    assert!(settings(|builder| builder.namespace("a:b")).contains("A-Z"));
    assert!(settings(|builder| builder.heartbeat(std::time::Duration::ZERO)).contains("50 ms"));
    assert!(settings(|builder| builder.retention(std::time::Duration::ZERO)).contains("three heartbeats"));
    assert!(settings(|builder| builder.log_lines(0)).contains("log_lines"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn totals_of_zero_have_no_fraction_and_progress_may_go_backwards() {
    let server = Server::start();
    let job = within(SOON, progress(server.url()).start("odd").into_future()).await.unwrap();
    job.total(0);
    assert_eq!(job.snapshot().fraction, None);
    job.total(10);
    job.set(20);
    assert_eq!(job.snapshot().fraction, Some(1.0));
    job.inc(u64::MAX);
    assert_eq!(job.snapshot().done, u64::MAX);
    let before = job.position();
    job.set(5);
    assert_eq!((job.snapshot().done, job.snapshot().fraction), (5, Some(0.5)));
    assert!(job.position() > before, "going back is a step onwards");
    let weights: Vec<_> = [("a", 3.0), ("b", 1.0), ("c", f64::NAN), ("d", -1.0)]
        .map(|(name, weight)| job.child(name).weight(weight).clone())
        .to_vec();
    weights[0].unit("bytes").total(1 << 40).set(1 << 39);
    weights[1].unit("files").total(2).set(2);
    weights[2].total(0).set(9);
    assert_eq!(job.snapshot().fraction, Some((3.0 * 0.5 + 1.0) / 4.0), "bytes and files are not added up");
    (0..100).for_each(|n| drop(job.child(&format!("child {n}")).total(1).set(1).clone()));
    assert_eq!(job.snapshot().children.len(), 64);
    assert_eq!(within(SOON, job.finish(())).await.unwrap(), Delivery::Confirmed);
    job.set(1);
    job.log("after the end");
    assert_eq!((job.snapshot().done, job.position().l), (5, 0), "nothing changes after the end");
}

async fn flood(here: &Progress, there: &Progress) -> (Vec<Event>, u64) {
    let job = within(SOON, here.start("flood").into_future()).await.unwrap();
    let mut watch = within(SOON, there.watch("flood")).await.unwrap();
    assert!(matches!(next(&mut watch).await, Event::Snapshot { .. }));
    let line = "x".repeat(100);
    for n in 0..100_000_u64 {
        job.set(n);
        job.log(&line);
    }
    assert_eq!(within(SOON, job.finish(())).await.unwrap(), Delivery::Confirmed);
    (to_the_end(&mut watch).await, job.position().l)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_lines_are_bounded_everywhere_and_what_is_left_out_is_announced() {
    let server = Server::start();
    let small = || builder(server.url()).log_lines(500).build().unwrap();
    let (events, lines) = flood(&small(), &small()).await;
    let gaps: u64 = events
        .iter()
        .map(|event| match event {
            Event::Gap { from, to, .. } => to - from + 1,
            _ => 0,
        })
        .sum();
    let told = events.iter().filter(|event| matches!(event, Event::Log { .. })).count() as u64;
    assert_eq!((lines, told + gaps), (100_000, 100_000));
    assert!(told >= 500, "the last ones are there: {told}");
    let late = to_the_end(&mut within(SOON, small().watch("flood")).await.unwrap()).await;
    let last: Vec<_> = late.iter().filter(|event| matches!(event, Event::Log { .. })).collect();
    assert!((1..=700).contains(&last.len()), "Redis keeps about 500: {}", last.len());
}
