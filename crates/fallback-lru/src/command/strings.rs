//! Strings.

use redis::Value;

use super::set_options::SetOptions;
use super::{Cx, Reply};
use crate::number::{index, parse_integer};
use crate::reply::{Refused, bulk, bulk_or_nil, flag, int};
use crate::store::{Entry, Text};

/// Redis's `proto-max-bulk-len`.
const MAX_STRING: usize = 512 * 1024 * 1024;

pub(super) fn get(cx: &mut Cx<'_, '_>) -> Reply {
    Ok(bulk_or_nil(current(cx)?))
}

pub(super) fn set(cx: &mut Cx<'_, '_>) -> Reply {
    let options = SetOptions::for_set(cx.rest(3))?;
    let mut expires_at = options.expires_at(cx)?;
    let old = if options.get { bulk_or_nil(current(cx)?) } else { Value::Nil };
    if options.if_absent || options.if_present {
        let found = cx.found(0);
        if (options.if_absent && found) || (options.if_present && !found) {
            return Ok(old);
        }
    }
    if options.keep_ttl {
        expires_at = cx.peek(0).and_then(Entry::expires_at);
    }
    cx.put_string(0, cx.arg(2), expires_at)?;
    Ok(if options.get { old } else { Value::Okay })
}

pub(super) fn setnx(cx: &mut Cx<'_, '_>) -> Reply {
    if cx.found(0) {
        return Ok(flag(false));
    }
    cx.put_string(0, cx.arg(2), None)?;
    Ok(flag(true))
}

pub(super) fn setex(cx: &mut Cx<'_, '_>, unit: i64) -> Reply {
    let expires_at = SetOptions::in_units(unit, cx.arg(2)).expires_at(cx)?;
    cx.put_string(0, cx.arg(3), expires_at)?;
    Ok(Value::Okay)
}

pub(super) fn getset(cx: &mut Cx<'_, '_>) -> Reply {
    let old = current(cx)?;
    cx.put_string(0, cx.arg(2), None)?;
    Ok(bulk_or_nil(old))
}

pub(super) fn getdel(cx: &mut Cx<'_, '_>) -> Reply {
    let old = current(cx)?;
    cx.remove(0);
    Ok(bulk_or_nil(old))
}

pub(super) fn getex(cx: &mut Cx<'_, '_>) -> Reply {
    let options = SetOptions::for_getex(cx.rest(2))?;
    let Some(value) = current(cx)? else { return Ok(Value::Nil) };
    match options.expires_at(cx)? {
        Some(at) if at <= cx.now.ms() => {
            cx.remove(0);
        }
        None if !options.persist => {}
        expires_at => cx.set_expiry(0, expires_at),
    }
    Ok(bulk(value))
}

pub(super) fn mget(cx: &mut Cx<'_, '_>) -> Reply {
    let values = (0..cx.keys.len()).map(|key| match cx.read(key, copy) {
        Ok(value) => bulk_or_nil(value),
        Err(_) => Value::Nil,
    });
    Ok(Value::Array(values.collect()))
}

pub(super) fn mset(cx: &mut Cx<'_, '_>) -> Reply {
    check_pairs(cx)?;
    put_pairs(cx)?;
    Ok(Value::Okay)
}

pub(super) fn msetnx(cx: &mut Cx<'_, '_>) -> Reply {
    check_pairs(cx)?;
    if (0..cx.keys.len()).any(|key| cx.found(key)) {
        return Ok(flag(false));
    }
    put_pairs(cx)?;
    Ok(flag(true))
}

pub(super) fn append(cx: &mut Cx<'_, '_>) -> Reply {
    let tail = cx.arg(2);
    let change = |value: &mut Text| {
        check_length(value.len(), tail.len())?;
        value.append(tail);
        Ok(value.len())
    };
    cx.upsert(0, |_| tail.len(), change).map(int)
}

pub(super) fn strlen(cx: &mut Cx<'_, '_>) -> Reply {
    Ok(int(cx.read(0, Text::len)?.unwrap_or(0)))
}

pub(super) fn getrange(cx: &mut Cx<'_, '_>) -> Reply {
    let (start, end) = (parse_integer(cx.arg(2))?, parse_integer(cx.arg(3))?);
    let part = cx.read(0, |value: &Text| {
        if start < 0 && end < 0 && start > end {
            return Vec::new();
        }
        let from = index(start, value.len()).unwrap_or(0);
        // Unlike a list's, an end before the beginning means the first byte.
        let to = index(end, value.len()).unwrap_or(0).saturating_add(1).min(value.len());
        value.value().get(from..to).unwrap_or_default().to_vec()
    });
    Ok(bulk(part?.unwrap_or_default()))
}

pub(super) fn setrange(cx: &mut Cx<'_, '_>) -> Reply {
    let offset = usize::try_from(parse_integer(cx.arg(2))?).map_err(|_| Refused::OFFSET_RANGE)?;
    let part = cx.arg(3);
    let len = cx.read(0, Text::len)?.unwrap_or(0);
    if part.is_empty() {
        return Ok(int(len));
    }
    check_length(offset, part.len())?;
    let end = offset + part.len();
    let growth = |value: &Text| end.saturating_sub(value.len());
    let change = |value: &mut Text| {
        value.write_at(offset, part);
        Ok(value.len())
    };
    cx.upsert(0, growth, change).map(int)
}

fn current(cx: &mut Cx<'_, '_>) -> Result<Option<Vec<u8>>, Refused> {
    cx.read(0, copy)
}

fn copy(value: &Text) -> Vec<u8> {
    value.value().to_vec()
}

fn check_length(len: usize, more: usize) -> Result<(), Refused> {
    let fits = len.checked_add(more).is_some_and(|total| total <= MAX_STRING);
    if fits { Ok(()) } else { Err(Refused::TOO_LONG) }
}

/// Redis takes an odd number of words for a wrong arity, but only when the command runs.
fn check_pairs(cx: &Cx<'_, '_>) -> Result<(), Refused> {
    if cx.rest(1).len() % 2 == 1 { Err(cx.wrong_arity()) } else { Ok(()) }
}

/// All values are checked before the first is stored.
fn put_pairs(cx: &mut Cx<'_, '_>) -> Result<(), Refused> {
    for (key, pair) in cx.keys.iter().zip(cx.rest(1).chunks_exact(2)) {
        cx.locked.of(*key).check_fit(*key, pair[1].len())?;
    }
    for (key, pair) in cx.rest(1).chunks_exact(2).enumerate() {
        cx.put_string(key, pair[1], None)?;
    }
    Ok(())
}
