//! The body of one client's response.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use futures_core::Stream;
use tokio::time::{Instant, Sleep, sleep};

use super::cursor::{Cursor, Seen};
use super::frame::{frame, is_lost};
use crate::event::Event;
use crate::hub::Watch;

const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// One client's events, of all its jobs in turn. Whoever does not read is not polled, and costs nobody anything.
pub(super) struct Feed {
    /// `None` once it has told its end.
    watches: Vec<Option<Watch>>,
    cursor: Cursor,
    /// Whose turn it is.
    turn: usize,
    /// What goes first: it brings the headers on their way.
    first: Option<Bytes>,
    /// The service stops.
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
    silence: Pin<Box<Sleep>>,
    keep_alive: Duration,
    told: Instant,
    over: bool,
}

impl Feed {
    pub(super) fn new(
        watches: Vec<Option<Watch>>,
        cursor: Cursor,
        first: Bytes,
        keep_alive: Duration,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self {
            watches,
            cursor,
            turn: 0,
            first: Some(first),
            stop: Box::pin(stop),
            silence: Box::pin(sleep(keep_alive)),
            keep_alive,
            told: Instant::now(),
            over: false,
        }
    }

    fn poll_events(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let count = self.watches.len();
        let mut any = false;
        for step in 0..count {
            let index = (self.turn + step) % count;
            let Some(watch) = self.watches.get_mut(index).and_then(Option::as_mut) else { continue };
            match Pin::new(watch).poll_next(cx) {
                Poll::Ready(Some(event)) => {
                    self.turn = (index + 1) % count;
                    return Poll::Ready(Some(self.tell(index, &event)));
                }
                // The pool is closed: the client comes again, and has missed nothing.
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => any = true,
            }
        }
        if any { Poll::Pending } else { Poll::Ready(None) }
    }

    fn tell(&mut self, index: usize, event: &Event) -> Bytes {
        let Some(place) = self.watches.get_mut(index) else { return COMMENT };
        let Some(watch) = place else { return COMMENT };
        if let Some(seen) = self.cursor.seen.get_mut(index) {
            *seen = Seen { at: event.position(), lost: is_lost(event) };
        }
        let bytes = if self.cursor.seen.len() == 1 {
            watch.frames().get(watch.job(), event)
        } else {
            frame(&self.cursor.id(), event.name(), watch.job(), &event.to_json())
        };
        if event.is_end() {
            *place = None;
        }
        bytes
    }

    /// A comment after a silence, so that neither end nor anybody between them takes the connection for dead.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        while self.silence.as_mut().poll(cx).is_ready() {
            let due = self.told + self.keep_alive;
            let now = Instant::now();
            if now >= due {
                self.told = now;
                self.silence.as_mut().reset(now + self.keep_alive);
                return Poll::Ready(COMMENT);
            }
            self.silence.as_mut().reset(due);
        }
        Poll::Pending
    }
}

impl Stream for Feed {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        if self.stop.as_mut().poll(cx).is_ready() {
            self.over = true;
            return Poll::Ready(None);
        }
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        match self.poll_events(cx) {
            Poll::Ready(Some(bytes)) => {
                self.told = Instant::now();
                Poll::Ready(Some(Ok(bytes)))
            }
            Poll::Ready(None) => {
                self.over = true;
                Poll::Ready(None)
            }
            Poll::Pending => self.poll_silence(cx).map(|bytes| Some(Ok(bytes))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::sync::Arc;

    use cenote_fallback_lru::FallbackLru;
    use cenote_pool_core::Pool;

    use super::*;
    use crate::Progress;

    async fn feed(progress: &Progress, jobs: &[&str]) -> Feed {
        let names: Vec<Arc<str>> = jobs.iter().map(|job| (*job).into()).collect();
        let mut watches = Vec::new();
        for job in jobs {
            watches.push(Some(progress.watch(job).await.unwrap()));
        }
        Feed::new(watches, Cursor::start(&names), COMMENT, Duration::from_secs(60), pending())
    }

    async fn next(feed: &mut Feed) -> Bytes {
        poll_fn(|cx| Pin::new(&mut *feed).poll_next(cx)).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn clients_of_one_job_are_told_it_in_the_same_bytes_and_those_of_several_with_ids_of_their_own() {
        let progress = Progress::new(&Pool::embedded(FallbackLru::default()));
        let job = progress.start("job").await.unwrap();
        job.log("line");
        let (mut one, mut two) = (feed(&progress, &["job"]).await, feed(&progress, &["job"]).await);
        let mut several = feed(&progress, &["job", "other"]).await;
        for (index, name) in ["", "snapshot", "log"].into_iter().enumerate() {
            let (first, second) = (next(&mut one).await, next(&mut two).await);
            assert!(index == 0 || first.windows(name.len()).any(|part| part == name.as_bytes()), "{first:?}");
            assert_eq!((first.as_ptr(), first.len()), (second.as_ptr(), second.len()), "{first:?}");
        }
        assert_eq!(next(&mut several).await, COMMENT);
        let mut cursor = Cursor::start(&["job".into(), "other".into()]);
        cursor.seen[0].at = crate::Position { l: 0, ..job.position() };
        let told = next(&mut several).await;
        assert!(told.starts_with(format!("id: {}\nevent: snapshot\n", cursor.id()).as_bytes()), "{told:?}");
    }
}
