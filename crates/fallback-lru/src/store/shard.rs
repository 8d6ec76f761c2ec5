//! One strict LRU with a bound on entries and one on bytes.

use lru::LruCache;
use std::num::NonZeroUsize;

use super::deadlines::Deadlines;
use super::entry::{Data, ENTRY_OVERHEAD, Entry, Kind, Now};
use super::key::{AsHashed, BuildPassThrough, HashOnly, Hashed, Key};
use crate::reply::Refused;

/// How many expired entries an insert removes at most.
const SWEEP: usize = 4;

type Lru = LruCache<Key, Entry, BuildPassThrough>;

#[derive(Debug)]
pub(crate) struct Shard {
    lru: Lru,
    deadlines: Deadlines,
    bytes: usize,
    max_bytes: usize,
    trash: Trash,
}

/// What was replaced or removed, kept until the shard is unlocked: freeing a large value takes time.
#[derive(Debug, Default)]
pub(crate) struct Trash {
    first: Option<(Option<Key>, Entry)>,
    more: Vec<(Option<Key>, Entry)>,
    flushed: Vec<Lru>,
}

impl Trash {
    fn add(&mut self, key: Option<Key>, entry: Entry) {
        match &self.first {
            None => self.first = Some((key, entry)),
            Some(_) => self.more.push((key, entry)),
        }
    }
}

impl Shard {
    pub(crate) fn new(max_entries: NonZeroUsize, max_bytes: usize) -> Self {
        Self {
            lru: empty(max_entries),
            deadlines: Deadlines::default(),
            bytes: 0,
            max_bytes,
            trash: Trash::default(),
        }
    }

    /// Runs `f` on the live entry and makes it the most recently used.
    pub(crate) fn touch<R>(
        &mut self,
        key: Hashed<'_>,
        now: &Now<'_>,
        f: impl FnOnce(&Entry) -> R,
    ) -> Option<R> {
        let entry = self.lru.get(&key as &dyn AsHashed)?;
        if !entry.expired(now) {
            return Some(f(entry));
        }
        self.remove(key, now);
        None
    }

    /// The live entry, without a change of its place.
    pub(crate) fn peek(&self, key: Hashed<'_>, now: &Now<'_>) -> Option<&Entry> {
        self.lru.peek(&key as &dyn AsHashed).filter(|entry| !entry.expired(now))
    }

    /// Stores `data`, whatever was there, and evicts others until it fits.
    pub(crate) fn put(
        &mut self,
        key: Hashed<'_>,
        data: Data,
        expires_at: Option<i64>,
        now: &Now<'_>,
    ) -> Result<(), Refused> {
        self.check_fit(key, data.bytes())?;
        let entry = Entry { data, expires_at };
        if entry.expired(now) {
            self.remove(key, now);
            return Ok(());
        }
        self.bytes += cost(key, entry.data.bytes());
        let old = match self.lru.get_mut(&key as &dyn AsHashed) {
            Some(slot) => {
                let old = std::mem::replace(slot, entry);
                let at = old.expires_at;
                self.bytes -= cost(key, old.data.bytes());
                self.trash.add(None, old);
                at
            }
            None => {
                self.sweep(now, SWEEP);
                if let Some((key, victim)) = self.lru.push(Key::new(key), entry) {
                    self.forget(key, victim);
                }
                None
            }
        };
        self.deadline_moved(key.hash, old, expires_at);
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
        let fits = |value: &T, grown: usize| {
            grown == 0 || cost(key, value.bytes()).saturating_add(grown) <= max_bytes
        };
        let entry = match self.lru.get_mut(&key as &dyn AsHashed) {
            Some(entry) if !entry.expired(now) => entry,
            expired => {
                if expired.is_some() {
                    self.remove(key, now);
                }
                if !create {
                    return Ok(None);
                }
                let mut value = T::default();
                if !fits(&value, growth(&value)) {
                    return Err(Refused::OUT_OF_MEMORY);
                }
                let answer = change(&mut value)?;
                if !value.vacant() {
                    self.put(key, value.into_data(), None, now)?;
                }
                return Ok(Some(answer));
            }
        };
        let value = T::of_mut(&mut entry.data).ok_or(Refused::WRONG_TYPE)?;
        if !fits(value, growth(value)) {
            return Err(Refused::OUT_OF_MEMORY);
        }
        let before = value.bytes();
        let answer = change(value)?;
        let (after, vacant) = (value.bytes(), value.vacant());
        self.bytes = self.bytes - before + after;
        if vacant {
            self.remove(key, now);
        }
        self.evict(now);
        Ok(Some(answer))
    }

    /// Gives the entry another deadline, or none.
    pub(crate) fn set_expiry(&mut self, key: Hashed<'_>, expires_at: Option<i64>) {
        let Some(entry) = self.lru.peek_mut(&key as &dyn AsHashed) else { return };
        let old = std::mem::replace(&mut entry.expires_at, expires_at);
        self.deadline_moved(key.hash, old, expires_at);
    }

    /// Removes the entry; whether a live one was there.
    pub(crate) fn remove(&mut self, key: Hashed<'_>, now: &Now<'_>) -> bool {
        let Some((key, entry)) = self.lru.pop_entry(&key as &dyn AsHashed) else { return false };
        let live = !entry.expired(now);
        self.forget(key, entry);
        live
    }

    /// Moves the live entry out, for one that is to be stored elsewhere.
    pub(crate) fn take(&mut self, key: Hashed<'_>, now: &Now<'_>) -> Option<Entry> {
        let (key, entry) = self.lru.pop_entry(&key as &dyn AsHashed)?;
        self.uncount(&key, &entry);
        if entry.expired(now) { None } else { Some(entry) }
    }

    pub(crate) fn clear(&mut self) {
        let fresh = empty(self.lru.cap());
        self.trash.flushed.push(std::mem::replace(&mut self.lru, fresh));
        self.deadlines = Deadlines::default();
        self.bytes = 0;
    }

    /// Refuses a value that would not fit if it were alone.
    pub(crate) fn check_fit(&self, key: Hashed<'_>, value_bytes: usize) -> Result<(), Refused> {
        if cost(key, value_bytes) > self.max_bytes { Err(Refused::OUT_OF_MEMORY) } else { Ok(()) }
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
        self.lru.iter().filter(|(_, entry)| !entry.expired(now)).map(|(key, _)| key.bytes())
    }

    pub(crate) fn take_trash(&mut self) -> Trash {
        std::mem::take(&mut self.trash)
    }

    /// An expired entry never costs a live one its place.
    fn evict(&mut self, now: &Now<'_>) {
        while self.bytes > self.max_bytes {
            if self.remove_expired(now) {
                continue;
            }
            let Some((key, victim)) = self.lru.pop_lru() else { break };
            self.forget(key, victim);
        }
    }

    fn remove_expired(&mut self, now: &Now<'_>) -> bool {
        while let Some((at, hash)) = self.deadlines.pop_due(|| now.ms()) {
            if self.lru.peek(&HashOnly(hash)).is_some_and(|entry| entry.expires_at == Some(at))
                && let Some((key, entry)) = self.lru.pop_entry(&HashOnly(hash))
            {
                self.forget(key, entry);
                return true;
            }
        }
        false
    }

    fn forget(&mut self, key: Key, entry: Entry) {
        self.uncount(&key, &entry);
        self.trash.add(Some(key), entry);
    }

    fn uncount(&mut self, key: &Key, entry: &Entry) {
        let key = key.as_hashed();
        self.bytes -= cost(key, entry.data.bytes());
        self.deadline_moved(key.hash, entry.expires_at, None);
    }

    fn deadline_moved(&mut self, hash: u64, old: Option<i64>, new: Option<i64>) {
        if old.is_none() && new.is_none() {
            return;
        }
        let Self { lru, deadlines, .. } = self;
        deadlines.moved(hash, old, new, |at, hash| {
            lru.peek(&HashOnly(hash)).is_some_and(|entry| entry.expires_at == Some(at))
        });
    }
}

/// A map that grows with what it holds: a large capacity alone takes no memory.
fn empty(max_entries: NonZeroUsize) -> Lru {
    let mut lru = LruCache::unbounded_with_hasher(BuildPassThrough::default());
    lru.resize(max_entries);
    lru
}

fn cost(key: Hashed<'_>, value_bytes: usize) -> usize {
    (ENTRY_OVERHEAD + key.bytes.len()).saturating_add(value_bytes)
}
