//! Keys: from typed values to the bytes that Redis sees.
//!
//! A key's text is its parts, escaped and joined by `,`. No two lists of parts share a text, and no text has a byte
//! that ends a namespace, opens a hash tag or stands for others in a pattern.

mod escape;
mod impls;

use std::fmt;
use std::mem;

use sha2::{Digest, Sha256};

pub(crate) use escape::{check_namespace, escape_into};

/// A text that is longer is cut and ends in its hash.
const MAX_TEXT: usize = 256;
/// What is left of a text that was cut, at most.
const HEAD: usize = 64;

/// What [`Option`] writes. No escaped part looks like these, as the letters after the `%` are no hexadecimal digits.
const NONE: &[u8] = b"%none";
const SOME: &[u8] = b"%some";
/// The text of a key without parts: `{}` would be no hash tag, and part value and fence in a cluster.
const UNIT: &[u8] = b"%unit";

/// A value by which a cache finds its entries.
///
/// Implemented for strings, bytes, integers, `bool` and `char`, for [`Option`], and for tuples of up to six keys. What
/// has a type of its own names its parts:
///
/// ```
/// use cenote_cache::{CacheKey, KeyText};
///
/// struct UserId(u64);
///
/// impl CacheKey for UserId {
///     fn write_key(&self, out: &mut KeyText) {
///         self.0.write_key(out);
///     }
/// }
///
/// struct Page<'a> {
///     of: UserId,
///     language: &'a str,
/// }
///
/// impl CacheKey for Page<'_> {
///     fn write_key(&self, out: &mut KeyText) {
///         (&self.of, self.language).write_key(out);
///     }
/// }
///
/// let mut text = KeyText::default();
/// Page { of: UserId(42), language: "pt-BR" }.write_key(&mut text);
/// assert_eq!(text.to_string(), "42,pt-BR");
/// ```
///
/// Two keys that differ must write different parts, and the same key the same parts in every process and version. A
/// type whose values write different numbers of parts writes first which kind, or how many, follow: only then can it
/// stand in a tuple and be told from what comes after it.
pub trait CacheKey {
    /// Adds the parts of this key to `out`.
    fn write_key(&self, out: &mut KeyText);
}

/// The text of a key while its parts are collected.
///
/// It prints as the text, before one of more than 256 bytes is cut. A key may hold what is nobody's business, so think
/// before logging it.
#[derive(Default)]
pub struct KeyText {
    bytes: Vec<u8>,
    /// Where the text begins: a prefix may stand before it.
    start: usize,
}

impl KeyText {
    /// Adds one part, which may be any bytes.
    ///
    /// All but ASCII letters, digits and `_ . - @ / + =` is written as `%XX`, and an empty part as `%`.
    pub fn part(&mut self, bytes: &[u8]) {
        self.separate();
        escape_into(bytes, &mut self.bytes);
    }

    /// Adds a part that needs no escaping.
    fn plain_part(&mut self, bytes: &[u8]) {
        self.separate();
        self.bytes.extend_from_slice(bytes);
    }

    fn separate(&mut self) {
        if self.bytes.len() > self.start {
            self.bytes.push(b',');
        }
    }

    /// Adds the parts of a value that might have been missing, so that nothing missing inside it looks like that.
    fn present(&mut self, value: &impl CacheKey) {
        let before = self.bytes.len();
        value.write_key(self);
        let written = &self.bytes[before..];
        let written = written.strip_prefix(b",").unwrap_or(written);
        if written.starts_with(NONE) || written.starts_with(SOME) || written.is_empty() {
            let parts = self.bytes.split_off(before);
            self.plain_part(SOME);
            if !parts.is_empty() && !parts.starts_with(b",") {
                self.bytes.push(b',');
            }
            self.bytes.extend_from_slice(&parts);
        }
    }

    /// Keeps the text within its bound, for ever in the same way.
    fn finish(&mut self) {
        if self.bytes.len() == self.start {
            self.bytes.extend_from_slice(UNIT);
        }
        let text = &self.bytes[self.start..];
        if text.len() <= MAX_TEXT {
            return;
        }
        // SHA-256, as half of it still has no known collision: keys may come from strangers, who must not be able to
        // make two that share an entry. `sha2` brings less with it than `blake3`, which builds C and assembly.
        let hash = Sha256::digest(text);
        let head = head(text);
        self.bytes.truncate(self.start + head);
        // Escaping lets no `~` through, so no text that was not cut has these.
        self.bytes.extend_from_slice(b"~~");
        for byte in &hash[..16] {
            self.bytes.extend_from_slice(&escape::hex(*byte, b"0123456789abcdef"));
        }
    }
}

impl fmt::Display for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes[self.start..]))
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyText").field(&format_args!("{self}")).finish()
    }
}

/// Appends `prefix{text of the key}` to `name`.
pub(crate) fn write_name(prefix: &str, key: &(impl CacheKey + ?Sized), name: &mut Vec<u8>) {
    name.extend_from_slice(prefix.as_bytes());
    name.push(b'{');
    let start = name.len();
    let mut text = KeyText { bytes: mem::take(name), start };
    key.write_key(&mut text);
    text.finish();
    *name = text.bytes;
    name.push(b'}');
}

/// How much of a long text stays: no escape and no marker is cut in two.
fn head(text: &[u8]) -> usize {
    let Some(at) = (HEAD + 1 - NONE.len()..HEAD).rev().find(|&at| text[at] == b'%') else { return HEAD };
    let length = match text[at + 1] {
        b',' => 1,
        next if next.is_ascii_hexdigit() => 3,
        _ => NONE.len(),
    };
    if at + length > HEAD { at } else { HEAD }
}

#[cfg(test)]
mod tests;
