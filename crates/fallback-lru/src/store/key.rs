//! Keys that carry their hash, so that it is computed once per command.

use std::borrow::Borrow;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A borrowed key and its hash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hashed<'a> {
    pub(crate) hash: u64,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Hashed<'a> {
    pub(crate) fn new(hasher: &impl std::hash::BuildHasher, bytes: &'a [u8]) -> Self {
        let mut state = hasher.build_hasher();
        state.write(bytes);
        Self { hash: state.finish(), bytes }
    }
}

/// An owned key and its hash: what a shard stores.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Key {
    hash: HashOnly,
    bytes: Box<[u8]>,
}

impl Key {
    pub(crate) fn new(key: Hashed<'_>) -> Self {
        Self { hash: HashOnly(key.hash), bytes: key.bytes.into() }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn as_hashed(&self) -> Hashed<'_> {
        Hashed { hash: self.hash.0, bytes: &self.bytes }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

/// Finds a stored key by its hash alone, for deadlines, which keep no copy of the key.
///
/// Two keys with one 64-bit hash are taken for each other here, so whoever uses it checks what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HashOnly(pub(crate) u64);

impl Hash for HashOnly {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

impl Borrow<HashOnly> for Key {
    fn borrow(&self) -> &HashOnly {
        &self.hash
    }
}

/// What a borrowed and an owned key have in common: looking one up by the other copies nothing.
pub(crate) trait AsHashed {
    fn hashed(&self) -> Hashed<'_>;
}

impl AsHashed for Key {
    fn hashed(&self) -> Hashed<'_> {
        self.as_hashed()
    }
}

impl AsHashed for Hashed<'_> {
    fn hashed(&self) -> Hashed<'_> {
        *self
    }
}

impl Hash for dyn AsHashed + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hashed().hash);
    }
}

impl PartialEq for dyn AsHashed + '_ {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.hashed(), other.hashed());
        a.hash == b.hash && a.bytes == b.bytes
    }
}

impl Eq for dyn AsHashed + '_ {}

impl<'a> Borrow<dyn AsHashed + 'a> for Key {
    fn borrow(&self) -> &(dyn AsHashed + 'a) {
        self
    }
}

/// Hands the map the hash that the key brought along.
#[derive(Debug, Default)]
pub(crate) struct PassThrough(u64);

impl Hasher for PassThrough {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, &byte| hash.rotate_left(8) ^ u64::from(byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

pub(crate) type BuildPassThrough = BuildHasherDefault<PassThrough>;
