//! Lists.

use redis::Value;

use super::{Cx, Reply};
use crate::number::{index, parse_count, parse_integer, range};
use crate::reply::{Refused, bulk, bulk_or_nil, int};
use crate::store::{ELEMENT_OVERHEAD, End, ListValue};

pub(super) fn push(cx: &mut Cx<'_, '_>, end: End) -> Reply {
    let elements = cx.rest(2);
    cx.upsert(0, |_| charged(elements), |list| Ok(push_all(list, end, elements))).map(int)
}

pub(super) fn push_existing(cx: &mut Cx<'_, '_>, end: End) -> Reply {
    let elements = cx.rest(2);
    let len = cx.update(0, |_| charged(elements), |list| Ok(push_all(list, end, elements)))?;
    Ok(int(len.unwrap_or(0)))
}

pub(super) fn pop(cx: &mut Cx<'_, '_>, end: End) -> Reply {
    match cx.rest(2) {
        [] => Ok(bulk_or_nil(cx.update(0, |_| 0, |list: &mut ListValue| Ok(list.pop(end)))?.flatten())),
        [count] => {
            let count = parse_count(count)?;
            let take = |list: &mut ListValue| {
                let taken = (0..count.min(list.len())).map_while(|_| list.pop(end).map(bulk)).collect();
                Ok(Value::Array(taken))
            };
            Ok(cx.update(0, |_| 0, take)?.unwrap_or(Value::Nil))
        }
        _ => Err(cx.wrong_arity()),
    }
}

pub(super) fn llen(cx: &mut Cx<'_, '_>) -> Reply {
    Ok(int(cx.read(0, ListValue::len)?.unwrap_or(0)))
}

pub(super) fn lrange(cx: &mut Cx<'_, '_>) -> Reply {
    let (start, end) = (parse_integer(cx.arg(2))?, parse_integer(cx.arg(3))?);
    let elements = cx.read(0, |list: &ListValue| {
        let (from, to) = range(start, end, list.len());
        list.slice(from, to).map(|element| bulk(element.as_slice())).collect()
    })?;
    Ok(Value::Array(elements.unwrap_or_default()))
}

pub(super) fn lindex(cx: &mut Cx<'_, '_>) -> Reply {
    // Redis looks at the key before it looks at the number.
    let text = cx.arg(2);
    let element = cx.read(0, |list: &ListValue| {
        let place = index(parse_integer(text)?, list.len());
        Ok(place.and_then(|place| list.get(place)).cloned())
    })?;
    Ok(bulk_or_nil(element.transpose()?.flatten()))
}

pub(super) fn lset(cx: &mut Cx<'_, '_>) -> Reply {
    let (text, element) = (cx.arg(2), cx.arg(3));
    let place = cx.read(0, |list: &ListValue| {
        index(parse_integer(text)?, list.len())
            .filter(|place| *place < list.len())
            .ok_or(Refused::INDEX_RANGE)
    })?;
    let place = place.ok_or(Refused::NO_SUCH_KEY)??;
    let growth = |list: &ListValue| element.len().saturating_sub(list.get(place).map_or(0, Vec::len));
    cx.update(0, growth, |list| {
        list.set(place, element);
        Ok(())
    })?;
    Ok(Value::Okay)
}

pub(super) fn linsert(cx: &mut Cx<'_, '_>) -> Reply {
    let behind = match &*cx.arg(2).to_ascii_uppercase() {
        b"BEFORE" => 0,
        b"AFTER" => 1,
        _ => return Err(Refused::SYNTAX),
    };
    let (pivot, element) = (cx.arg(3), cx.arg(4));
    let Some(place) = cx.read(0, |list: &ListValue| list.position(pivot))? else { return Ok(int(0)) };
    let Some(place) = place else { return Ok(Value::Int(-1)) };
    let len = cx.update(
        0,
        |_| charged(&[element]),
        |list: &mut ListValue| {
            list.insert(place + behind, element);
            Ok(list.len())
        },
    )?;
    Ok(int(len.unwrap_or(0)))
}

pub(super) fn lrem(cx: &mut Cx<'_, '_>) -> Reply {
    let count = parse_integer(cx.arg(2))?;
    let element = cx.arg(3);
    let end = if count < 0 { End::Right } else { End::Left };
    let most = match usize::try_from(count.unsigned_abs()) {
        Ok(0) | Err(_) => usize::MAX,
        Ok(most) => most,
    };
    let removed = cx.update(0, |_| 0, |list: &mut ListValue| Ok(list.remove(element, most, end)))?;
    Ok(int(removed.unwrap_or(0)))
}

pub(super) fn ltrim(cx: &mut Cx<'_, '_>) -> Reply {
    let (start, end) = (parse_integer(cx.arg(2))?, parse_integer(cx.arg(3))?);
    cx.update(
        0,
        |_| 0,
        |list: &mut ListValue| {
            let (from, to) = range(start, end, list.len());
            list.keep(from, to);
            Ok(())
        },
    )?;
    Ok(Value::Okay)
}

fn push_all(list: &mut ListValue, end: End, elements: &[&[u8]]) -> usize {
    for element in elements {
        list.push(end, element);
    }
    list.len()
}

fn charged(elements: &[&[u8]]) -> usize {
    elements.iter().map(|element| element.len() + ELEMENT_OVERHEAD).sum()
}
