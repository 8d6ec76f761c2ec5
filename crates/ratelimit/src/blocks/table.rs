//! Where refusals are kept: in sets of a few places, each of which is read whole or not at all, without a lock.
//!
//! A full set gives up the block that ends first. Who looks compares names, which are in the places themselves; the tags
//! beside them only say where it is worth it.

use std::hash::BuildHasher;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use crossbeam_utils::atomic::AtomicCell;
use lru::DefaultHasher;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::Block;

/// Places of a set.
const WAYS: usize = 8;
/// Parts of the table, each of which one thread writes to at a time.
const SIDES: usize = 16;
/// A name that is longer is its hash.
const SHORT: usize = 63;
/// Nobody is there.
const FREE: u64 = 0;

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

#[derive(Debug)]
#[repr(align(64))]
struct Set {
    /// Parts of the names' hashes.
    tags: [AtomicU64; WAYS],
    blocks: [AtomicCell<(Name, Block)>; WAYS],
}

#[derive(Debug, Default)]
struct Side {
    writer: Mutex<()>,
    /// How often something was given back.
    epoch: AtomicU64,
}

/// A subject, as it is in keys, and a policy, with a zero between them, which no subject has; or the hash of that.
#[derive(Debug, Clone, Copy)]
struct Name {
    length: u8,
    bytes: [u8; SHORT],
}

/// A name, as callers have it.
pub(super) enum Called<'a> {
    Short { tag: &'a [u8], policy: &'a str },
    Long([u8; 32]),
}

impl<'a> Called<'a> {
    #[inline]
    pub(super) fn of(tag: &'a [u8], policy: &'a str) -> Self {
        if tag.len() + 1 + policy.len() <= SHORT {
            return Self::Short { tag, policy };
        }
        Self::Long(Sha256::new().chain_update(tag).chain_update([0]).chain_update(policy).finalize().into())
    }

    /// Those of all policies meet, and are few.
    fn subject(&self) -> &[u8] {
        match self {
            Self::Short { tag, .. } => tag,
            Self::Long(hash) => hash,
        }
    }

    fn name(&self) -> Name {
        let mut bytes = [0; SHORT];
        let length = match self {
            Self::Short { tag, policy } => {
                let length = tag.len() + 1 + policy.len();
                bytes[..tag.len()].copy_from_slice(tag);
                bytes[tag.len() + 1..length].copy_from_slice(policy.as_bytes());
                length as u8
            }
            Self::Long(hash) => {
                bytes[..hash.len()].copy_from_slice(hash);
                u8::MAX
            }
        };
        Name { length, bytes }
    }

    #[inline]
    fn is(&self, name: &Name) -> bool {
        match self {
            Self::Short { tag, policy } => {
                let length = tag.len() + 1 + policy.len();
                usize::from(name.length) == length
                    && name.bytes[..tag.len()] == **tag
                    && name.bytes[tag.len()] == 0
                    && name.bytes[tag.len() + 1..length] == *policy.as_bytes()
            }
            Self::Long(hash) => name.length == u8::MAX && name.bytes[..hash.len()] == *hash,
        }
    }
}

/// Where a name belongs.
pub(super) struct Place<'a> {
    table: &'a Table,
    called: &'a Called<'a>,
    set: usize,
    tag: u64,
    side: &'a Side,
}

impl Table {
    /// For so many names at most, or none.
    pub(super) fn new(capacity: usize) -> Self {
        let ways = WAYS.min(capacity);
        let sets = capacity / ways.max(1);
        Self { sets, ways, places: OnceLock::new(), sides: Box::default(), hasher: DefaultHasher::default() }
    }

    pub(super) fn in_use(&self) -> bool {
        self.places.get().is_some()
    }

    pub(super) fn len(&self) -> usize {
        let sets = self.places.get().into_iter().flatten();
        sets.flat_map(|set| &set.tags).filter(|tag| tag.load(Ordering::Relaxed) != FREE).count()
    }

    /// By a secret of this table: whoever chooses subjects cannot choose where they meet.
    #[inline]
    pub(super) fn place<'a>(&'a self, called: &'a Called<'a>) -> Option<Place<'a>> {
        let hash = self.hasher.hash_one(called.subject());
        if self.sets == 0 {
            return None;
        }
        // A product is quicker than a remainder, and takes other bits than the tag's lowest.
        let set = ((u128::from(hash) * self.sets as u128) >> 64) as usize;
        Some(Place { table: self, called, set, tag: hash | 1, side: &self.sides[set % SIDES] })
    }
}

impl Place<'_> {
    pub(super) fn epoch(&self) -> u64 {
        self.side.epoch.load(Ordering::Acquire)
    }

    #[inline]
    pub(super) fn find(&self) -> Option<Block> {
        let set = self.table.places.get()?.get(self.set)?;
        self.way(set).map(|(_, block)| block)
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
        let ends = |way: &usize| match set.tags[*way].load(Ordering::Relaxed) {
            FREE => 0,
            _ => set.blocks[*way].load().1.until,
        };
        let own = self.way(set).map(|(way, _)| way);
        let Some(way) = own.or_else(|| (0..self.table.ways).min_by_key(ends)) else { return };
        set.blocks[way].store((self.called.name(), block));
        set.tags[way].store(self.tag, Ordering::Release);
    }

    fn free(&self) {
        let set = self.table.places.get().and_then(|sets| sets.get(self.set));
        if let Some((set, (way, _))) = set.and_then(|set| Some((set, self.way(set)?))) {
            set.tags[way].store(FREE, Ordering::Release);
        }
    }

    #[inline]
    fn way(&self, set: &Set) -> Option<(usize, Block)> {
        let tagged = set.tags.iter().enumerate().filter(|(_, tag)| tag.load(Ordering::Acquire) == self.tag);
        tagged
            .map(|(way, _)| (way, set.blocks[way].load()))
            .find_map(|(way, (other, block))| self.called.is(&other).then_some((way, block)))
    }
}

impl Set {
    fn new() -> Self {
        let nobody = (Name { length: 0, bytes: [0; SHORT] }, Block::NONE);
        Self {
            tags: std::array::from_fn(|_| AtomicU64::new(FREE)),
            blocks: std::array::from_fn(|_| AtomicCell::new(nobody)),
        }
    }
}
