//! deadpool's pool on the shared pool's connections.
#![cfg(feature = "deadpool")]

use std::time::Duration;

use cenote_compat_shim::deadpool::{Manager, Pool, PoolError, Runtime};
use cenote_pool_core::Pool as Shared;
use cenote_testkit::{Server, eventually, within};
use redis::AsyncCommands;

const SOON: Duration = Duration::from_secs(10);

fn shared(server: &Server, most: usize) -> Shared {
    Shared::builder().url(server.url()).max_connections(most).build().unwrap()
}

fn legacy(shared: &Shared, size: usize) -> Pool {
    let manager = Manager::from_shared(shared.clone());
    Pool::builder(manager).max_size(size).runtime(Runtime::Tokio1).build().unwrap()
}

#[tokio::test]
async fn its_connections_are_the_shared_pools_and_go_with_it() {
    let server = Server::start();
    let shared = shared(&server, 4);
    let pool = legacy(&shared, 2);
    assert_eq!(shared.status().dials, 0, "nothing is dialled before the first get");
    let mut conn = pool.get().await.unwrap();
    let () = conn.set("k", 1).await.unwrap();
    assert_eq!(shared.status().connections_in_use, 1);
    drop(conn);
    let mut conn = pool.get().await.unwrap();
    assert_eq!(conn.get::<_, i64>("k").await.unwrap(), 1);
    assert_eq!(server.observer().client_count(), 1, "it was the same connection");
    shared.close().await;
    assert!(conn.get::<_, i64>("k").await.is_err());
    drop(conn);
    assert!(matches!(pool.get().await, Err(PoolError::Backend(_))));
    eventually(SOON, "the server has no client left", || server.observer().client_count() == 0);
}

#[tokio::test]
async fn two_pools_that_want_all_there_is_give_way_to_each_other() {
    let server = Server::start();
    let shared = shared(&server, 5);
    let (one, other) = (legacy(&shared, 5), legacy(&shared, 5));
    let fill = async |pool: &Pool| {
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(within(SOON, pool.get()).await.unwrap());
        }
    };
    for _ in 0..3 {
        fill(&one).await;
        fill(&other).await;
    }
    let native = within(SOON, shared.dedicated()).await.unwrap();
    assert!(server.observer().client_count() <= 5);
    drop(native);
}
