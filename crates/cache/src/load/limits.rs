//! A loader within its limits.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;

use super::flight::Outcome;
use crate::options::Options;

/// What a loader came to.
pub(super) enum End<T, E> {
    Loaded(T),
    Failed(E),
    Panicked,
    TimedOut,
}

impl<T, E: Any + Send + Sync> End<T, E> {
    /// For people.
    pub(super) fn how(&self) -> &'static str {
        match self {
            Self::Loaded(_) => "loaded",
            Self::Failed(_) => "failed",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed out",
        }
    }

    /// What those who wait for it are told.
    pub(super) fn outcome<V>(self, value: impl FnOnce(T) -> Option<Arc<V>>) -> Outcome<V> {
        match self {
            Self::Loaded(loaded) => Outcome::Loaded(value(loaded)),
            Self::Failed(error) => Outcome::Failed(Arc::new(error)),
            Self::Panicked => Outcome::Panicked,
            Self::TimedOut => Outcome::TimedOut,
        }
    }
}

/// Runs the loader, ends it at the hard limit, and calls `slow` at the soft one. Its future is gone afterwards.
pub(super) async fn within_limits<T, E, Fut>(
    options: &Options,
    slow: impl Fn(),
    loader: impl FnOnce() -> Fut,
) -> End<T, E>
where
    Fut: Future<Output = Result<T, E>>,
{
    let mut loading = pin!(caught(loader));
    let mut left = options.hard;
    if let Some(soft) = options.soft.filter(|soft| *soft < options.hard) {
        if let Ok(end) = tokio::time::timeout(soft, &mut loading).await {
            return end;
        }
        slow();
        left -= soft;
    }
    tokio::time::timeout(left, loading).await.unwrap_or(End::TimedOut)
}

/// A panic ends the load and not its task, which has a fence to give back.
async fn caught<T, E, Fut>(loader: impl FnOnce() -> Fut) -> End<T, E>
where
    Fut: Future<Output = Result<T, E>>,
{
    let Ok(loading) = catch_unwind(AssertUnwindSafe(loader)) else { return End::Panicked };
    let mut loading = pin!(loading);
    let mut poll = |cx: &mut std::task::Context<'_>| loading.as_mut().poll(cx);
    let loaded = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| poll(cx))) {
        Ok(polled) => polled.map(Some),
        Err(_) => std::task::Poll::Ready(None),
    });
    match loaded.await {
        Some(Ok(loaded)) => End::Loaded(loaded),
        Some(Err(error)) => End::Failed(error),
        None => End::Panicked,
    }
}
