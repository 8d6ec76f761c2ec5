//! Counters.

use redis::aio::ConnectionLike;

use super::Keys;

/// `INCR` of a missing key.
pub async fn a_counter_starts_at_zero<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("n");
    let counts: [i64; 2] = [ask!(conn, "INCR", &key), ask!(conn, "INCR", &key)];
    let stored: String = ask!(conn, "GET", &key);
    assert_eq!((counts, stored.as_str()), ([1, 2], "2"));
}

/// `INCRBY`, `DECR` and `DECRBY`, below zero too.
pub async fn counters_go_both_ways<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("n");
    let counts: [i64; 4] = [
        ask!(conn, "INCRBY", &key, 5),
        ask!(conn, "DECR", &key),
        ask!(conn, "DECRBY", &key, 10),
        ask!(conn, "INCRBY", &key, -1),
    ];
    assert_eq!(counts, [5, 4, -6, -7]);
}

/// `INCRBYFLOAT` answers and stores the shortest form.
pub async fn floats_are_added<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("n");
    let () = ask!(conn, "SET", &key, "10.50");
    let first: String = ask!(conn, "INCRBYFLOAT", &key, "0.1");
    let second: String = ask!(conn, "INCRBYFLOAT", &key, "-5.6");
    let stored: String = ask!(conn, "GET", &key);
    assert_eq!([first.as_str(), second.as_str(), stored.as_str()], ["10.6", "5", "5"]);
}

/// A counter at its limit stays there.
pub async fn an_overflow_is_refused<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("n");
    let () = ask!(conn, "SET", &key, i64::MAX);
    assert_eq!(refused!(conn, "INCR", &key).code(), Some("ERR"));
    let stored: i64 = ask!(conn, "GET", &key);
    assert_eq!(stored, i64::MAX);
}
