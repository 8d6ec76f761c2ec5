//! The names by which Redis knows debts: `ratelimit:1:<limiter>:{<subject>}:<policy>`.
//!
//! The number is that of the format. All policies of a subject are in one slot of a cluster.

use std::fmt::Display;

use sha2::{Digest, Sha256};
use smallvec::SmallVec;

/// Most are no longer.
pub(crate) type Key = SmallVec<[u8; 64]>;

/// A subject that is longer is cut and ends in its hash.
const MAX_SUBJECT: usize = 200;
const HEAD: usize = 64;

pub(crate) fn key(prefix: &str, subject: &str, policy: &str) -> Key {
    let mut key = Key::with_capacity(prefix.len() + subject.len() + policy.len() + 4);
    key.extend_from_slice(prefix.as_bytes());
    key.push(b'{');
    let start = key.len();
    escape_into(subject.as_bytes(), &mut key);
    if key.len() - start > MAX_SUBJECT {
        // The hash is of the whole; `~` is always escaped elsewhere.
        let hash = Sha256::digest(&key[start..]);
        key.truncate(start + HEAD);
        key.push(b'~');
        key.extend(hash[..16].iter().flat_map(|byte| hex(*byte, b"0123456789abcdef")));
    }
    key.extend_from_slice(b"}:");
    key.extend_from_slice(policy.as_bytes());
    key
}

pub(crate) fn prefix(limiter: &str) -> String {
    format!("ratelimit:1:{limiter}:")
}

/// A name is 1 to 64 of `A-Z a-z 0-9 _ . -`.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if (1..=64).contains(&name.len()) && name.bytes().all(plain) {
        return Ok(());
    }
    let shown: String = name.chars().take(64).collect();
    Err(format!("{shown:?} is no name for a {what}: take 1 to 64 of `A-Z a-z 0-9 _ . -`"))
}

pub(crate) fn text(subject: &(impl Display + ?Sized)) -> String {
    subject.to_string()
}

/// It is in a key as it is. Most are, so all of it is looked at.
#[inline]
pub(crate) fn is_plain(subject: &[u8]) -> bool {
    (1..=MAX_SUBJECT).contains(&subject.len())
        && subject.iter().fold(true, |all, byte| all & PLAIN[usize::from(*byte)])
}

const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        plain[byte as usize] = !matches!(byte, b'{' | b'}' | b'%' | b'~');
        byte += 1;
    }
    plain
};

/// What could end a hash tag, or is not to be seen in a terminal, is written as `%XX`; nothing at all as `%`.
fn escape_into(bytes: &[u8], out: &mut Key) {
    if bytes.is_empty() {
        out.push(b'%');
    }
    if bytes.iter().all(|byte| PLAIN[usize::from(*byte)]) {
        return out.extend_from_slice(bytes);
    }
    for &byte in bytes {
        if PLAIN[usize::from(byte)] {
            out.push(byte);
        } else {
            out.push(b'%');
            out.extend(hex(byte, b"0123456789ABCDEF"));
        }
    }
}

fn hex(byte: u8, digits: &[u8; 16]) -> [u8; 2] {
    [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(subject: &str) -> String {
        String::from_utf8(key("ratelimit:1:api:", subject, "daily").into_vec()).unwrap()
    }

    #[test]
    fn a_subject_is_the_hash_tag_and_cannot_end_it() {
        assert_eq!(name("2001:db8::1"), "ratelimit:1:api:{2001:db8::1}:daily");
        assert_eq!(name("a}b{c%~ \n"), "ratelimit:1:api:{a%7Db%7Bc%25%7E%20%0A}:daily");
        assert_eq!(name(""), "ratelimit:1:api:{%}:daily");
        for byte in 0..=127 {
            let subject = char::from(byte).to_string();
            let as_it_is = name(&subject) == format!("ratelimit:1:api:{{{subject}}}:daily");
            assert_eq!(is_plain(subject.as_bytes()), as_it_is, "{subject:?}");
            assert_eq!(as_it_is, byte.is_ascii_graphic() && !b"{}%~".contains(&byte), "{subject:?}");
        }
        assert!(
            !is_plain(b"") && !is_plain(&[b'a'; 201]) && is_plain(&[b'a'; 200]) && !is_plain("ß".as_bytes())
        );
    }

    #[test]
    fn a_long_subject_is_cut_and_stays_another_than_its_like() {
        let (one, other) = ("x".repeat(1_000) + "1", "x".repeat(1_000) + "2");
        assert_ne!(name(&one), name(&other));
        assert_eq!(name(&one), name(&one));
        assert!(name(&one).len() < 130, "{}", name(&one));
    }
}
