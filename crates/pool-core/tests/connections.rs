//! What works through a `Conn` beside single commands, and what a `Dedicated` adds.

use std::time::{Duration, Instant};

use cenote_pool_core::{Error, Outcome, Pool};
use cenote_testkit::{Server, within};
use redis::{AsyncCommands, AsyncIter, Script, Value};

fn setup() -> (Server, Pool) {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).build().unwrap();
    (server, pool)
}

#[tokio::test]
async fn a_script_the_server_has_not_seen_is_loaded_and_runs() {
    let (server, pool) = setup();
    let mut conn = pool.conn();
    let script = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    for sum in [5, 10] {
        assert_eq!(script.key("n").arg(5).invoke_async::<i64>(&mut conn).await.unwrap(), sum);
    }
    server.observer().command(&["SCRIPT", "FLUSH"]).unwrap();
    assert_eq!(script.key("n").arg(5).invoke_async::<i64>(&mut conn).await.unwrap(), 15);
}

#[tokio::test]
async fn a_scan_walks_every_key() {
    let (_server, pool) = setup();
    let mut conn = pool.conn();
    let mut pipeline = redis::pipe();
    for n in 0..2_000 {
        pipeline.set(format!("key:{n}"), n).ignore();
    }
    pipeline.exec_async(&mut conn).await.unwrap();
    let mut keys: AsyncIter<'_, String> = conn.scan_match("key:*").await.unwrap();
    let mut seen = std::collections::BTreeSet::new();
    while let Some(key) = keys.next_item().await {
        seen.insert(key.unwrap());
    }
    assert_eq!(seen.len(), 2_000);
}

#[tokio::test]
async fn a_transaction_with_a_fault_runs_nothing_and_the_error_names_the_fault() {
    let (_server, pool) = setup();
    let mut conn = pool.conn();
    let mut pipeline = redis::pipe();
    pipeline.atomic().set("a", 1).cmd("NOSUCHCOMMAND").arg("x");
    let error = pipeline.query_async::<Value>(&mut conn).await.unwrap_err();
    assert_eq!(error.code(), Some("EXECABORT"));
    assert!(error.to_string().contains("NOSUCHCOMMAND"), "{error}");
    assert_eq!(conn.get::<_, Option<i64>>("a").await.unwrap(), None);
}

#[tokio::test]
async fn a_command_whose_reply_nobody_wants_is_sent_and_shifts_nothing() {
    let (_server, pool) = setup();
    let mut conn = pool.conn();
    let mut quiet = redis::cmd("INCR");
    quiet.arg("quiet").set_no_response(true);
    for _ in 0..100 {
        assert_eq!(quiet.query_async::<Value>(&mut conn).await.unwrap(), Value::Nil);
        assert_eq!(redis::cmd("ECHO").arg("x").query_async::<String>(&mut conn).await.unwrap(), "x");
    }
    assert_eq!(conn.get::<_, i64>("quiet").await.unwrap(), 100);
}

#[tokio::test]
async fn a_dedicated_connection_dropped_mid_command_is_never_handed_out_again() {
    let (server, pool) = setup();
    let mut conn = pool.dedicated().await.unwrap();
    let id: i64 = redis::cmd("CLIENT").arg("ID").query_async(&mut conn).await.unwrap();
    let blocked = conn.blpop::<_, Value>("never", 0.0);
    tokio::select! {
        result = blocked => panic!("answered: {result:?}"),
        () = cenote_testkit::eventually_async(Duration::from_secs(5), "BLPOP is under way", || async {
            server.observer().info("blocked_clients") == "1"
        }) => {}
    }
    drop(conn);
    for _ in 0..50 {
        let mut next = pool.dedicated().await.unwrap();
        let other: i64 = redis::cmd("CLIENT").arg("ID").query_async(&mut next).await.unwrap();
        assert_ne!(other, id);
    }
    cenote_testkit::eventually(Duration::from_secs(5), "the server has let it go", || {
        !server.observer().client_ids().contains(&(id as u64))
    });
}

#[tokio::test]
async fn a_dedicated_connection_comes_back_clean_to_its_next_holder() {
    let (_server, pool) = setup();
    let mut first = pool.dedicated().await.unwrap();
    let id: i64 = redis::cmd("CLIENT").arg("ID").query_async(&mut first).await.unwrap();
    redis::cmd("SELECT").arg(5).exec_async(&mut first).await.unwrap();
    redis::cmd("WATCH").arg("k").exec_async(&mut first).await.unwrap();
    redis::cmd("MULTI").exec_async(&mut first).await.unwrap();
    drop(first);
    let mut second = pool.dedicated().await.unwrap();
    let same: i64 = redis::cmd("CLIENT").arg("ID").query_async(&mut second).await.unwrap();
    assert_eq!(same, id, "a finished connection is used again");
    let info: String = redis::cmd("CLIENT").arg("INFO").query_async(&mut second).await.unwrap();
    assert!(info.contains(" db=0 ") && info.contains(" multi=-1 ") && info.contains(" resp=3"), "{info}");
}

#[tokio::test]
async fn a_blocking_command_has_its_own_timeout_on_top_of_the_limit() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).socket_timeout(Duration::from_millis(200)).build().unwrap();
    let mut conn = pool.dedicated().await.unwrap();
    let began = Instant::now();
    let nothing: Option<(String, String)> = conn.blpop("empty", 0.6).await.unwrap();
    assert_eq!(nothing, None);
    assert!(began.elapsed() >= Duration::from_millis(600));
}

#[tokio::test]
async fn what_an_exclusive_connection_cannot_carry_is_refused() {
    let (_server, pool) = setup();
    let mut conn = pool.dedicated().await.unwrap();
    for (name, instead) in
        [("SUBSCRIBE", "pool.subscriber()"), ("monitor", "dedicated_io()"), ("PSYNC", "dedicated_io()")]
    {
        let error = redis::cmd(name).arg("x").exec_async(&mut conn).await.unwrap_err();
        let error = Error::from_redis(&error).unwrap();
        assert_eq!(error.outcome(), Outcome::NotSent);
        assert!(error.to_string().contains(instead), "{error}");
    }
    assert_eq!(redis::cmd("PING").query_async::<String>(&mut conn).await.unwrap(), "PONG");
}

#[tokio::test]
async fn whoever_waits_in_vain_is_told_how_long_and_who_holds_what() {
    let server = Server::start();
    let pool = Pool::builder()
        .url(server.url())
        .max_connections(3)
        .socket_timeout(Duration::from_millis(150))
        .build()
        .unwrap();
    let _one = pool.dedicated().await.unwrap();
    let _two = pool.dedicated().await.unwrap();
    let error = pool.dedicated().await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    let text = error.to_string();
    for part in ["waited 0.1", "2 exclusive connections", "in use: 2", file!()] {
        assert!(text.contains(part), "{part} is missing from: {text}");
    }
    // The shared connection still has its place.
    let () = within(Duration::from_secs(2), pool.conn().set("k", 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_concurrent_increments_by_watch_add_up() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).socket_timeout(Duration::from_secs(60)).build().unwrap();
    let tasks: Vec<_> = (0..1_000)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                pool.transaction::<_, (i64,), _>(&["n"], async |conn, pipe| {
                    let n: i64 = conn.get::<_, Option<i64>>("n").await?.unwrap_or(0);
                    pipe.set("n", n + 1).ignore().get("n");
                    Ok(())
                })
                .await
            })
        })
        .collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap().unwrap().0);
    }
    results.sort_unstable();
    assert_eq!(results, (1..=1_000).collect::<Vec<i64>>(), "each increment saw its own");
}

#[tokio::test]
async fn a_raw_stream_carries_another_client_within_the_budget() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).close_timeout(Duration::from_millis(50)).build().unwrap();
    let stream = pool.dedicated_io().await.unwrap();
    let info: &'static _ = Box::leak(Box::new(stream.connection_info().clone()));
    let (mut other, driver) = redis::aio::MultiplexedConnection::new(info, stream).await.unwrap();
    let driver = tokio::spawn(driver);
    let () = other.set("raw", 1).await.unwrap();
    assert_eq!(pool.status().connections_in_use, 1);
    pool.close().await;
    assert!(other.get::<_, i64>("raw").await.is_err(), "closing the pool ends it");
    drop(other);
    let _ = driver.await;
    cenote_testkit::eventually(Duration::from_secs(5), "no connection is left", || {
        server.observer().client_count() == 0
    });
}
