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
        let end = input.iter().position(|&byte| byte == b'\n');
        let arrived = partial.len() + end.unwrap_or(input.len());
        check("bytes in a line", arrived as u64, self.limits.line)?;
        let Some(end) = end else {
            partial.extend_from_slice(input);
            return Ok(&[]);
        };
        let (head, rest) = (&input[..end], &input[end + 1..]);
        if partial.is_empty() {
            self.header(head, rest, out)
        } else {
            let mut whole = std::mem::take(partial);
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
                // Neither is a reply; a null would be taken for one.
                None if matches!(*marker, b'>' | b'|') => return Err(ProtocolError::Malformed("length")),
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
