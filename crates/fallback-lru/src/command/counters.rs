//! Counters.

use super::{Cx, Reply};
use crate::float::LongDouble;
use crate::number::{integer, parse_integer};
use crate::reply::{Refused, bulk};
use crate::store::Text;
use redis::Value;

pub(super) fn step(cx: &mut Cx<'_, '_>, by: i64) -> Reply {
    let old =
        cx.read(0, |value: &Text| integer(value.value()).ok_or(Refused::NOT_AN_INTEGER))?.unwrap_or(Ok(0))?;
    let new = old.checked_add(by).ok_or(Refused::OVERFLOW)?;
    replace(cx, new.to_string().as_bytes())?;
    Ok(Value::Int(new))
}

pub(super) fn incrby(cx: &mut Cx<'_, '_>) -> Reply {
    let by = parse_integer(cx.arg(2))?;
    step(cx, by)
}

pub(super) fn decrby(cx: &mut Cx<'_, '_>) -> Reply {
    let by = parse_integer(cx.arg(2))?;
    step(cx, by.checked_neg().ok_or(Refused::new("ERR decrement would overflow"))?)
}

pub(super) fn incrbyfloat(cx: &mut Cx<'_, '_>) -> Reply {
    let old = cx.read(0, |value: &Text| LongDouble::parse(value.value()).ok_or(Refused::NOT_A_FLOAT))?;
    let old = old.unwrap_or(Ok(LongDouble::ZERO))?;
    let by = LongDouble::parse(cx.arg(2)).ok_or(Refused::NOT_A_FLOAT)?;
    let new = old.plus(by).ok_or(Refused::NOT_FINITE)?.to_human();
    replace(cx, new.as_bytes())?;
    Ok(bulk(new))
}

/// Another text for the value; its expiry stays.
fn replace(cx: &mut Cx<'_, '_>, text: &[u8]) -> Result<(), Refused> {
    let change = |value: &mut Text| {
        value.replace(text);
        Ok(())
    };
    cx.upsert(0, |old: &Text| text.len().saturating_sub(old.len()), change)
}
