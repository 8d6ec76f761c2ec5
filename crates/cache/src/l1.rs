//! L1: values of this process. Whether an entry still holds is not looked up here by its key: it carries the places in
//! which its changes are noted, and they are asked at each hit.
//!
//! What was not hit since the hand last passed goes first (CLOCK): a hit sets a bit where a list in order of use would
//! have to write to three entries, each in a cache line of its own.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroUsize;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use parking_lot::Mutex;

use crate::namespace::{Namespace, Place, Version};

/// With fewer entries than this in each, several shards would make a poor order of use.
const SHARD: usize = 512;
const MOST_SHARDS: usize = 8;
/// What an entry takes beside its value: key, places and bookkeeping, roughly.
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
    pub(crate) cost: u32,
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
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

pub(crate) struct L1<K, V> {
    shards: Box<[Shard<K, V>]>,
    hasher: RandomState,
    bytes_per_shard: usize,
}

/// On a cache line of its own.
#[repr(align(128))]
struct Shard<K, V>(Mutex<Entries<K, V>>);

/// Counts stand here because whoever counts has the lock: one more counter that all threads write to would cost a hit
/// more than everything else.
struct Entries<K, V> {
    /// Where the entry of each key is among the slots.
    table: HashTable<u32>,
    slots: Vec<Option<Entry<K, V>>>,
    /// Slots with nothing in them; the last was freed last, so the hand comes to it last.
    free: Vec<u32>,
    hand: usize,
    room: usize,
    bytes: usize,
    hits: u64,
    absent_hits: u64,
}

struct Entry<K, V> {
    key: K,
    known: Known<V>,
    /// Since the hand last passed.
    was_hit: bool,
}

impl<K: Hash + Eq, V> L1<K, V> {
    pub(crate) fn new(entries: NonZeroUsize, bytes: usize) -> Self {
        let entries = entries.get().min(u32::MAX as usize);
        let shards = (entries / SHARD).clamp(1, MOST_SHARDS).next_power_of_two();
        // What does not divide goes to the first ones: together they hold exactly as many as were asked for.
        let share = |index| entries / shards + usize::from(index < entries % shards);
        let shards: Box<[_]> =
            (0..shards).map(|index| Shard(Mutex::new(Entries::new(share(index))))).collect();
        Self { bytes_per_shard: bytes / shards.len(), shards, hasher: RandomState::default() }
    }

    fn shard(&self, hash: u64) -> &Mutex<Entries<K, V>> {
        // The table takes other bits of the same hash.
        &self.shards[(hash >> 40) as usize & (self.shards.len() - 1)].0
    }

    /// What is known of `key`, if it holds and is fresh at `now`. What no longer does goes.
    pub(crate) fn get<Q>(&self, key: &Q, namespace: &Namespace, now: u64) -> Option<Hit<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let mut lock = self.shard(hash).lock();
        let entries = &mut *lock;
        let at = entries.find(hash, key)?;
        let entry = entries.slots[at as usize].as_mut()?;
        let known = &entry.known;
        if known.until > now && known.holds(namespace) {
            let hit =
                Hit { value: known.value.clone(), fresh: known.fresh, born: known.born, cost: known.cost };
            // Written once only: what no thread writes to, all of them have at hand.
            if !entry.was_hit {
                entry.was_hit = true;
            }
            *(if hit.value.is_some() { &mut entries.hits } else { &mut entries.absent_hits }) += 1;
            return Some(hit);
        }
        let gone = entries.take(at, |key| self.hasher.hash_one(key));
        // Whatever a value does when it is dropped, it does without the lock.
        drop(lock);
        drop(gone);
        None
    }

    /// How many entries had to go for it.
    pub(crate) fn insert(&self, key: K, known: Known<V>) -> usize {
        let bytes = known.weight();
        if bytes > self.bytes_per_shard {
            return 0;
        }
        let hash_of = |key: &K| self.hasher.hash_one(key);
        let hash = hash_of(&key);
        let mut gone = Vec::new();
        let mut entries = self.shard(hash).lock();
        if let Some(at) = entries.find(hash, &key) {
            gone.extend(entries.take(at, hash_of));
        }
        let others = gone.len();
        while entries.table.len() >= entries.room || entries.bytes + bytes > self.bytes_per_shard {
            let Some(at) = entries.least_used() else { break };
            gone.extend(entries.take(at, hash_of));
        }
        entries.put(hash, Entry { key, known, was_hit: false }, hash_of);
        drop(entries);
        gone.len() - others
    }

    pub(crate) fn figures(&self) -> Figures {
        self.shards.iter().fold(Figures::default(), |sum, shard| {
            let entries = shard.0.lock();
            Figures {
                hits: sum.hits + entries.hits,
                absent_hits: sum.absent_hits + entries.absent_hits,
                entries: sum.entries + entries.table.len() as u64,
                bytes: sum.bytes + entries.bytes as u64,
            }
        })
    }
}

impl<K, V> Entries<K, V> {
    fn new(room: usize) -> Self {
        Self {
            table: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            hand: 0,
            room: room.max(1),
            bytes: 0,
            hits: 0,
            absent_hits: 0,
        }
    }

    fn find<Q>(&self, hash: u64, key: &Q) -> Option<u32>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let is_it =
            |at: &u32| self.slots[*at as usize].as_ref().is_some_and(|entry| entry.key.borrow() == key);
        self.table.find(hash, is_it).copied()
    }

    /// The slot of the first entry that was not hit since the hand last passed; `None` if there is no entry.
    fn least_used(&mut self) -> Option<u32> {
        // Twice round at most: the first time takes every bit away.
        for _ in 0..2 * self.slots.len() {
            let at = if self.hand < self.slots.len() { self.hand } else { 0 };
            self.hand = at + 1;
            match &mut self.slots[at] {
                Some(entry) if entry.was_hit => entry.was_hit = false,
                Some(_) => return Some(at as u32),
                None => {}
            }
        }
        None
    }

    fn take(&mut self, at: u32, hash_of: impl Fn(&K) -> u64) -> Option<Entry<K, V>> {
        let entry = self.slots[at as usize].take()?;
        if let Ok(place) = self.table.find_entry(hash_of(&entry.key), |other| *other == at) {
            place.remove();
        }
        self.free.push(at);
        self.bytes -= entry.known.weight();
        Some(entry)
    }

    /// The hand comes to it last, where one was evicted for it.
    fn put(&mut self, hash: u64, entry: Entry<K, V>, hash_of: impl Fn(&K) -> u64) {
        self.bytes += entry.known.weight();
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                if self.slots.len() == self.slots.capacity() {
                    // Never more than there is room for.
                    let more = self.slots.len().clamp(16, self.room.max(16));
                    self.slots.reserve_exact(more.min(self.room.saturating_sub(self.slots.len())).max(1));
                }
                self.slots.push(None);
                (self.slots.len() - 1) as u32
            }
        };
        self.slots[at as usize] = Some(entry);
        let slots = &self.slots;
        // The new one, too, has its slot by now.
        let hash_at = |at: &u32| slots[*at as usize].as_ref().map_or(0, |entry| hash_of(&entry.key));
        self.table.insert_unique(hash, at, hash_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(bytes: u32) -> Known<()> {
        Known {
            value: None,
            since: 0,
            place: crate::namespace::Epochs::new(1).place(b""),
            version: Version::NONE,
            tagged: false,
            until: 0,
            fresh: 0,
            born: 0,
            cost: 0,
            bytes,
        }
    }

    fn l1(entries: usize, bytes: usize) -> L1<u32, ()> {
        L1::new(NonZeroUsize::new(entries).unwrap(), bytes)
    }

    fn insert(l1: &L1<u32, ()>, key: u32, bytes: u32) -> usize {
        l1.insert(key, known(bytes))
    }

    fn hit(l1: &L1<u32, ()>, key: u32) -> bool {
        let hash = l1.hasher.hash_one(key);
        let mut entries = l1.shard(hash).lock();
        let Some(at) = entries.find(hash, &key) else { return false };
        entries.slots[at as usize].as_mut().unwrap().was_hit = true;
        true
    }

    #[test]
    fn what_was_not_hit_since_the_hand_passed_goes_first_and_in_the_order_in_which_it_came() {
        let l1 = l1(4, 1 << 20);
        assert_eq!((0..4).map(|key| insert(&l1, key, 1)).sum::<usize>(), 0);
        assert!(hit(&l1, 0) && hit(&l1, 2));
        assert_eq!((4..6).map(|key| insert(&l1, key, 1)).sum::<usize>(), 2);
        let left: Vec<_> = {
            let entries = l1.shards[0].0.lock();
            (0..6).filter(|key| entries.find(l1.hasher.hash_one(key), key).is_some()).collect()
        };
        assert_eq!(left, [0, 2, 4, 5]);
        assert_eq!(insert(&l1, 6, 1), 1);
        assert!(!hit(&l1, 0), "its bit was taken when the hand passed");
        assert!(hit(&l1, 2) && hit(&l1, 4) && hit(&l1, 5) && hit(&l1, 6));
    }

    #[test]
    fn neither_bound_is_passed_and_no_byte_is_lost_whatever_comes_and_goes() {
        let mut random = fastrand::Rng::with_seed(7);
        let l1 = l1(50, 50 * 300);
        let mut evicted = 0;
        for _ in 0..20_000 {
            let key = random.u32(..200);
            match random.u32(..4) {
                0 => {
                    hit(&l1, key);
                }
                1 => {
                    let hash = l1.hasher.hash_one(key);
                    let mut entries = l1.shard(hash).lock();
                    if let Some(at) = entries.find(hash, &key) {
                        entries.take(at, |key| l1.hasher.hash_one(key));
                    }
                }
                _ => evicted += insert(&l1, key, random.u32(..1000)),
            }
            let entries = l1.shards[0].0.lock();
            let held: Vec<_> = entries.slots.iter().flatten().collect();
            assert!(held.len() <= 50 && entries.bytes <= 50 * 300 && entries.slots.len() <= 50);
            assert_eq!(entries.table.len(), held.len());
            assert_eq!(entries.bytes, held.iter().map(|entry| entry.known.weight()).sum::<usize>());
            assert!(
                held.iter().all(|entry| entries.find(l1.hasher.hash_one(entry.key), &entry.key).is_some())
            );
        }
        assert!(evicted > 100);
    }
}
