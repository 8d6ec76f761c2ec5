//! The shards, and how several of them are locked without a deadlock.

mod deadlines;
mod entry;
mod key;
mod lru;
mod order;
mod shard;
mod text;
mod value;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use cenote_pool_core::Clock;
use hashbrown::DefaultHashBuilder;
use parking_lot::{Mutex, MutexGuard};

pub(crate) use entry::{Data, ENTRY_OVERHEAD, Entry, Kind, Now};
pub(crate) use key::Hashed;
pub(crate) use shard::Shard;
pub(crate) use text::Text;
pub(crate) use value::{ELEMENT_OVERHEAD, End, HashValue, ListValue, SetValue};

pub(crate) struct Store {
    shards: Box<[Padded]>,
    hasher: DefaultHashBuilder,
    clock: Arc<dyn Clock>,
    pub(crate) capacity: usize,
    pub(crate) max_bytes: usize,
}

/// Neighbours on one cache line would slow each other down; processors fetch lines in pairs.
#[repr(align(128))]
struct Padded(Mutex<Shard>);

impl Store {
    /// `shards` is a power of two and at most `capacity`.
    pub(crate) fn new(
        capacity: NonZeroUsize,
        max_bytes: usize,
        shards: NonZeroUsize,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (share, rest) = (capacity.get() / shards, capacity.get() % shards);
        let shards = (0..shards.get())
            .map(|index| {
                let entries = share + usize::from(index < rest);
                Padded(Mutex::new(Shard::new(entries, max_bytes / shards)))
            })
            .collect();
        Self { shards, hasher: DefaultHashBuilder::default(), clock, capacity: capacity.get(), max_bytes }
    }

    #[inline]
    pub(crate) fn hash<'a>(&self, key: &'a [u8]) -> Hashed<'a> {
        Hashed::new(&self.hasher, key)
    }

    pub(crate) fn now(&self) -> Now<'_> {
        Now::new(&*self.clock)
    }

    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Locks what `keys` need, always in the order of the shards.
    pub(crate) fn lock(&self, keys: &[Hashed<'_>]) -> Locked<'_> {
        let guards = match keys {
            [] => Guards::Many(Vec::new()),
            [key] => Guards::One(self.shards[self.index(*key)].lock()),
            _ if self.shards.len() == 1 => Guards::One(self.shards[0].lock()),
            _ => {
                let mut indexes: Vec<usize> = keys.iter().map(|key| self.index(*key)).collect();
                indexes.sort_unstable();
                indexes.dedup();
                Guards::Many(indexes.into_iter().map(|index| (index, self.shards[index].lock())).collect())
            }
        };
        Locked { store: self, guards }
    }

    pub(crate) fn lock_all(&self) -> Locked<'_> {
        let guards = self.shards.iter().map(|shard| shard.lock()).enumerate().collect();
        Locked { store: self, guards: Guards::Many(guards) }
    }

    /// Adds up over the shards, one after the other.
    pub(crate) fn sum(&self, of: impl Fn(&mut Shard) -> usize) -> usize {
        self.shards.iter().map(|shard| shard.with(&of)).sum()
    }

    /// Runs `f` on the one shard of a key.
    #[inline]
    pub(crate) fn with<R>(&self, key: Hashed<'_>, f: impl FnOnce(&mut Shard) -> R) -> R {
        self.shards[self.index(key)].with(f)
    }

    /// The map inside a shard takes its buckets from the low half and its tags from the top seven bits.
    #[inline]
    fn index(&self, key: Hashed<'_>) -> usize {
        (key.hash >> 32) as usize & (self.shards.len() - 1)
    }
}

/// How often a thread looks whether a shard is free again before it sleeps, and how many pauses it makes in between. A
/// shard is held for some 50 ns, and to put a thread to sleep and wake it takes a hundred times that.
const LOOKS: usize = 32;
const PAUSES: usize = 64;

impl Padded {
    #[inline]
    fn lock(&self) -> MutexGuard<'_, Shard> {
        self.0.try_lock().unwrap_or_else(|| self.wait())
    }

    #[cold]
    fn wait(&self) -> MutexGuard<'_, Shard> {
        for _ in 0..LOOKS {
            (0..PAUSES).for_each(|_| std::hint::spin_loop());
            if let Some(shard) = self.0.try_lock() {
                return shard;
            }
        }
        self.0.lock()
    }

    #[inline]
    fn with<R>(&self, f: impl FnOnce(&mut Shard) -> R) -> R {
        let mut shard = self.lock();
        let result = f(&mut shard);
        release(shard);
        result
    }
}

/// Unlocks first and frees afterwards.
#[inline]
fn release(mut shard: MutexGuard<'_, Shard>) {
    if shard.has_trash() {
        let trash = shard.take_trash();
        drop(shard);
        drop(trash);
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

/// The shards that a command or a transaction may touch.
#[derive(Debug)]
pub(crate) struct Locked<'s> {
    store: &'s Store,
    guards: Guards<'s>,
}

#[derive(Debug)]
enum Guards<'s> {
    One(MutexGuard<'s, Shard>),
    Many(Vec<(usize, MutexGuard<'s, Shard>)>),
}

impl Locked<'_> {
    /// The shard of a key that the lock was taken for.
    pub(crate) fn of(&self, key: Hashed<'_>) -> &Shard {
        match &self.guards {
            Guards::One(shard) => shard,
            Guards::Many(shards) => &shards[self.position(shards, key)].1,
        }
    }

    pub(crate) fn of_mut(&mut self, key: Hashed<'_>) -> &mut Shard {
        let position = match &self.guards {
            Guards::One(_) => 0,
            Guards::Many(shards) => self.position(shards, key),
        };
        match &mut self.guards {
            Guards::One(shard) => shard,
            Guards::Many(shards) => &mut shards[position].1,
        }
    }

    pub(crate) fn each(&mut self) -> impl Iterator<Item = &mut Shard> {
        let (one, many) = match &mut self.guards {
            Guards::One(shard) => (Some(&mut **shard), [].iter_mut()),
            Guards::Many(shards) => (None, shards.iter_mut()),
        };
        one.into_iter().chain(many.map(|(_, shard)| &mut **shard))
    }

    /// Unlocks first and frees afterwards.
    pub(crate) fn release(self) {
        match self.guards {
            Guards::One(shard) => release(shard),
            Guards::Many(mut shards) => {
                let trash: Vec<_> = shards.iter_mut().map(|(_, shard)| shard.take_trash()).collect();
                drop(shards);
                drop(trash);
            }
        }
    }

    fn position(&self, shards: &[(usize, MutexGuard<'_, Shard>)], key: Hashed<'_>) -> usize {
        let index = self.store.index(key);
        shards.partition_point(|(other, _)| *other < index)
    }
}
