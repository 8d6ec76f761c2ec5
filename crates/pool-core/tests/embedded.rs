//! A pool without Redis: the fallback answers, and what must not go local never does.

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::{Conn, Error, Outcome, Pool, State};
use cenote_testkit::contract;
use redis::{AsyncCommands, Script};
use std::sync::LazyLock;

static POOL: LazyLock<Pool> = LazyLock::new(|| Pool::embedded(FallbackLru::default()));

async fn embedded() -> Conn {
    POOL.conn()
}

contract!(embedded_pool, embedded);

#[tokio::test]
async fn disabling_redis_makes_the_pool_embedded_and_dials_nothing() {
    let pool = Pool::builder()
        .url("redis://127.0.0.1:1/0")
        .enabled(false)
        .fallback(FallbackLru::default())
        .build()
        .unwrap();
    assert_eq!(pool.start().await.unwrap(), State::Embedded);
    let () = pool.conn().set("k", "v").await.unwrap();
    assert_eq!(pool.conn().get::<_, String>("k").await.unwrap(), "v");
    let status = serde_json::to_value(pool.status()).unwrap();
    assert_eq!((&status["status"], &status["state"]), (&"ok".into(), &"embedded".into()));
    assert_eq!((&status["enabled"], &status["dials"]), (&false.into(), &0.into()));
    assert_eq!(status["fallback_entries"], 1);
}

#[tokio::test]
async fn what_must_not_go_local_never_does() {
    let pool = Pool::embedded(FallbackLru::default());
    let mut conn = pool.conn();
    let error = pool.dedicated().await.unwrap_err();
    assert!(error.to_string().contains("need a Redis"), "{error}");
    let script = Script::new("return 1").invoke_async::<_, i64>(&mut conn).await.unwrap_err();
    // Without a Redis there is no other process to miss a message; with one that is away there may be.
    let told: i64 = conn.publish("channel", "message").await.unwrap();
    assert_eq!(told, 0);
    let url = format!("redis://{}", cenote_testkit::dead_port());
    let away = Pool::builder().url(url).fallback(FallbackLru::default()).build().unwrap();
    let mut soft = away.degradable().unwrap();
    let publish = soft.publish::<_, _, i64>("channel", "message").await.unwrap_err();
    let blocking = conn.blpop::<_, redis::Value>("list", 0.0).await.unwrap_err();
    for error in [script, publish, blocking] {
        let error = Error::from_redis(&error).expect("refused by us");
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    }
    let transaction = pool.transaction::<&str, (), _>(&["k"], async |_, _| Ok(())).await.unwrap_err();
    assert!(Error::from_redis(&transaction).is_some());
}

#[tokio::test]
async fn a_closed_embedded_pool_answers_nothing() {
    let pool = Pool::embedded(FallbackLru::default());
    let mut conn = pool.conn();
    pool.close().await;
    let error = conn.set::<_, _, ()>("k", "v").await.unwrap_err();
    assert!(Error::from_redis(&error).unwrap().is_closed());
}
