//! The lane as the budget's tenant: how it makes room for others.

use std::task::Waker;
use std::time::{Duration, Instant};

use redis::Value;

use super::handle::{Lane, Use, fill, wake};
use super::machine::{Filled, Phase};
use super::shortcut::Shortcut;
use super::slot::{Reply, Spare};
use crate::budget::Tenant;
use crate::error::{Error, Kind};
use crate::sentinel::Node;
use crate::transport::Farewell;

impl Tenant for Lane {
    fn idle_since(&self) -> Option<Instant> {
        let state = self.state().lock();
        let open = matches!(state.machine.phase(), Phase::Open) && !state.checked_out;
        state.machine.idle_since().filter(|_| open)
    }

    fn serving_since(&self) -> Option<Instant> {
        let state = self.state().lock();
        let serves = self.usage() == Use::Shared && matches!(state.machine.phase(), Phase::Open);
        state.opened.filter(|_| serves)
    }

    fn is_draining(&self) -> bool {
        matches!(self.state().lock().machine.phase(), Phase::Draining)
    }

    fn draining_unnoticed_for(&self, now: Instant) -> Duration {
        let state = self.state().lock();
        match state.drain_seen {
            Some(seen) if matches!(state.machine.phase(), Phase::Draining) => {
                let ago = now.saturating_duration_since(seen);
                // A task that waits for replies has no reason to run: give it one.
                wake(state);
                ago
            }
            _ => Duration::ZERO,
        }
    }

    fn retire(&self) -> bool {
        let mut state = self.state().lock();
        let idle = matches!(state.machine.phase(), Phase::Open | Phase::Draining)
            && state.machine.is_idle()
            && !state.checked_out;
        if idle {
            let mut filled = Filled::new();
            state.machine.end(&retired(), None, &mut filled);
            state.shortcut = None;
            wake(state);
            self.leave(Farewell::Finish);
            fill(&mut filled);
        }
        idle
    }

    fn drain(&self) {
        let mut filled = Filled::new();
        let mut state = self.state().lock();
        state.machine.drain(&mut filled);
        state.drain_seen.get_or_insert(Instant::now());
        wake(state);
        fill(&mut filled);
    }

    fn give_up(&self) {
        let cause = Error::not_sent(Kind::Cut, "the connection's runtime is parked and its place was needed");
        self.end(&cause, Farewell::Abort);
    }

    fn forsake(&self, is_stale: &dyn Fn(&Node) -> bool, cut: bool) {
        let node = self.greeting().and_then(|greeting| greeting.node.as_deref());
        if !node.is_some_and(is_stale) || self.retire() {
            return;
        }
        if cut && self.in_flight() > 0 {
            let why = "another server is the master now, and the one before did not answer any more";
            self.end(&Error::not_sent(Kind::Cut, why), Farewell::Abort);
        } else {
            self.give_way();
        }
    }

    fn ask(&self) -> Option<(Reply, Spare)> {
        let mut state = self.state().lock();
        if !matches!(state.machine.phase(), Phase::Open) || state.checked_out {
            return None;
        }
        // Its runtime may be parked, and would not tell.
        if state.shortcut.as_ref().is_some_and(Shortcut::is_closed) {
            return None;
        }
        let mut spare = Spare::default();
        let (slot, reply) = spare.slot(Waker::noop());
        state.machine.asked.push(slot);
        wake(state);
        Some((reply, spare))
    }

    fn cut(&self, cause: &Error) {
        self.end(cause, Farewell::Abort);
    }
}

impl Lane {
    /// Ends one that rests, at once or as soon as it was answered whether it lives.
    pub(crate) fn dismiss(&self) {
        if !self.retire() {
            self.drain();
        }
    }
}

fn retired() -> Error {
    Error::not_sent(Kind::Moved, "the connection was retired")
}

/// The server serves, but not us on this connection: another one may lead elsewhere, or be logged in.
pub(super) fn asks_to_move(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error) if matches!(error.code(), "READONLY" | "NOAUTH"))
}

/// What a caller is told whose command found no place on a lane that makes room.
pub(super) fn moved() -> Error {
    Error::not_sent(Kind::Moved, "the connection was given up before the command was sent")
}
