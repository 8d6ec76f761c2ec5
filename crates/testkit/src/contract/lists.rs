//! Lists.

use redis::aio::ConnectionLike;

use super::Keys;

async fn all<C: ConnectionLike>(conn: &mut C, key: &str) -> Vec<String> {
    ask!(conn, "LRANGE", key, 0, -1)
}

/// `LPUSH`, `RPUSH`, and the forms that want the list to be there.
pub async fn both_ends_grow<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("l");
    let lengths: [i64; 4] = [
        ask!(conn, "LPUSHX", &key, "no"),
        ask!(conn, "RPUSH", &key, "c", "d"),
        ask!(conn, "LPUSH", &key, "b", "a"),
        ask!(conn, "RPUSHX", &key, "e"),
    ];
    assert_eq!(lengths, [0, 2, 4, 5]);
    assert_eq!(all(conn, &key).await, ["a", "b", "c", "d", "e"]);
    assert!(all(conn, &keys.key("none")).await.is_empty());
}

/// `LPOP` and `RPOP`, with and without a count.
pub async fn both_ends_shrink<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("l");
    let _: i64 = ask!(conn, "RPUSH", &key, "a", "b", "c", "d", "e");
    let first: Option<String> = ask!(conn, "LPOP", &key);
    let last: Option<String> = ask!(conn, "RPOP", &key);
    let rest: Vec<String> = ask!(conn, "LPOP", &key, 2);
    assert_eq!((first.as_deref(), last.as_deref()), (Some("a"), Some("e")));
    assert_eq!((rest, all(conn, &key).await), (vec!["b".into(), "c".into()], vec!["d".to_owned()]));
    let none: Option<String> = ask!(conn, "LPOP", keys.key("none"));
    assert_eq!(none, None);
}

/// `LINDEX`, `LSET`, `LRANGE`.
pub async fn indexes_count_from_either_end<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("l");
    let _: i64 = ask!(conn, "RPUSH", &key, "a", "b", "c");
    let () = ask!(conn, "LSET", &key, -1, "z");
    let indexed: [Option<String>; 3] =
        [ask!(conn, "LINDEX", &key, 0), ask!(conn, "LINDEX", &key, -1), ask!(conn, "LINDEX", &key, 3)];
    assert_eq!(indexed, [Some("a".into()), Some("z".into()), None]);
    let range: Vec<String> = ask!(conn, "LRANGE", &key, -2, 100);
    assert_eq!(range, ["b", "z"]);
    assert_eq!(refused!(conn, "LSET", &key, 3, "x").code(), Some("ERR"));
}

/// `LTRIM` keeps the newest, as a capped log does.
pub async fn lists_are_trimmed<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("l");
    for n in 0..10 {
        let _: i64 = ask!(conn, "LPUSH", &key, n);
        let () = ask!(conn, "LTRIM", &key, 0, 2);
    }
    let length: i64 = ask!(conn, "LLEN", &key);
    assert_eq!((length, all(conn, &key).await), (3, vec!["9".into(), "8".into(), "7".into()]));
}

/// `LREM` and `LINSERT`.
pub async fn elements_are_removed<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("l");
    let _: i64 = ask!(conn, "RPUSH", &key, "x", "a", "x", "b", "x");
    let removed: i64 = ask!(conn, "LREM", &key, -2, "x");
    let inserted: i64 = ask!(conn, "LINSERT", &key, "BEFORE", "b", "y");
    let without_pivot: i64 = ask!(conn, "LINSERT", &key, "AFTER", "q", "y");
    assert_eq!([removed, inserted, without_pivot], [2, 4, -1]);
    assert_eq!(all(conn, &key).await, ["x", "a", "y", "b"]);
}

/// Taking the last element deletes the key.
pub async fn an_emptied_list_is_gone<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("l");
    let _: i64 = ask!(conn, "RPUSH", &key, "a");
    let _: String = ask!(conn, "RPOP", &key);
    let exists: i64 = ask!(conn, "EXISTS", &key);
    assert_eq!(exists, 0);
}
