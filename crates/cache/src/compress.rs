//! Payloads made smaller, and made whole again without believing what they say of themselves.

use std::borrow::Cow;

/// No value is longer, compressed or not: Redis takes no longer string.
pub(crate) const MAX_LEN: u64 = 512 << 20;

/// Whether values are compressed before Redis gets them. The default is [`None`](Compression::None).
///
/// It may be changed at any time: every entry says how it was compressed, and is read by whoever has that feature. A
/// value that does not get smaller is stored as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Compression {
    /// They are not.
    #[default]
    None,
    /// By LZ4: little work, for a little less to send. With the feature `lz4`.
    #[cfg(feature = "lz4")]
    Lz4 {
        /// Encoded values of at most so many bytes are left as they are.
        above: usize,
    },
    /// By Zstandard: smaller, for more work. With the feature `zstd`.
    #[cfg(feature = "zstd")]
    Zstd {
        /// Encoded values of at most so many bytes are left as they are.
        above: usize,
        /// From 1, the fastest, to 22, the smallest; 0 is the library's default, now 3, and below 0 it is faster still.
        /// What is beyond its range counts as the nearest in it.
        level: i32,
    },
}

/// How a payload was compressed, as its envelope tells. The numbers never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Lz4 = 1,
    Zstd = 2,
}

impl Algorithm {
    /// What the envelope has in its flags; 0 is a payload that is not compressed.
    pub(crate) fn id(self) -> u8 {
        self as u8
    }

    fn of(id: u8) -> Option<Self> {
        [Self::Lz4, Self::Zstd].into_iter().find(|algorithm| algorithm.id() == id)
    }

    /// Its feature has the same name.
    #[cfg(any(test, not(all(feature = "lz4", feature = "zstd"))))]
    fn name(self) -> &'static str {
        match self {
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Why a compressed value was not made whole again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompressionError {
    /// This build cannot: another process, with more features, wrote the value.
    #[error("compressed by {0}: it is read with the feature `{0}` of cenote-cache, which is off")]
    FeatureOff(&'static str),
    /// By something that this version does not know.
    #[error("compressed by method {0}, which this version does not know")]
    Unknown(u8),
    /// The value would be longer than one may be.
    #[error("says that it is {declared} bytes long, and {limit} are the most")]
    TooLong {
        /// What the entry says.
        declared: u64,
        /// What is allowed.
        limit: u64,
    },
    /// The bytes do not make a value of the length that the entry says.
    #[error("does not make the {0} bytes that it says it is")]
    Damaged(u64),
}

impl Compression {
    /// The payload made smaller, and how; `None` if it is to be stored as it is.
    pub(crate) fn compress(&self, payload: &[u8]) -> Option<(Algorithm, Vec<u8>)> {
        if payload.len() as u64 > MAX_LEN {
            return None; // It would not be taken back.
        }
        self.run(payload).filter(|(_, compressed)| compressed.len() < payload.len())
    }

    #[cfg_attr(not(any(feature = "lz4", feature = "zstd")), expect(unused_variables, reason = "nothing can"))]
    fn run(&self, payload: &[u8]) -> Option<(Algorithm, Vec<u8>)> {
        match *self {
            Self::None => None,
            #[cfg(feature = "lz4")]
            Self::Lz4 { above } if payload.len() > above => {
                Some((Algorithm::Lz4, lz4_flex::block::compress(payload)))
            }
            #[cfg(feature = "zstd")]
            Self::Zstd { above, level } if payload.len() > above => {
                Some((Algorithm::Zstd, zstd::bulk::compress(payload, level).ok()?))
            }
            #[cfg(any(feature = "lz4", feature = "zstd"))]
            _ => None,
        }
    }
}

/// The payload as it was before [`compress`](Compression::compress); borrowed if it never was compressed.
///
/// It is `expected` bytes long, and at most `limit` and [`MAX_LEN`]. No more memory is taken than that, nor more than
/// the bytes can possibly make, whatever they say of themselves.
pub(crate) fn decompress(
    id: u8,
    bytes: &[u8],
    expected: u64,
    limit: u64,
) -> Result<Cow<'_, [u8]>, CompressionError> {
    let limit = limit.min(MAX_LEN);
    if expected > limit {
        return Err(CompressionError::TooLong { declared: expected, limit });
    }
    let whole = match (id, Algorithm::of(id)) {
        (0, _) => Some(Cow::Borrowed(bytes)),
        (_, None) => return Err(CompressionError::Unknown(id)),
        (_, Some(Algorithm::Lz4)) => unlz4(bytes, expected)?.map(Cow::Owned),
        (_, Some(Algorithm::Zstd)) => unzstd(bytes, expected)?.map(Cow::Owned),
    };
    whole.filter(|whole| whole.len() as u64 == expected).ok_or(CompressionError::Damaged(expected))
}

#[cfg(feature = "lz4")]
fn unlz4(bytes: &[u8], expected: u64) -> Result<Option<Vec<u8>>, CompressionError> {
    // A byte makes at most 255.
    let Some(length) = plausible(expected, bytes, 255) else { return Ok(None) };
    Ok(lz4_flex::block::decompress(bytes, length).ok())
}

#[cfg(feature = "zstd")]
fn unzstd(bytes: &[u8], expected: u64) -> Result<Option<Vec<u8>>, CompressionError> {
    // A block of three bytes and one to repeat makes at most 128 KiB.
    let Some(length) = plausible(expected, bytes, (128 << 10) / 4) else { return Ok(None) };
    let mut whole = Vec::new();
    // Into the vector's room, which does not grow.
    let run = |whole: &mut _| zstd::bulk::Decompressor::new()?.decompress_to_buffer(bytes, whole);
    let is_done = whole.try_reserve_exact(length).is_ok() && run(&mut whole).is_ok();
    Ok(is_done.then_some(whole))
}

/// The length, if so few bytes can make it.
#[cfg(any(feature = "lz4", feature = "zstd"))]
fn plausible(expected: u64, bytes: &[u8], ratio: u64) -> Option<usize> {
    usize::try_from(expected).ok().filter(|_| expected <= ratio * bytes.len() as u64)
}

#[cfg(not(feature = "lz4"))]
fn unlz4(_: &[u8], _: u64) -> Result<Option<Vec<u8>>, CompressionError> {
    Err(CompressionError::FeatureOff(Algorithm::Lz4.name()))
}

#[cfg(not(feature = "zstd"))]
fn unzstd(_: &[u8], _: u64) -> Result<Option<Vec<u8>>, CompressionError> {
    Err(CompressionError::FeatureOff(Algorithm::Zstd.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Vec<Compression> {
        vec![
            #[cfg(feature = "lz4")]
            Compression::Lz4 { above: 10 },
            #[cfg(feature = "zstd")]
            Compression::Zstd { above: 10, level: 0 },
            #[cfg(feature = "zstd")]
            Compression::Zstd { above: 10, level: -5 },
            #[cfg(feature = "zstd")]
            Compression::Zstd { above: 10, level: 1_000_000 },
        ]
    }

    fn text() -> Vec<u8> {
        b"all work and no play ".repeat(500)
    }

    #[test]
    fn what_was_compressed_comes_back_whole() {
        for compression in some() {
            for payload in [text(), vec![0; 1 << 20], vec![7; 11], b"0123456789a".repeat(2)] {
                let Some((algorithm, small)) = compression.compress(&payload) else {
                    assert!(payload.len() < 30, "{compression:?}");
                    continue;
                };
                assert!(small.len() < payload.len());
                let whole = decompress(algorithm.id(), &small, payload.len() as u64, MAX_LEN).unwrap();
                assert!(*whole == payload, "{compression:?}");
            }
        }
    }

    #[test]
    fn what_is_short_or_does_not_shrink_stays_as_it_is() {
        let noise: Vec<u8> = (0..4000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for compression in some() {
            assert_eq!(compression.compress(&[0; 10]), None);
            assert_eq!(compression.compress(&noise[..200]), None);
            assert_eq!(compression.compress(b""), None);
        }
        assert_eq!(Compression::None.compress(&text()), None);
        assert_eq!(decompress(0, b"abc", 3, MAX_LEN), Ok(Cow::Borrowed(&b"abc"[..])));
        assert_eq!(decompress(0, b"abc", 4, MAX_LEN), Err(CompressionError::Damaged(4)));
    }

    #[test]
    fn damaged_bytes_and_wrong_lengths_are_errors_and_never_another_value_of_that_length() {
        for compression in some() {
            let (algorithm, small) = compression.compress(&text()).unwrap();
            let length = text().len() as u64;
            for wrong in [0, 1, length - 1, length + 1, length * 100] {
                let error = decompress(algorithm.id(), &small, wrong, MAX_LEN).unwrap_err();
                assert_eq!(error, CompressionError::Damaged(wrong), "{compression:?}");
            }
            for at in 0..small.len() {
                assert!(decompress(algorithm.id(), &small[..at], length, MAX_LEN).is_err());
                let mut flipped = small.clone();
                flipped[at] ^= 0x10;
                if let Ok(whole) = decompress(algorithm.id(), &flipped, length, MAX_LEN) {
                    assert_eq!(whole.len() as u64, length);
                }
            }
        }
    }

    #[test]
    fn nothing_is_made_longer_than_is_allowed() {
        for id in 0..8 {
            let error = CompressionError::TooLong { declared: 101, limit: 100 };
            assert_eq!(decompress(id, &[0; 101], 101, 100), Err(error));
            let error = CompressionError::TooLong { declared: u64::MAX, limit: MAX_LEN };
            assert_eq!(decompress(id, b"", u64::MAX, u64::MAX), Err(error));
        }
        for compression in some() {
            // Grows by its declared length only.
            let (algorithm, bomb) = compression.compress(&vec![0; 4 << 20]).unwrap();
            assert_eq!(decompress(algorithm.id(), &bomb, 100, 100), Err(CompressionError::Damaged(100)));
            let more = CompressionError::Damaged(MAX_LEN);
            assert_eq!(decompress(algorithm.id(), &bomb[..bomb.len().min(200)], MAX_LEN, MAX_LEN), Err(more));
        }
    }

    #[cfg(any(feature = "lz4", feature = "zstd"))]
    #[test]
    fn no_memory_is_taken_for_what_so_few_bytes_cannot_make() {
        assert_eq!(plausible(MAX_LEN, &[0; 200], 255), None);
        assert_eq!(plausible(51_001, &[0; 200], 255), None);
        assert_eq!(plausible(51_000, &[0; 200], 255), Some(51_000));
        assert_eq!(plausible(1, b"", 255), None);
    }

    #[test]
    fn a_method_that_this_build_lacks_is_named() {
        assert_eq!(decompress(5, b"abc", 3, MAX_LEN), Err(CompressionError::Unknown(5)));
        for (is_on, algorithm) in
            [(cfg!(feature = "lz4"), Algorithm::Lz4), (cfg!(feature = "zstd"), Algorithm::Zstd)]
        {
            let error = decompress(algorithm.id(), b"\xF0", 3, MAX_LEN).unwrap_err();
            let off = CompressionError::FeatureOff(algorithm.name());
            assert_eq!(error == off, !is_on, "{error}");
            assert!(off.to_string().contains(&format!("the feature `{}`", algorithm.name())));
        }
    }
}
