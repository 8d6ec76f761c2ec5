//! deadpool's pool on the shared pool's connections.
#![cfg(feature = "deadpool")]
#![allow(deprecated, reason = "what is deprecated is what is tested")]

use std::time::Duration;

use cenote_compat_shim::deadpool::{Connection, Manager, Pool, PoolError, Runtime};
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

#[tokio::test]
async fn what_must_not_be_broken_is_never_taken_and_the_error_names_who_holds_it() {
    let server = Server::start();
    let shared = shared(&server, 5);
    let (one, other) = (legacy(&shared, 5), legacy(&shared, 5));
    let mut held = Vec::new();
    for number in 0..4 {
        let mut conn = one.get().await.unwrap();
        let begin: &[&str] = if number % 2 == 0 { &["WATCH", "k"] } else { &["MULTI"] };
        let () = redis::cmd(begin[0]).arg(&begin[1..]).query_async(&mut conn).await.unwrap();
        held.push(conn);
    }
    let error = within(SOON, other.get()).await.map(drop).unwrap_err();
    let PoolError::Backend(inside) = &error else { panic!("{error:?}") };
    assert!(inside.is_timeout(), "{inside}");
    let text = error.to_string();
    assert!(text.starts_with("Error occurred while creating a new object: "), "{text}");
    assert!(text.contains("exclusive connections") && text.contains(file!()), "{text}");
    for (number, mut conn) in held.into_iter().enumerate() {
        let end = if number % 2 == 0 { "UNWATCH" } else { "EXEC" };
        redis::cmd(end).exec_async(&mut conn).await.expect("it was left alone");
    }
    within(SOON, other.get()).await.map(drop).expect("now they are idle");
}

#[tokio::test]
async fn the_place_of_a_blocked_connection_is_free_once_its_last_clone_is_dropped() {
    let server = Server::start();
    let shared = shared(&server, 2);
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let pool = Pool::builder(Manager::from_shared_with_config(shared.clone(), config)).build().unwrap();
    let mut taken = Connection::take(pool.get().await.unwrap());
    let blocked = tokio::spawn(async move { taken.blpop::<_, (String, String)>("never", 0.0).await });
    let observer = server.observer();
    cenote_testkit::eventually_async(SOON, "it blocks", || async { observer.info("blocked_clients") == "1" })
        .await;
    blocked.abort();
    let _ = blocked.await;
    let mut native = within(SOON, shared.dedicated()).await.unwrap();
    let () = native.set("k", 1).await.unwrap();
}

#[tokio::test]
async fn a_pool_that_is_closed_leaves_the_shared_one_open() {
    let server = Server::start();
    let shared = shared(&server, 3);
    let pool = legacy(&shared, 2);
    drop(pool.get().await.unwrap());
    pool.close();
    let () = shared.conn().set("k", 1).await.unwrap();
    eventually(SOON, "its connection is gone", || shared.status().dedicated_in_use == 0);
    drop(legacy(&shared, 2).get().await.unwrap());
}

#[tokio::test]
async fn a_connection_that_is_given_back_says_so_and_does_not_hold_up_the_close() {
    let server = Server::start();
    let shared = shared(&server, 4);
    let pool = legacy(&shared, 3);
    let held = [pool.get().await.unwrap(), pool.get().await.unwrap(), pool.get().await.unwrap()];
    let observer = server.observer();
    assert_eq!(observer.calls("unwatch"), 0);
    drop(held);
    cenote_testkit::eventually_async(SOON, "all three are let go", || async {
        observer.calls("unwatch") == 3
    })
    .await;
    let report = within(SOON, shared.close()).await;
    assert_eq!(report.cut_connections, 0, "{report:?}");
    assert!(report.waited < Duration::from_secs(4), "{report:?}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_after_the_second_that_redis_gives_it() {
    let address = cenote_testkit::blackhole_addr();
    let shared = Shared::builder().url(format!("redis://{}", address.addr())).build().unwrap();
    let began = std::time::Instant::now();
    let error = within(SOON, legacy(&shared, 1).get()).await.map(drop).unwrap_err();
    let PoolError::Backend(error) = error else { panic!("{error:?}") };
    assert!(error.is_timeout(), "{error}");
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
}

#[cfg(all(feature = "cluster", feature = "sentinel"))]
#[tokio::test]
async fn cluster_and_replicas_resolve_and_say_that_they_are_not_served() {
    use cenote_compat_shim::deadpool::{cluster, sentinel};

    let pool = cluster::Config::default().create_pool(Some(Runtime::Tokio1)).unwrap();
    let error = pool.get().await.map(drop).unwrap_err();
    assert!(error.to_string().contains("Redis Cluster is not served"), "{error}");
    let replicas =
        sentinel::Config { server_type: sentinel::SentinelServerType::Replica, ..Default::default() };
    let pool = replicas.create_pool(Some(Runtime::Tokio1)).unwrap();
    let error = pool.get().await.map(drop).unwrap_err();
    assert!(error.to_string().contains("masters only"), "{error}");
}

#[cfg(feature = "sentinel")]
#[tokio::test]
async fn a_pool_of_sentinels_follows_the_master_out_of_the_shared_pools_budget() {
    use cenote_compat_shim::deadpool::{RedisConnectionInfo, sentinel};
    use redis::AsyncCommands;

    let set = cenote_testkit::Sentinels::builder().password("n0de").sentinel_password("s3ntinel").start();
    let urls: Vec<String> = set.sentinels().iter().map(cenote_testkit::Server::url).collect();
    let kind = sentinel::SentinelServerType::Master;
    let node = sentinel::SentinelNodeConnectionInfo {
        tls_mode: None,
        redis_connection_info: Some(RedisConnectionInfo {
            password: Some("n0de".to_owned()),
            ..RedisConnectionInfo::default()
        }),
    };
    let config = sentinel::Config::from_urls(urls, set.master_name().to_owned(), kind);
    let pool = config.with_node_connection_info(Some(node)).create_pool(Some(Runtime::Tokio1)).unwrap();
    let mut conn = within(SOON, pool.get()).await.unwrap();
    let () = conn.set("k", 1).await.unwrap();
    drop(conn);
    let shared = cenote_compat_shim::pools();
    let shared =
        shared.iter().find(|pool| pool.status().url.contains("+sentinel")).expect("a pool of its own");
    assert_eq!(shared.status().connections_in_use, 1);

    let old = set.master().addr();
    set.node(old).kill();
    set.be_patient_for(Duration::from_millis(600));
    cenote_testkit::eventually_async(3 * SOON, "writes go to the new master", || async {
        match pool.get().await {
            Ok(mut conn) => conn.set::<_, _, ()>("k", 2).await.is_ok(),
            Err(_) => false,
        }
    })
    .await;
    assert_ne!(set.master().addr(), old);
    assert_eq!(set.master().observer().get::<i64>(&["GET", "k"]), 2);
    within(SOON, shared.close()).await;
}
