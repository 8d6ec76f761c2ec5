//! Keys that end by themselves.

use std::time::Duration;

use redis::aio::ConnectionLike;

use super::Keys;
use crate::eventually_async;

/// `SET` with `EX` and `PX`, `EXPIRE`, and how they are read.
pub async fn a_ttl_is_kept<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let [a, b, c] = keys.three();
    let () = ask!(conn, "SET", &a, "v", "EX", 1000);
    let () = ask!(conn, "SET", &b, "v", "PX", 1_000_000);
    let () = ask!(conn, "SET", &c, "v");
    let set: i64 = ask!(conn, "EXPIRE", &c, 1000);
    assert_eq!(set, 1);
    for key in [a, b, c] {
        let (seconds, millis): (i64, i64) = (ask!(conn, "TTL", &key), ask!(conn, "PTTL", &key));
        assert!((900..=1000).contains(&seconds), "{seconds} s");
        assert!((900_000..=1_000_000).contains(&millis), "{millis} ms");
    }
}

/// `TTL` is -1 for a key without one and -2 without a key.
pub async fn no_ttl_and_no_key_differ<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let [a, b, _] = keys.three();
    let () = ask!(conn, "SET", &a, "v");
    let ttls: [i64; 3] = [ask!(conn, "TTL", &a), ask!(conn, "TTL", &b), ask!(conn, "EXPIRE", &b, 10)];
    assert_eq!(ttls, [-1, -2, 0]);
}

/// `SET` forgets the old value's end, but not with `KEEPTTL`.
pub async fn set_clears_a_ttl_unless_told<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("k");
    let () = ask!(conn, "SET", &key, "1", "EX", 1000);
    let () = ask!(conn, "SET", &key, "2", "KEEPTTL");
    let kept: i64 = ask!(conn, "TTL", &key);
    let () = ask!(conn, "SET", &key, "3");
    let cleared: i64 = ask!(conn, "TTL", &key);
    assert!(kept > 0 && cleared == -1, "{kept}, {cleared}");
}

/// What changes a value in place keeps its end.
pub async fn incr_keeps_a_ttl<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("n");
    let () = ask!(conn, "SET", &key, 1, "EX", 1000);
    let _: i64 = ask!(conn, "INCR", &key);
    let ttl: i64 = ask!(conn, "TTL", &key);
    assert!(ttl > 0, "{ttl}");
}

/// `PERSIST`.
pub async fn persist_ends_it<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("k");
    let () = ask!(conn, "SET", &key, "v", "EX", 1000);
    let answers: [i64; 3] =
        [ask!(conn, "PERSIST", &key), ask!(conn, "PERSIST", &key), ask!(conn, "TTL", &key)];
    assert_eq!(answers, [1, 0, -1]);
}

/// After its time a key is not there for any command.
pub async fn an_expired_key_is_gone<C: ConnectionLike + Clone>(conn: &mut C, keys: &Keys) {
    let key = keys.key("k");
    let () = ask!(conn, "SET", &key, "v", "PX", 20);
    let gone = || {
        let (mut conn, key) = (conn.clone(), key.clone());
        async move {
            let got: Option<String> = ask!(&mut conn, "GET", &key);
            got.is_none()
        }
    };
    eventually_async(Duration::from_secs(30), "the key expires", gone).await;
    let answers: [i64; 3] = [ask!(conn, "EXISTS", &key), ask!(conn, "TTL", &key), ask!(conn, "DEL", &key)];
    assert_eq!(answers, [0, -2, 0]);
}

/// A time that has passed deletes at once.
pub async fn a_ttl_in_the_past_deletes<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("k");
    let () = ask!(conn, "SET", &key, "v");
    let answers: [i64; 2] = [ask!(conn, "EXPIRE", &key, -1), ask!(conn, "EXISTS", &key)];
    assert_eq!(answers, [1, 0]);
}
