//! One caller's place in a lane: filled once, by whoever is first, and looked at only by that caller.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use redis::Value;

use crate::error::Error;

/// What the server answered to one payload.
#[derive(Debug)]
pub(crate) enum Answer {
    One(Value),
    Many(Vec<Value>),
}

#[derive(Debug, Default)]
pub(crate) struct Slot(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    Waiting(Waker),
    Filled(Result<Answer, Error>),
    /// The caller has its result, or has gone. What arrives now belongs to nobody.
    #[default]
    Over,
}

impl Slot {
    /// Invariant: the first result wins. A reply after a timeout, or after the caller has gone, is dropped
    /// here, which is what keeps it from anybody else.
    pub(crate) fn fill(&self, result: Result<Answer, Error>) {
        let mut state = self.0.lock();
        if !matches!(*state, State::Waiting(_)) {
            return;
        }
        let before = std::mem::replace(&mut *state, State::Filled(result));
        drop(state);
        if let State::Waiting(waker) = before {
            waker.wake();
        }
    }

    /// Somebody still waits.
    pub(crate) fn is_awaited(&self) -> bool {
        matches!(*self.0.lock(), State::Waiting(_))
    }
}

/// The slot of a caller's last call, for its next one. A clone of it is empty: a slot has one caller.
#[derive(Debug, Default)]
pub(crate) struct Spare(Option<Arc<Slot>>);

impl Clone for Spare {
    fn clone(&self) -> Self {
        Self(None)
    }
}

impl Spare {
    /// A slot that wakes `waker`, and the future that waits for it.
    ///
    /// Invariant: a slot is used again only if its last caller alone holds it, so whatever a lane still has of
    /// an earlier call cannot fill it.
    pub(crate) fn slot(&mut self, waker: &Waker) -> (Arc<Slot>, Reply) {
        let waiting = State::Waiting(waker.clone());
        let mut slot = self.0.take().unwrap_or_default();
        match Arc::get_mut(&mut slot) {
            Some(unshared) => *unshared.0.get_mut() = waiting,
            None => slot = Arc::new(Slot(Mutex::new(waiting))),
        }
        (slot.clone(), Reply { slot: Some(slot) })
    }
}

/// Resolves when the slot is filled. Dropping it abandons the slot, never the byte stream.
#[derive(Debug)]
pub(crate) struct Reply {
    /// `None` once the result was taken.
    slot: Option<Arc<Slot>>,
}

impl Reply {
    /// Ready with the result; its slot then goes into `spare`.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, spare: &mut Spare) -> Poll<Result<Answer, Error>> {
        let Some(slot) = &self.slot else { return Poll::Pending };
        let mut state = slot.0.lock();
        if let State::Waiting(waker) = &mut *state {
            waker.clone_from(cx.waker());
            return Poll::Pending;
        }
        let State::Filled(result) = std::mem::take(&mut *state) else { return Poll::Pending };
        drop(state);
        spare.0 = self.slot.take();
        Poll::Ready(result)
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if let Some(slot) = &self.slot {
            let left = std::mem::replace(&mut *slot.0.lock(), State::Over);
            drop(left);
        }
    }
}
