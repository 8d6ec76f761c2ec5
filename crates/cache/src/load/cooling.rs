//! Keys whose source failed a moment ago.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use lru::LruCache;
use parking_lot::Mutex;

use crate::clock::now_ms;

const MOST: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

pub(crate) struct Cooling<K: Hash + Eq> {
    until: Mutex<LruCache<K, u64>>,
    /// How many there are: none, nearly always.
    count: AtomicUsize,
}

impl<K: Hash + Eq> Default for Cooling<K> {
    fn default() -> Self {
        Self { until: Mutex::new(LruCache::new(MOST)), count: AtomicUsize::new(0) }
    }
}

impl<K: Hash + Eq> Cooling<K> {
    pub(super) fn cool(&self, key: K, until: u64) {
        let mut map = self.until.lock();
        let _ = map.put(key, until);
        self.count.store(map.len(), Ordering::Relaxed);
    }

    pub(super) fn forgive(&self, key: &K) {
        if self.count.load(Ordering::Relaxed) > 0 {
            let mut map = self.until.lock();
            let _ = map.pop(key);
            self.count.store(map.len(), Ordering::Relaxed);
        }
    }

    pub(super) fn is_cool(&self, key: &K) -> bool {
        self.count.load(Ordering::Relaxed) > 0
            && self.until.lock().get(key).is_some_and(|until| *until > now_ms())
    }
}
