//! Several shards, locked at once.

use parking_lot::MutexGuard;

use super::key::Hashed;
use super::lock::release;
use super::{Shard, Store};

/// The shards that a command or a transaction may touch.
#[derive(Debug)]
pub(crate) struct Locked<'s> {
    pub(super) store: &'s Store,
    pub(super) guards: Guards<'s>,
}

#[derive(Debug)]
pub(super) enum Guards<'s> {
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
