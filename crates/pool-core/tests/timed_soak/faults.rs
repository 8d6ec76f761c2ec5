//! What can happen to a pool in a second.

use std::thread;
use std::time::{Duration, Instant};

use crate::random::Random;
use crate::stage::Stage;
use crate::visitors::Visitors;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    KilledAndRestarted,
    Frozen,
    Cut,
    RequestsStalled,
    RepliesStalled,
    /// What was sent before the cut arrives after it, before all that is new.
    CutBeforeLateRequests,
    /// The same, after what is new.
    LateRequests,
    ReplyTruncated,
    RepliesLost,
    ResetOnAccept,
    ClosedOnAccept,
    Blackhole,
    SlowRequests,
    SlowReplies,
    SingleBytes,
    SomeKilled,
    AllKilled,
    Paused,
    WritesPaused,
    Visitor,
}

use Fault::*;

const ALL: [Fault; 20] = [
    KilledAndRestarted,
    Frozen,
    Cut,
    RequestsStalled,
    RepliesStalled,
    CutBeforeLateRequests,
    LateRequests,
    ReplyTruncated,
    RepliesLost,
    ResetOnAccept,
    ClosedOnAccept,
    Blackhole,
    SlowRequests,
    SlowReplies,
    SingleBytes,
    SomeKilled,
    AllKilled,
    Paused,
    WritesPaused,
    Visitor,
];

/// All of them in a random order, and again in another.
#[derive(Default)]
pub(crate) struct Deck(Vec<Fault>);

impl Deck {
    /// Draws one and returns when it is over.
    pub(crate) fn strike(&mut self, stage: &Stage, random: &mut Random, visitors: &Visitors) {
        if self.0.is_empty() {
            self.0.extend(ALL);
        }
        let drawn = random.below(self.0.len() as u64) as usize;
        self.0.swap_remove(drawn).strike(stage, random, visitors);
    }
}

impl Fault {
    fn strike(self, stage: &Stage, random: &mut Random, visitors: &Visitors) {
        let (server, proxy) = (&stage.server, &stage.proxy);
        let length = random.millis(20, 900);
        stage.report.fault(&format!("{self:?} for {length:?}"));
        let last = || thread::sleep(length);
        match self {
            KilledAndRestarted => {
                server.kill();
                thread::sleep(length / 2);
                server.restart();
            }
            Frozen => {
                server.freeze();
                last();
                server.thaw();
            }
            Cut => proxy.cut(),
            RequestsStalled => {
                proxy.stall_requests();
                last();
            }
            RepliesStalled => {
                proxy.stall_replies();
                last();
            }
            CutBeforeLateRequests => {
                proxy.stall_requests();
                thread::sleep(length / 2);
                proxy.cut_clients();
                thread::sleep(length / 2);
            }
            LateRequests => {
                proxy.delay_requests(length);
                thread::sleep(length / 4);
                proxy.cut_clients();
                // From here on what is new overtakes what was delayed.
                proxy.pass();
                last();
            }
            ReplyTruncated => {
                proxy.truncate_reply_after(random.below(2_000) as usize);
                last();
            }
            RepliesLost => again_and_again(length, || proxy.cut_next_reply()),
            ResetOnAccept => {
                proxy.reset_on_accept(true);
                proxy.cut();
                last();
            }
            ClosedOnAccept => {
                proxy.refuse_after_accept(true);
                proxy.cut();
                last();
            }
            Blackhole => {
                proxy.blackhole(true);
                last();
            }
            SlowRequests => {
                proxy.delay_requests(length / 6);
                last();
            }
            SlowReplies => {
                proxy.delay_replies(length / 6);
                last();
            }
            SingleBytes => {
                proxy.one_byte_at_a_time(true);
                thread::sleep(length / 2);
            }
            SomeKilled => again_and_again(length, || kill_one(stage, random)),
            AllKilled => stage.observer.get(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]),
            Paused => pause(stage, length, "ALL"),
            WritesPaused => pause(stage, length, "WRITE"),
            Visitor => visitors.visit(stage, random),
        }
        proxy.pass();
    }
}

fn again_and_again(length: Duration, mut strike: impl FnMut()) {
    let began = Instant::now();
    while began.elapsed() < length {
        strike();
        thread::sleep(Duration::from_millis(30));
    }
}

fn kill_one(stage: &Stage, random: &mut Random) {
    let ids = stage.observer.client_ids();
    if !ids.is_empty() {
        // It may have gone by itself meanwhile.
        let id = random.pick(&ids).to_string();
        let _ = stage.observer.command(&["CLIENT", "KILL", "ID", &id]);
    }
}

fn pause(stage: &Stage, length: Duration, what: &str) {
    stage.observer.get::<()>(&["CLIENT", "PAUSE", &length.as_millis().to_string(), what]);
    thread::sleep(length);
}
