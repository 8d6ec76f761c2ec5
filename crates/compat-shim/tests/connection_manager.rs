//! A program for redis-rs' ConnectionManager: its first `use` is the only line that was changed.
#![cfg(feature = "connection-manager")]
#![allow(deprecated, reason = "what is deprecated is what is tested")]
#![allow(clippy::disallowed_methods, reason = "a program for redis-rs opens its client itself")]

use cenote_compat_shim::connection_manager as redis;

use std::time::Duration;

use cenote_testkit::{Server, within};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands, Client, PushKind, RedisResult, pipe};

const SOON: Duration = Duration::from_secs(10);

async fn visit(mut manager: ConnectionManager) -> RedisResult<i64> {
    manager.incr("visits", 1).await
}

fn client(server: &Server) -> Client {
    Client::open(server.url().as_str()).unwrap()
}

#[tokio::test]
async fn it_serves_everybody_over_few_connections_and_finds_the_server_again() {
    let server = Server::builder().persistent().start();
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(5)))
        .set_response_timeout(Some(Duration::from_secs(5)))
        .set_number_of_retries(3)
        .set_min_delay(Duration::from_millis(10))
        .set_max_delay(Duration::from_millis(100));
    let mut manager = ConnectionManager::new_with_config(client(&server), config).await.unwrap();
    let tasks: Vec<_> = (0..50).map(|_| tokio::spawn(visit(manager.clone()))).collect();
    let mut seen = Vec::new();
    for task in tasks {
        seen.push(task.await.unwrap().unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=50).collect::<Vec<_>>());
    assert!(server.observer().client_count() <= 5);
    let (a, b): (i64, i64) =
        pipe().atomic().incr("n", 1).incr("n", 1).query_async(&mut manager).await.unwrap();
    assert_eq!((a, b), (1, 2));
    server.kill();
    let away = manager.get::<_, i64>("n").await.unwrap_err();
    assert!(away.is_io_error(), "{away}");
    server.restart();
    let again = || {
        let mut manager = manager.clone();
        async move { manager.get::<_, i64>("n").await == Ok(2) }
    };
    cenote_testkit::eventually_async(SOON, "it is back", again).await;
}

#[tokio::test]
async fn what_blocks_has_a_connection_of_its_own() {
    let server = Server::start();
    let config = ConnectionManagerConfig::new().set_response_timeout(Some(Duration::from_secs(5)));
    let manager = ConnectionManager::new_with_config(client(&server), config).await.unwrap();
    let mut blocked = manager.clone();
    let pop = tokio::spawn(async move { blocked.blpop::<_, (String, String)>("list", 0.0).await });
    let observer = server.observer();
    eventually_blocked(&observer).await;
    assert_eq!(visit(manager.clone()).await.unwrap(), 1, "nobody else waits");
    let () = manager.clone().rpush("list", "x").await.unwrap();
    assert_eq!(within(SOON, pop).await.unwrap().unwrap().1, "x");
}

async fn eventually_blocked(observer: &cenote_testkit::Observer) {
    let blocked = || async { observer.info("blocked_clients") == "1" };
    cenote_testkit::eventually_async(SOON, "it blocks", blocked).await;
}

#[tokio::test]
async fn what_is_published_goes_to_the_push_sender() {
    let server = Server::start();
    let (sender, mut pushes) = tokio::sync::mpsc::unbounded_channel();
    let config = ConnectionManagerConfig::new().set_push_sender(sender).set_automatic_resubscription();
    let mut manager = ConnectionManager::new_with_config(client(&server), config).await.unwrap();
    manager.subscribe("news").await.unwrap();
    manager.psubscribe("w*r").await.unwrap();
    let () = manager.publish("news", "a").await.unwrap();
    let push = within(SOON, pushes.recv()).await.unwrap();
    assert_eq!(push.kind, PushKind::Message);
    let (channel, payload): (String, String) =
        redis::from_redis_value(redis::Value::Array(push.data)).unwrap();
    assert_eq!((channel.as_str(), payload.as_str()), ("news", "a"));
    let () = manager.publish("weather", "b").await.unwrap();
    assert_eq!(within(SOON, pushes.recv()).await.unwrap().kind, PushKind::PMessage);
    manager.unsubscribe("news").await.unwrap();
    let observer = server.observer();
    let gone = || async { observer.get::<(String, i64)>(&["PUBSUB", "NUMSUB", "news"]).1 == 0 };
    cenote_testkit::eventually_async(SOON, "the subscription has ended", gone).await;
}

#[tokio::test]
async fn an_absent_server_is_an_error_at_once_unless_it_is_lazy() {
    let url = format!("redis://{}", cenote_testkit::dead_port());
    let error = within(SOON, ConnectionManager::new(Client::open(url.as_str()).unwrap())).await.unwrap_err();
    assert!(error.is_io_error(), "{error}");
    let config = ConnectionManagerConfig::new();
    let lazy = ConnectionManager::new_lazy_with_config(Client::open(url.as_str()).unwrap(), config).unwrap();
    assert!(visit(lazy).await.is_err());
}
