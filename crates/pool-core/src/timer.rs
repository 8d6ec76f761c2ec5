//! Time as the machine keeps it, in tasks of the pool: a runtime whose clock is paused or driven by a test fires
//! its timers early, which would make every limit one of no time at all.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Sleep;

/// One timer, moved only when something is due earlier than what it is set for.
#[derive(Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    set_for: Option<Instant>,
}

impl Timer {
    /// What it will fire for, at the latest.
    pub(crate) fn set_for(&self) -> Option<Instant> {
        self.set_for
    }

    /// Ready once `at` has passed by the machine's own clock; a timer that fired early is set again.
    pub(crate) fn poll(&mut self, at: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = at else { return Poll::Pending };
        loop {
            if self.set_for.is_none_or(|set_for| at < set_for) {
                let pause = at.saturating_duration_since(Instant::now());
                match &mut self.sleep {
                    Some(sleep) => sleep.as_mut().reset(tokio::time::Instant::now() + pause),
                    None => self.sleep = Some(Box::pin(tokio::time::sleep(pause))),
                }
                self.set_for = Some(at);
            }
            let Some(sleep) = &mut self.sleep else { return Poll::Pending };
            ready!(sleep.as_mut().poll(cx));
            self.set_for = None;
            if Instant::now() >= at {
                return Poll::Ready(());
            }
        }
    }
}

/// The longest limit a call may be given: beyond it a clock could overflow, and nobody waits so long.
pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 86_400);

pub(crate) async fn sleep(pause: Duration) {
    let (until, mut timer) = (Instant::now() + pause, Timer::default());
    poll_fn(|cx| timer.poll(Some(until), cx)).await;
}

/// [`within`] in a task of the runtime, for callers whose own future must not own a timer; the task ends with the
/// caller's interest. `None` if the runtime has ended.
pub(crate) async fn within_a_task<F>(handle: &Handle, limit: Duration, future: F) -> Option<Option<F::Output>>
where
    F: Future<Output: Send> + Send + 'static,
{
    AbortOnDrop(handle.spawn(within(limit, future))).await.ok()
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, tokio::task::JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What `future` gives, or `None` when that takes longer than `limit`.
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let (until, mut timer) = (Instant::now() + limit, Timer::default());
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => timer.poll(Some(until), cx).map(|()| None),
    })
    .await
}
