//! Entries in slots, and which of them goes for another.
//!
//! What was not hit since the hand last passed goes first (CLOCK, Corbató 1968): a hit sets a bit where a list in order
//! of use would have to write to three entries, each in a cache line of its own.

use std::borrow::Borrow;

use hashbrown::HashTable;

use super::Known;

pub(super) struct Entry<K, V> {
    key: K,
    pub(super) known: Known<V>,
    hash: u32,
    /// Since the hand last passed.
    was_hit: bool,
}

impl<K, V> Entry<K, V> {
    pub(super) fn new(hash: u32, key: K, known: Known<V>) -> Self {
        Self { key, known, hash, was_hit: false }
    }

    /// Written once only: what no thread writes to, all of them have at hand.
    pub(super) fn hit(&mut self) {
        if !self.was_hit {
            self.was_hit = true;
        }
    }
}

/// What had to go: to be dropped without a lock.
pub(super) struct Gone<K, V> {
    /// Apart from the former entry of the same key, and from what was over.
    pub(super) evicted: usize,
    /// Most often it is one.
    _first: Option<Entry<K, V>>,
    _others: Vec<Entry<K, V>>,
}

impl<K, V> Gone<K, V> {
    fn push(&mut self, entry: Entry<K, V>) {
        match &mut self._first {
            first @ None => *first = Some(entry),
            Some(_) => self._others.push(entry),
        }
    }
}

/// How many slots an insertion looks at for entries that are over: more than it fills, so that these are all found.
const SWEPT: usize = 2;

pub(super) struct Slots<K, V> {
    /// Where the entry of each key is among the slots.
    table: HashTable<u32>,
    slots: Vec<Option<Entry<K, V>>>,
    /// Slots with nothing in them; the last was freed last, so the hand comes to it last.
    free: Vec<u32>,
    hand: usize,
    broom: usize,
    room: usize,
    bytes: usize,
    most_bytes: usize,
}

/// The table takes low bits for the place and high ones for the tag.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

impl<K, V> Slots<K, V> {
    pub(super) fn new(room: usize, most_bytes: usize) -> Self {
        Self {
            table: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            hand: 0,
            broom: 0,
            room: room.max(1),
            bytes: 0,
            most_bytes,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.room
    }

    pub(super) fn find<Q>(&self, hash: u32, key: &Q) -> Option<u32>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let is_it =
            |at: &u32| self.slots[*at as usize].as_ref().is_some_and(|entry| entry.key.borrow() == key);
        self.table.find(spread(hash), is_it).copied()
    }

    pub(super) fn entry(&mut self, at: u32) -> Option<&mut Entry<K, V>> {
        self.slots[at as usize].as_mut()
    }

    pub(super) fn take(&mut self, at: u32) -> Option<Entry<K, V>> {
        let entry = self.slots[at as usize].take()?;
        if let Ok(place) = self.table.find_entry(spread(entry.hash), |other| *other == at) {
            place.remove();
        }
        self.free.push(at);
        self.bytes -= entry.known.weight();
        Some(entry)
    }

    /// Makes room for it; one that no room would be enough for is not kept.
    pub(super) fn insert(&mut self, entry: Entry<K, V>, now: u64) -> Gone<K, V>
    where
        K: Eq,
    {
        let weight = entry.known.weight();
        let former = self.find(entry.hash, &entry.key).and_then(|at| self.take(at));
        let mut gone = Gone { evicted: 0, _first: former, _others: Vec::new() };
        if weight > self.most_bytes {
            gone.push(entry);
            return gone;
        }
        self.sweep(now, &mut gone);
        while self.table.len() >= self.room || self.bytes + weight > self.most_bytes {
            let Some(evicted) = self.least_used().and_then(|at| self.take(at)) else { break };
            gone.evicted += 1;
            gone.push(evicted);
        }
        self.put(entry);
        gone
    }

    /// Takes what is over from the slots to which the broom comes next.
    fn sweep(&mut self, now: u64, gone: &mut Gone<K, V>) {
        for _ in 0..SWEPT.min(self.slots.len()) {
            self.broom = if self.broom + 1 < self.slots.len() { self.broom + 1 } else { 0 };
            if self.slots[self.broom].as_ref().is_some_and(|entry| entry.known.until <= now)
                && let Some(over) = self.take(self.broom as u32)
            {
                gone.push(over);
            }
        }
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

    /// The hand comes to it last, where one was evicted for it.
    fn put(&mut self, entry: Entry<K, V>) {
        self.bytes += entry.known.weight();
        let hash = spread(entry.hash);
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
        let hash_at = |at: &u32| slots[*at as usize].as_ref().map_or(0, |entry| spread(entry.hash));
        self.table.insert_unique(hash, at, hash_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::{Epochs, Version};

    fn entry(key: u32, bytes: u32) -> Entry<u32, ()> {
        let known = Known {
            value: None,
            since: 0,
            place: Epochs::new(1).place(b""),
            version: Version::NONE,
            tagged: false,
            born: 0,
            until: 100,
            beyond: 0,
            cost: 0,
            bytes,
        };
        // Some keys share a hash.
        Entry::new((key / 3).wrapping_mul(0x9E37_79B9), key, known)
    }

    fn find(slots: &Slots<u32, ()>, key: u32) -> Option<u32> {
        slots.find(entry(key, 0).hash, &key)
    }

    fn hit(slots: &mut Slots<u32, ()>, key: u32) -> bool {
        let Some(at) = find(slots, key) else { return false };
        slots.entry(at).unwrap().hit();
        true
    }

    #[test]
    fn what_was_not_hit_since_the_hand_passed_goes_first_and_in_the_order_in_which_it_came() {
        let mut slots = Slots::new(4, 1 << 20);
        let insert = |slots: &mut Slots<_, _>, key| slots.insert(entry(key, 1), 0).evicted;
        assert_eq!((0..4).map(|key| insert(&mut slots, key)).sum::<usize>(), 0);
        assert!(hit(&mut slots, 0) && hit(&mut slots, 2));
        assert_eq!((4..6).map(|key| insert(&mut slots, key)).sum::<usize>(), 2);
        let left: Vec<_> = (0..6).filter(|key| find(&slots, *key).is_some()).collect();
        assert_eq!(left, [0, 2, 4, 5]);
        assert_eq!(insert(&mut slots, 6), 1);
        assert!(!hit(&mut slots, 0), "its bit was taken when the hand passed");
        assert!([2, 4, 5, 6].iter().all(|key| hit(&mut slots, *key)));
        assert_eq!(insert(&mut slots, 6), 0, "the same key again takes no room");
    }

    #[test]
    fn what_there_is_no_room_for_at_all_replaces_its_former_entry_by_nothing() {
        let mut slots = Slots::new(4, 1000);
        slots.insert(entry(1, 10), 0);
        slots.insert(entry(2, 10), 0);
        assert_eq!(slots.insert(entry(1, 2000), 0).evicted, 0);
        assert!(find(&slots, 1).is_none() && find(&slots, 2).is_some());
    }

    #[test]
    fn what_is_over_goes_as_others_come_and_is_no_eviction() {
        let mut slots = Slots::new(1000, 1 << 20);
        assert_eq!((0..400).map(|key| slots.insert(entry(key, 1), 0).evicted).sum::<usize>(), 0);
        assert!((0..400).all(|key| hit(&mut slots, key)));
        let late = |key| Entry { known: Known { until: 300, ..entry(key, 1).known }, ..entry(key, 1) };
        assert_eq!((400..800).map(|key| slots.insert(late(key), 200).evicted).sum::<usize>(), 0);
        assert_eq!(slots.len(), 400);
        assert!((0..400).all(|key| find(&slots, key).is_none()));
    }

    #[test]
    fn neither_bound_is_passed_and_no_byte_is_lost_whatever_comes_and_goes() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut slots = Slots::new(50, 50 * 300);
        let mut evicted = 0;
        for _ in 0..20_000 {
            let key = random.u32(..200);
            match random.u32(..4) {
                0 => drop(hit(&mut slots, key)),
                1 => drop(find(&slots, key).and_then(|at| slots.take(at))),
                _ => evicted += slots.insert(entry(key, random.u32(..1000)), random.u64(..120)).evicted,
            }
            let held: Vec<_> = slots.slots.iter().flatten().collect();
            assert!(held.len() <= 50 && slots.bytes <= 50 * 300 && slots.slots.len() <= 50);
            assert_eq!(slots.len(), held.len());
            assert_eq!(slots.bytes, held.iter().map(|entry| entry.known.weight()).sum::<usize>());
            assert!(held.iter().all(|entry| find(&slots, entry.key).is_some()));
        }
        assert!(evicted > 100);
    }
}
