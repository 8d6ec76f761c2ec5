//! The settings of one cache, checked.

use std::time::Duration;

use crate::compress::Compression;

/// What L1 does once it is no longer told of changes, because the connection that tells is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnDisconnect {
    /// It answers nothing until it is told again. The default.
    #[default]
    Flush,
    /// It goes on answering with what it has, for so long at most: what other processes change meanwhile is not seen.
    ServeFor(Duration),
}

/// In ms: Redis refuses dates beyond what its own arithmetic holds.
const LONGEST: u64 = 1 << 50;

#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// All in ms.
    pub(crate) ttl: u64,
    pub(crate) jitter: f64,
    pub(crate) stale: u64,
    pub(crate) early: Option<f64>,
    pub(crate) negative: Option<u64>,
    pub(crate) soft: Option<Duration>,
    pub(crate) hard: Duration,
    pub(crate) wait: Option<Duration>,
    pub(crate) l1_ttl: u64,
    pub(crate) on_disconnect: OnDisconnect,
    pub(crate) compression: Compression,
}

impl Options {
    /// How long a value is fresh: jittered downwards, so that what was stored together does not end together.
    pub(crate) fn fresh(&self, ttl: u64) -> u64 {
        if self.jitter == 0.0 || ttl == u64::MAX {
            return ttl;
        }
        ttl - (ttl as f64 * self.jitter * fastrand::f64()) as u64
    }

    /// How long Redis keeps a value that is fresh for so long; `None`: for ever.
    pub(crate) fn kept(&self, fresh: u64) -> Option<u64> {
        let kept = fresh.saturating_add(self.stale).max(1);
        (kept < LONGEST).then_some(kept)
    }

    /// How long a fence stands: longer than any load.
    pub(crate) fn fence(&self) -> u64 {
        crate::clock::millis(self.hard).saturating_add(1_000).min(LONGEST)
    }
}
