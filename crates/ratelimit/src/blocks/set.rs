//! A few places for refusals, which are read whole or not at all, without a lock: a seqlock.
//!
//! All that is kept are atomic words, which a reader may find half written: the version, which is odd meanwhile and another
//! afterwards, tells it so. A reader that found a word of a writer's has, by the two fences, its odd version, or a later one, to
//! find: the writer's fence is between that version and the word, the reader's between the word and its second look at the
//! version. And who finds an even version first (acquire) finds the words of whoever left it there (release), or later ones.

use std::array;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use super::Block;
use super::name::{Name, WORDS};
use crate::quota::Rate;

/// Places of a set.
pub(super) const WAYS: usize = 8;
/// Nobody is there.
const FREE: u32 = 0;
/// Words of a block.
const NUMBERS: usize = 8;

#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Set {
    version: AtomicU64,
    /// Parts of the names' hashes, which say where it is worth it to compare.
    tags: [AtomicU32; WAYS],
    places: [Place; WAYS],
}

#[derive(Debug)]
#[repr(align(64))]
struct Place {
    name: [AtomicU64; WORDS],
    block: [AtomicU64; NUMBERS],
}

/// Somebody writes.
#[derive(Debug)]
pub(super) struct Torn;

impl Set {
    pub(super) fn new() -> Self {
        let place = |_| Place {
            name: array::from_fn(|_| AtomicU64::new(0)),
            block: array::from_fn(|_| AtomicU64::new(0)),
        };
        Self {
            version: AtomicU64::new(0),
            tags: array::from_fn(|_| AtomicU32::new(FREE)),
            places: array::from_fn(place),
        }
    }

    /// That part of a hash which is no [`FREE`].
    #[inline]
    pub(super) fn tag(hash: u64) -> u32 {
        hash as u32 | 1
    }

    pub(super) fn len(&self) -> usize {
        self.tags.iter().filter(|tag| tag.load(Ordering::Relaxed) != FREE).count()
    }

    /// Where this name is, and its block.
    #[inline]
    pub(super) fn find(&self, tag: u32, name: &Name) -> Result<Option<(usize, Block)>, Torn> {
        let version = self.version.load(Ordering::Acquire);
        let found = self.search(tag, name);
        fence(Ordering::Acquire);
        let same = version.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == version;
        same.then_some(found).ok_or(Torn)
    }

    #[inline]
    fn search(&self, tag: u32, name: &Name) -> Option<(usize, Block)> {
        // All of them, without a guess which it is.
        let tags = self.tags.iter().enumerate();
        let is = |(way, other): (usize, &AtomicU32)| u32::from(other.load(Ordering::Relaxed) == tag) << way;
        let mut ways = tags.fold(0, |ways, tag| ways | is(tag));
        while ways != 0 {
            let way = ways.trailing_zeros() as usize;
            let place = self.places.get(way)?;
            if place.is(name) {
                return Some((way, place.block()));
            }
            ways &= ways - 1;
        }
        None
    }

    /// When the block of this place ends; by who may write, as are all below.
    pub(super) fn ends(&self, way: usize) -> u64 {
        match self.tags[way].load(Ordering::Relaxed) {
            FREE => 0,
            _ => self.places[way].block().until,
        }
    }

    pub(super) fn put(&self, way: usize, tag: u32, name: &Name, block: Block) {
        self.write(|| {
            let Place { name: words, block: numbers } = &self.places[way];
            words.iter().zip(name.words()).for_each(|(kept, word)| kept.store(word, Ordering::Relaxed));
            let new = numbers_of(block);
            numbers.iter().zip(new).for_each(|(kept, number)| kept.store(number, Ordering::Relaxed));
            self.tags[way].store(tag, Ordering::Relaxed);
        });
    }

    pub(super) fn free(&self, way: usize) {
        self.write(|| self.tags[way].store(FREE, Ordering::Relaxed));
    }

    fn write(&self, write: impl FnOnce()) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        write();
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }
}

impl Place {
    #[inline]
    fn is(&self, name: &Name) -> bool {
        let mut words = self.name.iter().zip(name.words()).take(name.telling());
        words.all(|(kept, word)| kept.load(Ordering::Relaxed) == word)
    }

    #[inline]
    fn block(&self) -> Block {
        let [drain, token, burst, cost, until, remaining, retry, reset] =
            array::from_fn(|number| self.block[number].load(Ordering::Relaxed));
        Block { rate: Rate { drain, token, burst }, cost, until, remaining, retry, reset }
    }
}

fn numbers_of(block: Block) -> [u64; NUMBERS] {
    let Block { rate: Rate { drain, token, burst }, cost, until, remaining, retry, reset } = block;
    [drain, token, burst, cost, until, remaining, retry, reset]
}
