//! TLS against a real server, and each way in which it can fail told apart.

#![cfg(feature = "tls")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cenote_pool_core::redis::{self, AsyncCommands};
use cenote_pool_core::{Error, Pool, PoolBuilder};
use cenote_testkit::{Answer, Authority, Canned, Proxy, Server, eventually, eventually_async, within};

const SOON: Duration = Duration::from_secs(30);

fn server(authority: &Authority) -> Server {
    Server::builder().tls(authority, &authority.issue("127.0.0.1"), false).start()
}

/// Of a pool that trusts `authority` and dials the server's TLS port.
fn builder(server: &Server, authority: &Authority) -> PoolBuilder {
    Pool::builder().url(format!("rediss://{}/0", server.tls_addr())).tls_ca_file(authority.ca_file())
}

/// Why nothing can be asked.
async fn refused(builder: PoolBuilder) -> String {
    let pool = builder.build().unwrap();
    let error = within(SOON, pool.conn().ping::<String>()).await.unwrap_err();
    let error = Error::from_redis(&error).expect("an error of the pool").clone();
    assert!(error.is_unavailable(), "{error}");
    error.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_connection_works_over_tls() {
    let authority = Authority::new();
    let server = server(&authority);
    let pool = builder(&server, &authority).build().unwrap();
    let mut conn = pool.conn();
    let () = conn.set("k", "v").await.unwrap();
    let (one, two): (String, i64) = redis::pipe().get("k").incr("n", 2).query_async(&mut conn).await.unwrap();
    assert_eq!((one.as_str(), two), ("v", 2));

    let mut exclusive = pool.dedicated().await.unwrap();
    let popped: Option<(String, String)> = exclusive.blpop("none", 0.05).await.unwrap();
    assert_eq!(popped, None);
    drop(exclusive);

    let mut subscriber = pool.subscriber();
    subscriber.subscribe("news").await.unwrap();
    let () = conn.publish("news", "hello").await.unwrap();
    let event = within(SOON, subscriber.next()).await;
    assert!(
        matches!(event, Some(cenote_pool_core::Event::Message(message)) if message.payload() == b"hello")
    );

    assert_eq!(pool.status().url, format!("rediss://{}/0", server.tls_addr()));
    pool.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_fill_every_buffer_on_the_way_arrive_whole() {
    let authority = Authority::new();
    let server = server(&authority);
    let pool = builder(&server, &authority).shared_connections(1).build().unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..40_u32 {
        let mut conn = pool.conn();
        tasks.spawn(async move {
            let value = number.to_le_bytes().repeat(if number % 4 == 0 { 250_000 } else { 50 });
            let () = conn.set(number, &value).await.unwrap();
            assert!(conn.get::<_, Vec<u8>>(number).await.unwrap() == value, "{number}");
        });
    }
    within(SOON, tasks.join_all()).await;
}

#[tokio::test]
async fn the_command_after_a_server_side_close_succeeds_even_a_write() {
    let authority = Authority::new();
    let server = server(&authority);
    let pool = builder(&server, &authority).shared_connections(1).build().unwrap();
    let mut conn = pool.conn();
    for n in 1..=20 {
        // What may have been executed is not sent again: written to a connection that had ended, it would fail.
        assert_eq!(conn.incr::<_, _, i64>("n", 1).await.unwrap(), n);
        let began = Instant::now();
        server.observer().get::<i64>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        // This thread's runtime, blocked meanwhile, has not noticed.
        eventually(SOON, "the server has let go of us, a moment ago", || {
            server.observer().client_count() == 0 && began.elapsed() > Duration::from_millis(2)
        });
    }
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let (known, other) = (Authority::new(), Authority::new());
    let server = server(&known);
    let why = refused(builder(&server, &other)).await;
    assert!(why.contains("nobody who is trusted here") && why.contains("REDIS_TLS_CA_FILE"), "{why}");
    // Neither does the platform vouch for it, which is asked when no file is given.
    let why = refused(Pool::builder().url(format!("rediss://{}", server.tls_addr()))).await;
    assert!(why.contains("nobody who is trusted here") || why.contains("no root certificate"), "{why}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let authority = Authority::new();
    let expired = authority.issue_expired("127.0.0.1");
    let server = Server::builder().tls(&authority, &expired, false).start();
    let why = refused(builder(&server, &authority)).await;
    assert!(why.contains("has expired"), "{why}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_unless_that_name_is_given() {
    let authority = Authority::new();
    let server = Server::builder().tls(&authority, &authority.issue("cache.internal"), false).start();
    let why = refused(builder(&server, &authority)).await;
    assert!(why.contains("another name") && why.contains("cache.internal"), "{why}");
    let pool = builder(&server, &authority).tls_server_name("cache.internal").build().unwrap();
    assert_eq!(pool.conn().ping::<String>().await.unwrap(), "PONG");
}

#[tokio::test]
async fn the_name_is_sent_ahead_for_a_server_that_has_several() {
    let authority = Authority::new();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    let peer = Canned::answering(move |_, bytes| {
        hears.lock().unwrap().extend_from_slice(bytes);
        Answer::Close
    });
    let url = format!("rediss://{}", peer.addr());
    let builder = Pool::builder().url(url).tls_ca_file(authority.ca_file());
    refused(builder.tls_server_name("cache.internal")).await;
    let name = b"cache.internal";
    assert!(heard.lock().unwrap().windows(name.len()).any(|bytes| bytes == name));
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_is_shown_ours_or_says_what_is_missing() {
    let authority = Authority::new();
    let server = Server::builder().tls(&authority, &authority.issue("127.0.0.1"), true).start();
    let why = refused(builder(&server, &authority)).await;
    assert!(why.contains("REDIS_TLS_CERT_FILE"), "{why}");
    let ours = authority.issue("client");
    let pool = builder(&server, &authority).tls_identity(ours.cert_file, ours.key_file).build().unwrap();
    assert_eq!(pool.conn().ping::<String>().await.unwrap(), "PONG");
}

#[tokio::test]
async fn a_plain_port_and_a_tls_port_are_told_apart() {
    let authority = Authority::new();
    let server = server(&authority);
    let url = format!("rediss://{}", server.addr());
    let limit = Duration::from_millis(500);
    let why = refused(Pool::builder().url(url).tls_ca_file(authority.ca_file()).connect_timeout(limit)).await;
    assert!(why.contains("TLS") && why.contains("redis://"), "{why}");

    let why = refused(Pool::builder().url(format!("redis://{}", server.tls_addr()))).await;
    assert!(why.contains("rediss://"), "{why}");
}

#[test]
fn files_that_cannot_be_used_are_told_when_the_pool_is_built() {
    let authority = Authority::new();
    let (one, other) = (authority.issue("one"), authority.issue("other"));
    let builder = || Pool::builder().url("rediss://cache").tls_ca_file(authority.ca_file());
    let told = |builder: PoolBuilder| {
        let error = builder.build().unwrap_err();
        assert!(error.is_config(), "{error}");
        error.to_string()
    };
    let why = told(builder().tls_ca_file("/nowhere/ca.pem"));
    assert!(why.contains("REDIS_TLS_CA_FILE is /nowhere/ca.pem") && why.contains("No such file"), "{why}");
    let why = told(builder().tls_ca_file(&one.key_file));
    assert!(why.contains("REDIS_TLS_CA_FILE") && why.contains("it has none"), "{why}");
    let why = told(builder().tls_identity(&one.cert_file, &other.key_file));
    assert!(why.contains("REDIS_TLS_KEY_FILE") && why.contains("REDIS_TLS_CERT_FILE"), "{why}");
    let why = told(builder().tls_server_name("no name"));
    assert!(why.contains("REDIS_TLS_SERVER_NAME") && why.contains("DNS name"), "{why}");
    let why = told(builder().url("redis://cache"));
    assert!(why.contains("REDIS_TLS_CA_FILE") && why.contains("rediss://"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_says_of_a_connection_that_the_pool_ends_is_no_loss() {
    let authority = Authority::new();
    let server = server(&authority);
    for _ in 0..20 {
        let pool = builder(&server, &authority).build().unwrap();
        pool.subscriber().subscribe("news").await.unwrap();
        within(SOON, pool.close()).await;
        eventually_async(SOON, "its connection is gone", || async { pool.status().connections_in_use == 0 })
            .await;
        // Its task has its turn.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.status().last_error, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_is_made_again_and_its_write_not_repeated() {
    let authority = Authority::new();
    let server = server(&authority);
    let proxy = Proxy::start(server.tls_addr());
    let url = format!("rediss://{}", proxy.addr());
    let pool = Pool::builder().url(url).tls_ca_file(authority.ca_file()).build().unwrap();
    let mut conn = pool.conn();
    assert_eq!(conn.incr::<_, _, i64>("n", 1).await.unwrap(), 1);
    proxy.cut_next_reply();
    let error = within(SOON, conn.incr::<_, _, i64>("n", 1)).await.unwrap_err();
    let outcome = Error::from_redis(&error).expect("an error of the pool").outcome();
    assert_eq!(outcome, cenote_pool_core::Outcome::MayHaveExecuted);
    assert_eq!(within(SOON, conn.get::<_, i64>("n")).await.unwrap(), 2);
    server.kill();
    assert!(within(SOON, conn.get::<_, i64>("n")).await.is_err());
    server.restart();
    eventually_async(SOON, "it answers again", async || pool.conn().ping::<String>().await.is_ok()).await;
}
