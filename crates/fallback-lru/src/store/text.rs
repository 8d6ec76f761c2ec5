//! A string and its key.

use super::key::Hashed;

/// A key and the string that is stored under it, in one allocation and without room to spare: a look-up that compared
/// the key has the value at hand, the allocator is paid once, and what is charged is what is used.
#[derive(Debug, Default)]
pub(crate) struct Text {
    /// The key, then the value.
    bytes: Box<[u8]>,
    key_len: u32,
    hash: u32,
}

impl Text {
    /// The key is at most `u32::MAX` bytes long.
    pub(crate) fn new(key: Hashed<'_>, value: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(key.bytes.len() + value.len());
        bytes.extend_from_slice(key.bytes);
        bytes.extend_from_slice(value);
        Self { bytes: bytes.into(), key_len: key.bytes.len() as u32, hash: key.short_hash() }
    }

    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        self.split().0
    }

    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        self.split().1
    }

    #[inline]
    pub(crate) fn short_hash(&self) -> u32 {
        self.hash
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.key_len as usize
    }

    pub(crate) fn append(&mut self, tail: &[u8]) {
        self.write_at(self.len(), tail);
    }

    /// Writes `part` at an offset, behind zeros where the value is shorter than that.
    pub(crate) fn write_at(&mut self, offset: usize, part: &[u8]) {
        let from = self.key_len as usize + offset;
        let to = from + part.len();
        if self.bytes.len() < to {
            self.resize(to);
        }
        self.bytes[from..to].copy_from_slice(part);
    }

    pub(crate) fn replace(&mut self, value: &[u8]) {
        self.resize(self.key_len as usize + value.len());
        self.write_at(0, value);
    }

    /// To exactly so many bytes, key included; new ones are zeros.
    fn resize(&mut self, len: usize) {
        if self.bytes.len() != len {
            let mut bytes = std::mem::take(&mut self.bytes).into_vec();
            bytes.reserve_exact(len.saturating_sub(bytes.len()));
            bytes.resize(len, 0);
            self.bytes = bytes.into();
        }
    }

    #[inline]
    fn split(&self) -> (&[u8], &[u8]) {
        self.bytes.split_at_checked(self.key_len as usize).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashed(bytes: &[u8]) -> Hashed<'_> {
        Hashed { hash: 0, bytes }
    }

    #[test]
    fn key_and_value_stay_apart_whatever_their_lengths() {
        for key in [&b""[..], b"k", &[7; 300]] {
            for value in [&b""[..], b"v", &[9; 70_000]] {
                let text = Text::new(hashed(key), value);
                assert_eq!((text.key(), text.value(), text.len()), (key, value, value.len()));
            }
        }
    }

    #[test]
    fn the_value_changes_and_the_key_does_not() {
        let mut text = Text::new(hashed(b"key"), b"value");
        text.append(b"s!");
        assert_eq!(text.value(), b"values!");
        text.write_at(5, b"d");
        assert_eq!(text.value(), b"valued!");
        text.write_at(9, b"x");
        assert_eq!(text.value(), b"valued!\0\0x");
        text.replace(b"12");
        assert_eq!((text.key(), text.value()), (&b"key"[..], &b"12"[..]));
    }
}
