//! LEB128, in its shortest form only: so that an envelope has one form.

use super::Corrupt;

/// The bytes of the longest.
pub(super) const MAX: usize = 10;

pub(super) fn write_varint(number: usize, out: &mut Vec<u8>) {
    let mut number = number as u64;
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A number, and what follows it.
pub(super) fn read_varint(bytes: &[u8]) -> Result<(u64, &[u8]), Corrupt> {
    match bytes {
        [byte, rest @ ..] if *byte < 0x80 => Ok((u64::from(*byte), rest)),
        _ => read_long(bytes),
    }
}

fn read_long(bytes: &[u8]) -> Result<(u64, &[u8]), Corrupt> {
    let mut number = 0;
    for (at, &byte) in bytes.iter().take(MAX).enumerate() {
        let bits = u64::from(byte & 0x7F);
        if at == MAX - 1 && byte > 1 {
            break;
        }
        number |= bits << (7 * at);
        if byte < 0x80 {
            let is_shortest = byte > 0 || at == 0;
            return if is_shortest { Ok((number, &bytes[at + 1..])) } else { Err(TOO_LONG) };
        }
    }
    Err(if bytes.len() < MAX { Corrupt::Truncated } else { TOO_LONG })
}

const TOO_LONG: Corrupt = Corrupt::Malformed("a number in more bytes than it needs");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back_and_every_part_of_one_is_cut_off(number in any::<usize>(), shift in 0..64_u32) {
            let number = number >> shift;
            let mut out = Vec::new();
            write_varint(number, &mut out);
            prop_assert!((0..out.len()).all(|at| read_varint(&out[..at]) == Err(Corrupt::Truncated)));
            out.push(7);
            prop_assert_eq!(read_varint(&out), Ok((number as u64, &[7][..])));
        }

        #[test]
        fn what_is_read_is_what_would_be_written(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            if let Ok((number, rest)) = read_varint(&bytes) {
                let mut out = Vec::new();
                write_varint(usize::try_from(number).unwrap(), &mut out);
                prop_assert_eq!(&bytes[..bytes.len() - rest.len()], out);
            }
        }
    }

    #[test]
    fn no_number_takes_more_bytes_than_it_needs() {
        for long in [&[0x80, 0][..], &[0xFF, 0x80, 0], &[0x80; 10], &[0xFF; 40]] {
            assert_eq!(read_varint(long), Err(TOO_LONG));
        }
        let most = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1];
        assert_eq!(read_varint(&most), Ok((u64::MAX, &[][..])));
    }
}
