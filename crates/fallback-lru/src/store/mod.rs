//! The shards, and how several of them are locked without a deadlock.

mod data;
mod deadlines;
mod entry;
mod key;
mod lock;
mod locked;
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

pub(crate) use data::{Data, Kind};
pub(crate) use entry::{ENTRY_OVERHEAD, Entry, Now};
pub(crate) use key::Hashed;
pub(crate) use locked::Locked;
pub(crate) use shard::Shard;
pub(crate) use text::Text;
pub(crate) use value::{ELEMENT_OVERHEAD, End, HashValue, ListValue, SetValue};

use lock::ShardLock;
use locked::Guards;

pub(crate) struct Store {
    shards: Box<[ShardLock]>,
    hasher: DefaultHashBuilder,
    clock: Arc<dyn Clock>,
    pub(crate) capacity: usize,
    pub(crate) max_bytes: usize,
}

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
                ShardLock::new(Shard::new(entries, max_bytes / shards))
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
                let locked = |index: usize| (index, self.shards[index].lock());
                Guards::Many(indexes.into_iter().map(locked).collect())
            }
        };
        Locked { store: self, guards }
    }

    pub(crate) fn lock_all(&self) -> Locked<'_> {
        let guards = self.shards.iter().map(ShardLock::lock).enumerate().collect();
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

    /// By the half of the hash that the shard itself does not look at.
    #[inline]
    fn index(&self, key: Hashed<'_>) -> usize {
        (key.hash >> 32) as usize & (self.shards.len() - 1)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}
