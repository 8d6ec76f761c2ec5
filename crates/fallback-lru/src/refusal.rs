//! What is not served, and why.

use cenote_pool_core::NotDegradable;
use redis::{Arg, Cmd};

use crate::command::Spec;

/// The command's line of the table, or why it has none.
pub(crate) fn check(cmd: &Cmd) -> Result<&'static Spec, NotDegradable> {
    let Some(Arg::Simple(name)) = cmd.args_iter().next() else {
        return Err(NotDegradable::new("(nothing)", "an empty command has no reply"));
    };
    match Spec::find(name) {
        Some(spec) if !cmd.in_scan_mode() => Ok(spec),
        _ => Err(NotDegradable::new(printable(name), reason(name))),
    }
}

fn reason(name: &[u8]) -> &'static str {
    match &*name.to_ascii_uppercase() {
        b"SCAN" | b"HSCAN" | b"SSCAN" | b"ZSCAN" => "a scan needs cursors that outlive evictions",
        b"EVAL" | b"EVAL_RO" | b"EVALSHA" | b"EVALSHA_RO" | b"SCRIPT" | b"FCALL" | b"FCALL_RO"
        | b"FUNCTION" => "scripts run in Redis alone",
        b"MULTI" | b"EXEC" | b"DISCARD" | b"WATCH" | b"UNWATCH" => {
            "a transaction is one atomic batch here, without MULTI and EXEC"
        }
        b"BLPOP" | b"BRPOP" | b"BLMOVE" | b"BLMPOP" | b"BRPOPLPUSH" | b"BZPOPMIN" | b"BZPOPMAX"
        | b"BZMPOP" | b"WAIT" | b"WAITAOF" => "nothing blocks in memory",
        b"SUBSCRIBE" | b"UNSUBSCRIBE" | b"PSUBSCRIBE" | b"PUNSUBSCRIBE" | b"SSUBSCRIBE" | b"SUNSUBSCRIBE" => {
            "a store does not subscribe: use pool.subscriber()"
        }
        b"PUBLISH" | b"SPUBLISH" | b"PUBSUB" => "other processes would not hear it",
        b"AUTH" | b"HELLO" | b"SELECT" | b"CLIENT" | b"RESET" | b"QUIT" | b"READONLY" | b"READWRITE"
        | b"ASKING" | b"MONITOR" => "there is no connection whose state it could change",
        name if name.starts_with(b"X") => "streams are not kept in memory",
        name if name.starts_with(b"Z") => "sorted sets are not kept in memory",
        name if name.starts_with(b"GEO") => "geographical indexes are not kept in memory",
        name if name.starts_with(b"PF") => "cardinality estimates are not kept in memory",
        _ => "it is not among the commands that the in-memory store answers",
    }
}

/// A name is short and plain; what is not may be anything, even a secret in the wrong place.
fn printable(name: &[u8]) -> String {
    const LONGEST: usize = 24;
    let plain = name.len() <= LONGEST
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte));
    if plain { String::from_utf8_lossy(name).to_uppercase() } else { String::from("(not a command's name)") }
}
