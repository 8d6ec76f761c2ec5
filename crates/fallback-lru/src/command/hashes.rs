//! Hashes.

use redis::Value;

use super::{Cx, Reply};
use crate::float::LongDouble;
use crate::number::{integer, parse_integer};
use crate::reply::{Refused, bulk, bulk_or_nil, flag, int};
use crate::store::HashValue;

pub(super) fn hset(cx: &mut Cx<'_, '_>) -> Reply {
    let pairs = cx.rest(2);
    if pairs.len() % 2 == 1 {
        return Err(cx.wrong_arity());
    }
    let growth = |hash: &HashValue| pairs.chunks_exact(2).map(|pair| hash.growth(pair[0], pair[1])).sum();
    let change =
        |hash: &mut HashValue| Ok(pairs.chunks_exact(2).filter(|pair| hash.set(pair[0], pair[1])).count());
    cx.upsert(0, growth, change).map(int)
}

pub(super) fn hmset(cx: &mut Cx<'_, '_>) -> Reply {
    hset(cx)?;
    Ok(Value::Okay)
}

pub(super) fn hsetnx(cx: &mut Cx<'_, '_>) -> Reply {
    let absent = field(cx, |_| ())?.is_none();
    if absent {
        store(cx, cx.arg(3))?;
    }
    Ok(flag(absent))
}

pub(super) fn hget(cx: &mut Cx<'_, '_>) -> Reply {
    Ok(bulk_or_nil(field(cx, <[u8]>::to_vec)?))
}

pub(super) fn hmget(cx: &mut Cx<'_, '_>) -> Reply {
    let fields = cx.rest(2);
    let values = cx.read(0, |hash: &HashValue| {
        fields.iter().map(|field| bulk_or_nil(hash.get(field).map(Vec::as_slice))).collect()
    })?;
    Ok(Value::Array(values.unwrap_or_else(|| vec![Value::Nil; fields.len()])))
}

pub(super) fn hgetall(cx: &mut Cx<'_, '_>) -> Reply {
    let pairs = cx
        .read(0, |hash: &HashValue| hash.iter().map(|(field, value)| (bulk(field), bulk(value))).collect())?;
    Ok(Value::Map(pairs.unwrap_or_default()))
}

pub(super) fn hkeys(cx: &mut Cx<'_, '_>) -> Reply {
    let fields = cx.read(0, |hash: &HashValue| hash.iter().map(|(field, _)| bulk(field)).collect())?;
    Ok(Value::Array(fields.unwrap_or_default()))
}

pub(super) fn hvals(cx: &mut Cx<'_, '_>) -> Reply {
    let values = cx.read(0, |hash: &HashValue| hash.iter().map(|(_, value)| bulk(value)).collect())?;
    Ok(Value::Array(values.unwrap_or_default()))
}

pub(super) fn hdel(cx: &mut Cx<'_, '_>) -> Reply {
    let fields = cx.rest(2);
    let change = |hash: &mut HashValue| Ok(fields.iter().filter(|field| hash.remove(field)).count());
    Ok(int(cx.update(0, |_| 0, change)?.unwrap_or(0)))
}

pub(super) fn hexists(cx: &mut Cx<'_, '_>) -> Reply {
    Ok(flag(field(cx, |_| ())?.is_some()))
}

pub(super) fn hlen(cx: &mut Cx<'_, '_>) -> Reply {
    Ok(int(cx.read(0, HashValue::len)?.unwrap_or(0)))
}

pub(super) fn hstrlen(cx: &mut Cx<'_, '_>) -> Reply {
    Ok(int(field(cx, <[u8]>::len)?.unwrap_or(0)))
}

pub(super) fn hincrby(cx: &mut Cx<'_, '_>) -> Reply {
    let by = parse_integer(cx.arg(3))?;
    let old = field(cx, |value| integer(value).ok_or(Refused::new("ERR hash value is not an integer")))?;
    let new = old.unwrap_or(Ok(0))?.checked_add(by).ok_or(Refused::OVERFLOW)?;
    store(cx, new.to_string().as_bytes())?;
    Ok(Value::Int(new))
}

pub(super) fn hincrbyfloat(cx: &mut Cx<'_, '_>) -> Reply {
    let by = LongDouble::parse(cx.arg(3)).ok_or(Refused::NOT_A_FLOAT)?;
    if !by.is_finite() {
        return Err(Refused::new("ERR value is NaN or Infinity"));
    }
    let old =
        field(cx, |value| LongDouble::parse(value).ok_or(Refused::new("ERR hash value is not a float")))?;
    let new = old.unwrap_or(Ok(LongDouble::ZERO))?.plus(by).ok_or(Refused::NOT_FINITE)?.to_human();
    store(cx, new.as_bytes())?;
    Ok(bulk(new))
}

/// Reads the field that the command names behind its key.
fn field<R>(cx: &mut Cx<'_, '_>, f: impl FnOnce(&[u8]) -> R) -> Result<Option<R>, Refused> {
    let name = cx.arg(2);
    Ok(cx.read(0, |hash: &HashValue| hash.get(name).map(|value| f(value)))?.flatten())
}

/// Sets the field that the command names behind its key.
fn store(cx: &mut Cx<'_, '_>, value: &[u8]) -> Result<(), Refused> {
    let name = cx.arg(2);
    let change = |hash: &mut HashValue| {
        hash.set(name, value);
        Ok(())
    };
    cx.upsert(0, |hash: &HashValue| hash.growth(name, value), change)
}
