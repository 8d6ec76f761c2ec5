//! Hashes.

use std::collections::{BTreeMap, BTreeSet};

use redis::aio::ConnectionLike;

use super::Keys;

/// `HSET`, `HGET`, `HMGET`, `HEXISTS`.
pub async fn fields_are_set_and_read<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("h");
    let added: [i64; 2] =
        [ask!(conn, "HSET", &key, "a", 1, "b", 2), ask!(conn, "HSET", &key, "a", "one", "c", 3)];
    assert_eq!(added, [2, 1]);
    let one: Option<String> = ask!(conn, "HGET", &key, "a");
    let none: Option<String> = ask!(conn, "HGET", &key, "z");
    let many: Vec<Option<String>> = ask!(conn, "HMGET", &key, "c", "z", "b");
    assert_eq!((one.as_deref(), none), (Some("one"), None));
    assert_eq!(many, [Some("3".into()), None, Some("2".into())]);
    let exist: [bool; 2] = [ask!(conn, "HEXISTS", &key, "a"), ask!(conn, "HEXISTS", &key, "z")];
    assert_eq!(exist, [true, false]);
}

/// `HGETALL`, `HKEYS`, `HVALS`, and of a key that is missing.
pub async fn the_whole_hash_is_a_map<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("h");
    let _: i64 = ask!(conn, "HSET", &key, "a", 1, "b", 2);
    let all: BTreeMap<String, i64> = ask!(conn, "HGETALL", &key);
    let names: BTreeSet<String> = ask!(conn, "HKEYS", &key);
    let values: BTreeSet<i64> = ask!(conn, "HVALS", &key);
    assert_eq!(all, BTreeMap::from([("a".into(), 1), ("b".into(), 2)]));
    assert_eq!((names, values), (BTreeSet::from(["a".into(), "b".into()]), BTreeSet::from([1, 2])));
    let nothing: BTreeMap<String, i64> = ask!(conn, "HGETALL", keys.key("none"));
    assert!(nothing.is_empty());
}

/// `HLEN`, `HINCRBY`, `HSETNX`.
pub async fn fields_are_counted<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("h");
    let answers: [i64; 6] = [
        ask!(conn, "HLEN", &key),
        ask!(conn, "HINCRBY", &key, "n", 5),
        ask!(conn, "HINCRBY", &key, "n", -7),
        ask!(conn, "HSETNX", &key, "n", 1),
        ask!(conn, "HSETNX", &key, "m", 1),
        ask!(conn, "HLEN", &key),
    ];
    assert_eq!(answers, [0, 5, -2, 0, 1, 2]);
}

/// `HDEL` of the last field deletes the key.
pub async fn an_emptied_hash_is_gone<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("h");
    let _: i64 = ask!(conn, "HSET", &key, "a", 1, "b", 2);
    let answers: [i64; 3] =
        [ask!(conn, "HDEL", &key, "a", "z"), ask!(conn, "HDEL", &key, "b"), ask!(conn, "EXISTS", &key)];
    assert_eq!(answers, [1, 1, 0]);
}
