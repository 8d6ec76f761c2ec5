//! L1: values of this process. Whether an entry still holds is not looked up here by its key: it carries the places in
//! which its changes are noted, and they are asked at each hit.

mod slots;

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroUsize;
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use crate::namespace::{Namespace, Place, Version};

use slots::{Entry, Slots};

/// With less than this in each, several shards would make a poor order of use, or have no room for what is large.
const ENTRIES_OF_SHARD: usize = 512;
const BYTES_OF_SHARD: usize = 4 << 20;
const MOST_SHARDS: usize = 32;
/// What an entry takes beside its value: key, places and bookkeeping, roughly.
pub(crate) const OVERHEAD: usize = 160;

/// What L1 knows of a key, in as few cache lines as it goes.
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
    /// When it was born (wrapping: it may be older than our clock) and until when it is kept here, by our clock, in ms; and for how long from then it is fresh yet.
    pub(crate) born: u64,
    pub(crate) until: u64,
    pub(crate) beyond: u32,
    /// What its load cost, in ms.
    pub(crate) cost: u32,
    /// Its length as encoded, before it was compressed.
    pub(crate) bytes: u32,
}

impl<V> Known<V> {
    /// Nothing that it depends on has changed since.
    fn holds(&self, namespace: &Namespace) -> bool {
        let now = namespace.versions.known();
        let version = if self.tagged { self.version == now } else { self.version.is_of(now) };
        version && namespace.epochs.holds(self.place, self.since)
    }

    fn weight(&self) -> usize {
        self.bytes as usize + OVERHEAD
    }
}

/// A hit: what of [`Known`] its caller needs.
#[derive(Debug)]
pub(crate) struct Hit<V> {
    pub(crate) value: Option<Arc<V>>,
    pub(crate) fresh: u64,
    pub(crate) born: u64,
    pub(crate) cost: u32,
}

/// What L1 has done and holds.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) hits: u64,
    pub(crate) absent_hits: u64,
    pub(crate) evictions: u64,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

pub(crate) struct L1<K, V> {
    shards: Box<[Shard<K, V>]>,
    hasher: RandomState,
}

/// On a cache line of its own.
#[repr(align(128))]
struct Shard<K, V>(Mutex<Counted<K, V>>);

/// Counts stand here because whoever counts has the lock: one more counter that all threads write to would cost a hit
/// more than everything else.
struct Counted<K, V> {
    slots: Slots<K, V>,
    hits: u64,
    absent_hits: u64,
    evictions: u64,
}

impl<K: Hash + Eq, V> L1<K, V> {
    pub(crate) fn new(entries: NonZeroUsize, bytes: usize) -> Self {
        let entries = entries.get().min(u32::MAX as usize);
        let shards = (entries / ENTRIES_OF_SHARD).min(bytes / BYTES_OF_SHARD).clamp(1, MOST_SHARDS);
        let shards = if shards.is_power_of_two() { shards } else { shards.next_power_of_two() / 2 };
        // What does not divide goes to the first ones: together they hold exactly as many as were asked for.
        let share = |index| entries / shards + usize::from(index < entries % shards);
        let shard = |index| {
            let slots = Slots::new(share(index), bytes / shards);
            Shard(Mutex::new(Counted { slots, hits: 0, absent_hits: 0, evictions: 0 }))
        };
        Self { shards: (0..shards).map(shard).collect(), hasher: RandomState::default() }
    }

    /// A hash for the shard's table, which takes the half of its bits that did not choose the shard.
    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> (&Mutex<Counted<K, V>>, u32) {
        let hash = self.hasher.hash_one(key);
        (&self.shards[hash as usize & (self.shards.len() - 1)].0, (hash >> 32) as u32)
    }

    /// What is known of `key`, if it holds and is fresh at `now`. What no longer does goes.
    pub(crate) fn get<Q>(&self, key: &Q, namespace: &Namespace, now: u64) -> Option<Hit<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (shard, hash) = self.shard(key);
        let mut lock = shard.lock();
        let counted = &mut *lock;
        let at = counted.slots.find(hash, key)?;
        let entry = counted.slots.entry(at)?;
        let known = &entry.known;
        if known.until > now && known.holds(namespace) {
            let fresh = known.until.saturating_add(u64::from(known.beyond));
            let hit = Hit { value: known.value.clone(), fresh, born: known.born, cost: known.cost };
            entry.hit();
            *(if hit.value.is_some() { &mut counted.hits } else { &mut counted.absent_hits }) += 1;
            return Some(hit);
        }
        let gone = counted.slots.take(at);
        // Whatever a value does when it is dropped, it does without the lock.
        drop(lock);
        drop(gone);
        None
    }

    /// How many entries had to go for it.
    pub(crate) fn insert(&self, key: K, known: Known<V>, now: u64) -> usize {
        let (shard, hash) = self.shard(&key);
        let mut lock = shard.lock();
        let gone = lock.slots.insert(Entry::new(hash, key, known), now);
        lock.evictions += gone.evicted as u64;
        drop(lock);
        gone.evicted
    }

    pub(crate) fn figures(&self) -> Figures {
        self.shards.iter().fold(Figures::default(), |sum, shard| {
            let counted = shard.0.lock();
            Figures {
                hits: sum.hits + counted.hits,
                absent_hits: sum.absent_hits + counted.absent_hits,
                evictions: sum.evictions + counted.evictions,
                entries: sum.entries + counted.slots.len() as u64,
                bytes: sum.bytes + counted.slots.bytes() as u64,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_the_room_and_none_is_too_small() {
        let shards = |entries, bytes| {
            let l1 = L1::<u32, ()>::new(NonZeroUsize::new(entries).unwrap(), bytes);
            let room: usize = l1.shards.iter().map(|shard| shard.0.lock().slots.room()).sum();
            assert_eq!(room, entries);
            l1.shards.len()
        };
        assert_eq!(shards(1, 1), 1);
        assert_eq!(shards(1023, 64 << 20), 1);
        assert_eq!(shards(1025, 64 << 20), 2);
        assert_eq!(shards(10_000, 64 << 20), 16);
        assert_eq!(shards(10_000, 9 << 20), 2);
        assert_eq!(shards(1_000_000, 1 << 30), 32);
    }

    #[test]
    fn what_a_hit_reads_of_an_entry_fits_two_cache_lines() {
        assert!(size_of::<Option<Entry<String, String>>>() <= 96, "{}", size_of::<Entry<String, String>>());
    }
}
