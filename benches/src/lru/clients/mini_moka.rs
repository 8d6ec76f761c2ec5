//! `mini-moka`'s cache for threads. It clones what it returns, so values are in an `Arc`, as its documentation asks.

use std::sync::Arc;

use mini_moka::sync::{Cache as Inner, ConcurrentCacheExt};

use super::{Cache, Key, look};

pub(crate) struct MiniMoka(Inner<Key, Arc<[u8]>>);

impl Cache for MiniMoka {
    const NAME: &'static str = "mini-moka";

    fn with_capacity(entries: usize) -> Self {
        Self(Inner::new(entries as u64))
    }

    fn get(&self, key: &Key) -> Option<u64> {
        self.0.get(key).map(|value| look(&value))
    }

    fn insert(&self, key: &Key, value: &[u8]) {
        self.0.insert(*key, value.into());
    }

    fn len(&self) -> usize {
        self.0.sync();
        self.0.entry_count() as usize
    }
}
