//! The lane as others see it: callers submit to it, the budget retires it, its driver serves it.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Poll, Waker};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use tokio::runtime;

use super::machine::{Filled, Machine, Phase, Window};
use super::pace::Pace;
use super::shortcut::Shortcut;
use super::slot::{Answer, Reply, Slot, Spare};
use crate::budget::{Held, Tenant};
use crate::command::Payload;
use crate::dial::Greeting;
use crate::error::Error;
use crate::pool::Context;
use crate::transport::Farewell;

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
    /// When another connection is to take its place, if ever.
    old_at: OnceLock<Instant>,
    /// What the server said when the connection was made.
    greeting: OnceLock<Greeting>,
    /// A holder changed the connection: it must be reset before another may have it.
    changed: AtomicBool,
    /// It must not be handed out again.
    spent: AtomicBool,
}

pub(super) struct State {
    pub(super) machine: Machine,
    /// The driver, since it last went to sleep with nothing to do; taken by the first who gives it work.
    pub(super) driver: Option<Waker>,
    pub(super) opened: Option<Instant>,
    /// When it was asked to drain, or when its task last ran since.
    pub(super) drain_seen: Option<Instant>,
    /// A caller has it all to itself: it is not idle, whatever is in flight.
    pub(super) checked_out: bool,
    pub(super) pace: Pace,
    /// The driver sleeps because the socket takes no more for now.
    pub(super) stuck: bool,
    /// There while the connection is.
    pub(super) shortcut: Option<Shortcut>,
}

impl Lane {
    pub(crate) fn new(runtime: runtime::Id, usage: Use, window: Window) -> Arc<Self> {
        let state = State {
            machine: Machine::new(window, Instant::now()),
            driver: None,
            opened: None,
            drain_seen: None,
            checked_out: usage == Use::Exclusive,
            pace: Pace::default(),
            stuck: false,
            shortcut: None,
        };
        Arc::new(Self {
            runtime,
            usage,
            state: Mutex::new(state),
            held: Mutex::new(None),
            old_at: OnceLock::new(),
            greeting: OnceLock::new(),
            changed: AtomicBool::new(false),
            spent: AtomicBool::new(false),
        })
    }

    /// The server refused us as a writer or a user: another connection may fare better. One in its holder's
    /// hands stays there, and is not handed out again.
    pub(super) fn give_way(&self) {
        match self.usage {
            Use::Shared => self.drain(),
            Use::Exclusive => self.spent.store(true, Ordering::Relaxed),
        }
    }

    /// For the budget, which outlives it.
    pub(crate) fn tenant(self: &Arc<Self>) -> Weak<dyn Tenant> {
        let tenant: Arc<dyn Tenant> = self.clone();
        Arc::downgrade(&tenant)
    }

    pub(crate) fn runtime(&self) -> runtime::Id {
        self.runtime
    }

    pub(crate) fn usage(&self) -> Use {
        self.usage
    }

    /// One call, until it is answered, past its deadline, or lost. It is submitted when this is first polled.
    pub(crate) async fn call(
        &self,
        payload: Payload<'_>,
        deadline: Option<Instant>,
        now: Instant,
        spare: &mut Spare,
    ) -> Result<Answer, Error> {
        let mut reply: Option<Reply> = None;
        poll_fn(|cx| match &mut reply {
            Some(reply) => reply.poll(cx, spare),
            None => match self.submit(payload, deadline, now, cx.waker(), spare) {
                // The slot knew whom to wake before anybody could fill it: there is no need to look at it.
                Ok(submitted) => {
                    reply = Some(submitted);
                    Poll::Pending
                }
                Err(error) => Poll::Ready(Err(error)),
            },
        })
        .await
    }

    /// Takes a call whose reply wakes `waker`.
    pub(crate) fn submit(
        &self,
        payload: Payload<'_>,
        deadline: Option<Instant>,
        now: Instant,
        waker: &Waker,
        spare: &mut Spare,
    ) -> Result<Reply, Error> {
        let (slot, reply) = spare.slot(waker);
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
        if !state.write_through(deadline, now) {
            wake(state);
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

    /// Callers wait for it, and not the pool alone.
    pub(crate) fn owes_callers(&self) -> bool {
        !self.state.lock().machine.has_no_caller()
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
        let clean = matches!(state.machine.phase(), Phase::Open)
            && state.machine.has_no_caller()
            && !self.spent.load(Ordering::Relaxed);
        state.checked_out &= !clean;
        if clean {
            // From here on it is asked for signs of life, and grows old.
            wake(state);
        }
        clean
    }

    pub(crate) fn greeting(&self) -> Option<&Greeting> {
        self.greeting.get()
    }

    /// Some reply has come.
    pub(super) fn was_answered(&self) -> bool {
        self.state.lock().pace.was_answered()
    }

    /// Everything in flight at this moment comes before this number.
    pub(crate) fn mark(&self) -> u64 {
        self.state.lock().machine.mark()
    }

    /// Everything before `mark` was answered.
    pub(crate) fn has_answered(&self, mark: u64) -> bool {
        self.state.lock().machine.has_answered(mark)
    }

    pub(super) fn old_at(&self) -> Option<Instant> {
        self.old_at.get().copied()
    }

    /// It has reached its age.
    pub(crate) fn is_old(&self) -> bool {
        self.old_at().is_some_and(|at| at <= Instant::now())
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
    pub(super) fn install(&self, held: Held, greeting: Greeting, context: &Context, now: Instant) {
        let silence = context.config.socket_timeout;
        let socket = held.socket();
        if let Some(at) = context.old_at(now) {
            let _ = self.old_at.set(at);
        }
        *self.held.lock() = Some(held);
        let _ = self.greeting.set(greeting);
        let mut state = self.state.lock();
        state.machine.open(now);
        state.opened = Some(now);
        let ended = matches!(state.machine.phase(), Phase::Ended(_));
        if !ended {
            state.shortcut = socket.map(|socket| Shortcut::new(socket, silence, now));
        }
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
        // The socket closes with its last handle.
        state.shortcut = None;
        wake(state);
        self.leave(farewell);
        fill(&mut filled);
        first
    }

    pub(super) fn state(&self) -> &Mutex<State> {
        &self.state
    }

    pub(super) fn leave(&self, farewell: Farewell) {
        let held = self.held.lock().take();
        if let Some(held) = held {
            held.leave(farewell);
        }
    }
}

impl State {
    pub(super) fn notice_drain(&mut self) {
        if self.drain_seen.is_some() {
            self.drain_seen = Some(Instant::now());
        }
    }
}

/// Releases the lock, then tells the driver, if it sleeps, that there is something to do.
pub(super) fn wake(mut state: MutexGuard<'_, State>) {
    let driver = state.driver.take();
    drop(state);
    if let Some(driver) = driver {
        driver.wake();
    }
}

pub(super) fn fill(filled: &mut Filled) {
    for (slot, result) in filled.drain(..) {
        slot.fill(result);
    }
}
