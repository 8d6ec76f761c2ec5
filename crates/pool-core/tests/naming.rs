//! What connections are called in the server's list.

use std::time::Duration;

use cenote_pool_core::{Pool, PoolBuilder};
use cenote_testkit::{Server, eventually_async};
use redis::AsyncCommands;

const SOON: Duration = Duration::from_secs(30);

fn names(server: &Server) -> Vec<String> {
    server
        .observer()
        .clients()
        .into_iter()
        .map(|mut client| client.remove("name").unwrap_or_default())
        .collect()
}

async fn use_each_kind(builder: PoolBuilder, server: &Server) -> (Pool, Vec<String>) {
    let pool = builder.shared_connections(1).build().unwrap();
    let mut subscriber = pool.subscriber();
    subscriber.subscribe("n").await.unwrap();
    pool.conn().ping::<()>().await.unwrap();
    let _held = pool.dedicated().await.unwrap();
    eventually_async(SOON, "there is one of each kind", || async { names(server).len() == 3 }).await;
    let names = names(server);
    (pool, names)
}

#[tokio::test]
async fn each_connection_has_the_name_also_after_a_reset() {
    let server = Server::start();
    for protocol in ["resp2", "resp3"] {
        let url = format!("{}?protocol={protocol}", server.url());
        let (pool, names_seen) = use_each_kind(Pool::builder().url(url).client_name("shop-1"), &server).await;
        assert_eq!(names_seen, ["shop-1"; 3]);
        let mut held = pool.dedicated().await.unwrap();
        let own = redis::cmd("CLIENT").arg("ID").clone();
        let id: u64 = own.query_async(&mut held).await.unwrap();
        redis::cmd("CLIENT").arg(&["SETNAME", "mine"]).exec_async(&mut held).await.unwrap();
        drop(held);
        let mut held = pool.dedicated().await.unwrap();
        assert_eq!(own.query_async::<u64>(&mut held).await.unwrap(), id, "it was reset, and not replaced");
        let name: String = redis::cmd("CLIENT").arg("GETNAME").query_async(&mut held).await.unwrap();
        assert_eq!(name, "shop-1");
        drop(held);
        pool.close().await;
        eventually_async(SOON, "all are gone", || async { names(&server).is_empty() }).await;
    }
}

#[tokio::test]
async fn without_a_name_nothing_is_said_of_us() {
    let server = Server::start();
    let (_pool, names) = use_each_kind(Pool::builder().url(server.url()), &server).await;
    assert_eq!(names, [""; 3]);
    assert_eq!(server.observer().calls("client|setinfo"), 0);
}

#[tokio::test]
async fn a_user_who_may_not_be_named_is_let_in_all_the_same_and_reset_like_others() {
    let server = Server::builder().arg("user", "app on >secret ~* &* +@all -client|setname").start();
    let url = format!("redis://app:secret@{}", server.addr());
    let (pool, names) = use_each_kind(Pool::builder().url(url).client_name("shop-1"), &server).await;
    assert_eq!(names, [""; 3]);
    let mut held = pool.dedicated().await.unwrap();
    let own = redis::cmd("CLIENT").arg("ID").clone();
    let id: u64 = own.query_async(&mut held).await.unwrap();
    redis::cmd("SELECT").arg(1).exec_async(&mut held).await.unwrap();
    drop(held);
    let mut held = pool.dedicated().await.unwrap();
    assert_eq!(own.query_async::<u64>(&mut held).await.unwrap(), id, "it was reset, and not replaced");
    assert_eq!(pool.status().last_error, None);
}

#[test]
fn a_name_that_no_server_takes_is_told_when_the_pool_is_built() {
    for name in ["", "two words", "a\nline", "\u{e4}"] {
        let error = Pool::builder().client_name(name).build().unwrap_err();
        assert!(error.is_config() && error.to_string().contains("REDIS_CLIENT_NAME"), "{error}");
    }
}
