//! The store as a whole, and what concerns no key.

use redis::Value;

use super::{Cx, Reply};
use crate::reply::{Refused, bulk, int};

pub(super) fn ping(cx: &mut Cx<'_, '_>) -> Reply {
    match cx.rest(1) {
        [] => Ok(Value::SimpleString(String::from("PONG"))),
        [message] => Ok(bulk(*message)),
        _ => Err(cx.wrong_arity()),
    }
}

pub(super) fn echo(cx: &mut Cx<'_, '_>) -> Reply {
    Ok(bulk(cx.arg(1)))
}

pub(super) fn time(cx: &mut Cx<'_, '_>) -> Reply {
    let time = cx.now.unix_time();
    Ok(Value::Array(vec![bulk(time.as_secs().to_string()), bulk(time.subsec_micros().to_string())]))
}

pub(super) fn dbsize(cx: &mut Cx<'_, '_>) -> Reply {
    let now = cx.now;
    let len = cx.locked.each().map(|shard| {
        shard.sweep(now, usize::MAX);
        shard.len()
    });
    Ok(int(len.sum()))
}

pub(super) fn flush(cx: &mut Cx<'_, '_>) -> Reply {
    match cx.rest(1) {
        [] => {}
        [how] if how.eq_ignore_ascii_case(b"SYNC") || how.eq_ignore_ascii_case(b"ASYNC") => {}
        _ => return Err(Refused::SYNTAX),
    }
    cx.locked.each().for_each(crate::store::Shard::clear);
    Ok(Value::Okay)
}
