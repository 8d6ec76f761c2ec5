//! Calls that do not fit yet: encoded, in call order, and not sent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::slot::Slot;
use crate::command::Encoded;

/// A backlog shorter than this is not searched for callers that left.
const PRUNE: usize = 64;

/// What is left of the window.
pub(super) struct Room {
    pub(super) empty: bool,
    pub(super) commands: usize,
    pub(super) bytes: usize,
}

impl Room {
    /// What is larger than the whole window goes alone.
    pub(super) fn fits(&self, replies: usize, bytes: usize) -> bool {
        self.empty || (replies <= self.commands && bytes <= self.bytes)
    }
}

#[derive(Debug)]
pub(super) struct Waiting {
    /// `None` for a command whose reply nobody wants.
    pub(super) slot: Option<Arc<Slot>>,
    pub(super) bytes: Vec<u8>,
    pub(super) encoded: Encoded,
    pub(super) deadline: Option<Instant>,
    pub(super) since: Instant,
}

#[derive(Debug)]
pub(super) struct Backlog {
    queue: VecDeque<Waiting>,
    bytes: usize,
    prune_at: usize,
    /// For whoever tells of them.
    waits: Vec<Duration>,
}

impl Backlog {
    pub(super) fn new() -> Self {
        Self { queue: VecDeque::new(), bytes: 0, prune_at: PRUNE, waits: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, waiting: Waiting) {
        self.prune();
        self.bytes += waiting.bytes.len();
        self.queue.push_back(waiting);
    }

    /// Forgets callers that left. A search that finds few makes the next one later, so that its cost per caller
    /// stays constant.
    fn prune(&mut self) {
        if self.queue.len() >= self.prune_at {
            self.queue.retain(Waiting::is_wanted);
            self.bytes = self.queue.iter().map(|waiting| waiting.bytes.len()).sum();
            self.prune_at = (self.queue.len() * 2).max(PRUNE);
        }
    }

    /// The first that is still wanted, if it `fits`.
    pub(super) fn next(&mut self, now: Instant, fits: impl Fn(&Waiting) -> bool) -> Option<Waiting> {
        while let Some(first) = self.queue.front() {
            let wanted = first.is_wanted();
            if wanted && !fits(first) {
                return None;
            }
            let first = self.queue.pop_front()?;
            self.bytes -= first.bytes.len();
            if wanted {
                if cfg!(feature = "metrics") {
                    self.waits.push(now.saturating_duration_since(first.since));
                }
                return Some(first);
            }
        }
        None
    }

    pub(super) fn take_waits(&mut self) -> Option<Vec<Duration>> {
        (!self.waits.is_empty()).then(|| std::mem::take(&mut self.waits))
    }

    /// Removes and returns the slots of those that `is_over`.
    pub(super) fn remove(&mut self, mut is_over: impl FnMut(&mut Waiting) -> bool) -> Vec<Arc<Slot>> {
        let mut removed = Vec::new();
        let bytes = &mut self.bytes;
        self.queue.retain_mut(|waiting| {
            let over = is_over(waiting);
            if over {
                *bytes -= waiting.bytes.len();
                removed.extend(waiting.slot.take());
            }
            !over
        });
        removed
    }

    /// Empties it; returns the slots of those who waited.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Arc<Slot>> + use<> {
        self.bytes = 0;
        std::mem::take(&mut self.queue).into_iter().filter_map(|waiting| waiting.slot)
    }
}

impl Waiting {
    fn is_wanted(&self) -> bool {
        self.slot.as_ref().is_none_or(|slot| slot.is_awaited())
    }
}
