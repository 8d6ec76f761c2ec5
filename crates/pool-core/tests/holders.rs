//! What the holder of an exclusive connection may rely on, and what its next holder never sees.

use std::time::Duration;

use cenote_pool_core::{Dedicated, Error, Outcome, Pool};
use cenote_testkit::{Answer, Canned, Proxy, Server, eventually_async};
use redis::{AsyncCommands, RedisError, Value};

const SOON: Duration = Duration::from_secs(5);

async fn id(conn: &mut Dedicated) -> i64 {
    redis::cmd("CLIENT").arg("ID").query_async(conn).await.unwrap()
}

/// The reset may still be on its way when whoever sent it has gone.
async fn is_lost(pool: &Pool) {
    eventually_async(SOON, "the pool has noticed", || async { pool.status().last_error.is_some() }).await;
}

#[tokio::test]
async fn after_a_cancelled_first_command_a_lost_connection_is_not_replaced_by_one_in_another_database() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = Pool::builder().url(proxy.url()).build().unwrap();
    let mut held = pool.dedicated().await.unwrap();
    let select = redis::cmd("SELECT").arg(5).to_owned();
    assert!(tokio::time::timeout(Duration::ZERO, select.exec_async(&mut held)).await.is_err());
    let observer = server.observer();
    eventually_async(SOON, "the SELECT ran all the same", || async { observer.calls("select") == 1 }).await;
    proxy.cut();
    is_lost(&pool).await;
    let error = held.set::<_, _, ()>("k", "v").await.unwrap_err();
    assert_eq!(Error::from_redis(&error).expect("the pool's own error").outcome(), Outcome::NotSent);
    assert_eq!(observer.get::<Option<String>>(&["GET", "k"]), None, "database 0 was never meant");
}

#[tokio::test]
async fn a_first_command_on_a_connection_that_was_lost_unused_goes_to_a_new_one() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = Pool::builder().url(proxy.url()).build().unwrap();
    let mut held = pool.dedicated().await.unwrap();
    proxy.cut();
    is_lost(&pool).await;
    let () = held.set("k", "v").await.unwrap();
    proxy.cut();
    held.set::<_, _, ()>("k", "w").await.expect_err("the second must not leave the first behind");
}

#[tokio::test]
async fn a_refused_write_leaves_the_connection_with_its_holder_and_ends_it_afterwards() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).max_connections(2).build().unwrap();
    let mut held = pool.dedicated().await.unwrap();
    let first = id(&mut held).await;
    server.observer().command(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    let error = held.set::<_, _, ()>("k", 1).await.unwrap_err();
    assert_eq!(error.code(), Some("READONLY"), "{error}");
    assert_eq!(held.get::<_, Option<i64>>("k").await.unwrap(), None);
    assert_eq!(id(&mut held).await, first, "the same connection all along");
    server.observer().command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    drop(held);
    let mut held = pool.dedicated().await.unwrap();
    assert_ne!(id(&mut held).await, first, "it is not handed out again");
    let () = held.set("k", 1).await.unwrap();
}

#[tokio::test]
async fn a_transaction_that_failed_leaves_no_watch_for_the_next_holder() {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).max_connections(2).build().unwrap();
    let mut first = 0;
    let failed = pool
        .transaction::<_, (), _>(&["k"], async |conn, _| {
            first = id(conn).await;
            Err(RedisError::from(std::io::Error::other("the caller thought better of it")))
        })
        .await;
    assert!(failed.unwrap_err().to_string().contains("thought better"));
    let mut held = pool.dedicated().await.unwrap();
    server.observer().command(&["SET", "k", "changed"]).unwrap();
    let executed: Option<Value> =
        redis::pipe().atomic().set("other", 1).query_async(&mut held).await.unwrap();
    assert!(executed.is_some(), "a change of a key that only the other holder watched");
    assert_eq!(server.observer().get::<Option<i64>>(&["GET", "other"]), Some(1));
    assert_eq!(id(&mut held).await, first, "this test means the same connection");
}

#[tokio::test]
async fn a_checkout_that_is_lost_after_the_greeting_says_that_nothing_was_sent() {
    let greeting = b"%1\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n+PONG\r\n$-1\r\n$-1\r\n";
    let canned = Canned::answering(move |turn, _| match turn {
        0 => Answer::Send(greeting.to_vec()),
        _ => Answer::Close,
    });
    let pool = Pool::builder().url(canned.url()).build().unwrap();
    let error = pool.dedicated().await.unwrap_err();
    assert!(error.is_unavailable() && error.outcome() == Outcome::NotSent, "{error}");
    let error = pool.transaction::<_, (), _>(&["k"], async |_, _| Ok(())).await.unwrap_err();
    assert_eq!(
        Error::from_redis(&error).expect("the pool's own error").outcome(),
        Outcome::NotSent,
        "{error}"
    );
}
