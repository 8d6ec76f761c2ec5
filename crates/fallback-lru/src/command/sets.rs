//! Sets.

use redis::Value;

use super::{Cx, Reply};
use crate::reply::{Refused, bulk, flag, int};
use crate::store::{Kind, SetValue};

/// Combines sets; one that is not there is `None`.
type Combination = for<'s> fn(&[Option<&'s SetValue>]) -> Vec<&'s [u8]>;

pub(super) fn sadd(cx: &mut Cx<'_, '_>) -> Reply {
    let members = cx.rest(2);
    let growth = |set: &SetValue| members.iter().map(|member| set.growth(member)).sum();
    let change = |set: &mut SetValue| Ok(members.iter().filter(|member| set.add(member)).count());
    cx.upsert(0, growth, change).map(int)
}

pub(super) fn srem(cx: &mut Cx<'_, '_>) -> Reply {
    let members = cx.rest(2);
    let change = |set: &mut SetValue| Ok(members.iter().filter(|member| set.remove(member)).count());
    Ok(int(cx.update(0, |_| 0, change)?.unwrap_or(0)))
}

pub(super) fn sismember(cx: &mut Cx<'_, '_>) -> Reply {
    let member = cx.arg(2);
    Ok(flag(cx.read(0, |set: &SetValue| set.contains(member))?.unwrap_or(false)))
}

pub(super) fn smismember(cx: &mut Cx<'_, '_>) -> Reply {
    let members = cx.rest(2);
    let found =
        cx.read(0, |set: &SetValue| members.iter().map(|member| flag(set.contains(member))).collect())?;
    Ok(Value::Array(found.unwrap_or_else(|| vec![flag(false); members.len()])))
}

pub(super) fn scard(cx: &mut Cx<'_, '_>) -> Reply {
    Ok(int(cx.read(0, SetValue::len)?.unwrap_or(0)))
}

/// `SINTER`, `SUNION`, `SDIFF`, and `SMEMBERS` as the union of one.
pub(super) fn combine(cx: &mut Cx<'_, '_>, combination: Combination) -> Reply {
    check_types(cx, 0)?;
    Ok(Value::Set(combination(&sources(cx, 0)).into_iter().map(bulk).collect()))
}

/// The same with `STORE`: what the first key held before does not matter.
pub(super) fn combine_into(cx: &mut Cx<'_, '_>, combination: Combination) -> Reply {
    check_types(cx, 1)?;
    let result: SetValue = combination(&sources(cx, 1)).into_iter().collect();
    let len = result.len();
    if len == 0 {
        cx.remove(0);
    } else {
        cx.put(0, result.under(cx.keys[0]), None)?;
    }
    Ok(int(len))
}

pub(super) fn union<'s>(sets: &[Option<&'s SetValue>]) -> Vec<&'s [u8]> {
    let mut seen = std::collections::HashSet::with_hasher(hashbrown::DefaultHashBuilder::default());
    sets.iter().flatten().flat_map(|set| set.iter()).filter(|member| seen.insert(*member)).collect()
}

pub(super) fn intersection<'s>(sets: &[Option<&'s SetValue>]) -> Vec<&'s [u8]> {
    let Some(smallest) = sets.iter().min_by_key(|set| set.map_or(0, SetValue::len)).copied().flatten() else {
        return Vec::new();
    };
    smallest.iter().filter(|member| sets.iter().flatten().all(|set| set.contains(member))).collect()
}

pub(super) fn difference<'s>(sets: &[Option<&'s SetValue>]) -> Vec<&'s [u8]> {
    let Some((Some(first), others)) = sets.split_first() else { return Vec::new() };
    first.iter().filter(|member| !others.iter().flatten().any(|set| set.contains(member))).collect()
}

fn check_types(cx: &mut Cx<'_, '_>, from: usize) -> Result<(), Refused> {
    (from..cx.keys.len()).try_for_each(|key| cx.read(key, |_: &SetValue| ()).map(drop))
}

fn sources<'c>(cx: &'c Cx<'_, '_>, from: usize) -> Vec<Option<&'c SetValue>> {
    (from..cx.keys.len()).map(|key| cx.peek(key).and_then(|entry| SetValue::of(&entry.data))).collect()
}
