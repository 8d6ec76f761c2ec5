//! The stream of one watcher.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;

use super::entry::Entry;
use super::view::View;
use crate::event::Event;
use crate::position::Position;
use crate::shared::Shared;

/// What a job does, as a [`Stream`] of [`Event`]s that ends with the job.
///
/// It begins with [`Pending`](Event::Pending) or a [`Snapshot`](Event::Snapshot), unless it goes on from a position. Then
/// come the lines of the log that are still kept, in order and each once, with a [`Gap`](Event::Gap) where some are gone;
/// updates of the state, of which a slow watcher sees the latest only; and one of [`Finished`](Event::Finished),
/// [`Failed`](Event::Failed), [`Cancelled`](Event::Cancelled), [`Abandoned`](Event::Abandoned) or [`Lost`](Event::Lost). When
/// the pool is closed it ends without one.
///
/// All watchers of a process share one connection to Redis, and those of one job one subscription. A watcher that is not
/// polled costs nobody anything.
pub struct Watch {
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    place: usize,
    view: View,
    events: VecDeque<Event>,
    at: Position,
    seen: u64,
    waker: Option<Waker>,
    closed: bool,
}

impl Watch {
    pub(crate) fn new(shared: Arc<Shared>, entry: Arc<Entry>, from: Position) -> Self {
        let place = entry.wakers.enter();
        Self {
            shared,
            entry,
            place,
            view: View::new(from),
            events: VecDeque::new(),
            at: from,
            seen: 0,
            waker: None,
            closed: false,
        }
    }

    /// Until something was read, or cannot be.
    pub(crate) async fn ready(&self, limit: Duration) {
        let ready = poll_fn(|cx| {
            self.entry.wakers.set(self.place, cx.waker());
            let known = self.entry.known();
            if known.ready || known.closed { Poll::Ready(()) } else { Poll::Pending }
        });
        // Whoever is late is told as the others.
        let _ = tokio::time::timeout(limit, ready).await;
    }

    /// The job's name.
    pub fn job(&self) -> &str {
        &self.entry.job
    }

    /// What other watches of this job were told, as bytes.
    #[cfg(feature = "sse")]
    pub(crate) fn frames(&self) -> &crate::sse::Frames {
        &self.entry.frames
    }

    /// Whether all is known to have been told up to where it begins, the end included. That the job was lost (`lost`) is
    /// no position.
    #[cfg(feature = "sse")]
    pub(crate) fn has_told_end(&self, lost: bool) -> bool {
        let known = self.entry.known();
        let Some(latest) = known.latest.as_ref().filter(|_| !known.lost) else { return lost && known.ready };
        let (at, end) = (self.at, known.position);
        latest.status.is_end() && at.run == end.run && at.v >= end.v && at.l >= end.l
    }

    /// Up to where it has told.
    pub fn position(&self) -> Position {
        self.at
    }

    /// The next event; `None` after the end.
    ///
    /// **Cancel safety.** Dropping it loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                self.at = event.position();
                if matches!(event, Event::Gap { .. }) {
                    self.shared.counters.gaps.one();
                }
                return Poll::Ready(Some(event));
            }
            if self.view.has_ended() || self.closed {
                return Poll::Ready(None);
            }
            if self.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
                self.waker = Some(cx.waker().clone());
                self.entry.wakers.set(self.place, cx.waker());
            } else if self.entry.news() == self.seen {
                // This runtime may be the only one that is left.
                self.shared.ensure_reader();
                return Poll::Pending;
            }
            let known = self.entry.known();
            let told_all = self.view.collect(&known, &mut self.events);
            self.seen = if told_all { self.entry.news() } else { 0 };
            self.closed = known.closed;
            let more = !self.events.is_empty();
            drop(known);
            if !more && !self.closed {
                self.shared.ensure_reader();
                return Poll::Pending;
            }
        }
    }
}

impl Stream for Watch {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_event(cx)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.entry.wakers.leave(self.place);
        self.entry.leave();
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("job", &self.entry.job).field("at", &self.at).finish_non_exhaustive()
    }
}
