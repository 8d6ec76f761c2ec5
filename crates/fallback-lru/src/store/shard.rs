//! One strict LRU with a bound on entries and one on bytes.

use smallvec::SmallVec;

use super::data::{Data, Kind};
use super::deadlines::Deadlines;
use super::entry::{ENTRY_OVERHEAD, Entry, Now};
use super::key::Hashed;
use super::lru::{Lru, Place};
use crate::reply::Refused;

/// How many expired entries an insert removes at most.
const SWEEP: usize = 4;

#[derive(Debug)]
pub(crate) struct Shard {
    lru: Lru,
    bytes: usize,
    max_bytes: usize,
    deadlines: Deadlines,
    trash: Trash,
}

/// What was replaced or removed, kept until the shard is unlocked: freeing a large value takes time. Most calls leave
/// one value at most.
pub(crate) type Trash = SmallVec<[Waste; 1]>;

#[derive(Debug)]
#[expect(dead_code, reason = "it is only ever dropped")]
pub(crate) enum Waste {
    One(Data),
    All(Box<Lru>),
}

impl Shard {
    pub(crate) fn new(max_entries: usize, max_bytes: usize) -> Self {
        Self {
            lru: Lru::new(max_entries),
            bytes: 0,
            max_bytes,
            deadlines: Deadlines::default(),
            trash: Trash::new(),
        }
    }

    /// The live entry, which becomes the most recently used.
    #[inline]
    pub(crate) fn touch(&mut self, key: Hashed<'_>, now: &Now<'_>) -> Option<&Entry> {
        let place = self.find_live(key, now)?;
        self.lru.promote(place);
        Some(self.lru.at(place))
    }

    /// The live entry, without a change of its place.
    pub(crate) fn peek(&self, key: Hashed<'_>, now: &Now<'_>) -> Option<&Entry> {
        self.lru.find(key).map(|place| self.lru.at(place)).filter(|entry| !entry.expired(now))
    }

    /// Stores `data`, which is of this key, whatever was there, and evicts others until it fits.
    pub(crate) fn put(
        &mut self,
        key: Hashed<'_>,
        data: Data,
        expires_at: Option<i64>,
        now: &Now<'_>,
    ) -> Result<(), Refused> {
        self.check_fit(key, data.bytes())?;
        let entry = Entry::new(data, expires_at);
        if entry.expired(now) {
            self.remove(key, now);
            return Ok(());
        }
        self.bytes += cost(key.bytes, entry.data.bytes());
        let (place, old) = match self.lru.find(key) {
            Some(place) => {
                self.lru.promote(place);
                let old = std::mem::replace(self.lru.at_mut(place), entry);
                self.bytes -= cost(key.bytes, old.data.bytes());
                let at = old.expires_at();
                self.trash.push(Waste::One(old.data));
                (place, at)
            }
            None => {
                self.sweep(now, SWEEP);
                let (place, victim) = self.lru.insert(entry);
                if let Some(victim) = victim {
                    self.uncount(place, &victim);
                    self.trash.push(Waste::One(victim.data));
                }
                (place, None)
            }
        };
        self.deadline_moved(place, old, expires_at);
        self.evict(now);
        Ok(())
    }

    /// Changes the live value in place; without one, makes it if `create` and answers `None` if not.
    ///
    /// `growth` says beforehand by how many bytes the value will grow, so that one that would not fit is
    /// refused while nothing has changed.
    pub(crate) fn modify<T: Kind, R>(
        &mut self,
        key: Hashed<'_>,
        now: &Now<'_>,
        create: bool,
        growth: impl FnOnce(&T) -> usize,
        change: impl FnOnce(&mut T) -> Result<R, Refused>,
    ) -> Result<Option<R>, Refused> {
        let max_bytes = self.max_bytes;
        let changed = |value: &mut T| {
            let grown = growth(value);
            if grown > 0 && cost(key.bytes, value.bytes()).saturating_add(grown) > max_bytes {
                return Err(Refused::OUT_OF_MEMORY);
            }
            change(value)
        };
        let Some(place) = self.find_live(key, now) else {
            if !create {
                return Ok(None);
            }
            let mut data = T::fresh(key);
            let value = T::of_mut(&mut data).ok_or(Refused::WRONG_TYPE)?;
            let answer = changed(value)?;
            if !value.vacant() {
                self.put(key, data, None, now)?;
            }
            return Ok(Some(answer));
        };
        self.lru.promote(place);
        let value = T::of_mut(&mut self.lru.at_mut(place).data).ok_or(Refused::WRONG_TYPE)?;
        let before = value.bytes();
        let answer = changed(value)?;
        let (after, vacant) = (value.bytes(), value.vacant());
        self.bytes = self.bytes - before + after;
        if vacant {
            self.discard(place);
        }
        self.evict(now);
        Ok(Some(answer))
    }

    /// Gives the entry another deadline, or none.
    pub(crate) fn set_expiry(&mut self, key: Hashed<'_>, expires_at: Option<i64>) {
        let Some(place) = self.lru.find(key) else { return };
        let entry = self.lru.at_mut(place);
        let old = entry.expires_at();
        entry.set_expires_at(expires_at);
        self.deadline_moved(place, old, expires_at);
    }

    /// Removes the entry; whether a live one was there.
    pub(crate) fn remove(&mut self, key: Hashed<'_>, now: &Now<'_>) -> bool {
        let Some(place) = self.lru.find(key) else { return false };
        let live = !self.lru.at(place).expired(now);
        self.discard(place);
        live
    }

    /// Moves the live entry out, for one that is to be stored elsewhere.
    pub(crate) fn take(&mut self, key: Hashed<'_>, now: &Now<'_>) -> Option<Entry> {
        let entry = self.vacate(self.lru.find(key)?);
        if entry.expired(now) { None } else { Some(entry) }
    }

    pub(crate) fn clear(&mut self) {
        let fresh = Lru::new(self.lru.max_entries());
        self.trash.push(Waste::All(Box::new(std::mem::replace(&mut self.lru, fresh))));
        self.deadlines = Deadlines::default();
        self.bytes = 0;
    }

    /// Refuses a value that would not fit if it were alone.
    pub(crate) fn check_fit(&self, key: Hashed<'_>, value_bytes: usize) -> Result<(), Refused> {
        let fits = cost(key.bytes, value_bytes) <= self.max_bytes && u32::try_from(key.bytes.len()).is_ok();
        if fits { Ok(()) } else { Err(Refused::OUT_OF_MEMORY) }
    }

    /// Removes up to `most` expired entries.
    pub(crate) fn sweep(&mut self, now: &Now<'_>, most: usize) {
        for _ in 0..most {
            if !self.remove_expired(now) {
                break;
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lru.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The live keys, most recently used first.
    pub(crate) fn keys<'s>(&'s self, now: &'s Now<'_>) -> impl Iterator<Item = &'s [u8]> {
        self.lru.iter().filter(|entry| !entry.expired(now)).map(|entry| entry.data.key())
    }

    #[inline]
    pub(crate) fn has_trash(&self) -> bool {
        !self.trash.is_empty()
    }

    pub(crate) fn take_trash(&mut self) -> Trash {
        std::mem::take(&mut self.trash)
    }

    /// Removes what it finds expired.
    #[inline]
    fn find_live(&mut self, key: Hashed<'_>, now: &Now<'_>) -> Option<Place> {
        let place = self.lru.find(key)?;
        if self.lru.at(place).expired(now) {
            self.discard(place);
            return None;
        }
        Some(place)
    }

    /// An expired entry never costs a live one its place.
    fn evict(&mut self, now: &Now<'_>) {
        while self.bytes > self.max_bytes {
            if self.remove_expired(now) {
                continue;
            }
            let Some(victim) = self.lru.oldest() else { break };
            self.discard(victim);
        }
    }

    fn remove_expired(&mut self, now: &Now<'_>) -> bool {
        while let Some((at, place)) = self.deadlines.pop_due(|| now.ms()) {
            if self.lru.at(place).expires_at() == Some(at) {
                self.discard(place);
                return true;
            }
        }
        false
    }

    fn discard(&mut self, place: Place) {
        let entry = self.vacate(place);
        self.trash.push(Waste::One(entry.data));
    }

    fn vacate(&mut self, place: Place) -> Entry {
        let entry = self.lru.remove(place);
        self.uncount(place, &entry);
        entry
    }

    /// Of an entry that was in this place.
    fn uncount(&mut self, place: Place, entry: &Entry) {
        self.bytes -= cost(entry.data.key(), entry.data.bytes());
        self.deadline_moved(place, entry.expires_at(), None);
    }

    fn deadline_moved(&mut self, place: Place, old: Option<i64>, new: Option<i64>) {
        if old.is_none() && new.is_none() {
            return;
        }
        let Self { lru, deadlines, .. } = self;
        deadlines.moved(place, old, new, |at, place| lru.at(place).expires_at() == Some(at));
    }
}

fn cost(key: &[u8], value_bytes: usize) -> usize {
    (ENTRY_OVERHEAD + key.len()).saturating_add(value_bytes)
}
