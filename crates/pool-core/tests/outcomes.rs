//! What a caller is told became of its command, and what the pool makes of a server's refusals.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cenote_pool_core::{Error, Outcome, Pool, PoolConfig, State};
use cenote_testkit::{Answer, Canned, Proxy, Server, eventually_async, within};
use redis::{AsyncCommands, Value};

const SOON: Duration = Duration::from_secs(5);
const GREETING: &[u8] = b"%1\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n+PONG\r\n$-1\r\n$-1\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_ran_is_not_called_unsent_because_its_retry_could_not_dial() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = Pool::builder().url(proxy.url()).shared_connections(1).build().unwrap();
    pool.start().await.unwrap();
    proxy.stall_replies();
    let mut conn = pool.conn();
    let call = tokio::spawn(async move { conn.get::<_, Option<i64>>("k").await });
    let observer = server.observer();
    eventually_async(SOON, "the GET ran", || async { observer.calls("get") == 1 }).await;
    proxy.refuse_after_accept(true);
    proxy.cut();
    let error = within(SOON, call).await.unwrap().unwrap_err();
    let error = Error::from_redis(&error).expect("the pool's own error");
    assert_eq!(error.outcome(), Outcome::MayHaveExecuted, "{error}");
    assert_eq!(observer.calls("get"), 1, "no retry got through");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_reply_that_came_whole_before_the_connection_ended_reaches_its_caller_and_no_other_does() {
    const CALLS: usize = 20;
    // `:1` and the end of the line.
    const REPLY: usize = 4;
    for (whole, torn) in [(13, 0), (13, 2), (0, 3), (CALLS - 1, 1)] {
        let server = Server::start();
        let proxy = Proxy::to(&server);
        let pool = Pool::builder().url(proxy.url()).shared_connections(1).build().unwrap();
        pool.start().await.unwrap();
        proxy.stall_replies();
        let calls: Vec<_> = (0..CALLS)
            .map(|id| {
                let mut conn = pool.conn();
                tokio::spawn(async move { conn.sadd::<_, _, i64>("ids", id).await })
            })
            .collect();
        eventually_async(SOON, "all ran", || async { proxy.held_replies() == CALLS * REPLY }).await;
        proxy.truncate_reply_after(whole * REPLY + torn);
        proxy.release();
        let mut answered = 0;
        for call in calls {
            match within(SOON, call).await.unwrap() {
                Ok(added) => answered += added as usize,
                Err(error) => {
                    let error = Error::from_redis(&error).expect("the pool's own error");
                    assert_eq!(error.outcome(), Outcome::MayHaveExecuted, "{error}");
                }
            }
        }
        assert_eq!(answered, whole, "of {CALLS}, and {torn} bytes more");
        let ids: usize = server.observer().get(&["SCARD", "ids"]);
        assert_eq!((ids, server.observer().calls("sadd")), (CALLS, CALLS as u64), "none was sent again");
    }
}

#[tokio::test]
async fn an_exclusive_connection_that_does_not_come_in_time_is_told_with_address_and_limit() {
    let mute = Canned::answering(|_, _| Answer::Silence);
    let builder = Pool::builder().url(mute.url()).connect_timeout(Duration::from_secs(60));
    let pool = builder.socket_timeout(Duration::from_millis(50)).build().unwrap();
    let error = pool.dedicated().await.unwrap_err();
    assert!(error.is_timeout() && error.outcome() == Outcome::NotSent, "{error:?}");
    let url = pool.status().url;
    let told = format!(
        "an exclusive connection to Redis at {url} reached its limit of 50ms (REDIS_SOCKET_TIMEOUT): waiting for a \
         connection (the command was not sent)"
    );
    assert_eq!(error.to_string(), told);
}

#[tokio::test]
async fn a_refused_multi_is_not_called_a_discarded_transaction() {
    let server = Server::builder().arg("user", "app on >pw ~* +@all -multi").start();
    let pool = Pool::builder().url(format!("redis://app:pw@{}/0", server.addr())).build().unwrap();
    let mut conn = pool.conn();
    let error = redis::pipe().atomic().incr("n", 1).query_async::<Value>(&mut conn).await.unwrap_err();
    assert_ne!(error.code(), Some("EXECABORT"), "{error}");
    assert!(error.to_string().contains("MULTI was refused"), "{error}");
    assert!(!error.to_string().contains("discarded"), "{error}");
    assert_eq!(server.observer().get::<Option<i64>>(&["GET", "n"]), Some(1), "it ran, alone");
}

/// Greets, answers the PING before a GET, and closes instead of answering the GET itself.
fn closing_on_each_get(gets: Arc<AtomicUsize>) -> Canned {
    Canned::answering(move |turn, bytes| {
        if turn == 0 {
            return Answer::Send(GREETING.to_vec());
        }
        gets.fetch_add(String::from_utf8_lossy(bytes).matches("GET\r\n").count(), Ordering::SeqCst);
        Answer::SendAndClose(b"+PONG\r\n".to_vec())
    })
}

#[tokio::test]
async fn a_read_is_tried_again_as_often_as_was_configured() {
    for retries in [0, 1, 2, 5] {
        let gets = Arc::new(AtomicUsize::new(0));
        let canned = closing_on_each_get(gets.clone());
        let pool =
            Pool::builder().url(canned.url()).shared_connections(1).max_retries(retries).build().unwrap();
        let mut conn = pool.conn();
        let mut reads = redis::pipe();
        reads.cmd("PING").cmd("GET").arg("k");
        let error = within(SOON, reads.query_async::<Value>(&mut conn)).await.unwrap_err();
        let error = Error::from_redis(&error).expect("the pool's own error");
        assert_eq!(error.outcome(), Outcome::MayHaveExecuted, "{error}");
        assert_eq!(gets.load(Ordering::SeqCst), 1 + retries as usize, "{retries} retries: {error}");
    }
}

#[tokio::test]
async fn a_lost_login_makes_a_new_connection_and_no_more_than_one_a_second() {
    let canned = Canned::answering(|turn, bytes| {
        let commands = String::from_utf8_lossy(bytes).matches("GET\r\n").count();
        Answer::Send(if turn == 0 {
            GREETING.to_vec()
        } else {
            "-NOAUTH Authentication required.\r\n".repeat(commands).into_bytes()
        })
    });
    let pool = Pool::builder().url(canned.url()).shared_connections(1).build().unwrap();
    let began = Instant::now();
    let ask = || async {
        let error = within(SOON, pool.conn().get::<_, Option<i64>>("k")).await.unwrap_err();
        assert_eq!(error.code(), Some("NOAUTH"), "{error}");
    };
    for _ in 0..200 {
        ask().await;
    }
    let (accepted, seconds) = (canned.accepted(), began.elapsed().as_secs() as usize);
    assert!(accepted >= 2, "another connection is tried");
    assert!(accepted <= 2 + seconds, "{accepted} connections in {seconds} s");
}

#[tokio::test]
async fn a_reply_longer_than_was_allowed_is_refused() {
    let server = Server::start();
    for (key, length) in [("short", 100), ("long", 200)] {
        server.observer().command(&["SET", key, &"x".repeat(length)]).unwrap();
    }
    let mut config = PoolConfig::default();
    config.url = server.url();
    config.max_reply_bytes = 100;
    config.max_retries = 0;
    let pool = Pool::builder().config(config).build().unwrap();
    let mut conn = pool.conn();
    assert_eq!(conn.get::<_, String>("short").await.unwrap().len(), 100);
    let error = within(SOON, conn.get::<_, String>("long")).await.unwrap_err();
    let error = Error::from_redis(&error).expect("the pool's own error");
    assert!(error.to_string().contains("200 bytes"), "{error}");
}

#[tokio::test]
async fn a_user_that_may_not_even_ping_is_served() {
    let server = Server::builder().arg("user", "app on >pw ~* +@read +@write").start();
    let url = format!("redis://app:pw@{}/0", server.addr());
    let pool = Pool::builder().url(url).required(true).build().unwrap();
    assert_eq!(within(SOON, pool.start()).await.unwrap(), State::Ready);
    let () = pool.conn().set("k", 1).await.unwrap();
    let mut held = pool.dedicated().await.unwrap();
    assert_eq!(held.get::<_, i64>("k").await.unwrap(), 1);
}
