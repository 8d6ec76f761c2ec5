//! What stands around a value in Redis: what it is, when it was made, and what it depends on.
//!
//! ```text
//! CE 9E | version 1 | flags | born u64 | fresh u64 | cost u32 | version u64 | serial u64 | whole length u64
//!       | count of tags, at most 64 | of each tag: length, UTF-8
//!       | length of the payload | payload | CRC-32 of all before, u32
//! ```
//!
//! Numbers are little-endian; counts and lengths are LEB128 in as few bytes as they need. Of the flags, bit 0 says that
//! there is no value, bits 1 to 3 how the payload is compressed, and the others are 0.

mod corrupt;
mod tags;
mod varint;

pub use corrupt::Corrupt;
pub(crate) use tags::Tags;

use varint::{read_varint, write_varint};

/// More tags no entry has.
pub(crate) const MAX_TAGS: usize = 64;

const MAGIC: [u8; 2] = [0xCE, 0x9E];
const VERSION: u8 = 1;
/// No version will be higher. Text in Greek may begin as the magic does, and goes on with a higher byte.
const LAST_VERSION: u8 = 31;
/// All up to the tags.
const FIXED: usize = 48;
const CHECKSUM: usize = 4;

const NEGATIVE: u8 = 1;
const COMPRESSION: u8 = 0b1110;

/// What is known of a value, apart from its tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Fields {
    /// There is no such value: that is what was loaded.
    pub(crate) is_negative: bool,
    /// 0 to 7: the id of the algorithm, or 0.
    pub(crate) compression: u8,
    /// When it was loaded, in milliseconds of the server's time.
    pub(crate) born_ms: u64,
    /// For how long from then it is fresh; `u64::MAX` is for ever.
    pub(crate) fresh_ms: u64,
    /// How long loading took, in microseconds.
    pub(crate) cost_us: u32,
    /// The version of its namespace when its load began.
    pub(crate) version: u64,
    /// When that was, for the process that loaded it.
    pub(crate) serial: u64,
    /// The length of the payload before it was compressed.
    pub(crate) uncompressed_len: u64,
}

/// What [`decode`] found in front of a payload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header<'a> {
    pub(crate) fields: Fields,
    pub(crate) tags: Tags<'a>,
}

/// Appends an envelope around `payload` to `out`.
///
/// # Errors
///
/// There are more tags than [`MAX_TAGS`], or the compression is not within 0 to 7: `out` is as it was.
pub(crate) fn encode(
    fields: &Fields,
    tags: &[impl AsRef<str>],
    payload: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Corrupt> {
    if tags.len() > MAX_TAGS {
        return Err(Corrupt::Malformed(tags::TOO_MANY));
    }
    if fields.compression > 7 {
        return Err(Corrupt::Malformed("a compression that the flags cannot hold"));
    }
    let start = out.len();
    let length: usize = tags.iter().map(|tag| tag.as_ref().len() + varint::MAX).sum();
    out.reserve(FIXED + 1 + length + varint::MAX + payload.len() + CHECKSUM);
    out.extend_from_slice(&MAGIC);
    out.push(VERSION);
    out.push(u8::from(fields.is_negative) | fields.compression << 1);
    out.extend_from_slice(&fields.born_ms.to_le_bytes());
    out.extend_from_slice(&fields.fresh_ms.to_le_bytes());
    out.extend_from_slice(&fields.cost_us.to_le_bytes());
    out.extend_from_slice(&fields.version.to_le_bytes());
    out.extend_from_slice(&fields.serial.to_le_bytes());
    out.extend_from_slice(&fields.uncompressed_len.to_le_bytes());
    write_varint(tags.len(), out);
    for tag in tags {
        write_varint(tag.as_ref().len(), out);
        out.extend_from_slice(tag.as_ref().as_bytes());
    }
    write_varint(payload.len(), out);
    out.extend_from_slice(payload);
    let checksum = crc32fast::hash(&out[start..]);
    out.extend_from_slice(&checksum.to_le_bytes());
    Ok(())
}

/// What an envelope says, and the payload in it, compressed as it may be. Nothing is copied.
///
/// # Errors
///
/// These are not the bytes of one envelope, whole and unchanged.
pub(crate) fn decode(bytes: &[u8]) -> Result<(Header<'_>, &[u8]), Corrupt> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else { return Err(begins(bytes)) };
    if fixed[..2] != MAGIC || fixed[2] != VERSION {
        return Err(begins(bytes));
    }
    let (tags, rest) = Tags::read(rest)?;
    let (length, rest) = read_varint(rest)?;
    let body = rest.len().checked_sub(CHECKSUM).ok_or(Corrupt::Truncated)?;
    let length = usize::try_from(length).ok().filter(|&length| length <= body).ok_or(Corrupt::Truncated)?;
    let (payload, checksum) = rest.split_at(length);
    let Ok(checksum) = checksum.try_into().map(u32::from_le_bytes) else {
        return Err(Corrupt::Malformed("more bytes after its end"));
    };
    if crc32fast::hash(&bytes[..bytes.len() - CHECKSUM]) != checksum {
        return Err(Corrupt::Checksum);
    }
    let flags = fixed[3];
    if flags & !(NEGATIVE | COMPRESSION) != 0 {
        return Err(Corrupt::Malformed("flags of no meaning"));
    }
    tags.check()?;
    let fields = Fields {
        is_negative: flags & NEGATIVE != 0,
        compression: (flags & COMPRESSION) >> 1,
        born_ms: u64_at(fixed, 4),
        fresh_ms: u64_at(fixed, 12),
        cost_us: u32::from_le_bytes([fixed[20], fixed[21], fixed[22], fixed[23]]),
        version: u64_at(fixed, 24),
        serial: u64_at(fixed, 32),
        uncompressed_len: u64_at(fixed, 40),
    };
    Ok((Header { fields, tags }, payload))
}

/// What bytes are that do not begin as a whole envelope of this version.
#[cold]
fn begins(bytes: &[u8]) -> Corrupt {
    let is_magic = bytes.iter().zip(&MAGIC).all(|(byte, magic)| byte == magic);
    match bytes.get(2) {
        _ if !is_magic || bytes.is_empty() => Corrupt::Foreign,
        None | Some(&VERSION) => Corrupt::Truncated,
        Some(&version @ VERSION..=LAST_VERSION) => Corrupt::FutureVersion(version),
        Some(_) => Corrupt::Foreign,
    }
}

fn u64_at(fixed: &[u8; FIXED], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&fixed[at..at + 8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests;
