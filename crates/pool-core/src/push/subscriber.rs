//! What users hold of pub/sub.

use std::collections::HashSet;
use std::fmt;
use std::future::poll_fn;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use redis::ToRedisArgs;
use tokio::runtime::Handle;

use super::currency::Currency;
use super::event::Event;
use super::hub::{Acks, Hub};
use super::queue::{Bounds, Next, Queue, Wakes};
use super::topics::{Kind, Topic};
use crate::dedicated::may_be_exclusive;
use crate::error::{Error, Kind as ErrorKind, Outcome};
use crate::pool::{Shared, current_runtime};
use crate::telemetry::Counted;
use crate::timer;

const EVENTS: usize = 1024;
const BYTES: usize = 16 << 20;

/// Receives what is published, and which keys have changed: a [`Stream`] of [`Event`]s.
///
/// All subscribers of a runtime share one connection to Redis, whatever they subscribe to. It is opened by the
/// first subscription, counts against `max_connections` (with the exclusive ones, one less than it at most), and
/// is closed 5 s after the last one ended. A lost connection is replaced for ever, and once all subscriptions are
/// back the subscriber is told of the [`Gap`](Event::Gap), exactly once.
///
/// ```no_run
/// # async fn example(pool: cenote_pool_core::Pool) -> Result<(), cenote_pool_core::Error> {
/// use cenote_pool_core::Event;
///
/// let mut news = pool.subscriber();
/// news.subscribe("news").await?; // Redis has acknowledged it: nothing published from now on is missed unseen
/// while let Some(event) = news.next().await {
///     match event {
///         Event::Message(message) => println!("{}: {:?}", message.channel(), message.payload()),
///         Event::Gap | Event::Lagged(_) => { /* something was missed: read the present state anew */ }
///         _ => {}
///     }
/// }
/// # Ok(()) }
/// ```
///
/// **Bounds.** At most 1,024 events and 16 MiB wait for one subscriber ([`with_capacity`](Self::with_capacity),
/// [`with_max_bytes`](Self::with_max_bytes)). When there are more the oldest are dropped and counted by
/// [`Lagged`](Event::Lagged); other subscribers do not notice.
///
/// **Runtimes.** A subscriber follows whoever polls it: when the runtime it subscribed in has ended, or another
/// one polls it, its subscriptions move there, and a `Gap` says so.
///
/// **Embedded pools** deliver what is published in this process. Keys cannot be tracked there.
///
/// **Probe.** When nothing was received for `health_check_interval`, the pool publishes to a channel of its own
/// (`cenote:probe:...`): a server that takes the message and does not deliver it within half a second is left. A
/// user that may not use that channel goes without.
///
/// It counts as a clone of the pool. Dropping it ends its subscriptions.
pub struct Subscriber {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    id: u64,
    hub: Option<Arc<Hub>>,
    topics: HashSet<Topic>,
    timeout: Duration,
    at: &'static Location<'static>,
    _counted: Counted,
}

impl Subscriber {
    pub(crate) fn new(shared: Arc<Shared>, at: &'static Location<'static>) -> Self {
        let meters = shared.context.meters.clone();
        let counted = meters.subscriber();
        let queue = Arc::new(Queue::told_to(meters, Bounds { events: EVENTS, bytes: BYTES }));
        let id = shared.hubs.enter(&queue);
        if shared.context.breaker.is_shut() {
            queue.close(&mut Wakes::new());
        }
        let timeout = shared.context.config.socket_timeout;
        Self { shared, queue, id, hub: None, topics: HashSet::new(), timeout, at, _counted: counted }
    }

    /// At most so many events wait, at least one. Default: 1,024.
    #[must_use]
    pub fn with_capacity(self, events: usize) -> Self {
        self.queue.set_bounds(|bounds| bounds.events = events.max(1));
        self
    }

    /// At most so many bytes of payload, channel names and keys wait, though the newest event always does.
    /// Default: 16 MiB.
    #[must_use]
    pub fn with_max_bytes(self, bytes: usize) -> Self {
        self.queue.set_bounds(|bounds| bounds.bytes = bytes);
        self
    }

    /// The limit of each call, in place of the socket timeout; at most a year. It does not limit
    /// [`next`](Self::next), which waits for as long as nothing happens.
    #[must_use]
    pub fn with_timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit.min(timer::LONGEST);
        self
    }

    /// Subscribes to channels: one, or several at once. Resolves when Redis has acknowledged all of them; those
    /// it has already cost nothing.
    ///
    /// # Errors
    ///
    /// Redis is away, which fails at once; the limit was reached; Redis refuses (a user may be barred from a
    /// channel); no connection could be had; the pool is closed. The call has subscribed to nothing then, though
    /// messages may have come of those that Redis acknowledged before the one it did not.
    ///
    /// **Cancel safety.** Dropping it takes the call back.
    pub async fn subscribe(&mut self, channels: impl ToRedisArgs) -> Result<(), Error> {
        self.add(Kind::Channel, channels.to_redis_args()).await
    }

    /// Subscribes to patterns. Limits, errors and cancel safety: as [`subscribe`](Self::subscribe). A message
    /// that fits two subscriptions comes twice, as it does from Redis.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    pub async fn psubscribe(&mut self, patterns: impl ToRedisArgs) -> Result<(), Error> {
        self.add(Kind::Pattern, patterns.to_redis_args()).await
    }

    /// Subscribes to sharded channels (`SPUBLISH`), which Redis knows since version 7.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    pub async fn ssubscribe(&mut self, channels: impl ToRedisArgs) -> Result<(), Error> {
        self.add(Kind::Shard, channels.to_redis_args()).await
    }

    /// Asks to be told of all changes, by whomever, to keys that begin so; an empty prefix means every key.
    /// Resolves when Redis tracks them. Needs RESP3.
    ///
    /// After a [`Gap`](Event::Gap) or [`Lagged`](Event::Lagged) changes may have been missed: presume all. Redis
    /// tracks names without regard to the database. When somebody in this runtime begins to track a shorter prefix of
    /// one that is tracked, [`Everything`](crate::Invalidation::Everything) comes too. A key under two prefixes of one
    /// subscriber is told twice.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe); refused where Redis speaks only RESP2, and on embedded pools.
    pub async fn track(&mut self, prefixes: impl ToRedisArgs) -> Result<(), Error> {
        self.add(Kind::Prefix, prefixes.to_redis_args()).await
    }

    /// Ends subscriptions to channels, at once: what is published from now on is not received. What was received
    /// already still comes.
    pub fn unsubscribe(&mut self, channels: impl ToRedisArgs) {
        self.remove(Kind::Channel, channels.to_redis_args());
    }

    /// Ends subscriptions to patterns, at once.
    pub fn punsubscribe(&mut self, patterns: impl ToRedisArgs) {
        self.remove(Kind::Pattern, patterns.to_redis_args());
    }

    /// Ends subscriptions to sharded channels, at once.
    pub fn sunsubscribe(&mut self, channels: impl ToRedisArgs) {
        self.remove(Kind::Shard, channels.to_redis_args());
    }

    /// Ends the tracking of prefixes, at once.
    pub fn untrack(&mut self, prefixes: impl ToRedisArgs) {
        self.remove(Kind::Prefix, prefixes.to_redis_args());
    }

    /// The next event; after [`Closed`](Event::Closed), `None`. With nothing subscribed to it waits.
    ///
    /// **Cancel safety.** Dropping it loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Whether this subscriber has missed nothing; for the crate `cenote-cache`.
    #[doc(hidden)]
    pub fn currency(&self) -> Currency {
        self.queue.currency()
    }

    async fn add(&mut self, kind: Kind, names: Vec<Vec<u8>>) -> Result<(), Error> {
        self.shared.context.breaker.admit()?;
        self.forget_refused();
        let topics: HashSet<Topic> =
            names.into_iter().map(|name| Topic { kind, name: name.into() }).collect();
        let topics: Vec<Topic> = topics.into_iter().filter(|topic| !self.topics.contains(topic)).collect();
        if self.shared.embedded {
            if kind == Kind::Prefix {
                return Err(Error::not_sent(
                    ErrorKind::Refused,
                    "tracking keys needs a Redis, and this pool is embedded",
                ));
            }
            self.shared.local.join(&topics, &self.queue);
            self.topics.extend(topics);
            return Ok(());
        }
        let handle = current_runtime()?;
        may_be_exclusive(&self.shared)?;
        self.shared.admit(&handle)?;
        let Some((hub, acks)) = self.join(&handle, &topics) else {
            return Err(self.shared.hubs.barred(handle.id()).unwrap_or_else(runtime_ended));
        };
        let mut joined = Joined { hub, queue: &self.queue, topics };
        match acknowledged(&handle, acks, self.timeout).await {
            Some(Some(result)) => result?,
            Some(None) if !joined.hub.is_connected() => return Err(self.unconnected(&joined.hub)),
            Some(None) => return Err(unacknowledged(self.timeout)),
            None => return Err(runtime_ended()),
        }
        self.topics.extend(std::mem::take(&mut joined.topics));
        Ok(())
    }

    fn join(&mut self, handle: &Handle, topics: &[Topic]) -> Option<(Arc<Hub>, Acks)> {
        (0..3).find_map(|_| {
            let hub = self.settle(handle)?;
            let acks = hub.join(topics, &self.queue)?;
            Some((hub, acks))
        })
    }

    fn remove(&mut self, kind: Kind, names: Vec<Vec<u8>>) {
        self.forget_refused();
        let topics = names.into_iter().map(|name| Topic { kind, name: name.into() });
        let gone: Vec<Topic> = topics.filter(|topic| self.topics.remove(topic)).collect();
        self.leave(&gone);
    }

    /// Nothing was sent: why was there no connection to send it on?
    fn unconnected(&self, hub: &Hub) -> Error {
        let why = if !hub.has_place() && self.shared.bench.is_full() {
            self.shared.bench.describe(self.timeout, 1)
        } else {
            format!("a subscription reached its limit of {:?}: waiting for a connection", self.timeout)
        };
        Error::not_sent(ErrorKind::Timeout, why)
    }

    fn forget_refused(&mut self) {
        for topic in self.queue.take_refused() {
            self.topics.remove(&topic);
        }
    }

    fn leave<'a>(&self, topics: impl IntoIterator<Item = &'a Topic>) {
        if self.shared.embedded {
            self.shared.local.leave(topics, &self.queue);
        } else if let Some(hub) = &self.hub {
            hub.leave(topics, &self.queue);
            if self.shared.bench.has_waiters() {
                self.shared.hubs.end_deserted();
            }
        }
    }

    /// The hub of this runtime, with all that was subscribed to in another one; `None` if the runtime is ending.
    fn settle(&mut self, handle: &Handle) -> Option<Arc<Hub>> {
        if self.shared.hubs.barred(handle.id()).is_some() {
            return None;
        }
        // A hub may end just as it is picked. If a new one does, too, then so does its runtime.
        for _ in 0..3 {
            if let Some(hub) = self.hub.as_ref().filter(|hub| is_of(hub, handle)) {
                return Some(hub.clone());
            }
            self.forget_refused();
            if let Some(old) = self.hub.take() {
                self.queue.set_out(!self.topics.is_empty());
                old.leave(&self.topics, &self.queue);
            }
            let hub = self.shared.hubs.pick(&self.shared, handle, self.at);
            if hub.take_in(&self.topics, &self.queue) {
                self.hub = Some(hub);
            }
        }
        None
    }

    /// Goes where it is polled, if it is not there already; false if there is nowhere to go.
    fn follow(&mut self) -> bool {
        let Ok(handle) = Handle::try_current() else { return false };
        let is_there = self.hub.as_ref().is_some_and(|hub| is_of(hub, &handle));
        !is_there && !self.shared.embedded && !self.topics.is_empty() && self.settle(&handle).is_some()
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            match self.queue.poll(cx) {
                Poll::Ready(Next::Event(event)) => return Poll::Ready(Some(event)),
                Poll::Ready(Next::Over) => return Poll::Ready(None),
                Poll::Ready(Next::Orphaned) => {
                    if self.shared.context.breaker.is_shut() || Handle::try_current().is_err() {
                        self.queue.close(&mut Wakes::new());
                    } else if !self.follow() {
                        // This runtime is ending, and the task that polls with it; another may take over.
                        return Poll::Pending;
                    }
                }
                Poll::Pending => {
                    if !self.follow() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

/// Members until the call that made them is through; taken back otherwise.
struct Joined<'a> {
    hub: Arc<Hub>,
    queue: &'a Arc<Queue>,
    topics: Vec<Topic>,
}

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        if !self.topics.is_empty() {
            self.hub.leave(&self.topics, self.queue);
        }
    }
}

/// Waits for all acknowledgements in a task of its own, since a caller's future must not own a timer.
async fn acknowledged(handle: &Handle, acks: Acks, limit: Duration) -> Option<Option<Result<(), Error>>> {
    let all = async move {
        for ack in acks {
            // A hub that ends has told why.
            ack.await.unwrap_or_else(|_| Err(Error::closed()))?;
        }
        Ok(())
    };
    timer::within_a_task(handle, limit, all).await
}

fn is_of(hub: &Hub, handle: &Handle) -> bool {
    hub.runtime() == handle.id() && !hub.has_ended()
}

fn runtime_ended() -> Error {
    Error::not_sent(ErrorKind::Runtime, "the tokio runtime of this call has ended")
}

fn unacknowledged(limit: Duration) -> Error {
    let why = format!("a subscription was not acknowledged within its limit of {limit:?}: it was taken back");
    Error::new(ErrorKind::Timeout, Outcome::MayHaveExecuted, why)
}

impl Stream for Subscriber {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_event(cx)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.shared.hubs.exit(self.id);
        // Before the subscriptions end: its currency may outlive it.
        self.queue.close(&mut Wakes::new());
        self.leave(&self.topics);
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber")
            .field("address", &self.shared.context.target)
            .field("subscriptions", &self.topics.len())
            .finish_non_exhaustive()
    }
}
