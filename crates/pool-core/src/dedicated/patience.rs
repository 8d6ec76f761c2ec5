//! Whoever waited too long is told so, by one task in each runtime that has callers in the queue: a caller's future
//! must not own a timer, and a task for each of them would cost more than what they wait for.

use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use tokio::runtime::{self, Handle};

use super::bench::{Bench, Unserved};
use crate::timer::Timer;

/// How often the raw streams are looked at for one that could yield its place.
const LOOK: Duration = Duration::from_millis(5);

/// What a runtime's task is set for, and how to make it look again.
pub(super) struct Watch {
    at: Instant,
    waker: Option<Waker>,
}

impl Watch {
    /// For a task that has not looked yet, and will in time for `until`.
    pub(super) fn unset(until: Instant) -> Self {
        Self { at: until, waker: None }
    }

    /// The task sleeps until `at`.
    pub(super) fn set(&mut self, at: Instant, waker: &Waker) {
        *self = Self { at, waker: Some(waker.clone()) };
    }

    /// What wakes the task, if it would sleep past `until`.
    pub(super) fn too_late_for(&mut self, until: Instant) -> Option<Waker> {
        if until < self.at { self.waker.take() } else { None }
    }

    /// What wakes the task: there may be nobody left to keep the time for.
    pub(super) fn take_waker(&mut self) -> Option<Waker> {
        self.waker.take()
    }
}

/// Starts the task. Not under the lock: a runtime that is shutting down drops it at once.
pub(super) fn start(bench: Bench, handle: &Handle) {
    handle.spawn(keep(Keeper { bench, runtime: handle.id(), is_done: false }));
}

async fn keep(mut keeper: Keeper) {
    let mut timer = Timer::default();
    poll_fn(|cx| {
        loop {
            let now = Instant::now();
            keeper.bench.make_room(now);
            let Some(mut next) = keeper.bench.expire(keeper.runtime, now, cx.waker()) else { break };
            // Asked once the waker is there: a stream that comes later wakes.
            if keeper.bench.has_raw() {
                next = next.min(now + LOOK);
            }
            if timer.poll(Some(next), cx).is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    })
    .await;
    keeper.is_done = true;
}

struct Keeper {
    bench: Bench,
    runtime: runtime::Id,
    is_done: bool,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if !self.is_done {
            self.bench.desert(self.runtime, Unserved::RuntimeEnded);
        }
    }
}
