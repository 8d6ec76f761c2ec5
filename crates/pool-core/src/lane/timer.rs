//! One timer, moved only when something is due earlier than what it is set for.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::time::Sleep;

#[derive(Default)]
pub(super) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    set_for: Option<Instant>,
}

impl Timer {
    /// Ready once `at` has passed by the machine's own clock. A runtime whose clock is paused or driven by a
    /// test fires early; that is noticed here and the timer set again.
    pub(super) fn poll(&mut self, at: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
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
