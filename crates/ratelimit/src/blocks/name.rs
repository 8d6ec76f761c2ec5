//! What a refusal is kept under: a subject and a policy.

use sha2::{Digest, Sha256};

/// Words of a name as it is kept.
pub(super) const WORDS: usize = 8;
/// Bytes of a name; one that is longer is its hash.
pub(crate) const ROOM: usize = 8 * WORDS;

/// A subject, as it is in keys, and a policy, with a zero between them, and zeros to the end. Neither has one, and neither is
/// empty, so it says where both end. Of what is longer it is a zero, and the hash.
#[derive(Debug)]
pub(crate) struct Name<'a> {
    bytes: &'a [u8; ROOM],
    /// Where its subject, or its hash, is.
    from: usize,
    to: usize,
    /// Where it ends.
    end: usize,
}

impl<'a> Name<'a> {
    /// In room that has nothing but zeros.
    pub(crate) fn of(room: &'a mut [u8; ROOM], tag: &[u8], policy: &str) -> Self {
        if !fits(tag.len(), policy) {
            return Self::long(room, tag, policy);
        }
        room[..tag.len()].copy_from_slice(tag);
        Self::after(room, tag.len(), policy)
    }

    /// In room that begins with the tag, and has nothing but zeros after it. It [`fits`].
    #[inline]
    pub(crate) fn after(room: &'a mut [u8; ROOM], to: usize, policy: &str) -> Self {
        let end = to + 1 + policy.len();
        room[to + 1..end].copy_from_slice(policy.as_bytes());
        Self { bytes: room, from: 0, to, end }
    }

    #[cold]
    fn long(room: &'a mut [u8; ROOM], tag: &[u8], policy: &str) -> Self {
        let hash = Sha256::new().chain_update(tag).chain_update([0]).chain_update(policy).finalize();
        let end = 1 + hash.len();
        room[1..end].copy_from_slice(&hash);
        Self { bytes: room, from: 1, to: end, end }
    }

    /// What says where it belongs: names of one subject meet, and are few.
    #[inline]
    pub(super) fn subject(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }

    /// As it is kept.
    #[inline]
    pub(super) fn words(&self) -> impl Iterator<Item = u64> {
        self.bytes.as_chunks().0.iter().map(|bytes| u64::from_ne_bytes(*bytes))
    }

    /// So many words tell it from all others: those with the zero that ends it, if it has one.
    #[inline]
    pub(super) fn telling(&self) -> usize {
        self.end / 8 + 1
    }
}

/// A tag of this length and the policy are no longer than a name.
#[inline]
pub(crate) fn fits(tag: usize, policy: &str) -> bool {
    tag + 1 + policy.len() <= ROOM
}
