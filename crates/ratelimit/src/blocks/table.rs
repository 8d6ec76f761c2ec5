//! Where refusals are kept: in sets of a few places.
//!
//! A full set gives up the block that ends first. Who looks compares names, which are in the places themselves.

use std::hash::BuildHasher;
use std::hint;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use lru::DefaultHasher;
use parking_lot::Mutex;

use super::Block;
use super::name::Name;
use super::set::{Set, WAYS};

/// Parts of the table, each of which one thread writes to at a time.
const SIDES: usize = 16;
/// So often a look begins anew because somebody wrote.
const TRIES: usize = 16;

#[derive(Debug)]
pub(super) struct Table {
    sets: usize,
    /// Places of each set.
    ways: usize,
    /// It takes its room only when something is refused.
    places: OnceLock<Box<[Set]>>,
    sides: Box<[CachePadded<Side>; SIDES]>,
    hasher: DefaultHasher,
}

#[derive(Debug, Default)]
struct Side {
    writer: Mutex<()>,
    /// How often something was given back.
    epoch: AtomicU64,
}

/// Where a name belongs.
pub(super) struct Place<'a> {
    table: &'a Table,
    name: &'a Name<'a>,
    set: usize,
    tag: u32,
    side: &'a Side,
}

impl Table {
    /// For so many names at most, or none.
    pub(super) fn new(capacity: usize) -> Self {
        let ways = WAYS.min(capacity);
        let sets = capacity / ways.max(1);
        Self { sets, ways, places: OnceLock::new(), sides: Box::default(), hasher: DefaultHasher::default() }
    }

    #[inline]
    pub(super) fn in_use(&self) -> bool {
        self.places.get().is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.places.get().into_iter().flatten().map(Set::len).sum()
    }

    /// By a secret of this table: whoever chooses subjects cannot choose where they meet.
    #[inline]
    pub(super) fn place<'a>(&'a self, name: &'a Name<'a>) -> Option<Place<'a>> {
        let hash = self.hasher.hash_one(name.subject());
        if self.sets == 0 {
            return None;
        }
        // A product is quicker than a remainder, and takes other bits than the tag.
        let set = ((u128::from(hash) * self.sets as u128) >> 64) as usize;
        Some(Place { table: self, name, set, tag: Set::tag(hash), side: &self.sides[set % SIDES] })
    }
}

impl Place<'_> {
    #[inline]
    pub(super) fn epoch(&self) -> u64 {
        self.side.epoch.load(Ordering::Acquire)
    }

    #[inline]
    pub(super) fn find(&self) -> Option<Block> {
        let set = self.set()?;
        let found = set.find(self.tag, self.name).unwrap_or_else(|_| self.insist(set));
        found.map(|(_, block)| block)
    }

    /// Whoever writes is soon done; if one comes after another, they wait for this look.
    #[cold]
    fn insist(&self, set: &Set) -> Option<(usize, Block)> {
        for _ in 0..TRIES {
            hint::spin_loop();
            if let Ok(found) = set.find(self.tag, self.name) {
                return found;
            }
        }
        let _alone = self.side.writer.lock();
        self.own(set)
    }

    pub(super) fn remove(&self) {
        let _alone = self.side.writer.lock();
        self.free();
    }

    /// As [`remove`](Self::remove), and what is asked for already is not kept, either.
    pub(super) fn forget(&self) {
        let _alone = self.side.writer.lock();
        self.side.epoch.fetch_add(1, Ordering::Release);
        self.free();
    }

    /// Unless something was given back since that epoch.
    pub(super) fn put(&self, block: Block, epoch: u64) {
        let _alone = self.side.writer.lock();
        if self.epoch() != epoch {
            return;
        }
        let sets = self.table.places.get_or_init(|| (0..self.table.sets).map(|_| Set::new()).collect());
        let Some(set) = sets.get(self.set) else { return };
        let own = self.own(set).map(|(way, _)| way);
        let first = || (0..self.table.ways).min_by_key(|way| set.ends(*way));
        if let Some(way) = own.or_else(first) {
            set.put(way, self.tag, self.name, block);
        }
    }

    fn free(&self) {
        if let Some((set, (way, _))) = self.set().and_then(|set| Some((set, self.own(set)?))) {
            set.free(way);
        }
    }

    #[inline]
    fn set(&self) -> Option<&Set> {
        self.table.places.get()?.get(self.set)
    }

    /// As long as nobody else writes, nothing is torn.
    fn own(&self, set: &Set) -> Option<(usize, Block)> {
        set.find(self.tag, self.name).ok().flatten()
    }
}
