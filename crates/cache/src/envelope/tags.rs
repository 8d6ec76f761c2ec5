use std::fmt;

use super::varint::read_varint;
use super::{Corrupt, MAX_TAGS};

pub(super) const TOO_MANY: &str = "more than 64 tags";

/// The tags of an entry.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tags<'a> {
    count: usize,
    bytes: &'a [u8],
}

impl<'a> Tags<'a> {
    /// Splits off the tags, without looking into them.
    pub(super) fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Corrupt> {
        let (count, bytes) = read_varint(bytes)?;
        let count = usize::try_from(count).ok().filter(|&count| count <= MAX_TAGS);
        let count = count.ok_or(Corrupt::Malformed(TOO_MANY))?;
        let mut rest = bytes;
        for _ in 0..count {
            (_, rest) = split(rest)?;
        }
        Ok((Self { count, bytes: &bytes[..bytes.len() - rest.len()] }, rest))
    }

    /// Each is text.
    pub(super) fn check(&self) -> Result<(), Corrupt> {
        if self.count == 0 || self.iter().count() == self.count {
            return Ok(());
        }
        Err(Corrupt::Malformed("a tag that is no UTF-8"))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// In the order in which they were written.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let (tag, after) = split(rest).ok()?;
            rest = after;
            std::str::from_utf8(tag).ok()
        })
    }
}

impl fmt::Debug for Tags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A tag, and what follows.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), Corrupt> {
    let (length, rest) = read_varint(bytes)?;
    let length = usize::try_from(length).map_err(|_| Corrupt::Truncated)?;
    rest.split_at_checked(length).ok_or(Corrupt::Truncated)
}
