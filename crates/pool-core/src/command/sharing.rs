//! Which commands a shared connection refuses, and which even an exclusive one cannot carry.

use redis::Cmd;

use super::name::{Name, shown, words};
use crate::error::{Error, Kind};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hazard {
    /// It would hold up everybody behind it.
    Blocks,
    /// It would change the connection for everybody.
    Changes,
    /// Its replies are not one per command: they would reach the wrong callers.
    Unpaired,
    /// The same, and a subscriber does it.
    Subscribes,
}

/// Judges a command before it takes a slot on a shared connection.
pub(crate) fn check_shared(cmd: &Cmd) -> Result<(), Error> {
    let reason = match hazard(cmd)? {
        None => return Ok(()),
        Some(Hazard::Blocks) => "would block a connection that others share",
        Some(Hazard::Changes) => "would change a connection that others share",
        Some(Hazard::Unpaired) => "takes a connection over",
        Some(Hazard::Subscribes) => return Err(refused(subscribes(cmd))),
    };
    Err(refused(format!("{} {reason}: run it on an exclusive connection, from pool.dedicated()", shown(cmd))))
}

/// Judges a command before it takes a slot on an exclusive connection.
pub(crate) fn check_exclusive(cmd: &Cmd) -> Result<(), Error> {
    match hazard(cmd)? {
        Some(Hazard::Subscribes) => Err(refused(subscribes(cmd))),
        Some(Hazard::Unpaired) => Err(refused(format!(
            "{} is not answered by one reply, which is all that a connection from pool.dedicated() can return: \
             use the raw stream of pool.dedicated_io()",
            shown(cmd)
        ))),
        _ => Ok(()),
    }
}

/// Whether an exclusive connection must be reset after it before another caller may have it.
pub(crate) fn changes_connection(cmd: &Cmd) -> bool {
    matches!(hazard(cmd), Ok(Some(Hazard::Changes | Hazard::Unpaired | Hazard::Subscribes)))
}

fn subscribes(cmd: &Cmd) -> String {
    format!(
        "{} is not answered by one reply, here or on a connection from pool.dedicated(): use pool.subscriber()",
        shown(cmd)
    )
}

fn refused(message: String) -> Error {
    Error::not_sent(Kind::Refused, message)
}

/// No name in [`hazard`] is shorter.
const SHORTEST: usize = 4;

/// `PUBLISH`, `SPUBLISH` and `PUBSUB` carry the server's pub/sub flag but neither block nor change anything;
/// `XREAD` and `XREADGROUP` block only with their option `BLOCK`.
fn hazard(cmd: &Cmd) -> Result<Option<Hazard>, Error> {
    let mut words = words(cmd);
    let Some(name) = words.next() else {
        return Err(refused("an empty command gets no reply: give it a name".to_owned()));
    };
    // Every command passes here, and most are GET, SET or DEL.
    if name.len() < SHORTEST {
        return Ok(None);
    }
    let name = Name::new(name);
    let mut sub = || Name::new(words.next().unwrap_or_default());
    Ok(match name.as_bytes() {
        b"BLPOP" | b"BRPOP" | b"BLMOVE" | b"BLMPOP" | b"BRPOPLPUSH" | b"BZPOPMIN" | b"BZPOPMAX"
        | b"BZMPOP" | b"WAIT" | b"WAITAOF" => Some(Hazard::Blocks),
        b"XREAD" | b"XREADGROUP" => stream_read_blocks(cmd).then_some(Hazard::Blocks),
        b"AUTH" | b"HELLO" | b"SELECT" | b"RESET" | b"QUIT" | b"READONLY" | b"READWRITE" | b"ASKING"
        | b"MULTI" | b"EXEC" | b"DISCARD" | b"WATCH" | b"UNWATCH" => Some(Hazard::Changes),
        b"SUBSCRIBE" | b"UNSUBSCRIBE" | b"PSUBSCRIBE" | b"PUNSUBSCRIBE" | b"SSUBSCRIBE" | b"SUNSUBSCRIBE" => {
            Some(Hazard::Subscribes)
        }
        b"MONITOR" | b"SYNC" | b"PSYNC" | b"REPLCONF" => Some(Hazard::Unpaired),
        b"CLIENT" => match sub().as_bytes() {
            b"REPLY" => Some(Hazard::Unpaired),
            b"SETNAME" | b"SETINFO" | b"TRACKING" | b"CACHING" | b"NO-EVICT" | b"NO-TOUCH" | b"CAPA"
            | b"IMPORT-SOURCE" => Some(Hazard::Changes),
            _ => None,
        },
        b"SCRIPT" if sub().as_bytes() == b"DEBUG" => Some(Hazard::Changes),
        _ => None,
    })
}

/// Keys come after `STREAMS`; a `BLOCK` there is a key's name. Without `STREAMS` the command is malformed,
/// and which option is meant is not for us to guess.
fn stream_read_blocks(cmd: &Cmd) -> bool {
    let mut words = words(cmd).skip(1);
    while let Some(word) = words.next() {
        if word.eq_ignore_ascii_case(b"GROUP") {
            // Two names follow, which may be anything.
            words.by_ref().take(2).for_each(drop);
        }
        if word.eq_ignore_ascii_case(b"STREAMS") {
            return false;
        }
        if word.eq_ignore_ascii_case(b"BLOCK") {
            return true;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_read_is_refused_only_when_it_blocks() {
        let reads = |line: &str| {
            let mut cmd = Cmd::new();
            line.split(' ').for_each(|word| {
                cmd.arg(word);
            });
            check_shared(&cmd).is_ok()
        };
        assert!(reads("XREAD COUNT 5 STREAMS block 0"));
        assert!(reads("xreadgroup GROUP g c streams s >"));
        assert!(reads("XREADGROUP GROUP block streams COUNT 1 STREAMS s >"));
        assert!(!reads("XREADGROUP GROUP g c BLOCK 0 STREAMS s >"));
        assert!(!reads("XREAD block 0 STREAMS s $"));
        assert!(!reads("XREAD"));
    }

    #[test]
    fn publishing_is_not_subscribing() {
        for name in ["PUBLISH", "spublish", "PUBSUB"] {
            assert!(check_shared(&redis::cmd(name)).is_ok(), "{name}");
        }
    }
}
