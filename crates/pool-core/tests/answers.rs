//! Pipelines on degradable connections: a value for each command, and who gave them.

use std::time::Duration;

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::{DegradableConn, Outcome, Pool, PoolConfig, Source};
use cenote_testkit::{Proxy, Server, dead_port, eventually_async};
use redis::{Pipeline, Value};

const SOON: Duration = Duration::from_secs(10);

fn bulk(text: &str) -> Value {
    Value::BulkString(text.into())
}

fn pipeline(atomic: bool) -> Pipeline {
    let mut pipeline = redis::pipe();
    if atomic {
        pipeline.atomic();
    }
    pipeline
}

/// Writes, is refused in the middle, and reads; one of the three is marked as not wanted.
fn set_fail_get(atomic: bool) -> Pipeline {
    let mut pipeline = pipeline(atomic);
    pipeline.set("text", "abc").ignore().cmd("EXPIRE").arg("text").arg("soon").get("text");
    pipeline
}

#[track_caller]
fn is_set_fail_get(values: &[Value]) {
    let [Value::Okay, Value::ServerError(error), text] = values else { panic!("{values:?}") };
    assert_eq!((error.code(), text), ("ERR", &bulk("abc")));
}

async fn answers_all(soft: &mut DegradableConn, source: Source, pending: bool) {
    for atomic in [false, true] {
        let answers = soft.query_pipeline(&set_fail_get(atomic)).await.unwrap();
        assert_eq!((answers.source, answers.pending), (source, pending), "atomic: {atomic}");
        is_set_fail_get(&answers.values);
        let reads = soft.query_pipeline(pipeline(atomic).get("text").get("none")).await.unwrap();
        assert_eq!((reads.source, reads.pending), (source, false), "atomic: {atomic}");
        assert_eq!(reads.values, [bulk("abc"), Value::Nil]);
    }
    assert_eq!(soft.query_pipeline(&pipeline(true)).await.unwrap().values, [], "EXEC of nothing");
}

#[tokio::test]
async fn there_is_a_value_for_each_command_whoever_answers() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = Pool::builder()
        .url(proxy.url())
        .fallback(FallbackLru::default())
        .socket_timeout(Duration::from_millis(400))
        .build()
        .unwrap();
    let mut soft = pool.degradable().unwrap();
    answers_all(&mut soft, Source::Redis, false).await;
    assert!(!soft.is_local());

    proxy.refuse_after_accept(true);
    proxy.cut();
    answers_all(&mut soft, Source::Fallback, true).await;
    assert!(soft.is_local() && pool.journal_status().local);
    assert_eq!(pool.journal_status().pending_keys, 1);
    assert_eq!(pool.journal_status(), pool.status().journal);
    let refused = soft.query_pipeline(pipeline(false).set("other", "1").incr("n", 1)).await.unwrap_err();
    assert!(refused.is_refused() && refused.outcome() == Outcome::NotSent, "{refused}");
    assert_eq!(pool.journal_status().pending_keys, 1, "nothing of it has run");

    proxy.pass();
    eventually_async(SOON, "Redis is read again", || async { !soft.is_local() }).await;
    let read = soft.query_pipeline(pipeline(false).get("text")).await.unwrap();
    assert_eq!((read.values, read.source), (vec![Value::Nil], Source::Redis));

    let embedded = Pool::embedded(FallbackLru::default());
    let mut soft = embedded.degradable().unwrap();
    assert!(soft.is_local() && !embedded.journal_status().local);
    answers_all(&mut soft, Source::Fallback, false).await;
}

#[tokio::test]
async fn a_transaction_that_was_aborted_is_an_error_and_nothing_of_it_has_run() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).fallback(FallbackLru::default()).build().unwrap();
    let embedded = Pool::embedded(FallbackLru::default());
    for pool in [pool, embedded] {
        let mut soft = pool.degradable().unwrap();
        let mut aborted = pipeline(true);
        aborted.set("k", "v").cmd("GET");
        let error = soft.query_pipeline(&aborted).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Answered, "{error}");
        assert_eq!(error.server_error().and_then(|error| error.code()), Some("EXECABORT"), "{error}");
        // The fallback does not say which command was at fault.
        let told = error.to_string().contains("wrong number of arguments");
        assert!(told || pool.status().state == "embedded", "{error}");
        assert_eq!(soft.query_pipeline(pipeline(false).get("k")).await.unwrap().values, [Value::Nil]);
    }
}

#[tokio::test]
async fn an_empty_pipeline_asks_nobody() {
    let url = format!("redis://{}", dead_port());
    let pool = Pool::builder().url(url).fallback(FallbackLru::default()).build().unwrap();
    let answers = pool.degradable().unwrap().query_pipeline(&pipeline(false)).await.unwrap();
    assert_eq!((answers.values.len(), answers.source, answers.pending), (0, Source::Redis, false));
    assert_eq!(pool.status().dials, 0);
}

#[tokio::test]
async fn the_limit_is_that_of_the_first_call_until_redis_was_heard_of() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).fallback(FallbackLru::default()).build().unwrap();
    let (soft, config) = (pool.degradable().unwrap(), PoolConfig::default());
    assert_eq!(soft.limit(), config.degrade_after_first);
    pool.start().await.unwrap();
    assert_eq!(soft.limit(), config.degrade_after);
    assert_eq!(soft.with_timeout(Duration::from_secs(7)).limit(), Duration::from_secs(7));
}

#[tokio::test]
async fn what_is_run_locally_never_reaches_redis_and_runs_only_in_its_place() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).fallback(FallbackLru::default()).build().unwrap();
    let mut soft = pool.degradable().unwrap();
    let mut write = pipeline(true);
    write.set("local", "abc");
    assert!(soft.run_locally(&write, false).unwrap().is_none(), "Redis answers, as far as is known");
    let answers = soft.run_locally(&write, true).unwrap().unwrap();
    assert_eq!((answers.source, answers.pending), (Source::Fallback, true));
    assert_eq!(answers.values, [Value::Okay]);
    eventually_async(SOON, "what was journalled is removed", || async { !pool.journal_status().local }).await;
    assert_eq!(server.observer().calls("set"), 0);
    let embedded = Pool::embedded(FallbackLru::default());
    let answers = embedded.degradable().unwrap().run_locally(&write, false).unwrap().unwrap();
    assert_eq!((answers.source, answers.pending), (Source::Fallback, false));
}
