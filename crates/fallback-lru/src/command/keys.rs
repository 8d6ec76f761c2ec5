//! Keys of any kind.

use redis::Value;

use super::{Cx, Reply};
use crate::glob;
use crate::reply::{Refused, bulk, flag};

pub(super) fn del(cx: &mut Cx<'_, '_>) -> Reply {
    cx.count(Cx::remove)
}

pub(super) fn exists(cx: &mut Cx<'_, '_>) -> Reply {
    cx.count(|cx, key| cx.peek(key).is_some())
}

pub(super) fn touch(cx: &mut Cx<'_, '_>) -> Reply {
    cx.count(Cx::found)
}

pub(super) fn kind(cx: &mut Cx<'_, '_>) -> Reply {
    let name = cx.peek(0).map_or("none", |entry| entry.data.type_name());
    Ok(Value::SimpleString(String::from(name)))
}

pub(super) fn rename(cx: &mut Cx<'_, '_>) -> Reply {
    moved(cx, |_| true)?;
    Ok(Value::Okay)
}

pub(super) fn renamenx(cx: &mut Cx<'_, '_>) -> Reply {
    moved(cx, |cx| cx.arg(1) != cx.arg(2) && !cx.found(1)).map(flag)
}

pub(super) fn keys(cx: &mut Cx<'_, '_>) -> Reply {
    let (pattern, now) = (cx.arg(1), cx.now);
    let mut found = Vec::new();
    for shard in cx.locked.each() {
        found.extend(shard.keys(now).filter(|key| glob::matches(pattern, key)).map(bulk));
    }
    Ok(Value::Array(found))
}

/// Gives the value its new name and keeps its expiry, if `allowed` once the value was found.
fn moved(cx: &mut Cx<'_, '_>, allowed: impl FnOnce(&mut Cx<'_, '_>) -> bool) -> Result<bool, Refused> {
    let bytes = cx.touch(0, |entry| entry.data.bytes()).ok_or(Refused::NO_SUCH_KEY)?;
    if !allowed(cx) {
        return Ok(false);
    }
    let new_name = cx.keys[1];
    cx.locked.of(new_name).check_fit(new_name, bytes)?;
    let (shard, key, now) = cx.shard(0);
    if let Some(entry) = shard.take(key, now) {
        let expires_at = entry.expires_at();
        cx.put(1, entry.data.under(new_name), expires_at)?;
    }
    Ok(true)
}
