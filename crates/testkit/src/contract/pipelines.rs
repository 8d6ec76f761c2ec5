//! Several commands in one go.

use redis::aio::ConnectionLike;
use redis::{RedisResult, Value, pipe};

use super::Keys;

/// Each reply is in its command's place, whatever its type.
pub async fn replies_come_in_order<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let [a, b, c] = keys.three();
    let mut pipe = pipe();
    pipe.cmd("SET")
        .arg(&a)
        .arg("1")
        .cmd("INCR")
        .arg(&a)
        .cmd("GET")
        .arg(&b)
        .cmd("RPUSH")
        .arg(&c)
        .arg(&["x", "y"]);
    pipe.cmd("LRANGE").arg(&c).arg(0).arg(-1).cmd("GET").arg(&a);
    let replies: (Value, i64, Option<String>, i64, Vec<String>, String) =
        pipe.query_async(conn).await.unwrap();
    assert_eq!(replies, (Value::Okay, 2, None, 2, vec!["x".into(), "y".into()], "2".into()));
}

/// `ignore` leaves a reply out of the result.
pub async fn ignored_replies_are_left_out<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("k");
    let mut pipe = pipe();
    pipe.cmd("SET").arg(&key).arg("v").ignore().cmd("GET").arg(&key).cmd("DEL").arg(&key).ignore();
    let (got,): (String,) = pipe.query_async(conn).await.unwrap();
    assert_eq!(got, "v");
}

/// All commands run; the error is in its place when asked for, and fails the whole otherwise.
pub async fn an_error_does_not_stop_the_others<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let [a, b, _] = keys.three();
    let mut pipe = pipe();
    pipe.cmd("SET").arg(&a).arg("text").cmd("INCR").arg(&a).cmd("SET").arg(&b).arg("after");

    let failed = pipe.query_async::<Vec<Value>>(conn).await.unwrap_err();
    assert!(failed.to_string().contains("not an integer"), "{failed}");
    let after: String = ask!(conn, "GET", &b);
    assert_eq!(after, "after");

    let each: Vec<RedisResult<Value>> = pipe.ignore_errors().query_async(conn).await.unwrap();
    assert_eq!((each.len(), each[0].is_ok(), each[2].is_ok()), (3, true, true));
    assert_eq!(each[1].as_ref().unwrap_err().code(), Some("ERR"));
}

/// Ten thousand commands at once.
pub async fn a_long_pipeline_is_answered<C: ConnectionLike>(conn: &mut C, keys: &Keys) {
    let key = keys.key("n");
    let mut pipe = pipe();
    for _ in 0..10_000 {
        pipe.cmd("INCR").arg(&key);
    }
    let counts: Vec<i64> = pipe.query_async(conn).await.unwrap();
    assert!(counts.into_iter().eq(1..=10_000));
}
