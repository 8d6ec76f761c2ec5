//! What a cache answers.

use std::sync::Arc;
use std::time::Duration;

/// Where an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tier {
    /// This process's memory, of which Redis would tell every change.
    L1,
    /// Redis.
    L2,
    /// The pool's fallback, since Redis is away or there is none.
    Fallback,
    /// A loader, of this caller or of another who asked at the same time.
    Loader,
}

/// What [`get`](crate::Cache::get) found.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lookup<V> {
    /// A value within its ttl.
    Hit(Found<V>),
    /// A value past its ttl and within the stale window.
    Stale(Found<V>),
    /// The loader had found that there is nothing, less than the negative ttl ago.
    Absent {
        /// Who said so.
        tier: Tier,
        /// How long ago it was found out.
        age: Duration,
    },
    /// Nothing is known. From [`Tier::Fallback`] it means that Redis could not be asked.
    Miss {
        /// Who said so.
        tier: Tier,
    },
}

/// A value, and where it comes from.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found<V> {
    /// The value; all who read it from L1 share it.
    pub value: Arc<V>,
    /// Where it was.
    pub tier: Tier,
    /// How long ago it was loaded or put, by the server's clock.
    pub age: Duration,
}

impl<V> Clone for Found<V> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), ..*self }
    }
}

impl<V> Clone for Lookup<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Hit(found) => Self::Hit(found.clone()),
            Self::Stale(found) => Self::Stale(found.clone()),
            Self::Absent { tier, age } => Self::Absent { tier: *tier, age: *age },
            Self::Miss { tier } => Self::Miss { tier: *tier },
        }
    }
}

impl<V> Lookup<V> {
    /// The value, be it stale or not.
    pub fn value(&self) -> Option<&Arc<V>> {
        match self {
            Self::Hit(found) | Self::Stale(found) => Some(&found.value),
            _ => None,
        }
    }

    /// Who answered.
    pub fn tier(&self) -> Tier {
        match self {
            Self::Hit(found) | Self::Stale(found) => found.tier,
            Self::Absent { tier, .. } | Self::Miss { tier } => *tier,
        }
    }
}

/// What became of a write or a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "a pending one is not yet seen by other processes"]
#[non_exhaustive]
pub enum Written {
    /// Redis did it: no process that asks Redis from now on reads what was there before. One with an L1 does not ask in
    /// which version the namespace is, but is told: a removal by a tag and a clear reach it a moment later. And one that was
    /// loading the key hands what it loads to its callers, without storing it.
    Applied,
    /// Redis is away. This process acts as if it were done; other processes may read what was there before, until Redis
    /// is back and this process has had it removed there.
    Pending,
}

impl Written {
    pub(crate) fn of(pending: bool) -> Self {
        if pending { Self::Pending } else { Self::Applied }
    }
}
