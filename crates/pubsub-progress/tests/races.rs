//! Watchers that join a running job at any moment: whatever they find between a subscription, a snapshot and what comes
//! meanwhile, they see each line once or a gap, states that grow, and the end.

mod common;

use std::time::Duration;

use cenote_pubsub_progress::{Event, Progress, Status};
use cenote_testkit::{Server, is_long, seed, within};
use common::{Check, MINUTE, SOON, builder};
use tokio::task::JoinSet;

const AT_ONCE: u64 = 48;

/// A generator of our own, so that a seed repeats a run's choices.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % most
    }

    async fn pause(&mut self) {
        match self.below(4) {
            0 => tokio::time::sleep(Duration::from_micros(self.below(3_000))).await,
            1 => tokio::task::yield_now().await,
            _ => {}
        }
    }
}

async fn work(progress: Progress, id: String, mut dice: Dice) -> u64 {
    let job = within(SOON, progress.start(&id).into_future()).await.unwrap();
    let lines = dice.below(40);
    for n in 1..=lines {
        job.set(n);
        dice.pause().await;
        job.log(&format!("line {n}"));
        dice.pause().await;
    }
    match dice.below(3) {
        0 => drop(within(SOON, job.finish(lines)).await.unwrap()),
        1 => drop(within(SOON, job.fail("no")).await.unwrap()),
        _ => drop(job),
    }
    lines
}

async fn look(progress: Progress, id: String, mut dice: Dice) -> Check {
    for _ in 0..dice.below(30) {
        dice.pause().await;
    }
    let mut watch = within(SOON, progress.watch(&id)).await.unwrap();
    let (mut check, mut last) = (Check::default(), None);
    // Some stop in the middle, and go on from there.
    let mut until_break = dice.below(30);
    while let Some(event) = within(SOON, watch.next()).await {
        check.event(&event);
        if until_break == 0 && !event.is_end() {
            watch = within(SOON, progress.watch_from(&id, event.position())).await.unwrap();
        }
        until_break = until_break.wrapping_sub(1);
        if dice.below(8) == 0 {
            dice.pause().await;
        }
        last = Some(event);
    }
    let end = last.expect("it ends with an event");
    assert!(end.is_end(), "{end:?}");
    let snapshot = end.snapshot().unwrap_or_else(|| panic!("{id} is lost"));
    assert_ne!(snapshot.status, Status::Running);
    assert!(!matches!(end, Event::Cancelled { .. }));
    assert_eq!(snapshot.position.v, end.position().v, "the last state is that of the end");
    check
}

async fn round(here: Progress, there: Progress, seed: u64) -> Check {
    let id = format!("race {seed:x}");
    let watching = tokio::spawn(look(there, id.clone(), Dice(seed)));
    let beside = tokio::spawn(look(here.clone(), id.clone(), Dice(!seed)));
    let lines = work(here, id, Dice(seed ^ 0xABCD)).await;
    let beside = within(MINUTE, beside).await.unwrap();
    let check = within(MINUTE, watching).await.unwrap();
    for check in [&check, &beside] {
        assert!(check.lines <= lines, "no line twice");
        assert!(check.lines == lines || check.gaps > 0, "{check:?} of {lines}");
    }
    check
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_joins_at_any_moment_sees_dense_lines_or_a_gap_and_always_the_end() {
    let server = Server::start();
    let quick = |lines| {
        let builder = builder(server.url()).throttle(Duration::ZERO).linger(Duration::from_millis(100));
        builder.log_lines(lines).build().unwrap()
    };
    let (seed, rounds) = (seed(), if is_long() { 100_000 } else { 3_000 });
    // Few lines are kept in the first of the two, so that some are gone when they are asked for.
    let pairs = [(quick(8), quick(8)), (quick(1_000), quick(1_000))];
    let (mut running, mut lines, mut gaps) = (JoinSet::new(), 0, 0);
    for n in 0..rounds {
        let (here, there) = pairs[usize::from(n % 4 != 0)].clone();
        running.spawn(round(here, there, seed.wrapping_add(n)));
        if n >= AT_ONCE {
            let check = within(MINUTE, running.join_next()).await.unwrap().unwrap();
            (lines, gaps) = (lines + check.lines, gaps + check.gaps);
        }
    }
    for check in within(MINUTE, running.join_all()).await {
        (lines, gaps) = (lines + check.lines, gaps + check.gaps);
    }
    println!("{rounds} rounds: {lines} lines and {gaps} gaps told");
    assert!(lines > rounds, "lines were told");
}
