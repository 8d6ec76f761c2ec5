//! The one list of what is served. Dispatch, the check of whole batches and the documentation read it.

use super::Keys::{All, First, FirstTwo, None, Pairs, Whole};
use super::{Cx, Keys, Reply, Spec, counters, expiry, hashes, keys, lists, server, sets, strings};
use crate::store::End::{Left, Right};

/// Sorted by name.
pub(crate) static TABLE: &[Spec] = &[
    spec("APPEND", 3, First, strings::append),
    spec("DBSIZE", 1, Whole, server::dbsize),
    spec("DECR", 2, First, |cx| counters::step(cx, -1)),
    spec("DECRBY", 3, First, counters::decrby),
    spec("DEL", -2, All, keys::del),
    spec("ECHO", 2, None, server::echo),
    spec("EXISTS", -2, All, keys::exists),
    spec("EXPIRE", -3, First, |cx| expiry::expire(cx, expiry::SECONDS, false)),
    spec("EXPIREAT", -3, First, |cx| expiry::expire(cx, expiry::SECONDS, true)),
    spec("EXPIRETIME", 2, First, |cx| expiry::date(cx, expiry::SECONDS)),
    spec("FLUSHALL", -1, Whole, server::flush),
    spec("FLUSHDB", -1, Whole, server::flush),
    spec("GET", 2, First, strings::get),
    spec("GETDEL", 2, First, strings::getdel),
    spec("GETEX", -2, First, strings::getex),
    spec("GETRANGE", 4, First, strings::getrange),
    spec("GETSET", 3, First, strings::getset),
    spec("HDEL", -3, First, hashes::hdel),
    spec("HEXISTS", 3, First, hashes::hexists),
    spec("HGET", 3, First, hashes::hget),
    spec("HGETALL", 2, First, hashes::hgetall),
    spec("HINCRBY", 4, First, hashes::hincrby),
    spec("HINCRBYFLOAT", 4, First, hashes::hincrbyfloat),
    spec("HKEYS", 2, First, hashes::hkeys),
    spec("HLEN", 2, First, hashes::hlen),
    spec("HMGET", -3, First, hashes::hmget),
    spec("HMSET", -4, First, hashes::hmset),
    spec("HSET", -4, First, hashes::hset),
    spec("HSETNX", 4, First, hashes::hsetnx),
    spec("HSTRLEN", 3, First, hashes::hstrlen),
    spec("HVALS", 2, First, hashes::hvals),
    spec("INCR", 2, First, |cx| counters::step(cx, 1)),
    spec("INCRBY", 3, First, counters::incrby),
    spec("INCRBYFLOAT", 3, First, counters::incrbyfloat),
    spec("KEYS", 2, Whole, keys::keys),
    spec("LINDEX", 3, First, lists::lindex),
    spec("LINSERT", 5, First, lists::linsert),
    spec("LLEN", 2, First, lists::llen),
    spec("LPOP", -2, First, |cx| lists::pop(cx, Left)),
    spec("LPUSH", -3, First, |cx| lists::push(cx, Left)),
    spec("LPUSHX", -3, First, |cx| lists::push_existing(cx, Left)),
    spec("LRANGE", 4, First, lists::lrange),
    spec("LREM", 4, First, lists::lrem),
    spec("LSET", 4, First, lists::lset),
    spec("LTRIM", 4, First, lists::ltrim),
    spec("MGET", -2, All, strings::mget),
    spec("MSET", -3, Pairs, strings::mset),
    spec("MSETNX", -3, Pairs, strings::msetnx),
    spec("PERSIST", 2, First, expiry::persist),
    spec("PEXPIRE", -3, First, |cx| expiry::expire(cx, expiry::MILLISECONDS, false)),
    spec("PEXPIREAT", -3, First, |cx| expiry::expire(cx, expiry::MILLISECONDS, true)),
    spec("PEXPIRETIME", 2, First, |cx| expiry::date(cx, expiry::MILLISECONDS)),
    spec("PING", -1, None, server::ping),
    spec("PSETEX", 4, First, |cx| strings::setex(cx, expiry::MILLISECONDS)),
    spec("PTTL", 2, First, |cx| expiry::ttl(cx, expiry::MILLISECONDS)),
    spec("RENAME", 3, FirstTwo, keys::rename),
    spec("RENAMENX", 3, FirstTwo, keys::renamenx),
    spec("RPOP", -2, First, |cx| lists::pop(cx, Right)),
    spec("RPUSH", -3, First, |cx| lists::push(cx, Right)),
    spec("RPUSHX", -3, First, |cx| lists::push_existing(cx, Right)),
    spec("SADD", -3, First, sets::sadd),
    spec("SCARD", 2, First, sets::scard),
    spec("SDIFF", -2, All, |cx| sets::combine(cx, sets::difference)),
    spec("SDIFFSTORE", -3, All, |cx| sets::combine_into(cx, sets::difference)),
    spec("SET", -3, First, strings::set),
    spec("SETEX", 4, First, |cx| strings::setex(cx, expiry::SECONDS)),
    spec("SETNX", 3, First, strings::setnx),
    spec("SETRANGE", 4, First, strings::setrange),
    spec("SINTER", -2, All, |cx| sets::combine(cx, sets::intersection)),
    spec("SINTERSTORE", -3, All, |cx| sets::combine_into(cx, sets::intersection)),
    spec("SISMEMBER", 3, First, sets::sismember),
    spec("SMEMBERS", 2, First, |cx| sets::combine(cx, sets::union)),
    spec("SMISMEMBER", -3, First, sets::smismember),
    spec("SREM", -3, First, sets::srem),
    spec("STRLEN", 2, First, strings::strlen),
    spec("SUBSTR", 4, First, strings::getrange),
    spec("SUNION", -2, All, |cx| sets::combine(cx, sets::union)),
    spec("SUNIONSTORE", -3, All, |cx| sets::combine_into(cx, sets::union)),
    spec("TIME", 1, None, server::time),
    spec("TOUCH", -2, All, keys::touch),
    spec("TTL", 2, First, |cx| expiry::ttl(cx, expiry::SECONDS)),
    spec("TYPE", 2, First, keys::kind),
    spec("UNLINK", -2, All, keys::del),
];

/// The names as numbers, in the same order: to compare two of them is one instruction.
pub(super) static NUMBERS: [u128; TABLE.len()] = {
    let mut numbers = [0; TABLE.len()];
    let mut index = 0;
    while index < TABLE.len() {
        numbers[index] = number(TABLE[index].name);
        index += 1;
    }
    numbers
};

/// Of up to 16 letters, the first in the highest place.
const fn number(name: &str) -> u128 {
    let mut padded = [0; 16];
    let (letters, _) = padded.split_at_mut(name.len());
    letters.copy_from_slice(name.as_bytes());
    u128::from_be_bytes(padded)
}

const fn spec(name: &'static str, arity: i8, keys: Keys, run: fn(&mut Cx<'_, '_>) -> Reply) -> Spec {
    Spec { name, arity, keys, run }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_name_is_found_in_any_case() {
        assert!(TABLE.windows(2).all(|pair| pair[0].name < pair[1].name));
        for spec in TABLE {
            let found = Spec::find(spec.name.to_lowercase().as_bytes()).expect(spec.name);
            assert_eq!(found.name, spec.name);
        }
        for unknown in [&b"A NAME LONGER THAN ALL OF THEM"[..], b"", b"GE", b"GETS", b"GET\0", b"\xff"] {
            assert!(Spec::find(unknown).is_none(), "{unknown:?}");
        }
    }

    #[test]
    fn a_command_that_names_keys_cannot_be_accepted_without_them() {
        for spec in TABLE {
            let words = vec![&b"word"[..]; usize::from(spec.arity.unsigned_abs())];
            let least = match spec.keys {
                None | Whole => 0,
                FirstTwo => 2,
                First | All | Pairs => 1,
            };
            assert!(spec.accepts(words.len()), "{}", spec.name);
            assert!(spec.keys(&words).count() >= least, "{}", spec.name);
        }
    }
}
