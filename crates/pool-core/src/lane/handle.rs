//! The lane as others see it: callers submit to it, the budget retires it, its driver serves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime;

use super::machine::{Filled, Machine, Phase, Window};
use super::slot::{Reply, Slot};
use crate::command::Payload;
use crate::dial::{Farewell, Held};
use crate::error::{Error, Kind};

/// Whom a lane serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Shared,
    /// One caller at a time, through [`Dedicated`](crate::Dedicated).
    Exclusive,
}

pub(crate) struct Lane {
    runtime: runtime::Id,
    usage: Use,
    state: Mutex<State>,
    /// Set once, when the connection is there; taken by whoever ends the lane.
    held: Mutex<Option<Held>>,
    /// The last handshake spoke RESP3.
    resp3: AtomicBool,
    /// A holder changed the connection: it must be reset before another may have it.
    changed: AtomicBool,
}

pub(super) struct State {
    pub(super) machine: Machine,
    /// The driver, while it sleeps with nothing to do; taken by the first who gives it work.
    pub(super) driver: Option<Waker>,
    opened: Option<Instant>,
    drain_asked: Option<Instant>,
    drain_noticed: bool,
    /// A caller has it all to itself: it is not idle, whatever is in flight.
    checked_out: bool,
}

impl Lane {
    pub(crate) fn new(runtime: runtime::Id, usage: Use, window: Window) -> Arc<Self> {
        let state = State {
            machine: Machine::new(window, Instant::now()),
            driver: None,
            opened: None,
            drain_asked: None,
            drain_noticed: false,
            checked_out: usage == Use::Exclusive,
        };
        Arc::new(Self {
            runtime,
            usage,
            state: Mutex::new(state),
            held: Mutex::new(None),
            resp3: AtomicBool::new(true),
            changed: AtomicBool::new(false),
        })
    }

    pub(crate) fn runtime(&self) -> runtime::Id {
        self.runtime
    }

    pub(crate) fn usage(&self) -> Use {
        self.usage
    }

    /// Takes a call. What is returned resolves when it is answered, past its deadline, or lost.
    pub(crate) fn submit(
        &self,
        payload: Payload<'_>,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Result<Reply, Error> {
        let (slot, reply) = Slot::new();
        self.enqueue(payload, Some(slot), deadline, now)?;
        Ok(reply)
    }

    /// Takes a call whose reply nobody wants.
    pub(crate) fn submit_unawaited(
        &self,
        payload: Payload<'_>,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Result<(), Error> {
        self.enqueue(payload, None, deadline, now)
    }

    fn enqueue(
        &self,
        payload: Payload<'_>,
        slot: Option<Arc<Slot>>,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.machine.submit(payload, slot, deadline, now)?;
        let driver = state.driver.take();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        Ok(())
    }

    pub(crate) fn accepts(&self) -> bool {
        matches!(self.state.lock().machine.phase(), Phase::Connecting | Phase::Open)
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state.lock().machine.phase(), Phase::Ended(_))
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.state.lock().machine.in_flight()
    }

    /// Gives an exclusive lane to a caller; false if it has gone meanwhile.
    pub(crate) fn check_out(&self) -> bool {
        let mut state = self.state.lock();
        let open = matches!(state.machine.phase(), Phase::Open);
        state.checked_out |= open;
        open
    }

    /// Takes it back. False if it must not be handed out again: something is still in flight on it.
    pub(crate) fn check_in(&self) -> bool {
        let mut state = self.state.lock();
        let clean = matches!(state.machine.phase(), Phase::Open) && state.machine.is_idle();
        state.checked_out &= !clean;
        clean
    }

    pub(crate) fn resp3(&self) -> bool {
        self.resp3.load(Ordering::Relaxed)
    }

    pub(crate) fn is_changed(&self) -> bool {
        self.changed.load(Ordering::Relaxed)
    }

    pub(crate) fn set_changed(&self, changed: bool) {
        self.changed.store(changed, Ordering::Relaxed);
    }

    /// The connection is there. If the lane was ended meanwhile, the connection goes too.
    ///
    /// Invariant: `held` is set before the phase is looked at, and `end` sets the phase before it takes `held`,
    /// so one of the two always finds the other's work and nothing leaks.
    pub(super) fn install(&self, held: Held, resp3: bool, now: Instant) {
        *self.held.lock() = Some(held);
        self.resp3.store(resp3, Ordering::Relaxed);
        let mut state = self.state.lock();
        state.machine.open(now);
        state.opened = Some(now);
        let ended = matches!(state.machine.phase(), Phase::Ended(_));
        drop(state);
        if ended {
            let held = self.held.lock().take();
            drop(held);
        }
    }

    /// Ends the lane, whoever calls first: every caller learns what became of its command.
    pub(crate) fn end(&self, cause: &Error, farewell: Farewell) -> bool {
        self.end_after(cause, farewell, None)
    }

    /// [`end`](Self::end) by the driver, which knows how many bytes the socket took.
    pub(super) fn end_after(&self, cause: &Error, farewell: Farewell, written: Option<u64>) -> bool {
        let mut filled = Filled::new();
        let mut state = self.state.lock();
        let first = state.machine.end(cause, written, &mut filled);
        let driver = state.driver.take();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        let held = self.held.lock().take();
        if let Some(held) = held {
            held.leave(farewell);
        }
        fill(&mut filled);
        first
    }

    /// Ends it if nothing is in flight; the check and the end are one step, so no call slips in between.
    pub(crate) fn retire(&self) -> bool {
        let mut state = self.state.lock();
        let idle = matches!(state.machine.phase(), Phase::Open | Phase::Draining)
            && state.machine.is_idle()
            && !state.checked_out;
        if idle {
            state.machine.end(&retired(), None, &mut Filled::new());
            let driver = state.driver.take();
            drop(state);
            if let Some(driver) = driver {
                driver.wake();
            }
            let held = self.held.lock().take();
            if let Some(held) = held {
                held.leave(Farewell::Finish);
            }
        }
        idle
    }

    /// Takes no more calls, finishes what is in flight, then ends.
    pub(crate) fn drain(&self) {
        let mut filled = Filled::new();
        let mut state = self.state.lock();
        state.machine.drain(&mut filled);
        state.drain_asked.get_or_insert(Instant::now());
        let driver = state.driver.take();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        fill(&mut filled);
    }

    pub(crate) fn is_draining(&self) -> bool {
        matches!(self.state.lock().machine.phase(), Phase::Draining)
    }

    /// How long ago it was asked to drain, if its driver has not run since.
    pub(crate) fn draining_unnoticed_for(&self, now: Instant) -> Duration {
        let state = self.state.lock();
        match state.drain_asked {
            Some(asked) if !state.drain_noticed && matches!(state.machine.phase(), Phase::Draining) => {
                now.saturating_duration_since(asked)
            }
            _ => Duration::ZERO,
        }
    }

    /// Its runtime does not run: nobody there can finish anything.
    pub(crate) fn give_up(&self) {
        let cause = Error::not_sent(Kind::Cut, "the connection's runtime is parked and its place was needed");
        self.end(&cause, Farewell::Abort);
    }

    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let state = self.state.lock();
        let open = matches!(state.machine.phase(), Phase::Open) && !state.checked_out;
        state.machine.idle_since().filter(|_| open)
    }

    /// Since when a shared lane has been open and busy.
    pub(crate) fn serving_since(&self) -> Option<Instant> {
        let state = self.state.lock();
        let serves = self.usage == Use::Shared && matches!(state.machine.phase(), Phase::Open);
        state.opened.filter(|_| serves)
    }

    pub(super) fn state(&self) -> &Mutex<State> {
        &self.state
    }
}

impl State {
    pub(super) fn notice_drain(&mut self) {
        self.drain_noticed |= self.drain_asked.is_some();
    }

    pub(super) fn is_checked_out(&self) -> bool {
        self.checked_out
    }
}

pub(super) fn fill(filled: &mut Filled) {
    for (slot, result) in filled.drain(..) {
        slot.fill(result);
    }
}

fn retired() -> Error {
    Error::not_sent(Kind::Moved, "the connection was retired")
}
