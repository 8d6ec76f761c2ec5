//! What a subscriber is told.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use redis::{FromRedisValue, RedisResult, Value};

use super::topics::{Kind as SubscriptionKind, Topic};
use crate::error::Error;

/// One thing that a [`Subscriber`](crate::Subscriber) is told, in the order in which it happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// Somebody published.
    Message(Message),
    /// Keys under a tracked prefix were written, deleted, expired or evicted.
    Invalidated(Invalidation),
    /// The connection was lost, and all subscriptions are back on a new one: messages may have been missed in
    /// between. What they would have told must be read anew, and every invalidation must be presumed. Gaps that
    /// follow each other with no message between them, and were not yet looked at, are one.
    Gap,
    /// This subscriber was too slow: so many of its oldest events (messages and invalidations) were dropped
    /// for newer ones. Others are not affected.
    Lagged(u64),
    /// Redis no longer allows a subscription that it had accepted, and said why. It has ended, and may be asked for
    /// again; the others go on. When it ends after a lost connection, this comes before the `Gap`.
    Refused(Refusal),
    /// The pool was closed; or the runtime that served this subscriber has ended, and it is polled outside any.
    /// Nothing comes after it.
    Closed,
}

/// A subscription that Redis had accepted and no longer allows.
#[derive(Clone)]
pub struct Refusal {
    pub(super) topic: Topic,
    pub(super) error: Error,
}

impl Refusal {
    /// What was subscribed to.
    pub fn kind(&self) -> SubscriptionKind {
        self.topic.kind
    }

    /// The channel, pattern or prefix; bytes that are not UTF-8 are replaced.
    pub fn name(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.topic.name)
    }

    /// What Redis said.
    pub fn error(&self) -> &Error {
        &self.error
    }
}

/// What a [`Subscriber`](crate::Subscriber) that tracks keys must forget.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invalidation {
    /// These keys.
    Keys(Arc<[Vec<u8>]>),
    /// Whatever it knows under its prefixes: the database was flushed, or Redis had to be told anew what to
    /// track.
    Everything,
}

/// A message as it was published. Cheap to clone: all subscribers share its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Message(Arc<Body>);

#[derive(PartialEq, Eq)]
pub(super) struct Body {
    pub(super) pattern: Option<Arc<[u8]>>,
    pub(super) channel: Arc<[u8]>,
    pub(super) payload: Vec<u8>,
}

impl Message {
    pub(super) fn new(body: Body) -> Self {
        Self(Arc::new(body))
    }

    /// The channel it was published on; bytes that are not UTF-8 are replaced.
    pub fn channel(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0.channel)
    }

    /// The channel's name as it is.
    pub fn channel_bytes(&self) -> &[u8] {
        &self.0.channel
    }

    /// The pattern that let it through, if it came by one.
    pub fn pattern(&self) -> Option<Cow<'_, str>> {
        self.0.pattern.as_deref().map(String::from_utf8_lossy)
    }

    /// What was published.
    pub fn payload(&self) -> &[u8] {
        &self.0.payload
    }

    /// What was published, converted as redis converts replies.
    ///
    /// # Errors
    ///
    /// The payload is not of this type.
    pub fn get<T: FromRedisValue>(&self) -> RedisResult<T> {
        Ok(redis::from_redis_value(Value::BulkString(self.0.payload.clone()))?)
    }

    /// Roughly what it costs to keep.
    pub(super) fn bytes(&self) -> usize {
        self.0.payload.len() + self.0.channel.len()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Message");
        shown.field("channel", &self.channel());
        if let Some(pattern) = self.pattern() {
            shown.field("pattern", &pattern);
        }
        shown.field("payload", &String::from_utf8_lossy(self.payload())).finish()
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Refusal");
        shown.field("kind", &self.kind()).field("name", &self.name()).field("error", &self.error).finish()
    }
}

impl fmt::Debug for Invalidation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys(keys) => {
                f.debug_list().entries(keys.iter().map(|key| String::from_utf8_lossy(key))).finish()
            }
            Self::Everything => f.write_str("Everything"),
        }
    }
}
