//! Sets.

use std::collections::BTreeSet;

use redis::aio::ConnectionLike;

use super::Keys;

fn set<const N: usize>(members: [&str; N]) -> BTreeSet<String> {
    members.into_iter().map(str::to_owned).collect()
}

/// `SADD`, `SCARD`, `SMEMBERS`, and of a key that is missing.
pub async fn members_are_unique<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("s");
    let counts: [i64; 3] = [
        ask!(conn, "SADD", &key, "a", "b", "a"),
        ask!(conn, "SADD", &key, "b", "c"),
        ask!(conn, "SCARD", &key),
    ];
    assert_eq!(counts, [2, 1, 3]);
    let members: BTreeSet<String> = ask!(conn, "SMEMBERS", &key);
    let nobody: BTreeSet<String> = ask!(conn, "SMEMBERS", keys.key("none"));
    assert_eq!((members, nobody), (set(["a", "b", "c"]), set([])));
}

/// `SISMEMBER` and `SMISMEMBER`.
pub async fn membership<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("s");
    let _: i64 = ask!(conn, "SADD", &key, "a");
    let single: [bool; 2] = [ask!(conn, "SISMEMBER", &key, "a"), ask!(conn, "SISMEMBER", &key, "b")];
    let several: Vec<bool> = ask!(conn, "SMISMEMBER", &key, "b", "a");
    assert_eq!((single, several), ([true, false], vec![false, true]));
}

/// `SUNION`, `SINTER`, `SDIFF`, also with a key that is missing.
pub async fn sets_combine<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let [a, b, c] = keys.three();
    let _: i64 = ask!(conn, "SADD", &a, "1", "2");
    let _: i64 = ask!(conn, "SADD", &b, "2", "3");
    let union: BTreeSet<String> = ask!(conn, "SUNION", &[&a, &b, &c]);
    let inter: BTreeSet<String> = ask!(conn, "SINTER", &[&a, &b]);
    let diff: BTreeSet<String> = ask!(conn, "SDIFF", &[&a, &b, &c]);
    let empty: BTreeSet<String> = ask!(conn, "SINTER", &[&a, &c]);
    assert_eq!([union, inter, diff, empty], [set(["1", "2", "3"]), set(["2"]), set(["1"]), set([])]);
}

/// `SREM` of the last member deletes the key.
pub async fn an_emptied_set_is_gone<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("s");
    let answers: [i64; 4] = [
        ask!(conn, "SADD", &key, "a", "b"),
        ask!(conn, "SREM", &key, "a", "z"),
        ask!(conn, "SREM", &key, "b"),
        ask!(conn, "EXISTS", &key),
    ];
    assert_eq!(answers, [2, 1, 1, 0]);
}
