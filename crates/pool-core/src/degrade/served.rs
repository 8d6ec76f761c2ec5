//! What a degradable connection serves while Redis is away, and which keys it changes.
//!
//! Only what is safe to forget: plain reads, and writes that replace or remove a whole key. A command that
//! reads what it changes, or changes part of a key, would be answered from a store that never had the rest.

use redis::Cmd;

use crate::command::{self, Payload};
use crate::error::{Error, Kind};
use crate::fallback::NotDegradable;

/// The keys that a payload writes; empty for one that merely reads.
pub(super) type Keys = Vec<Vec<u8>>;

/// Judges a whole payload: one command that must not go local refuses all of it.
pub(super) fn judge(payload: Payload<'_>) -> Result<Keys, Error> {
    let mut keys = Keys::new();
    for cmd in payload.commands() {
        keys.extend(writes(cmd)?);
    }
    Ok(keys)
}

fn writes(cmd: &Cmd) -> Result<Vec<Vec<u8>>, Error> {
    let words: Vec<&[u8]> = command::words(cmd).collect();
    let name = words.first().map(|name| name.to_ascii_uppercase()).unwrap_or_default();
    let rest = words.get(1..).unwrap_or_default();
    let first = || rest.first().map(|key| key.to_vec()).into_iter().collect();
    match name.as_slice() {
        b"GET" | b"MGET" | b"STRLEN" | b"GETRANGE" | b"SUBSTR" | b"EXISTS" | b"TYPE" | b"TTL" | b"PTTL"
        | b"EXPIRETIME" | b"PEXPIRETIME" | b"PING" | b"ECHO" => Ok(Vec::new()),
        b"SET" if rest.iter().skip(2).any(|word| is_condition(word)) => {
            Err(refusal(cmd, "SET with NX, XX, GET or KEEPTTL depends on what is in Redis"))
        }
        b"SET" | b"SETEX" | b"PSETEX" | b"PERSIST" => Ok(first()),
        b"EXPIRE" | b"PEXPIRE" | b"EXPIREAT" | b"PEXPIREAT" if rest.len() > 2 => {
            Err(refusal(cmd, "an expiry with a condition depends on what is in Redis"))
        }
        b"EXPIRE" | b"PEXPIRE" | b"EXPIREAT" | b"PEXPIREAT" => Ok(first()),
        b"DEL" | b"UNLINK" => Ok(rest.iter().map(|key| key.to_vec()).collect()),
        b"MSET" => Ok(rest.iter().step_by(2).map(|key| key.to_vec()).collect()),
        _ => Err(refusal(
            cmd,
            "only reads of whole values, and writes that replace or remove a whole key, are",
        )),
    }
}

/// An option of SET whose effect depends on what the key holds.
fn is_condition(word: &[u8]) -> bool {
    [&b"NX"[..], b"XX", b"GET", b"KEEPTTL", b"IFEQ", b"IFNE", b"IFDEQ", b"IFDNE"]
        .iter()
        .any(|option| word.eq_ignore_ascii_case(option))
}

fn refusal(cmd: &Cmd, reason: &'static str) -> Error {
    let refusal = NotDegradable::new(command::shown(cmd), reason);
    Error::not_sent(Kind::Refused, format!("not degradable: {refusal}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(line: &str) -> Result<Vec<String>, Error> {
        let mut cmd = Cmd::new();
        for word in line.split(' ') {
            cmd.arg(word);
        }
        let keys = judge(Payload::One(&cmd))?;
        Ok(keys.into_iter().map(|key| String::from_utf8(key).unwrap()).collect())
    }

    #[test]
    fn reads_change_nothing_and_whole_key_writes_name_their_keys() {
        for read in ["get a", "MGET a b", "EXISTS a", "ttl a"] {
            assert_eq!(judged(read).unwrap(), Vec::<String>::new(), "{read}");
        }
        assert_eq!(judged("SET a nx").unwrap(), ["a"], "a value that looks like an option");
        assert_eq!(judged("set a 1 EX 5").unwrap(), ["a"]);
        assert_eq!(judged("MSET a 1 b 2").unwrap(), ["a", "b"]);
        assert_eq!(judged("DEL a b").unwrap(), ["a", "b"]);
        assert_eq!(judged("PEXPIRE a 5").unwrap(), ["a"]);
    }

    #[test]
    fn what_depends_on_redis_or_touches_part_of_a_key_is_not_degradable() {
        for line in [
            "INCR a",
            "SET a 1 NX",
            "SET a 1 ex 5 get",
            "SETNX a 1",
            "GETSET a 1",
            "GETDEL a",
            "GETEX a",
            "APPEND a b",
            "HSET a f v",
            "HGETALL a",
            "SADD a b",
            "RPUSH a b",
            "LPOP a",
            "EVAL s 0",
            "SCAN 0",
            "EXPIRE a 5 NX",
            "RENAME a b",
            "FLUSHALL",
            "MSETNX a 1",
            "PUBLISH a b",
            "KEYS *",
        ] {
            let error = judged(line).unwrap_err();
            assert!(error.to_string().contains("not degradable"), "{line}: {error}");
        }
    }
}
