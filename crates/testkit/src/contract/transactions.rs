//! Atomic pipelines: `MULTI` and `EXEC` around them.

use redis::aio::ConnectionLike;
use redis::{Value, pipe};

use super::Keys;

/// The replies are those of `EXEC`.
pub async fn all_replies_come_in_order<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let [a, b, c] = keys.three();
    let mut pipe = pipe();
    pipe.atomic().cmd("SET").arg(&a).arg("1").cmd("INCR").arg(&a).cmd("GET").arg(&b).cmd("HSET").arg(&c);
    pipe.arg("f").arg("v").cmd("HGET").arg(&c).arg("f");
    let replies: (Value, i64, Option<String>, i64, String) = pipe.query_async(conn).await.unwrap();
    assert_eq!(replies, (Value::Okay, 2, None, 1, "v".into()));
}

/// A command that fails while running fails the call, and the others have run.
pub async fn an_error_inside_does_not_roll_back<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let [a, b, _] = keys.three();
    let mut pipe = pipe();
    pipe.atomic()
        .cmd("SET")
        .arg(&a)
        .arg("text")
        .cmd("LPUSH")
        .arg(&a)
        .arg("x")
        .cmd("SET")
        .arg(&b)
        .arg("after");
    let failed = pipe.query_async::<Vec<Value>>(conn).await.unwrap_err();
    assert!(failed.to_string().contains("WRONGTYPE"), "{failed}");
    let got: Vec<Option<String>> = ask!(conn, "MGET", &[&a, &b]);
    assert_eq!(got, [Some("text".into()), Some("after".into())]);
}

/// `ignore` leaves a reply out of the result.
pub async fn ignored_replies_are_left_out<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("k");
    let mut pipe = pipe();
    pipe.atomic().cmd("SET").arg(&key).arg("v").ignore().cmd("GET").arg(&key).cmd("DEL").arg(&key).ignore();
    let (got,): (String,) = pipe.query_async(conn).await.unwrap();
    assert_eq!(got, "v");
}
