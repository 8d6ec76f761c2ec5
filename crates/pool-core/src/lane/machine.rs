//! A lane's bookkeeping with no I/O in it: what is buffered, what is in flight, who waits for what.
//!
//! Invariants, all under the one lock that the lane keeps this in:
//! * Bytes enter `output` in the order in which their entries enter `in_flight`, and replies come in the order
//!   of the bytes: so the reply at hand is always that of the front entry.
//! * Nothing overtakes the backlog: while it holds a caller, the next one joins it.
//! * Positions count bytes since the connection began, so how much the peer was given tells of every entry
//!   whether it can have been executed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::Value;

use super::asked::Asked;
use super::backlog::{Backlog, Room, Waiting};
use super::slot::{Answer, Slot};
use super::tenancy;
use crate::codec::ProtocolError;
use crate::command::{Encoded, Payload};
use crate::error::{Error, Kind, Outcome};

/// How much may be in flight at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) commands: usize,
    pub(crate) bytes: usize,
}

#[derive(Debug)]
pub(crate) enum Phase {
    Connecting,
    Open,
    /// Finishes what is in flight and takes no more.
    Draining,
    Ended(Error),
}

/// Slots and what to fill them with, once the lock is released.
pub(crate) type Filled = Vec<(Arc<Slot>, Result<Answer, Error>)>;

#[derive(Debug)]
pub(crate) struct Machine {
    phase: Phase,
    window: Window,
    output: Vec<u8>,
    /// Position of the end of `output`.
    encoded: u64,
    /// Position up to which the output was taken, by the driver or by a caller.
    taken: u64,
    /// Bytes that callers wrote themselves.
    through: u64,
    in_flight: VecDeque<Entry>,
    pub(super) asked: Asked,
    /// Entries that were ever made, and those that were answered: replies come in order, so the number of an
    /// entry tells whether it was.
    entered: u64,
    answered: u64,
    /// Replies that all entries so far get, since the connection began.
    replies_asked: u64,
    replies_due: usize,
    bytes_due: usize,
    backlog: Backlog,
    /// Replies of the front entry that have arrived, when it waits for several.
    partial: Vec<Value>,
    /// No deadline is earlier; after a caller left, the real one may be later.
    next_deadline: Option<Instant>,
    due_since: Option<Instant>,
    idle_since: Instant,
}

#[derive(Debug)]
struct Entry {
    /// `None` for what nobody waits for: a health check, or a command sent without wanting its reply.
    slot: Option<Arc<Slot>>,
    replies: usize,
    bytes: usize,
    /// Once so much was written, some of it may have been executed.
    decisive: u64,
    deadline: Option<Instant>,
    /// It is the lane's and no caller's.
    is_own: bool,
}

/// What the replies at hand said beside their values.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    /// The peer refused us as a writer or as a user: another connection may fare better.
    pub(crate) rebuild: bool,
    pub(crate) replies: usize,
}

impl Machine {
    pub(crate) fn new(window: Window, now: Instant) -> Self {
        Self {
            phase: Phase::Connecting,
            window,
            output: Vec::new(),
            encoded: 0,
            taken: 0,
            through: 0,
            in_flight: VecDeque::new(),
            asked: Asked::default(),
            entered: 0,
            answered: 0,
            replies_asked: 0,
            replies_due: 0,
            bytes_due: 0,
            backlog: Backlog::new(),
            partial: Vec::new(),
            next_deadline: None,
            due_since: None,
            idle_since: now,
        }
    }

    pub(crate) fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Takes a call's bytes: into the output, or into the backlog while it does not fit. Without a slot nobody
    /// waits for the reply.
    pub(crate) fn submit(
        &mut self,
        payload: Payload<'_>,
        slot: Option<Arc<Slot>>,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Result<(), Error> {
        match &self.phase {
            Phase::Connecting | Phase::Open => {}
            Phase::Draining => return Err(tenancy::moved()),
            Phase::Ended(error) => return Err(error.with_outcome(Outcome::NotSent)),
        }
        let start = self.output.len();
        let encoded = payload.encode(&mut self.output);
        let bytes = self.output.len() - start;
        self.note_deadline(deadline);
        let open = matches!(self.phase, Phase::Open);
        if open && self.backlog.is_empty() && self.fits(encoded.replies, bytes) {
            self.enter(slot, encoded, bytes, deadline, now);
        } else {
            let bytes = self.output.split_off(start);
            if slot.is_none()
                && (self.backlog.len() >= self.window.commands
                    || self.backlog.bytes() + bytes.len() > self.window.bytes)
            {
                let why =
                    "overloaded: the window is full, and a command whose reply nobody wants cannot wait";
                return Err(Error::not_sent(Kind::Overloaded, why));
            }
            self.backlog.push(Waiting { slot, bytes, encoded, deadline, since: now });
        }
        Ok(())
    }

    /// Takes a command of the lane's own, past the window.
    pub(crate) fn ask(&mut self, command: &[u8], slot: Option<Arc<Slot>>, now: Instant) {
        self.output.extend_from_slice(command);
        let encoded = Encoded { replies: 1, decisive: command.len() };
        self.enter(slot, encoded, command.len(), None, now);
        if let Some(entry) = self.in_flight.back_mut() {
            entry.is_own = true;
        }
    }

    fn enter(
        &mut self,
        slot: Option<Arc<Slot>>,
        encoded: Encoded,
        bytes: usize,
        deadline: Option<Instant>,
        now: Instant,
    ) {
        if self.in_flight.is_empty() {
            self.due_since = Some(now);
        }
        self.entered += 1;
        let decisive = self.encoded + encoded.decisive as u64;
        self.encoded += bytes as u64;
        self.replies_asked += encoded.replies as u64;
        self.replies_due += encoded.replies;
        self.bytes_due += bytes;
        let replies = encoded.replies;
        self.in_flight.push_back(Entry { slot, replies, bytes, decisive, deadline, is_own: false });
    }

    fn fits(&self, replies: usize, bytes: usize) -> bool {
        self.room().fits(replies, bytes)
    }

    fn room(&self) -> Room {
        Room {
            empty: self.in_flight.is_empty(),
            commands: self.window.commands.saturating_sub(self.replies_due),
            bytes: self.window.bytes.saturating_sub(self.bytes_due),
        }
    }

    fn note_deadline(&mut self, deadline: Option<Instant>) {
        if let Some(deadline) = deadline
            && self.next_deadline.is_none_or(|next| deadline < next)
        {
            self.next_deadline = Some(deadline);
        }
    }

    fn admit(&mut self, now: Instant) {
        loop {
            let room = self.room();
            let Some(waiting) =
                self.backlog.next(now, |first| room.fits(first.encoded.replies, first.bytes.len()))
            else {
                return;
            };
            self.output.extend_from_slice(&waiting.bytes);
            self.enter(waiting.slot, waiting.encoded, waiting.bytes.len(), waiting.deadline, now);
        }
    }

    /// The connection is there: what waited for it goes out.
    pub(crate) fn open(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Connecting) {
            self.phase = Phase::Open;
            self.idle_since = now;
            self.admit(now);
        }
    }

    pub(crate) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Hands the output over; `empty` becomes the next one. Returns the number of the last reply it will get.
    pub(crate) fn take_output(&mut self, empty: &mut Vec<u8>) -> u64 {
        std::mem::swap(&mut self.output, empty);
        self.taken = self.encoded;
        self.replies_asked
    }

    /// What is to be written next.
    pub(crate) fn output(&self) -> &[u8] {
        &self.output
    }

    /// A caller wrote so much of the output. The number of the last reply it gets, once nothing is left of it.
    pub(crate) fn written_through(&mut self, count: usize) -> Option<u64> {
        self.output.drain(..count);
        self.through += count as u64;
        self.taken = self.encoded - self.output.len() as u64;
        self.output.is_empty().then_some(self.replies_asked)
    }

    /// Matches replies to entries, in order.
    pub(crate) fn deliver(
        &mut self,
        values: &mut Vec<Value>,
        filled: &mut Filled,
        now: Instant,
    ) -> Result<Delivered, ProtocolError> {
        let mut delivered = Delivered::default();
        for value in values.drain(..) {
            if matches!(value, Value::Push { .. }) {
                continue;
            }
            delivered.replies += 1;
            delivered.rebuild |= tenancy::asks_to_move(&value);
            let front = self.in_flight.front().ok_or(ProtocolError::Unexpected)?;
            let answer = if front.replies == 1 {
                Answer::One(value)
            } else {
                let replies = front.replies;
                self.partial.push(value);
                if self.partial.len() < replies {
                    continue;
                }
                Answer::Many(std::mem::take(&mut self.partial))
            };
            if let Some(entry) = self.in_flight.pop_front() {
                self.answered += 1;
                self.replies_due -= entry.replies;
                self.bytes_due -= entry.bytes;
                filled.extend(entry.slot.map(|slot| (slot, Ok(answer))));
            }
        }
        self.admit(now);
        if self.in_flight.is_empty() {
            self.due_since = None;
            self.idle_since = now;
        }
        Ok(delivered)
    }

    /// Fails what is past its deadline. What is in flight stays there, for nobody; what was not yet encoded
    /// into the stream is forgotten.
    pub(crate) fn expire(&mut self, now: Instant, filled: &mut Filled) {
        if self.next_deadline.is_none_or(|next| now < next) {
            return;
        }
        let mut next: Option<Instant> = None;
        let mut past = |deadline: &mut Option<Instant>| match *deadline {
            Some(at) if at <= now => {
                *deadline = None;
                true
            }
            Some(at) => {
                next = Some(next.map_or(at, |next| next.min(at)));
                false
            }
            None => false,
        };
        for entry in &mut self.in_flight {
            if past(&mut entry.deadline)
                && let Some(slot) = entry.slot.take()
            {
                let error = Error::new(Kind::Timeout, Outcome::MayHaveExecuted, "waiting for the reply");
                filled.push((slot, Err(error)));
            }
        }
        let connecting = matches!(self.phase, Phase::Connecting);
        let why = if connecting { "waiting for a connection" } else { "waiting behind others" };
        let over = self.backlog.remove(|waiting| past(&mut waiting.deadline));
        filled.extend(over.into_iter().map(|slot| (slot, Err(Error::not_sent(Kind::Timeout, why)))));
        self.next_deadline = next;
    }

    /// Takes no more; whoever waits in the backlog is told to go elsewhere.
    pub(crate) fn drain(&mut self, filled: &mut Filled) {
        if matches!(self.phase, Phase::Connecting | Phase::Open) {
            self.phase = Phase::Draining;
            filled.extend(self.backlog.drain().map(|slot| (slot, Err(tenancy::moved()))));
        }
    }

    /// The end: every caller learns whether its command can have run. Only the driver knows how many bytes it
    /// `wrote`; anybody else must count all that it has taken, which it may be writing right now.
    pub(crate) fn end(&mut self, cause: &Error, wrote: Option<u64>, filled: &mut Filled) -> bool {
        if matches!(self.phase, Phase::Ended(_)) {
            return false;
        }
        let written = wrote.map_or(self.taken, |wrote| wrote + self.through);
        let unsent = cause.with_outcome(Outcome::NotSent);
        let perhaps = cause.with_outcome(Outcome::MayHaveExecuted);
        for entry in self.in_flight.drain(..) {
            let error = if written >= entry.decisive { &perhaps } else { &unsent };
            filled.extend(entry.slot.map(|slot| (slot, Err(error.clone()))));
        }
        filled.extend(self.backlog.drain().chain(self.asked.drain()).map(|slot| (slot, Err(unsent.clone()))));
        self.phase = Phase::Ended(unsent);
        self.output = Vec::new();
        self.partial = Vec::new();
        true
    }

    /// How long those waited who were admitted since it was last asked.
    pub(super) fn take_waits(&mut self) -> Option<Vec<Duration>> {
        self.backlog.take_waits()
    }

    /// Everything that is in flight at this moment comes before this number.
    pub(crate) fn mark(&self) -> u64 {
        self.entered
    }

    /// Everything before `mark` was answered.
    pub(crate) fn has_answered(&self, mark: u64) -> bool {
        self.answered >= mark
    }

    /// Nothing is in flight and nobody waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.backlog.is_empty()
    }

    /// No caller has anything in flight here.
    pub(crate) fn has_no_caller(&self) -> bool {
        self.backlog.is_empty() && self.in_flight.iter().all(|entry| entry.is_own)
    }

    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.is_idle().then_some(self.idle_since)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len() + self.backlog.len()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.next_deadline
    }

    /// When the peer, silent since `last_byte`, will have been silent for `limit` while it owed a reply.
    pub(crate) fn silent_at(&self, last_byte: Instant, limit: Duration) -> Option<Instant> {
        self.due_since.map(|since| since.max(last_byte) + limit)
    }
}
