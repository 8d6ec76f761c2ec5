//! Strings and what holds for any key.

use redis::Value;
use redis::aio::ConnectionLike;

use super::Keys;

/// `SET` and `GET`.
pub async fn what_was_set_is_read<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("k");
    let set: Value = ask!(conn, "SET", &key, "value");
    assert_eq!(set, Value::Okay);
    let got: String = ask!(conn, "GET", &key);
    assert_eq!(got, "value");
}

/// A second `SET` replaces the value, also one of another type.
pub async fn set_overwrites<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("k");
    let _: i64 = ask!(conn, "RPUSH", &key, "element");
    let () = ask!(conn, "SET", &key, "first");
    let () = ask!(conn, "SET", &key, "second");
    let got: String = ask!(conn, "GET", &key);
    assert_eq!(got, "second");
}

/// A key that is not there reads as nil, not as an empty value.
pub async fn a_missing_key_is_nil<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let got: Value = ask!(conn, "GET", keys.key("none"));
    assert_eq!(got, Value::Nil);
}

/// `SET` with `NX` and `XX`.
pub async fn set_nx_and_xx_look_first<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("k");
    let absent: Value = ask!(conn, "SET", &key, "1", "XX");
    let first: Value = ask!(conn, "SET", &key, "2", "NX");
    let second: Value = ask!(conn, "SET", &key, "3", "NX");
    assert_eq!([absent, first, second], [Value::Nil, Value::Okay, Value::Nil]);
    let present: Value = ask!(conn, "SET", &key, "4", "XX");
    let got: String = ask!(conn, "GET", &key);
    assert_eq!((present, got.as_str()), (Value::Okay, "4"));
}

/// `SET` with `GET`.
pub async fn set_get_returns_the_old_value<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("k");
    let none: Option<String> = ask!(conn, "SET", &key, "1", "GET");
    let old: Option<String> = ask!(conn, "SET", &key, "2", "GET");
    assert_eq!((none, old.as_deref()), (None, Some("1")));
}

/// `GETDEL`.
pub async fn getdel_takes_it_away<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("k");
    let () = ask!(conn, "SET", &key, "v");
    let taken: Option<String> = ask!(conn, "GETDEL", &key);
    let again: Option<String> = ask!(conn, "GETDEL", &key);
    assert_eq!((taken.as_deref(), again), (Some("v"), None));
}

/// `APPEND` and `STRLEN`.
pub async fn append_and_strlen<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("k");
    let lengths: [i64; 3] =
        [ask!(conn, "STRLEN", &key), ask!(conn, "APPEND", &key, "abc"), ask!(conn, "APPEND", &key, "de")];
    assert_eq!(lengths, [0, 3, 5]);
    let got: String = ask!(conn, "GET", &key);
    assert_eq!(got, "abcde");
}

/// `GETRANGE` and `SETRANGE`.
pub async fn ranges<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("k");
    let () = ask!(conn, "SET", &key, "Hello World");
    let length: i64 = ask!(conn, "SETRANGE", &key, 6, "Redis");
    let inner: String = ask!(conn, "GETRANGE", &key, 6, 8);
    let last: String = ask!(conn, "GETRANGE", &key, -3, -1);
    let beyond: String = ask!(conn, "GETRANGE", &key, 50, 60);
    assert_eq!((length, inner.as_str(), last.as_str(), beyond.as_str()), (11, "Red", "dis", ""));
}

/// `MSET` and `MGET`, with a key that is missing.
pub async fn many_at_once<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let [a, b, c] = keys.three();
    let () = ask!(conn, "MSET", &[(&a, "1"), (&c, "3")]);
    let got: Vec<Option<String>> = ask!(conn, "MGET", &[&a, &b, &c]);
    assert_eq!(got, [Some("1".into()), None, Some("3".into())]);
}

/// `DEL` and `UNLINK`.
pub async fn deleting_counts_what_was_there<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let [a, b, c] = keys.three();
    let () = ask!(conn, "MSET", &[(&a, "1"), (&b, "2")]);
    let deleted: i64 = ask!(conn, "DEL", &[&a, &c]);
    let unlinked: i64 = ask!(conn, "UNLINK", &[&b, &b]);
    let left: Vec<Option<String>> = ask!(conn, "MGET", &[&a, &b]);
    assert_eq!((deleted, unlinked, left), (1, 1, vec![None, None]));
}

/// `EXISTS` counts a key as often as it is named.
pub async fn exists_counts_repeats<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let [a, b, _] = keys.three();
    let () = ask!(conn, "SET", &a, "");
    let count: i64 = ask!(conn, "EXISTS", &[&a, &b, &a]);
    assert_eq!(count, 2);
}

/// `TYPE`.
pub async fn types_are_named<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let [a, b, c] = keys.three();
    let () = ask!(conn, "SET", &a, "v");
    let _: i64 = ask!(conn, "SADD", &b, "m");
    for (key, name) in [(&a, "string"), (&b, "set"), (&c, "none")] {
        let got: String = ask!(conn, "TYPE", key);
        assert_eq!(got, name);
    }
}
