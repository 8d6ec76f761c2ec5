//! The decoder against redis' own parser, and against what no server should send.

use proptest::prelude::*;
use redis::Value;

use super::{Decoder, Limits, ProtocolError};

fn decode(pieces: &[&[u8]]) -> Result<Vec<Value>, ProtocolError> {
    let (mut decoder, mut out) = (Decoder::new(Limits::default()), Vec::new());
    for piece in pieces {
        decoder.feed(piece, &mut out)?;
    }
    Ok(out)
}

/// Well-formed replies of every type, as bytes.
fn reply() -> impl Strategy<Value = Vec<u8>> {
    let number = any::<i64>();
    let leaf = prop_oneof![
        number.prop_map(|n| format!(":{n}\r\n").into_bytes()),
        "[ -~]{0,12}".prop_map(|s| format!("+{s}\r\n").into_bytes()),
        "[A-Z]{1,8} [ -~]{0,12}".prop_map(|s| format!("-{s}\r\n").into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(|data| {
            let mut bytes = format!("${}\r\n", data.len()).into_bytes();
            bytes.extend(data);
            bytes.extend(b"\r\n");
            bytes
        }),
        Just(b"$-1\r\n".to_vec()),
        Just(b"*-1\r\n".to_vec()),
        Just(b"_\r\n".to_vec()),
        Just(b"#t\r\n".to_vec()),
        Just(b",1.5\r\n".to_vec()),
        Just(b",-inf\r\n".to_vec()),
        Just(b"(3492890328409238509324850943850943825024385\r\n".to_vec()),
        Just(b"=9\r\ntxt:a\r\nb!\r\n".to_vec()),
        Just(b"!7\r\nERR bad\r\n".to_vec()),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        (prop_oneof![Just('*'), Just('~'), Just('%'), Just('|')], proptest::collection::vec(inner, 0..4))
            .prop_map(|(marker, mut items)| {
                let count = match marker {
                    '%' => items.len() / 2,
                    '|' => items.len().saturating_sub(1) / 2,
                    _ => items.len(),
                };
                let want = match marker {
                    '%' => count * 2,
                    '|' => count * 2 + 1,
                    _ => count,
                };
                items.resize(want, b":7\r\n".to_vec());
                let mut bytes = format!("{marker}{count}\r\n").into_bytes();
                bytes.extend(items.concat());
                bytes
            })
    })
}

proptest! {
    #[test]
    fn any_reply_decodes_as_redis_decodes_it_however_it_is_cut(
        replies in proptest::collection::vec(reply(), 1..6),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let expected: Vec<Value> =
            replies.iter().map(|bytes| redis::parse_redis_value(bytes).unwrap()).collect();
        let bytes = replies.concat();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(decode(&pieces).unwrap(), expected);
    }

    #[test]
    fn garbage_is_an_error_or_silence_and_never_a_panic(
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\n'), Just(b'*'), Just(b'1')], 0..200)
    ) {
        let _ = decode(&[&bytes]);
    }
}

#[test]
fn a_reply_that_claims_two_gibibytes_is_refused_without_reserving_them() {
    let error = decode(&[b"$2147483648\r\n"]).unwrap_err();
    assert!(matches!(error, ProtocolError::TooLarge { claimed: 2_147_483_648, .. }), "{error}");
}

#[test]
fn ten_thousand_levels_of_nesting_are_refused() {
    let bytes = b"*1\r\n".repeat(10_000);
    let error = decode(&[&bytes]).unwrap_err();
    assert_eq!(error, ProtocolError::TooLarge { what: "levels of nesting", claimed: 101, limit: 100 });
}

#[test]
fn a_line_past_the_limit_is_refused_even_if_it_arrives_whole() {
    let bytes = [b"+", &vec![b'x'; 1 << 20][..], b"\r\n"].concat();
    let error = decode(&[&bytes]).unwrap_err();
    assert!(matches!(error, ProtocolError::TooLarge { what: "bytes in a line", .. }), "{error}");
}

#[test]
fn a_null_is_no_push_and_no_attribute_and_never_a_reply() {
    for bytes in [b">-1\r\n", b"|-1\r\n"] {
        assert_eq!(decode(&[bytes]).unwrap_err(), ProtocolError::Malformed("length"));
    }
}

#[test]
fn what_is_wrong_in_a_big_number_is_not_taken_out_to_make_another_number() {
    let bytes = b"(12\r34\r\n";
    // With redis' own big integers it is an error.
    assert_eq!(decode(&[bytes]).ok(), redis::parse_redis_value(bytes).ok().map(|value| vec![value]));
}

#[test]
fn an_http_answer_is_recognised_by_its_first_byte() {
    assert_eq!(decode(&[b"HTTP/1.1 400 Bad"]).unwrap_err(), ProtocolError::NotRedis(b'H'));
}

#[test]
fn a_large_string_is_collected_in_place_not_scanned_again() {
    let (mut decoder, mut out) = (Decoder::new(Limits::default()), Vec::new());
    decoder.feed(b"$1000000\r\n", &mut out).unwrap();
    for _ in 0..1000 {
        decoder.feed(&[b'x'; 1000], &mut out).unwrap();
    }
    decoder.feed(b"\r", &mut out).unwrap();
    assert!(out.is_empty());
    decoder.feed(b"\n:1\r\n", &mut out).unwrap();
    assert_eq!(out, [Value::BulkString(vec![b'x'; 1_000_000]), Value::Int(1)]);
}

#[test]
fn a_script_error_keeps_the_kind_that_redis_script_looks_for() {
    let values = decode(&[b"-NOSCRIPT No matching script.\r\n"]).unwrap();
    let Value::ServerError(error) = &values[0] else { panic!("{values:?}") };
    assert_eq!(error.kind(), Some(redis::ServerErrorKind::NoScript));
}
