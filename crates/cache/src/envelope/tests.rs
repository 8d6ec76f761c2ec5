use proptest::prelude::*;

use super::*;

type Owned = (Fields, Vec<String>, Vec<u8>);

fn any_fields() -> impl Strategy<Value = Fields> {
    let times = (any::<u64>(), prop_oneof![any::<u64>(), Just(u64::MAX)], any::<u32>());
    let others = (any::<u64>(), any::<u64>(), any::<u64>());
    (any::<bool>(), 0..8_u8, times, others).prop_map(|(is_negative, compression, times, others)| Fields {
        is_negative,
        compression,
        born_ms: times.0,
        fresh_ms: times.1,
        cost_us: times.2,
        version: others.0,
        serial: others.1,
        uncompressed_len: others.2,
    })
}

fn any_entry() -> impl Strategy<Value = Owned> {
    let tags = prop::collection::vec(".{0,140}", 0..=8);
    (any_fields(), tags, prop::collection::vec(any::<u8>(), 0..300))
}

fn encoded((fields, tags, payload): &Owned) -> Vec<u8> {
    let mut out = b"kept".to_vec();
    encode(fields, tags, payload, &mut out).unwrap();
    out.strip_prefix(b"kept").unwrap().to_vec()
}

fn decoded(bytes: &[u8]) -> Result<Owned, Corrupt> {
    let (header, payload) = decode(bytes)?;
    assert_eq!(header.tags.iter().count(), header.tags.len());
    assert_eq!(header.tags.is_empty(), header.tags.iter().next().is_none());
    let tags = header.tags.iter().map(str::to_owned).collect();
    Ok((header.fields, tags, payload.to_vec()))
}

/// As `encode` would, but whatever stands in it.
fn checksummed(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

fn sample() -> Owned {
    let fields = Fields {
        is_negative: false,
        compression: 2,
        born_ms: 1_700_000_000_000,
        fresh_ms: 60_000,
        cost_us: 1500,
        version: 0x1122_3344_5566_7788,
        serial: 9,
        uncompressed_len: 300,
    };
    (fields, vec!["team".to_owned(), "é".to_owned()], b"the payload".to_vec())
}

proptest! {
    #[test]
    fn what_was_put_in_comes_out(entry in any_entry()) {
        prop_assert_eq!(decoded(&encoded(&entry)), Ok(entry));
    }

    #[test]
    fn an_envelope_that_is_cut_off_anywhere_is_an_error(entry in any_entry()) {
        let bytes = encoded(&entry);
        for length in 1..bytes.len() {
            prop_assert_eq!(decoded(&bytes[..length]), Err(Corrupt::Truncated), "{} bytes", length);
        }
        prop_assert_eq!(decoded(b""), Err(Corrupt::Foreign));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decoded(&bytes);
        let _ = decoded(&[&encoded(&sample())[..FIXED], &bytes].concat());
    }
}

proptest! {
    // Each has thousands of bits.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn an_envelope_with_any_bit_flipped_is_an_error(entry in any_entry()) {
        let mut bytes = encoded(&entry);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decoded(&bytes).is_err(), "bit {}", bit);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn the_layout_of_version_1_is_the_same_for_ever() {
    let (fields, tags, payload) = sample();
    let expected = [
        &[0xCE, 0x9E, 1, 0b100][..],
        &1_700_000_000_000_u64.to_le_bytes(),
        &60_000_u64.to_le_bytes(),
        &1500_u32.to_le_bytes(),
        &[0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11],
        &9_u64.to_le_bytes(),
        &300_u64.to_le_bytes(),
        &[2, 4],
        b"team",
        &[2],
        "é".as_bytes(),
        &[11],
        b"the payload",
    ];
    assert_eq!(encoded(&(fields, tags, payload)), checksummed(expected.concat()));
    let negative = (Fields { is_negative: true, ..Fields::default() }, vec![], vec![]);
    let bytes = encoded(&negative);
    assert_eq!((bytes.len(), bytes[3]), (54, 1));
    assert_eq!(decoded(&bytes), Ok(negative));
}

#[test]
fn what_others_wrote_is_foreign() {
    for foreign in [
        &b""[..],
        b"{\"id\":42}",
        b"\"text that is longer than the header of an envelope ever was\"",
        b"\0",
        b"42",
        &[0x9E, 0xCE, 1],
        &[0xCE, 0],
        &[0xCE, 0x9E, 0],
        &[0xFF; 100],
        "ΞΕΝΟΣ".as_bytes(),
        "Ξ, a letter, and then more text than an envelope's header has bytes".as_bytes(),
    ] {
        assert_eq!(decoded(foreign), Err(Corrupt::Foreign), "{foreign:?}");
    }
}

#[test]
fn a_later_version_is_called_that_whatever_follows() {
    for version in 2..=31 {
        let mut bytes = encoded(&sample());
        bytes[2] = version;
        for length in [3, 10, bytes.len()] {
            assert_eq!(decoded(&bytes[..length]), Err(Corrupt::FutureVersion(version)));
        }
    }
}

#[test]
fn what_no_release_would_write_is_malformed_though_its_checksum_is_right() {
    let fixed = || encoded(&sample())[..FIXED].to_vec();
    let body = |rest: &[u8]| [&fixed(), rest].concat();
    let malformed = |bytes| match decoded(&checksummed(bytes)) {
        Err(Corrupt::Malformed(why)) => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(malformed(body(&[65])), "more than 64 tags");
    assert_eq!(malformed(body(&[0x80, 0])), "a number in more bytes than it needs");
    assert_eq!(malformed(body(&[0, 0, 7])), "more bytes after its end");
    let no_text = [1, 1, 0xFF, 0];
    assert_eq!(malformed(body(&no_text)), "a tag that is no UTF-8");
    for flag in 4..8 {
        let mut flagged = body(&[0, 0]);
        flagged[3] |= 1 << flag;
        assert_eq!(malformed(flagged), "flags of no meaning");
    }
    assert_eq!(decoded(&checksummed(body(&[0, 0]))).map(|entry| entry.2), Ok(vec![]));
}

#[test]
fn a_length_is_not_believed() {
    let huge = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1];
    for rest in [[&[0][..], &huge].concat(), [&[1][..], &huge].concat()] {
        let bytes = [&encoded(&sample())[..FIXED], &rest, &[0; 30]].concat();
        assert_eq!(decoded(&checksummed(bytes)), Err(Corrupt::Truncated));
    }
}

#[test]
fn more_than_the_envelope_can_hold_is_refused_and_leaves_nothing() {
    let mut out = b"kept".to_vec();
    let tags = vec!["t"; MAX_TAGS + 1];
    let too_many = Err(Corrupt::Malformed("more than 64 tags"));
    assert_eq!(encode(&Fields::default(), &tags, b"", &mut out), too_many);
    let fields = Fields { compression: 8, ..Fields::default() };
    assert!(encode(&fields, &tags[1..], b"", &mut out).is_err());
    assert_eq!(out, b"kept");
    encode(&Fields::default(), &tags[1..], b"", &mut out).unwrap();
    assert_eq!(decode(&out[4..]).unwrap().0.tags.len(), MAX_TAGS);
}

#[test]
fn errors_say_what_is_wrong() {
    let codec = Corrupt::from(crate::CodecError::new("no JSON, at line 1 column 1"));
    assert_eq!(codec.to_string(), "an entry whose value is no JSON, at line 1 column 1");
    let compression = Corrupt::from(crate::CompressionError::FeatureOff("zstd"));
    assert!(compression.to_string().contains("the feature `zstd`"), "{compression}");
    assert!(Corrupt::FutureVersion(2).to_string().contains("version 2"));
}
