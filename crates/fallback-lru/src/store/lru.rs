//! One strict LRU: where each key is, and which was used least recently.

use hashbrown::HashTable;

use super::entry::Entry;
use super::key::Hashed;
use super::order::Order;

/// Where an entry lies until it is removed. Afterwards another may lie there.
pub(crate) type Place = u32;

/// Entries lie side by side, and what finds and orders them are numbers of four bytes.
#[derive(Debug)]
pub(crate) struct Lru {
    places: HashTable<Place>,
    entries: Vec<Entry>,
    vacant: Vec<Place>,
    order: Order,
    max_entries: usize,
}

impl Lru {
    /// A map that grows with what it holds: a large capacity alone takes no memory.
    pub(crate) fn new(max_entries: usize) -> Self {
        Self {
            places: HashTable::new(),
            entries: Vec::new(),
            vacant: Vec::new(),
            order: Order::new(),
            // The last number is not a place, as the order begins to count at one.
            max_entries: max_entries.min(Place::MAX as usize - 1),
        }
    }

    pub(crate) fn max_entries(&self) -> usize {
        self.max_entries
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    #[inline]
    pub(crate) fn find(&self, key: Hashed<'_>) -> Option<Place> {
        let hash = key.short_hash();
        let alike = |place: &Place| self.at(*place).data.short_hash() == hash;
        let place = *self.places.find(long(hash), alike)?;
        if self.at(place).data.key() == key.bytes {
            return Some(place);
        }
        self.find_among_alike(key)
    }

    /// Some other key has the same hash.
    #[cold]
    fn find_among_alike(&self, key: Hashed<'_>) -> Option<Place> {
        let is_it = |place: &Place| self.at(*place).data.key() == key.bytes;
        self.places.find(long(key.short_hash()), is_it).copied()
    }

    /// The entry of a place that is taken.
    #[inline]
    pub(crate) fn at(&self, place: Place) -> &Entry {
        &self.entries[place as usize]
    }

    pub(crate) fn at_mut(&mut self, place: Place) -> &mut Entry {
        &mut self.entries[place as usize]
    }

    /// Makes it the most recently used.
    #[inline]
    pub(crate) fn promote(&mut self, place: Place) {
        self.order.promote(place);
    }

    /// Takes in an entry whose key has none, as the most recently used. When full, that is in place of the least
    /// recently used, which comes back.
    pub(crate) fn insert(&mut self, entry: Entry) -> (Place, Option<Entry>) {
        let hash = entry.data.short_hash();
        let oldest = if self.len() < self.max_entries { None } else { self.order.oldest() };
        let (place, victim) = match oldest.or_else(|| self.vacant.pop()) {
            Some(place) => {
                let old = std::mem::replace(self.at_mut(place), entry);
                (place, oldest.map(|_| old))
            }
            None => {
                self.grow();
                self.entries.push(entry);
                ((self.entries.len() - 1) as Place, None)
            }
        };
        if let Some(victim) = &victim {
            self.forget(victim.data.short_hash(), place);
        }
        let entries = &self.entries;
        let rehash = |place: &Place| long(entries[*place as usize].data.short_hash());
        self.places.insert_unique(long(hash), place, rehash);
        self.order.push(place);
        (place, victim)
    }

    /// Takes the entry out of its place.
    pub(crate) fn remove(&mut self, place: Place) -> Entry {
        let entry = std::mem::take(self.at_mut(place));
        self.forget(entry.data.short_hash(), place);
        self.vacant.push(place);
        entry
    }

    fn forget(&mut self, hash: u32, place: Place) {
        if let Ok(found) = self.places.find_entry(long(hash), |other| *other == place) {
            found.remove();
        }
        self.order.remove(place);
    }

    pub(crate) fn oldest(&self) -> Option<Place> {
        self.order.oldest()
    }

    /// The most recently used first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.order.iter().map(|place| self.at(place))
    }

    /// Doubles, but never beyond what can be filled.
    fn grow(&mut self) {
        let len = self.entries.len();
        if len == self.entries.capacity() {
            let more = len.max(4).min(self.max_entries - len);
            self.entries.reserve_exact(more);
            self.order.reserve(len + more);
        }
    }
}

/// The table takes its buckets from the low end and its tags from the high end.
fn long(short: u32) -> u64 {
    u64::from(short) << 32 | u64::from(short)
}

#[cfg(test)]
mod tests {
    use super::super::data::Data;
    use super::super::text::Text;
    use super::*;

    fn entry(key: Hashed<'_>) -> Entry {
        Entry::new(Data::String(Text::new(key, key.bytes)), None)
    }

    fn keys(lru: &Lru) -> Vec<&[u8]> {
        lru.iter().map(|entry| entry.data.key()).collect()
    }

    #[test]
    fn keys_with_one_hash_are_not_taken_for_each_other() {
        let [a, b, c] = [b"a", b"b", b"c"].map(|bytes| Hashed { hash: 42, bytes });
        let mut lru = Lru::new(3);
        let (at_a, _) = lru.insert(entry(a));
        let (at_b, _) = lru.insert(entry(b));
        assert_eq!((lru.find(a), lru.find(b), lru.find(c)), (Some(at_a), Some(at_b), None));
        assert_eq!(lru.remove(at_a).data.key(), b"a");
        assert_eq!((lru.find(a), lru.find(b)), (None, Some(at_b)));
    }

    #[test]
    fn a_full_one_gives_back_the_least_recently_used_and_no_more_than_that() {
        let bytes: Vec<[u8; 2]> = (0..1000_u16).map(u16::to_be_bytes).collect();
        let key = |index: usize| Hashed { hash: index as u64 * 0x9e37_79b9, bytes: &bytes[index] };
        let mut lru = Lru::new(100);
        for index in 0..1000 {
            let (place, victim) = lru.insert(entry(key(index)));
            assert_eq!(lru.find(key(index)), Some(place));
            let gone = victim.map(|entry| entry.data.key().to_vec());
            assert_eq!(gone, index.checked_sub(100).map(|oldest| bytes[oldest].to_vec()));
        }
        assert_eq!((lru.len(), lru.entries.len(), lru.entries.capacity()), (100, 100, 100));
    }

    #[test]
    fn a_place_that_was_left_is_taken_before_there_is_another() {
        let key = |bytes: &'static [u8; 1]| Hashed { hash: bytes[0].into(), bytes };
        let mut lru = Lru::new(10);
        let (at_a, _) = lru.insert(entry(key(b"a")));
        lru.insert(entry(key(b"b")));
        lru.remove(at_a);
        assert_eq!(lru.insert(entry(key(b"c"))).0, at_a);
        assert_eq!((keys(&lru), lru.entries.len()), (vec![&b"c"[..], b"b"], 2));
    }
}
