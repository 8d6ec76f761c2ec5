//! L1: values of this process, least recently used first to go. Whether an entry still holds is not looked up here by
//! its key: it carries the places in which its changes are noted, and they are asked at each hit.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use lru::LruCache;
use parking_lot::Mutex;

use crate::namespace::{Namespace, Place, Version};

/// With fewer entries than this in each, several shards would make a poor order of use.
const SHARD: usize = 512;
const MOST_SHARDS: usize = 8;
/// What an entry takes beside its value: key, links, places and bookkeeping, roughly.
const OVERHEAD: usize = 160;

/// What L1 knows of a key.
#[derive(Debug)]
pub(crate) struct Known<V> {
    /// `None`: there is nothing.
    pub(crate) value: Option<Arc<V>>,
    /// When it was read, in the sense of [`Epochs`](crate::namespace::Epochs), and where its changes are noted.
    pub(crate) since: u64,
    pub(crate) place: Place,
    /// The version at which it was last found valid, and whether it has tags.
    pub(crate) version: Version,
    pub(crate) tagged: bool,
    /// Until when it is kept here, until when it is fresh, when it was born and what its load cost; by our clock, in ms.
    pub(crate) until: u64,
    pub(crate) fresh: u64,
    pub(crate) born: u64,
    pub(crate) cost: u64,
    pub(crate) bytes: usize,
}

impl<V> Clone for Known<V> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), ..*self }
    }
}

impl<V> Known<V> {
    /// Nothing that it depends on has changed since.
    fn holds(&self, namespace: &Namespace) -> bool {
        let now = namespace.versions.known();
        let version = if self.tagged { self.version == now } else { self.version.is_of(now) };
        version && namespace.epochs.holds(self.place, self.since)
    }
}

pub(crate) struct L1<K: Hash + Eq, V> {
    shards: Box<[Shard<K, V>]>,
    hasher: RandomState,
    bytes_per_shard: usize,
    evictions: AtomicU64,
}

/// On a cache line of its own.
#[repr(align(128))]
struct Shard<K: Hash + Eq, V>(Mutex<Entries<K, V>>);

struct Entries<K: Hash + Eq, V> {
    map: LruCache<K, Known<V>, RandomState>,
    bytes: usize,
}

impl<K: Hash + Eq, V> L1<K, V> {
    pub(crate) fn new(entries: NonZeroUsize, bytes: usize) -> Self {
        let shards = (entries.get() / SHARD).clamp(1, MOST_SHARDS).next_power_of_two();
        let hasher = RandomState::default();
        // What does not divide goes to the first ones: together they hold exactly as many as were asked for.
        let share = |index| entries.get() / shards + usize::from(index < entries.get() % shards);
        let shard = |index| {
            let map = LruCache::with_hasher(
                NonZeroUsize::new(share(index)).unwrap_or(NonZeroUsize::MIN),
                hasher.clone(),
            );
            Shard(Mutex::new(Entries { map, bytes: 0 }))
        };
        let shards: Box<[_]> = (0..shards).map(shard).collect();
        Self { bytes_per_shard: bytes / shards.len(), shards, hasher, evictions: AtomicU64::new(0) }
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> &Mutex<Entries<K, V>> {
        if self.shards.len() == 1 {
            return &self.shards[0].0;
        }
        // The map takes the low half of the same hash.
        let index = (self.hasher.hash_one(key) >> 48) as usize & (self.shards.len() - 1);
        &self.shards[index].0
    }

    /// What is known of `key`, if it holds and is fresh at `now`. What no longer does goes.
    pub(crate) fn get<Q>(&self, key: &Q, namespace: &Namespace, now: u64) -> Option<Known<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let mut entries = self.shard(key).lock();
        let known = entries.map.get(key)?;
        if known.until > now && known.holds(namespace) {
            return Some(known.clone());
        }
        let gone = entries.map.pop(key);
        entries.forget(gone.as_ref());
        drop(entries);
        drop(gone);
        None
    }

    pub(crate) fn insert(&self, key: K, known: Known<V>) {
        let bytes = known.weight();
        if bytes > self.bytes_per_shard {
            return;
        }
        let mut gone = Vec::new();
        let mut entries = self.shard(&key).lock();
        entries.bytes += bytes;
        if let Some(old) = entries.map.push(key, known) {
            entries.forget(Some(&old.1));
            gone.push(old);
        }
        while entries.bytes > self.bytes_per_shard {
            let Some(old) = entries.map.pop_lru() else { break };
            entries.forget(Some(&old.1));
            gone.push(old);
        }
        drop(entries);
        // Whatever a value does when it is dropped, it does without the lock. One was perhaps the key's own former value.
        self.evictions.fetch_add(gone.len() as u64, Ordering::Relaxed);
    }

    /// Entries, bytes, and how many entries had to go.
    pub(crate) fn figures(&self) -> (u64, u64, u64) {
        let sums = self.shards.iter().map(|shard| {
            let entries = shard.0.lock();
            (entries.map.len() as u64, entries.bytes as u64)
        });
        let (entries, bytes) = sums.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        (entries, bytes, self.evictions.load(Ordering::Relaxed))
    }
}

impl<V> Known<V> {
    fn weight(&self) -> usize {
        self.bytes.saturating_add(OVERHEAD)
    }
}

impl<K: Hash + Eq, V> Entries<K, V> {
    fn forget(&mut self, gone: Option<&Known<V>>) {
        self.bytes -= gone.map_or(0, Known::weight);
    }
}
