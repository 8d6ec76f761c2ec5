//! `moka`'s cache for threads. It clones what it returns, so values are in an `Arc`, as its documentation asks.

use std::sync::Arc;

use moka::sync::Cache as Inner;

use super::{Cache, Key, look};

pub(crate) struct Moka(Inner<Box<[u8]>, Arc<[u8]>>);

impl Cache for Moka {
    const NAME: &'static str = "moka";

    fn with_capacity(entries: usize) -> Self {
        Self(Inner::new(entries as u64))
    }

    fn get(&self, key: &Key) -> Option<u64> {
        self.0.get(&key[..]).map(|value| look(&value))
    }

    fn insert(&self, key: &Key, value: &[u8]) {
        self.0.insert(key[..].into(), value.into());
    }

    fn len(&self) -> usize {
        self.0.run_pending_tasks();
        self.0.entry_count() as usize
    }
}
