//! `lru` behind one mutex, which makes it the exact LRU that hit ratios are held against.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;

use super::{Cache, Key, look};

/// Values are looked at where they lie.
pub(crate) struct LruMutex(Mutex<Bytes>);

type Bytes = LruCache<Box<[u8]>, Box<[u8]>>;

impl Cache for LruMutex {
    const NAME: &'static str = "lru + mutex";

    fn with_capacity(entries: usize) -> Self {
        let mut lru = LruCache::unbounded();
        lru.resize(NonZeroUsize::new(entries).unwrap_or(NonZeroUsize::MIN));
        Self(Mutex::new(lru))
    }

    fn get(&self, key: &Key) -> Option<u64> {
        self.0.lock().get(&key[..]).map(|value| look(value))
    }

    fn insert(&self, key: &Key, value: &[u8]) {
        let (key, value) = (key[..].into(), value.into());
        let evicted = self.0.lock().push(key, value);
        drop(evicted);
    }

    fn len(&self) -> usize {
        self.0.lock().len()
    }
}
