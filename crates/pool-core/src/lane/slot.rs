//! One caller's place in a lane: filled once, by whoever is first, and looked at only by that caller.

use std::future::Future;
use std::pin::Pin;
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
    #[default]
    Empty,
    Waiting(Waker),
    Filled(Result<Answer, Error>),
    /// The caller has its result, or has gone. What arrives now belongs to nobody.
    Over,
}

impl Slot {
    /// A slot and the future that waits for it.
    pub(crate) fn new() -> (Arc<Self>, Reply) {
        let slot = Arc::new(Self::default());
        (slot.clone(), Reply(slot))
    }

    /// Invariant: the first result wins. A reply after a timeout, or after the caller has gone, is dropped
    /// here, which is what keeps it from anybody else.
    pub(crate) fn fill(&self, result: Result<Answer, Error>) {
        let mut state = self.0.lock();
        match std::mem::replace(&mut *state, State::Over) {
            State::Empty => *state = State::Filled(result),
            State::Waiting(waker) => {
                *state = State::Filled(result);
                drop(state);
                waker.wake();
            }
            over @ (State::Filled(_) | State::Over) => *state = over,
        }
    }

    /// Somebody still waits.
    pub(crate) fn is_awaited(&self) -> bool {
        matches!(*self.0.lock(), State::Empty | State::Waiting(_))
    }
}

/// Resolves when the slot is filled. Dropping it abandons the slot, never the byte stream.
#[derive(Debug)]
pub(crate) struct Reply(Arc<Slot>);

impl Future for Reply {
    type Output = Result<Answer, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.0.lock();
        match std::mem::replace(&mut *state, State::Over) {
            State::Filled(result) => Poll::Ready(result),
            State::Waiting(waker) if waker.will_wake(cx.waker()) => {
                *state = State::Waiting(waker);
                Poll::Pending
            }
            _ => {
                *state = State::Waiting(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let old = std::mem::replace(&mut *self.0.0.lock(), State::Over);
        drop(old);
    }
}
