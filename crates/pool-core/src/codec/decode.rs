//! The incremental decoder: every byte is looked at once, whatever the pieces it arrives in.

use redis::{PushKind, Value};

use super::{Limits, ProtocolError, scalar};

/// No reply makes us reserve more than this before its bytes have arrived.
const RESERVE: usize = 64 << 10;

/// Turns bytes into reply values. It keeps what is unfinished between calls and never re-reads it.
#[derive(Debug)]
pub(crate) struct Decoder {
    limits: Limits,
    stage: Stage,
    open: Vec<Aggregate>,
}

#[derive(Debug)]
enum Stage {
    /// At the first byte of a value; holds the part of its line that has arrived.
    Line(Vec<u8>),
    Block {
        marker: u8,
        want: usize,
        data: Vec<u8>,
    },
}

#[derive(Debug)]
struct Aggregate {
    marker: u8,
    want: usize,
    items: Vec<Value>,
}

impl Decoder {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, stage: Stage::Line(Vec::new()), open: Vec::new() }
    }

    /// Consumes all of `input` and appends every value it completes to `out`.
    pub(crate) fn feed(&mut self, mut input: &[u8], out: &mut Vec<Value>) -> Result<(), ProtocolError> {
        while !input.is_empty() {
            input = match &mut self.stage {
                Stage::Line(_) => self.line(input, out)?,
                Stage::Block { .. } => self.block(input, out)?,
            };
        }
        Ok(())
    }

    fn line<'a>(&mut self, input: &'a [u8], out: &mut Vec<Value>) -> Result<&'a [u8], ProtocolError> {
        let Stage::Line(partial) = &mut self.stage else { return Ok(input) };
        // What arrives in place of Redis may never send a line end: tell by the first byte.
        let first = partial.first().or(input.first()).copied().unwrap_or_default();
        if !b"+-:$*_,#(=!%~|>".contains(&first) {
            return Err(ProtocolError::NotRedis(first));
        }
        let Some(end) = input.iter().position(|&byte| byte == b'\n') else {
            check("bytes in a line", (partial.len() + input.len()) as u64, self.limits.line)?;
            partial.extend_from_slice(input);
            return Ok(&[]);
        };
        let (head, rest) = (&input[..end], &input[end + 1..]);
        if partial.is_empty() {
            self.header(head, rest, out)
        } else {
            let mut whole = std::mem::take(partial);
            check("bytes in a line", (whole.len() + head.len()) as u64, self.limits.line)?;
            whole.extend_from_slice(head);
            self.header(&whole, rest, out)
        }
    }

    /// `line` is a whole line without its `\n`; returns what of `rest` is left.
    fn header<'a>(
        &mut self,
        line: &[u8],
        rest: &'a [u8],
        out: &mut Vec<Value>,
    ) -> Result<&'a [u8], ProtocolError> {
        let [marker, body @ .., b'\r'] = line else { return Err(ProtocolError::Malformed("line end")) };
        let value = match *marker {
            b'+' => scalar::simple_string(body),
            b':' => Value::Int(scalar::integer(body)?),
            b'_' => Value::Nil,
            b',' => scalar::double(body)?,
            b'#' => scalar::boolean(body)?,
            b'-' | b'(' => scalar::by_redis(*marker, body)?,
            b'$' | b'=' | b'!' => match length(body)? {
                None => Value::Nil,
                Some(claimed) => return self.open_block(*marker, claimed, rest, out),
            },
            _ => match length(body)? {
                None => Value::Nil,
                Some(claimed) => match self.open_aggregate(*marker, claimed)? {
                    Some(empty) => empty,
                    None => return Ok(rest),
                },
            },
        };
        self.complete(value, out)?;
        Ok(rest)
    }

    fn open_block<'a>(
        &mut self,
        marker: u8,
        claimed: u64,
        rest: &'a [u8],
        out: &mut Vec<Value>,
    ) -> Result<&'a [u8], ProtocolError> {
        let want = check("bytes in a string", claimed, self.limits.bulk)?;
        if let Some((data, after)) = rest.split_at_checked(want)
            && let Some((end, after)) = after.split_at_checked(2)
        {
            let value = block_value(marker, data, end)?;
            self.complete(value, out)?;
            return Ok(after);
        }
        let mut data = Vec::with_capacity((want + 2).min(RESERVE));
        data.extend_from_slice(rest);
        self.stage = Stage::Block { marker, want, data };
        Ok(&[])
    }

    fn block<'a>(&mut self, input: &'a [u8], out: &mut Vec<Value>) -> Result<&'a [u8], ProtocolError> {
        let Stage::Block { marker, want, data } = &mut self.stage else { return Ok(input) };
        let missing = *want + 2 - data.len();
        let (more, after) = input.split_at(missing.min(input.len()));
        data.extend_from_slice(more);
        if data.len() == *want + 2 {
            let (marker, end) = (*marker, [data[*want], data[*want + 1]]);
            let mut data = std::mem::take(data);
            data.truncate(data.len() - 2);
            self.stage = Stage::Line(Vec::new());
            let value = if marker == b'$' && end == *b"\r\n" {
                Value::BulkString(data)
            } else {
                block_value(marker, &data, &end)?
            };
            self.complete(value, out)?;
        }
        Ok(after)
    }

    /// An aggregate without elements is whole at once; any other waits for them.
    fn open_aggregate(&mut self, marker: u8, claimed: u64) -> Result<Option<Value>, ProtocolError> {
        check("elements", claimed, self.limits.elements)?;
        check("levels of nesting", self.open.len() as u64 + 1, self.limits.depth)?;
        let count = claimed as usize;
        let want = match marker {
            b'%' => count * 2,
            b'|' => count * 2 + 1,
            _ => count,
        };
        let aggregate = Aggregate { marker, want, items: Vec::with_capacity(want.min(RESERVE / 64)) };
        if want == 0 {
            return aggregate.close().map(Some);
        }
        self.open.push(aggregate);
        Ok(None)
    }

    fn complete(&mut self, mut value: Value, out: &mut Vec<Value>) -> Result<(), ProtocolError> {
        while let Some(parent) = self.open.last_mut() {
            parent.items.push(value);
            if parent.items.len() < parent.want {
                return Ok(());
            }
            let Some(whole) = self.open.pop() else { return Ok(()) };
            value = whole.close()?;
        }
        out.push(value);
        Ok(())
    }
}

impl Aggregate {
    fn close(self) -> Result<Value, ProtocolError> {
        let mut items = self.items;
        Ok(match self.marker {
            b'*' => Value::Array(items),
            b'~' => Value::Set(items),
            b'%' => Value::Map(pairs(items)),
            b'|' => {
                let data = items.pop().ok_or(ProtocolError::Malformed("attribute"))?;
                Value::Attribute { data: Box::new(data), attributes: pairs(items) }
            }
            _ => push(items)?,
        })
    }
}

fn pairs(items: Vec<Value>) -> Vec<(Value, Value)> {
    let mut items = items.into_iter();
    std::iter::from_fn(|| Some((items.next()?, items.next()?))).collect()
}

fn push(items: Vec<Value>) -> Result<Value, ProtocolError> {
    let mut items = items.into_iter();
    let kind = match items.next() {
        Some(Value::BulkString(kind)) => String::from_utf8_lossy(&kind).into_owned(),
        Some(Value::SimpleString(kind)) => kind,
        _ => return Err(ProtocolError::Malformed("push")),
    };
    let kind = match kind.as_str() {
        "invalidate" => PushKind::Invalidate,
        "message" => PushKind::Message,
        "pmessage" => PushKind::PMessage,
        "smessage" => PushKind::SMessage,
        "subscribe" => PushKind::Subscribe,
        "psubscribe" => PushKind::PSubscribe,
        "ssubscribe" => PushKind::SSubscribe,
        "unsubscribe" => PushKind::Unsubscribe,
        "punsubscribe" => PushKind::PUnsubscribe,
        "sunsubscribe" => PushKind::SUnsubscribe,
        _ => PushKind::Other(kind),
    };
    Ok(Value::Push { kind, data: items.collect() })
}

fn block_value(marker: u8, data: &[u8], end: &[u8]) -> Result<Value, ProtocolError> {
    if end != b"\r\n" {
        return Err(ProtocolError::Malformed("string end"));
    }
    match marker {
        b'=' => scalar::verbatim(data),
        b'!' => scalar::by_redis(b'-', data),
        _ => Ok(Value::BulkString(data.to_vec())),
    }
}

/// A length as the header gives it; `None` is the null of RESP2.
fn length(body: &[u8]) -> Result<Option<u64>, ProtocolError> {
    match scalar::integer(body)? {
        -1 => Ok(None),
        length => u64::try_from(length).map(Some).map_err(|_| ProtocolError::Malformed("length")),
    }
}

fn check(what: &'static str, claimed: u64, limit: usize) -> Result<usize, ProtocolError> {
    match usize::try_from(claimed) {
        Ok(claimed) if claimed <= limit => Ok(claimed),
        _ => Err(ProtocolError::TooLarge { what, claimed, limit }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
}
