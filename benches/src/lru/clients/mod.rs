//! The caches that are compared.

mod cenote;
mod lru_mutex;
mod mini_moka;
mod moka;
mod quick_cache;

pub(crate) use self::cenote::{Cenote, CenoteCommand, CenoteCopied};
pub(crate) use self::lru_mutex::LruMutex;
pub(crate) use self::mini_moka::MiniMoka;
pub(crate) use self::moka::Moka;
pub(crate) use self::quick_cache::QuickCache;

use super::trace::Key;

/// A cache of byte strings. Each client is called as its documentation says, and each looks at the value in the same
/// way, so that none can leave the work undone.
pub(crate) trait Cache: Send + Sync {
    const NAME: &'static str;

    /// An empty cache with room for so many entries.
    fn with_capacity(entries: usize) -> Self;

    /// What [`look`] sees in the value, if it is there.
    fn get(&self, key: &Key) -> Option<u64>;

    fn insert(&self, key: &Key, value: &[u8]);

    /// How many entries it holds, all of its housekeeping done.
    fn len(&self) -> usize;
}

/// Looks at a value's two ends.
pub(crate) fn look(value: &[u8]) -> u64 {
    u64::from(value[0]) + u64::from(value[value.len() - 1])
}
