//! The caches that are compared, each called as its documentation says and with its own defaults, but for the room it
//! has.

mod bare;
mod cached;
mod cenote;
mod moka;
mod multi_tier;
mod quick_cache;

use std::future::Future;
use std::ops::Range;

use anyhow::Result;

pub(super) use self::bare::Bare;
pub(super) use self::cached::Cached;
pub(super) use self::cenote::{Cenote, CenoteHot, CenoteWithoutL1};
pub(super) use self::moka::Moka;
pub(super) use self::multi_tier::{MultiTier, MultiTierHot};
pub(super) use self::quick_cache::QuickCache;
use crate::lru::trace::Key;

/// A cache that has every hot key in this process.
pub(super) trait Hot: Sized + Send + Sync + 'static {
    const NAME: &'static str;

    /// The `index`th of its kind, filled.
    fn filled(url: &str, index: usize) -> impl Future<Output = Result<Self>>;

    /// What is seen in the value of `key`, by the call that would load it; `None` if it was not there.
    fn get(&self, key: &Key) -> impl Future<Output = Option<u64>>;
}

/// A client that finds the values of all keys in Redis. Each task has a clone.
pub(super) trait Stored: Clone + Send + Sync + 'static {
    const NAME: &'static str;

    /// Gets and checks the value of the `index`th key.
    fn get(&mut self, index: usize) -> impl Future<Output = Result<()>> + Send;
}

/// A client that gets many of them at once.
pub(super) trait StoredMany: Clone + Send + Sync + 'static {
    const NAME: &'static str;

    /// Gets and checks the values of these keys.
    fn get_many(&mut self, indices: Range<usize>) -> impl Future<Output = Result<()>> + Send;
}

/// A cache that loads. Each task has a clone.
pub(super) trait Filling: Clone + Send + Sync + 'static {
    const NAME: &'static str;

    /// Has the value of a key loaded.
    fn load(&self, key: &str) -> impl Future<Output = Result<()>> + Send;
}
