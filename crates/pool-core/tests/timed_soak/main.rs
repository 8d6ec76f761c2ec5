//! The soak: every kind of call on one pool from two runtimes, and each second another fault drawn from a seed.
//!
//! Ten minutes under `cargo xtask test --long`, ten seconds otherwise. In rounds: some faults under load, then the
//! load stands still and all that was written and told is held against the server.

mod actor;
mod dedicated;
mod degradable;
mod faults;
mod flat;
mod gate;
mod ledger;
mod news;
mod random;
mod register;
mod report;
mod runtimes;
mod stage;
mod strict;
mod till;
mod visitors;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::Pool;
use cenote_testkit::{Proxy, Server, Watchdog, eventually, is_long, seed};

use self::actor::Cast;
use self::dedicated::Queue;
use self::degradable::Degradable;
use self::faults::Deck;
use self::flat::Measure;
use self::news::{Press, Publisher, Reader};
use self::random::Random;
use self::runtimes::Runtimes;
use self::stage::Stage;
use self::strict::Strict;
use self::till::Till;
use self::visitors::Visitors;

const SECOND: Duration = Duration::from_secs(1);
const BURST: usize = 10_000;
/// How soon after a fault has ended the pool says `Ready`.
const BACK: Duration = SECOND;
/// What a call may take beyond its limit, on a machine that lets it run.
const OVERSHOOT: Duration = Duration::from_millis(250);

#[test]
fn under_a_fault_a_second_replies_are_right_outcomes_are_true_and_nothing_grows() {
    let (rounds, faults) = if is_long() { (60, 10) } else { (2, 5) };
    let _watchdog = Watchdog::new(2 * rounds * faults * SECOND + Duration::from_secs(60));
    let seed = seed();
    let mut random = Random::new(seed, 0);
    let stage = stage();
    let _story = Story(stage.clone());
    let runtimes = Runtimes::start();
    let cast = cast(&stage, &runtimes, seed);
    let visitors = Visitors::new();

    runtimes.burst(&stage.pool, BURST);
    let (mut deck, mut first) = (Deck::default(), None);
    for _ in 0..rounds {
        for _ in 1..faults {
            let tick = Instant::now();
            deck.strike(&stage, &mut random, &visitors);
            stage.report.check();
            thread::sleep(SECOND.saturating_sub(tick.elapsed()));
        }
        deck.strike(&stage, &mut random, &visitors);
        stage.settle(BACK);
        audit(&stage, &cast, &visitors);
        first.get_or_insert_with(|| Measure::take(&stage, &runtimes));
        stage.gate.open();
    }
    stage.gate.shut();
    runtimes.burst(&stage.pool, BURST);
    stage.settle(BACK);
    audit(&stage, &cast, &visitors);

    let first = first.unwrap();
    let last = first.assert_not_outgrown(|| Measure::take(&stage, &runtimes));
    println!("{}", stage.report.totals(seed));
    println!("after the first of {rounds} rounds {first}; at the end {last}");
    stage.report.assert_limits_were_kept(OVERSHOOT);

    let report = runtimes.close(&stage.pool);
    assert_eq!(report.cut_calls, 0, "the pool stood still");
    eventually(Duration::from_secs(5), "a closed pool has no connection", || {
        stage.observer.client_count() == 0
    });
}

/// Holds what everybody was told against the server.
fn audit(stage: &Stage, cast: &Cast, visitors: &Visitors) {
    stage.report.check();
    cast.audit(stage);
    visitors.audit(stage);
    stage.assert_nothing_is_left();
    stage.report.check();
}

/// Tells a failed run's faults.
struct Story(Stage);

impl Drop for Story {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("the faults were\n{}", self.0.report.faults());
        }
    }
}

fn stage() -> Stage {
    // What is written survives a kill without reaching the disk, whose stalls would be the server's. And the log is
    // kept so small that a restart reads it in no time.
    let server = Server::builder()
        .persistent()
        .arg("appendfsync", "no")
        .arg("auto-aof-rewrite-min-size", "4mb")
        .start();
    let proxy = Proxy::to(&server);
    let pool = Pool::builder()
        .url(proxy.url())
        .fallback(FallbackLru::default())
        .socket_timeout(stage::SOCKET_TIMEOUT)
        .connect_timeout(stage::SOCKET_TIMEOUT)
        .degrade_after(stage::DEGRADE_AFTER)
        .degrade_after_first(stage::DEGRADE_AFTER)
        .max_connections(12)
        .shared_connections(2)
        .build()
        .unwrap();
    Stage::new(server, proxy, pool)
}

/// Who makes the load. Another kind of it is another line here.
fn cast(stage: &Stage, runtimes: &Runtimes, seed: u64) -> Cast {
    let (mut cast, book, press) = (Cast::new(stage, seed), Arc::default(), Press::default());
    for (runtime, size) in [(runtimes.multi(), 2), (runtimes.single(), 1)] {
        for _ in 0..3 * size {
            cast.enter(&runtime, |name, random| Strict::new(stage, name, random));
        }
        for _ in 0..2 * size {
            cast.enter(&runtime, |name, random| Degradable::new(stage, name, random));
        }
        for _ in 0..size {
            cast.enter(&runtime, |name, random| Queue::new(stage, name, random));
            cast.enter(&runtime, |_, random| Till::new(stage, random, Arc::clone(&book)));
            cast.enter(&runtime, |name, random| Reader::new(stage, name, &runtime, random, &press));
        }
    }
    cast.enter(&runtimes.multi(), |_, _| Publisher::new(stage, press));
    cast
}
