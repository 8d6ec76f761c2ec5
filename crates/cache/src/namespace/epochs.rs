//! What was touched, and when: the one judge of whether something that this process read is still true.
//!
//! Every read and every load takes a number (`now`) before it sends anything. Whatever changes a key, by our own hand
//! or as Redis tells, touches the key's place, which takes a later number. What was read holds while its number is not
//! below that of any place it depends on.
//!
//! Invariant: a place is touched after the change was made and before it is told of (a remove touches once more when its
//! answer came; an invalidation when it arrives). So whoever takes a number after being told reads after the change, and
//! whoever took one before is found out. Two keys may share a place: that costs a read, and never truth.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers are the process's, so that what an embedded pool's store kept from an earlier cache stays comparable.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// Beside the number of what was put, rather than loaded: the fallback keeps the order of puts and removals of one key
/// by itself, so that no other key of the same place makes such a value untrue.
pub(crate) const PUT: u64 = 1 << 63;

/// Where a key's changes are noted: by its hash, of which as much is used as there are places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u32);

#[derive(Debug)]
pub(crate) struct Epochs {
    touched: Box<[AtomicU64]>,
    all: AtomicU64,
    hasher: foldhash::fast::RandomState,
}

impl Epochs {
    /// With so many places, a power of two.
    pub(crate) fn new(places: u32) -> Self {
        Self {
            touched: (0..places.next_power_of_two()).map(|_| AtomicU64::new(0)).collect(),
            all: AtomicU64::new(0),
            hasher: foldhash::fast::RandomState::default(),
        }
    }

    /// Others, in which the same names have the same places.
    pub(super) fn alike(&self, places: u32) -> Self {
        Self { hasher: self.hasher.clone(), ..Self::new(places) }
    }

    /// To be taken before anything is sent.
    pub(crate) fn now(&self) -> u64 {
        NUMBERS.load(Ordering::SeqCst)
    }

    pub(crate) fn place(&self, name: &[u8]) -> Place {
        Place(self.hasher.hash_one(name) as u32)
    }

    pub(crate) fn touch(&self, place: Place) {
        let number = NUMBERS.fetch_add(1, Ordering::SeqCst) + 1;
        self.at(place).fetch_max(number, Ordering::SeqCst);
    }

    pub(crate) fn touch_all(&self) {
        self.touch_all_at(NUMBERS.fetch_add(1, Ordering::SeqCst) + 1);
    }

    /// As if everything had been touched then.
    pub(super) fn touch_all_at(&self, number: u64) {
        self.all.fetch_max(number, Ordering::SeqCst);
    }

    /// Nothing that was read at `since` has changed there.
    pub(crate) fn holds(&self, place: Place, since: u64) -> bool {
        self.is_untouched(place, since) && self.all_hold(since)
    }

    /// Not everything has changed at once.
    pub(super) fn all_hold(&self, since: u64) -> bool {
        self.all.load(Ordering::Acquire) <= since
    }

    /// The same, whatever happened to everything at once.
    pub(crate) fn is_untouched(&self, place: Place, since: u64) -> bool {
        self.at(place).load(Ordering::Acquire) <= since
    }

    fn at(&self, place: Place) -> &AtomicU64 {
        &self.touched[place.0 as usize & (self.touched.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_touch_is_found_out_and_what_is_read_after_it_is_not() {
        let epochs = Epochs::new(1 << 10);
        let (ours, other) = (epochs.place(b"ours"), epochs.place(b"other"));
        let before = epochs.now();
        assert!(epochs.holds(ours, before));
        epochs.touch(ours);
        assert!(!epochs.holds(ours, before));
        assert!(epochs.holds(other, before) || ours == other);
        let after = epochs.now();
        assert!(epochs.holds(ours, after));
        epochs.touch_all();
        assert!(!epochs.holds(ours, after) && !epochs.holds(other, after));
        assert!(epochs.holds(other, epochs.now()));
    }
}
