//! Holds `docs/replies.md` to what a server really answers.

use std::collections::{HashMap, HashSet};

use cenote::redis::{self, FromRedisValue, Value};
use cenote::{Conn, Pool};
use cenote_testkit::Server;

const PAGE: &str = include_str!("../../../docs/replies.md");

/// Command, shape over RESP3, shape over RESP2: the rows of the page's table.
const ROWS: &[(&str, &str, &str)] = &[
    ("HGETALL h", "map", "flat array"),
    ("CONFIG GET maxmemory", "map", "flat array"),
    ("XREAD COUNT 1 STREAMS st 0", "map", "array of pairs"),
    ("SMEMBERS s", "set", "array"),
    ("SINTER s s", "set", "array"),
    ("SPOP t 1", "set", "array"),
    ("ZSCORE z m", "double", "string"),
    ("ZADD z INCR 1 m", "double", "string"),
    ("ZMSCORE z m", "array of doubles", "array of strings"),
    ("ZRANGE z 0 -1 WITHSCORES", "array of pairs", "flat array"),
    ("ZPOPMIN p 1", "array of pairs", "flat array"),
    ("HRANDFIELD h 1 WITHVALUES", "array of pairs", "flat array"),
    ("INFO server", "verbatim string", "string"),
    ("INCRBYFLOAT f 1.5", "string", "string"),
    ("SISMEMBER s x", "integer", "integer"),
    ("GET missing", "nil", "nil"),
];

fn cmd(line: &str) -> redis::Cmd {
    let mut cmd = redis::Cmd::new();
    for word in line.split(' ') {
        cmd.arg(word);
    }
    cmd
}

fn shape(value: &Value) -> String {
    let array = |items: &[Value]| match items.first() {
        Some(Value::Array(_)) => "array of pairs".to_owned(),
        Some(Value::Double(_)) => "array of doubles".to_owned(),
        _ => "array".to_owned(),
    };
    match value {
        Value::Nil => "nil".to_owned(),
        Value::Int(_) => "integer".to_owned(),
        Value::Double(_) => "double".to_owned(),
        Value::BulkString(_) => "string".to_owned(),
        Value::VerbatimString { .. } => "verbatim string".to_owned(),
        Value::Map(_) => "map".to_owned(),
        Value::Set(_) => "set".to_owned(),
        Value::Array(items) => array(items),
        other => format!("{other:?}"),
    }
}

async fn fill(conn: &mut Conn) {
    for line in [
        "FLUSHALL",
        "HSET h a 1 b 2",
        "HSET one a 1",
        "SADD s x y",
        "SADD t x y",
        "ZADD z 1.5 m 2 n",
        "ZADD p 1 m 2 n",
        "XADD st * f v",
    ] {
        cmd(line).exec_async(conn).await.unwrap();
    }
}

async fn pools() -> (Server, [Pool; 2]) {
    let server = Server::start();
    let at = |url: String| Pool::builder().url(url).build().unwrap();
    let pools = [at(server.url()), at(format!("{}?protocol=resp2", server.url()))];
    (server, pools)
}

#[tokio::test]
async fn each_row_of_the_page_is_what_the_server_answers() {
    let (_server, [resp3, resp2]) = pools().await;
    for (line, over_resp3, over_resp2) in ROWS {
        for (pool, expected) in [(&resp3, *over_resp3), (&resp2, *over_resp2)] {
            let mut conn = pool.conn();
            fill(&mut conn).await;
            let value: Value = cmd(line).query_async(&mut conn).await.unwrap();
            // Whether an array is flat, or holds strings, cannot be seen from its type.
            let plain = expected.replace("flat array", "array").replace("array of strings", "array");
            assert_eq!(shape(&value), plain, "{line}: {value:?}");
        }
        let row = format!("| `{line}` | {over_resp3} | {over_resp2} |");
        assert!(PAGE.contains(&row), "docs/replies.md does not have the row {row}");
    }
    let rows = PAGE.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, ROWS.len(), "docs/replies.md has rows that are not checked here");
}

async fn both<T: FromRedisValue + PartialEq + std::fmt::Debug>(pools: &[Pool; 2], line: &str) -> T {
    let mut answers = Vec::new();
    for pool in pools {
        let mut conn = pool.conn();
        fill(&mut conn).await;
        answers
            .push(cmd(line).query_async::<T>(&mut conn).await.unwrap_or_else(|why| panic!("{line}: {why}")));
    }
    assert_eq!(answers[0], answers[1], "{line}");
    answers.swap_remove(0)
}

#[tokio::test]
async fn the_types_that_the_page_names_convert_alike_over_both() {
    let (_server, pools) = pools().await;
    assert_eq!(both::<HashMap<String, i64>>(&pools, "HGETALL h").await.len(), 2);
    assert_eq!(both::<HashMap<String, String>>(&pools, "CONFIG GET maxmemory").await.len(), 1);
    assert_eq!(both::<HashSet<String>>(&pools, "SMEMBERS s").await.len(), 2);
    assert_eq!(both::<f64>(&pools, "ZSCORE z m").await, 1.5);
    assert_eq!(both::<Vec<Option<f64>>>(&pools, "ZMSCORE z m q").await, [Some(1.5), None]);
    let range = both::<Vec<(String, f64)>>(&pools, "ZRANGE z 0 -1 WITHSCORES").await;
    assert_eq!(range, [("m".to_owned(), 1.5), ("n".to_owned(), 2.0)]);
    assert_eq!(both::<Vec<(String, i64)>>(&pools, "HRANDFIELD one 1 WITHVALUES").await.len(), 1);
    assert_eq!(both::<f64>(&pools, "INCRBYFLOAT f 1.5").await, 1.5);
    assert!(both::<bool>(&pools, "SISMEMBER s x").await);
    for pool in &pools {
        let info: String = cmd("INFO server").query_async(&mut pool.conn()).await.unwrap();
        assert!(info.contains("redis_version"), "{info}");
    }
}

#[tokio::test]
async fn a_flat_list_that_the_page_warns_of_fails_over_resp3_and_not_over_resp2() {
    let (_server, [resp3, resp2]) = pools().await;
    for line in ["HGETALL h", "ZRANGE z 0 -1 WITHSCORES"] {
        fill(&mut resp2.conn()).await;
        assert_eq!(cmd(line).query_async::<Vec<String>>(&mut resp2.conn()).await.unwrap().len(), 4, "{line}");
        let answer = cmd(line).query_async::<Vec<String>>(&mut resp3.conn()).await;
        assert!(answer.is_err(), "{line}: {answer:?}");
    }
}
