//! What the tests of progress share.
#![allow(dead_code, reason = "each test file takes what it needs")]

pub(crate) mod process;

use std::time::Duration;

use cenote_pool_core::Pool;
use cenote_pubsub_progress::{Event, Position, Progress, ProgressBuilder, Watch};
use cenote_testkit::within;

pub(crate) const SOON: Duration = Duration::from_secs(20);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn pool(url: impl Into<String>) -> Pool {
    Pool::builder().url(url).build().unwrap()
}

/// As another process would have it: with its own connections and its own memory.
pub(crate) fn progress(url: impl Into<String>) -> Progress {
    builder(url).build().unwrap()
}

pub(crate) fn builder(url: impl Into<String>) -> ProgressBuilder {
    Progress::builder(&pool(url)).heartbeat(Duration::from_millis(500)).timeout(Duration::from_secs(5))
}

pub(crate) async fn next(watch: &mut Watch) -> Event {
    within(SOON, watch.next()).await.expect("the watch goes on")
}

/// All events to the end, each held to what is promised.
pub(crate) async fn to_the_end(watch: &mut Watch) -> Vec<Event> {
    let mut check = Check::from(watch.position());
    let mut events = Vec::new();
    while let Some(event) = within(MINUTE, watch.next()).await {
        check.event(&event);
        events.push(event);
    }
    assert!(events.last().is_some_and(Event::is_end), "it ends with an end: {:?}", events.last());
    events
}

/// What every watcher is promised: dense lines or a gap, states that grow, the last one that of the end.
#[derive(Debug, Default)]
pub(crate) struct Check {
    at: Position,
    state: Position,
    pub(crate) lines: u64,
    pub(crate) gaps: u64,
    ended: bool,
}

impl Check {
    pub(crate) fn from(at: Position) -> Self {
        Self { at, state: Position { l: 0, ..at }, ..Self::default() }
    }

    pub(crate) fn event(&mut self, event: &Event) {
        assert!(!self.ended, "nothing follows the end: {event:?}");
        let at = event.position();
        let begins_attempt = at.run > self.at.run;
        assert!(at >= self.at, "positions never go back: {event:?} after {:?}", self.at);
        if begins_attempt {
            assert!(matches!(event, Event::Snapshot { .. }), "an attempt begins with a snapshot: {event:?}");
            self.at = Position::new(at.run, 0, 0);
        }
        match event {
            Event::Log { line, .. } => {
                assert_eq!(line.seq, self.at.l + 1, "dense");
                assert_eq!(at.l, line.seq);
                self.lines += 1;
            }
            Event::Gap { from, to, .. } => {
                assert_eq!(*from, self.at.l + 1);
                assert!(to >= from && at.l == *to, "{event:?}");
                self.gaps += 1;
            }
            Event::Snapshot { snapshot, .. } | Event::Update { snapshot, .. } => {
                let state = Position { l: 0, ..snapshot.position };
                assert!(state > self.state, "states grow: {event:?} after {}", self.state);
                self.state = state;
            }
            _ => {}
        }
        if let Some(snapshot) = event.snapshot() {
            // Of a job that has ended the first state comes before its end, and so does its position.
            let before_end = matches!(event, Event::Snapshot { .. }) && snapshot.status.is_end();
            assert_eq!(snapshot.position.v > at.v, before_end, "{event:?}");
            if event.is_end() {
                assert!(snapshot.position.l <= at.l, "all lines are told before the end: {event:?}");
            }
        }
        self.at = at;
        self.ended = event.is_end();
    }
}
