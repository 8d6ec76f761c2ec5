//! The fence of a load: a key of its own, taken before the loader starts and removed by whoever writes or removes the
//! value. What was loaded is stored only if the fence still has the token it had at the beginning.
//!
//! Loads of several processes share a fence: the first takes it, the others have its token. A removal ends it for all
//! of them, and the next load takes a new one. So nobody is in anybody's way, and a process that dies leaves nothing
//! behind that holds up others.

use cenote_pool_core::Conn;
use cenote_pool_core::redis::aio::ConnectionLike;
use cenote_pool_core::redis::{self, RedisError, Value};

use crate::clock::now_ms;
use crate::namespace::Names;
use crate::write::Encoded;

/// Stores the value, or removes it if there is none, and ends the fence; unless the fence was ended before.
const COMMIT: &str = r"
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then redis.call('DEL', KEYS[1])
elseif ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[4])
else redis.call('SET', KEYS[1], ARGV[4], 'PX', ARGV[3]) end
redis.call('DEL', KEYS[2])
return 1
";

/// Ends the fence, if it is still the one.
const RELEASE: &str =
    r"if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

#[derive(Default)]
pub(crate) struct Fence {
    pub(crate) token: Vec<u8>,
    /// We took it, and nobody else had.
    pub(crate) first: bool,
    /// Redis would not read what is there: it is none of ours to replace.
    pub(crate) refusal: Option<String>,
}

/// What Redis said when the fence was asked for.
pub(crate) struct Taken {
    /// None: it was removed in between, or Redis [refused](Self::refusal) it.
    pub(crate) fence: Option<Fence>,
    pub(crate) refusal: Option<String>,
    /// What was under the value's name by then.
    pub(crate) value: Value,
    /// The server's time, and when we asked for it.
    pub(crate) time: Value,
    pub(crate) asked: u64,
}

/// Takes the fences of these values by these tokens, each for `ms`, or joins them.
pub(crate) async fn take(
    conn: &mut Conn,
    fences: &[(&[u8], &[u8])],
    ms: u64,
) -> Result<Vec<Taken>, RedisError> {
    let mut pipeline = redis::pipe();
    pipeline.cmd("TIME");
    for (name, token) in fences {
        let fence = Names::fence(name);
        pipeline.cmd("SET").arg(&fence).arg(*token).arg("NX").arg("PX").arg(ms);
        pipeline.cmd("GET").arg(&fence);
        // Read behind the fence: what is there now was stored by somebody who was done meanwhile.
        pipeline.cmd("GET").arg(*name);
    }
    let asked = now_ms();
    let replies = conn.req_packed_commands(&pipeline, 0, 1 + fences.len() * 3).await?;
    let mut replies = replies.into_iter();
    let time = replies.next().unwrap_or_default();
    let taken = fences.iter().map(|(_, ours)| {
        let mut next = || replies.next().unwrap_or_default();
        let (set, there, value) = (next(), next(), next());
        let said = |value: Value| match value.extract_error() {
            Ok(value) => (value, None),
            Err(error) => (Value::Nil, Some(error.to_string())),
        };
        let ((set, refused), (value, refusal)) = (said(set), said(value));
        let fence = match there {
            Value::BulkString(token) => {
                Some(Fence { first: set == Value::Okay && token == *ours, token, refusal })
            }
            _ => None,
        };
        Taken { fence, refusal: refused, value, time: time.clone(), asked }
    });
    Ok(taken.collect())
}

/// How long ago, in ms, a fence was taken or prolonged that was to stand for `ms`.
pub(crate) async fn stood(conn: &mut Conn, name: &[u8], ms: u64) -> u64 {
    let reply = conn.req_packed_command(redis::cmd("PTTL").arg(Names::fence(name))).await;
    match reply {
        Ok(Value::Int(left)) => u64::try_from(left).map_or(0, |left| ms.saturating_sub(left)),
        _ => 0,
    }
}

/// Whoever loads behind a fence that another took needs it for as long.
pub(crate) async fn extend(conn: &mut Conn, names: impl Iterator<Item = &Vec<u8>>, ms: u64) {
    let mut pipeline = redis::pipe();
    for name in names {
        pipeline.cmd("PEXPIRE").arg(Names::fence(name)).arg(ms);
    }
    let count = pipeline.len();
    // One that ends too early keeps a value from being stored, and nothing else.
    let _ = conn.req_packed_commands(&pipeline, 0, count).await;
}

/// Stores what was loaded; with `None` removes what was there. One answer for each: whether it was done.
pub(crate) async fn commit(
    conn: &mut Conn,
    loads: &[(&[u8], &Fence, Option<&Encoded>)],
) -> Result<Vec<Result<bool, RedisError>>, RedisError> {
    let mut pipeline = redis::pipe();
    for (name, fence, encoded) in loads {
        pipeline.cmd("EVAL").arg(COMMIT).arg(2).arg(*name).arg(Names::fence(name)).arg(&fence.token);
        match encoded {
            None => pipeline.arg("0").arg("").arg(""),
            Some(Encoded { bytes, kept }) => {
                pipeline.arg("1").arg(kept.map(|kept| kept.to_string()).unwrap_or_default()).arg(bytes)
            }
        };
    }
    let replies = conn.req_packed_commands(&pipeline, 0, loads.len()).await?;
    Ok(replies.into_iter().map(|reply| Ok(reply.extract_error()? == Value::Int(1))).collect())
}

/// A load that came to nothing must not be waited for; one that others may share is left to them.
pub(crate) async fn release(conn: &mut Conn, name: &[u8], fence: &Fence) {
    if !fence.first {
        return;
    }
    let mut cmd = redis::cmd("EVAL");
    cmd.arg(RELEASE).arg(1).arg(Names::fence(name)).arg(&fence.token);
    // It ends by itself, too.
    let _ = conn.req_packed_command(&cmd).await;
}
