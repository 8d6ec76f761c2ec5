//! Expiry. Deadlines are dates, as in Redis.

use redis::Value;

use super::{Cx, Reply};
use crate::number::parse_integer;
use crate::reply::{Refused, flag};
use crate::store::Entry;

/// Milliseconds in the unit that a command counts in.
pub(super) const SECONDS: i64 = 1000;
pub(super) const MILLISECONDS: i64 = 1;

const NO_KEY: i64 = -2;
const NO_EXPIRY: i64 = -1;

pub(super) fn expire(cx: &mut Cx<'_, '_>, unit: i64, absolute: bool) -> Reply {
    let condition = Condition::parse(cx.rest(3))?;
    let time = parse_integer(cx.arg(2))?;
    let base = if absolute { 0 } else { cx.now.ms() };
    let at = time.checked_mul(unit).and_then(|time| time.checked_add(base));
    let at = at.ok_or_else(|| Refused::expire_time(cx.spec.name))?;
    let Some(old) = cx.touch(0, Entry::expires_at) else { return Ok(flag(false)) };
    if !condition.allows(old, at) {
        return Ok(flag(false));
    }
    if at <= cx.now.ms() {
        cx.remove(0);
    } else {
        cx.set_expiry(0, Some(at));
    }
    Ok(flag(true))
}

pub(super) fn ttl(cx: &mut Cx<'_, '_>, unit: i64) -> Reply {
    let now = cx.now;
    answer(cx, |at| round(at.saturating_sub(now.ms()).max(0), unit))
}

pub(super) fn date(cx: &mut Cx<'_, '_>, unit: i64) -> Reply {
    answer(cx, |at| round(at, unit))
}

pub(super) fn persist(cx: &mut Cx<'_, '_>) -> Reply {
    let expiring = cx.touch(0, |entry| entry.expires_at().is_some()).unwrap_or(false);
    if expiring {
        cx.set_expiry(0, None);
    }
    Ok(flag(expiring))
}

fn answer(cx: &Cx<'_, '_>, f: impl FnOnce(i64) -> i64) -> Reply {
    Ok(Value::Int(match cx.peek(0).map(Entry::expires_at) {
        None => NO_KEY,
        Some(None) => NO_EXPIRY,
        Some(Some(at)) => f(at),
    }))
}

fn round(ms: i64, unit: i64) -> i64 {
    ms.saturating_add(unit / 2) / unit
}

/// The options of `EXPIRE` and its like.
#[derive(Debug, Default)]
struct Condition {
    none: bool,
    some: bool,
    later: bool,
    earlier: bool,
}

impl Condition {
    fn parse(words: &[&[u8]]) -> Result<Self, Refused> {
        let mut condition = Self::default();
        for word in words {
            match &*word.to_ascii_uppercase() {
                b"NX" => condition.none = true,
                b"XX" => condition.some = true,
                b"GT" => condition.later = true,
                b"LT" => condition.earlier = true,
                _ => return Err(Refused::option(word)),
            }
        }
        let Self { none, some, later, earlier } = condition;
        if none && (some || later || earlier) {
            return Err(Refused::new("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if later && earlier {
            return Err(Refused::new("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(condition)
    }

    /// A key without expiry counts as one that lives for ever.
    fn allows(&self, old: Option<i64>, new: i64) -> bool {
        !(self.none && old.is_some()
            || self.some && old.is_none()
            || self.later && old.is_none_or(|old| new <= old)
            || self.earlier && old.is_some_and(|old| new >= old))
    }
}
