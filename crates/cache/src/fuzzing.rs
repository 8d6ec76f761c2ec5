//! What must hold for any bytes at all: one function per fuzz target, which panics where a promise is broken.
//!
//! `fuzz/` runs them on bytes that a fuzzer makes up; the test below runs them on those it has kept.

use crate::compress;
use crate::envelope::{self, Corrupt};

/// Below what a value may be, so that a fuzzer has memory for it.
const LIMIT: u64 = 1 << 20;

/// Bytes are the one form of an envelope or an error, whether or not their checksum is right; what changed is an
/// error; and no payload makes more than it says.
pub fn envelope(input: &[u8]) {
    judge(input);
    let checksum = crc32fast::hash(input).to_le_bytes();
    let is_whole = judge(&[input, &checksum].concat());
    let Some((&seed, rest)) = input.split_first() else { return };
    if is_whole {
        let mut changed = [input, &checksum].concat();
        let bit = crc32fast::hash(input) as usize % (changed.len() * 8);
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!judge(&changed), "bit {bit} of {input:?} is not missed");
    }
    for id in 0..8 {
        let expected = u64::from(seed) * u64::from(seed) * 64;
        if let Ok(whole) = compress::decompress(id, rest, expected, LIMIT) {
            assert_eq!(whole.len() as u64, expected);
        }
    }
}

fn judge(bytes: &[u8]) -> bool {
    match envelope::decode(bytes) {
        Ok((header, payload)) => {
            let tags: Vec<_> = header.tags.iter().collect();
            assert_eq!(tags.len(), header.tags.len());
            let mut again = Vec::new();
            let encoded = envelope::encode(&header.fields, &tags, payload, &mut again);
            assert!(encoded == Ok(()) && again == bytes, "{bytes:?} is {header:?}, which is {again:?}");
            let fields = &header.fields;
            match compress::decompress(fields.compression, payload, fields.uncompressed_len, LIMIT) {
                Ok(whole) => assert_eq!(whole.len() as u64, fields.uncompressed_len),
                Err(error) => assert!(!Corrupt::from(error).to_string().is_empty()),
            }
            true
        }
        Err(error) => {
            let is_ours = bytes.starts_with(&[0xCE, 0x9E]) || bytes == [0xCE];
            let is_version = bytes.get(2).is_none_or(|version| (1..32).contains(version));
            assert_eq!(error == Corrupt::Foreign, !(is_ours && is_version), "{bytes:?} is {error}");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn every_entry_the_fuzzer_kept_is_an_envelope_or_an_error() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/envelope");
        let files =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut count = 0;
        for file in files {
            let path = file.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let outcome = std::panic::catch_unwind(|| super::envelope(&bytes));
            assert!(outcome.is_ok(), "the panic above came of {}", path.display());
            count += 1;
        }
        assert!(count > 0, "{} is empty", folder.display());
    }
}
