//! What is wrong is said clearly, and nothing else happens.

use std::time::Duration;

use cenote_pool_core::{Error, Pool, PoolConfig, State};
use cenote_testkit::{Answer, Canned, Server, within};
use redis::AsyncCommands;

fn build_error(url: &str) -> String {
    let error = Pool::builder().url(url).build().unwrap_err();
    assert!(error.is_config(), "{error}");
    error.to_string()
}

#[test]
fn a_url_that_cannot_be_used_is_a_configuration_error_that_says_what_would_be_right() {
    for (url, right) in [
        ("not a url", "redis://[user:password@]host"),
        ("localhost:6379", "scheme"),
        ("http://localhost", "scheme"),
        #[cfg(not(feature = "tls"))]
        ("rediss://localhost", "the feature `tls`"),
        ("redis+sentinel://a:1,b:2", "master name"),
        ("redis+sentinel:///main", "hosts is missing"),
        ("redis+sentinel://a:1,b:70000/main", "1 to 65535"),
        ("redis://localhost:0", "1 to 65535"),
        ("redis://localhost:70000", "1 to 65535"),
        ("redis://localhost/-1", "database number of 0 or more"),
        ("redis://localhost/zero", "database number of 0 or more"),
        ("redis://", "host"),
        ("unix://relative", "three slashes"),
    ] {
        let text = build_error(url);
        assert!(text.contains("REDIS_URL") && text.contains(right), "{url}: {text}");
    }
}

#[test]
fn settings_that_cannot_be_used_are_named_all_at_once() {
    let error = Pool::builder()
        .url("redis://localhost:70000")
        .max_connections(0)
        .socket_timeout(Duration::ZERO)
        .connect_timeout(Duration::from_secs(1_000_000))
        .build()
        .unwrap_err();
    let text = error.to_string();
    for part in
        ["REDIS_URL", "REDIS_MAX_CONNECTIONS is 0", "REDIS_SOCKET_TIMEOUT is 0 s", "REDIS_CONNECT_TIMEOUT"]
    {
        assert!(text.contains(part), "{part} is missing from: {text}");
    }
}

#[test]
fn a_pool_without_redis_and_without_a_fallback_says_what_to_add() {
    let text = Pool::builder().enabled(false).build().unwrap_err().to_string();
    assert!(text.contains("REDIS_ENABLED") && text.contains(".fallback("), "{text}");
}

#[test]
fn redis_cannot_be_required_and_disabled() {
    let text = Pool::builder().enabled(false).required(true).build().unwrap_err().to_string();
    assert!(
        text.contains("REDIS_REQUIRED is true, but must be false while REDIS_ENABLED is false"),
        "{text}"
    );
}

#[test]
fn a_configuration_file_with_a_bad_value_says_which() {
    let parse = |json: &str| serde_json::from_str::<PoolConfig>(json);
    let good = parse(r#"{"url": "redis://cache/1", "socket_timeout": 0.5, "max_connections": 3}"#).unwrap();
    assert_eq!(good.socket_timeout, Duration::from_millis(500));
    assert!(parse(r#"{"socket_timeout": -1}"#).unwrap_err().to_string().contains("seconds above 0"));
    assert!(parse(r#"{"sokcet_timeout": 1}"#).unwrap_err().to_string().contains("unknown field"));
}

async fn start_error(url: &str) -> Error {
    let pool =
        Pool::builder().url(url).required(true).connect_timeout(Duration::from_millis(500)).build().unwrap();
    within(Duration::from_secs(5), pool.start()).await.unwrap_err()
}

#[tokio::test]
async fn a_wrong_password_is_named_and_the_pool_recovers_once_it_is_right() {
    let server = Server::builder().password("right").start();
    let url = format!("redis://:wrong@{}/0", server.addr());
    let error = start_error(&url).await;
    assert!(error.to_string().contains("WRONGPASS") && !error.to_string().contains("wrong@"), "{error}");
    assert_eq!(error.server_error().and_then(redis::RedisError::code), Some("WRONGPASS"));
    let none = start_error(&format!("redis://{}/0", server.addr())).await;
    assert!(none.to_string().contains("NOAUTH"), "{none}");

    let pool = Pool::builder().url(url).build().unwrap();
    assert!(matches!(pool.start().await.unwrap(), State::Degraded { .. }));
    server.observer().command(&["CONFIG", "SET", "requirepass", "wrong"]).unwrap();
    let mut states = pool.state_changes();
    within(Duration::from_secs(3), states.wait_for(|state| *state == State::Ready)).await.unwrap();
    let () = pool.conn().set("k", "v").await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named() {
    let server = Server::start();
    let error = start_error(&format!("redis://{}/999", server.addr())).await;
    assert!(error.to_string().contains("DB index"), "{error}");
}

#[tokio::test]
async fn an_http_server_is_recognised() {
    let http = Canned::http();
    let error = start_error(&http.url()).await;
    assert!(error.to_string().contains("is this a Redis server?"), "{error}");
}

#[tokio::test]
async fn garbage_in_place_of_a_greeting_is_an_error_and_nothing_else() {
    let nested = b"*1\r\n".repeat(10_000);
    let cases: [(&[u8], &str); 6] = [
        (b"$2147483648\r\n", "2147483648 bytes"),
        (&nested, "levels of nesting"),
        (b"*99999999999\r\n", "elements"),
        (b":12x\r\n", "integer"),
        (b"$3\r\nabcd\r\n", "string end"),
        (b"\x16\x03\x01\x02\x00", "0x16"),
    ];
    for (bytes, reason) in cases {
        let canned = Canned::replying(bytes);
        let error = start_error(&canned.url()).await;
        assert!(error.to_string().contains(reason), "{reason}: {error}");
    }
}

/// Greets like a server, then answers every command with `bytes`.
fn well_behaved_at_first(bytes: &'static [u8]) -> Canned {
    Canned::answering(move |turn, _| {
        if turn == 0 {
            Answer::Send(b"%1\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n+PONG\r\n$-1\r\n$-1\r\n".to_vec())
        } else {
            Answer::Send(bytes.to_vec())
        }
    })
}

#[tokio::test]
async fn garbage_in_place_of_a_reply_fails_the_call_and_ends_that_connection_only() {
    let cases: [(&'static [u8], &str); 4] = [
        (b"$2147483648\r\n", "2147483648 bytes"),
        (b"garbage\r\n", "is this a Redis server?"),
        (b":1\r\n:2\r\n:3\r\n", ""),
        (b"*2\r\n$1\r\nx\r\n!x\r\n", "integer"),
    ];
    for (bytes, reason) in cases {
        let canned = well_behaved_at_first(bytes);
        let pool = Pool::builder().url(canned.url()).max_retries(0).build().unwrap();
        let mut conn = pool.conn().with_timeout(Duration::from_secs(2));
        let answer = within(Duration::from_secs(5), conn.incr::<_, _, i64>("n", 1)).await;
        if reason.is_empty() {
            // One reply too many: the first was rightly ours, the connection is not to be trusted any more.
            assert_eq!(answer.unwrap(), 1);
            cenote_testkit::eventually_async(
                Duration::from_secs(5),
                "the connection is given up",
                || async {
                    pool.status().last_error.is_some_and(|error| error.contains("no command was waiting"))
                },
            )
            .await;
        } else {
            let error = answer.unwrap_err();
            assert!(error.to_string().contains(reason), "{reason}: {error}");
        }
    }
}
