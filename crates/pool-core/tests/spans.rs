//! A span for each call, with OpenTelemetry's names, and with nothing in it of what was called with.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use cenote_pool_core::Pool;
use cenote_testkit::{Log, Proxy, Server, dead_port, eventually_async, within};
use redis::{AsyncCommands, Value};
use tokio::sync::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const SECRET: &str = "hunter2-swordfish";
const SOON: Duration = Duration::from_secs(10);

/// What is captured is the whole process's.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Lines of the log since it was last asked: the spans of calls, and what was recorded in them.
struct Spans {
    log: Log,
    seen: usize,
}

impl Spans {
    fn new() -> Self {
        Self { log: Log::capture(), seen: 0 }
    }

    fn next(&mut self) -> String {
        let text = self.log.text();
        let new = text[self.seen..].to_owned();
        self.seen = text.len();
        let is_span = |line: &&str| line.contains("cenote::command redis") || line.starts_with("record");
        new.lines().filter(is_span).collect::<Vec<_>>().join("\n")
    }
}

fn assert_has(spans: &str, fields: &[&str]) {
    for field in fields {
        assert!(spans.split_whitespace().any(|word| word == *field), "{field} is missing from:\n{spans}");
    }
}

#[tokio::test]
async fn each_call_is_a_span_with_opentelemetrys_names_and_no_word_of_its_keys_or_values() {
    let _alone = ALONE.lock().await;
    let server = Server::builder().password(SECRET).start();
    let pool = Pool::builder().url(format!("{}/3", server.url().trim_end_matches("/0"))).build().unwrap();
    let mut conn = pool.conn();
    pool.start().await.unwrap();
    let mut spans = Spans::new();

    let _: () = conn.set(SECRET, SECRET).await.unwrap();
    let port = format!("server.port={}", server.port());
    let set = spans.next();
    assert_has(
        &set,
        &[
            "DEBUG",
            "otel.name=SET",
            "otel.kind=client",
            "db.system.name=redis",
            "db.operation.name=SET",
            "db.namespace=3",
            "server.address=127.0.0.1",
            &port,
            "cenote.connection=shared",
            "cenote.outcome=answered",
        ],
    );
    assert!(!set.contains("batch.size") && !set.contains("error.type"), "{set}");

    let mut pipeline = redis::pipe();
    pipeline.get(SECRET).get(SECRET);
    let _: Vec<Value> = pipeline.query_async(&mut conn).await.unwrap();
    assert!(spans.next().contains("db.operation.name=PIPELINE GET db.operation.batch.size=2"));
    let _: Vec<Value> = pipeline.atomic().set(SECRET, 1).query_async(&mut conn).await.unwrap();
    assert!(spans.next().contains("db.operation.name=MULTI db.operation.batch.size=3"));

    let mistaken: redis::RedisResult<i64> = conn.llen(SECRET).await;
    mistaken.unwrap_err();
    let mistaken = spans.next();
    assert_has(
        &mistaken,
        &[
            "db.operation.name=LLEN",
            "db.response.status_code=WRONGTYPE",
            "error.type=WRONGTYPE",
            "otel.status_code=ERROR",
            "cenote.outcome=answered",
        ],
    );
    redis::cmd(SECRET).exec_async(&mut conn).await.unwrap_err();
    assert_has(&spans.next(), &["db.operation.name=other", "error.type=ERR"]);
    let script = "return redis.error_reply(ARGV[1] .. ' was the word')";
    redis::cmd("EVAL").arg(script).arg(0).arg(SECRET).exec_async(&mut conn).await.unwrap_err();
    assert_has(&spans.next(), &["db.operation.name=EVAL", "error.type=_OTHER"]);

    let mut own = pool.dedicated().await.unwrap();
    spans.next();
    let _: Value = own.blpop("nothing", 0.01).await.unwrap();
    assert_has(&spans.next(), &["db.operation.name=BLPOP", "cenote.connection=dedicated"]);

    let logged = spans.log.text();
    let told: Vec<_> = logged.lines().filter(|line| !line.contains("a call is tried again")).collect();
    assert!(!told.join("\n").contains("hunter2"), "{logged}");
}

/// The fields of spans that come as signed whole numbers: exporters to OpenTelemetry take no others for numbers.
#[derive(Clone, Default)]
struct Numbers(Arc<parking_lot::Mutex<Vec<(&'static str, i64)>>>);

impl Visit for Numbers {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.lock().push((field.name(), value));
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

impl Subscriber for Numbers {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        attributes.record(&mut self.clone());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn numbers_are_told_as_numbers_that_opentelemetry_knows() {
    let _alone = ALONE.lock().await;
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    let mut conn = pool.conn();
    pool.start().await.unwrap();
    // First, as a subscriber that is installed is asked once for all of what it wants.
    let _spans = Spans::new();
    let numbers = Numbers::default();
    let _here = tracing::subscriber::set_default(numbers.clone());
    let mut pipeline = redis::pipe();
    pipeline.get("a").get("b");
    let _: Vec<Value> = pipeline.query_async(&mut conn).await.unwrap();
    let told = numbers.0.lock().clone();
    assert_eq!(told, [("db.operation.batch.size", 2), ("server.port", i64::from(server.port()))]);
}

#[tokio::test]
async fn a_span_says_what_became_of_a_call_that_was_not_answered() {
    let _alone = ALONE.lock().await;
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = Pool::builder().url(proxy.url()).shared_connections(1).build().unwrap();
    let mut conn = pool.conn();
    let _: () = conn.set("k", 1).await.unwrap();
    let mut spans = Spans::new();

    proxy.stall_replies();
    let late: redis::RedisResult<i64> =
        conn.clone().with_timeout(Duration::from_millis(50)).incr("k", 1).await;
    late.unwrap_err();
    assert_has(
        &spans.next(),
        &["db.operation.name=INCRBY", "error.type=timeout", "cenote.outcome=may_have_executed"],
    );
    let call = conn.get::<_, i64>("k");
    tokio::time::timeout(Duration::from_millis(20), call).await.unwrap_err();
    let left = spans.next();
    assert_has(&left, &["db.operation.name=GET", "cenote.outcome=abandoned"]);
    assert!(!left.contains("error.type"), "{left}");
    proxy.release();

    let before = spans.log.text().len();
    let away = Pool::builder().url(format!("redis://{}", dead_port())).build().unwrap();
    let mut conn = away.conn();
    eventually_async(SOON, "Redis is known to be away", || {
        let mut conn = conn.clone();
        async move { within(SOON, conn.get::<_, Value>("k")).await.is_err() }
    })
    .await;
    spans.next();
    conn.get::<_, Value>("k").await.unwrap_err();
    assert_has(&spans.next(), &["error.type=unavailable", "cenote.outcome=not_sent"]);
    let told = spans.log.text().split_off(before);
    assert!(!told.contains("a call is tried again"), "what the breaker refuses is not tried again:\n{told}");
}
