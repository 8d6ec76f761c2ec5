//! Keys that carry their hash, so that it is computed once per command.

use std::hash::{BuildHasher, Hasher};

/// A borrowed key and its hash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hashed<'a> {
    pub(crate) hash: u64,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Hashed<'a> {
    #[inline]
    pub(crate) fn new(hasher: &impl BuildHasher, bytes: &'a [u8]) -> Self {
        let mut state = hasher.build_hasher();
        state.write(bytes);
        Self { hash: state.finish(), bytes }
    }

    /// The part of the hash that is stored beside a key.
    #[inline]
    pub(crate) fn short_hash(self) -> u32 {
        self.hash as u32
    }
}
