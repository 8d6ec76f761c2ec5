//! Batches as they go out and come back.

use std::time::{Duration, Instant};

#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Replies that what was sent so far will get, and those that have come.
    asked: u64,
    answered: u64,
    /// Calls that were sent so far, and whether the last batch was a single one.
    calls: u64,
    single: bool,
    /// A batch under way: when it was sent, and the number of the reply that ends it.
    round_trip: Option<(Instant, u64)>,
}

impl Pace {
    /// A batch goes out; with it so many replies were asked for since the beginning, by so many calls.
    pub(super) fn sent(&mut self, asked: u64, calls: u64, now: Instant) {
        self.single = calls == self.calls + 1;
        self.calls = calls;
        self.asked = asked;
        self.round_trip.get_or_insert((now, asked));
    }

    /// Replies came. Returns how long the batch under way took, if they end it.
    pub(super) fn came(&mut self, replies: usize, now: Instant) -> Option<Duration> {
        self.answered += replies as u64;
        let (since, _) = self.round_trip.take_if(|(_, last)| self.answered >= *last)?;
        Some(now.saturating_duration_since(since))
    }

    /// All that was sent was answered.
    pub(super) fn is_quiet(&self) -> bool {
        self.asked == self.answered
    }

    /// Some reply has come.
    pub(super) fn was_answered(&self) -> bool {
        self.answered > 0
    }

    /// Callers come one at a time: waiting for others to join a batch gains nothing.
    pub(super) fn is_single(&self) -> bool {
        self.single
    }
}
