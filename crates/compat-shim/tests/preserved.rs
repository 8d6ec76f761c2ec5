//! What users of deadpool-redis and bb8-redis rely on without having written it down: a test for each.
//!
//! That the published crates do the same is shown by the programs in `fixtures`, which run on both. What redis-rs' own time
//! limits are is in `timed_limits`.
#![cfg(all(feature = "deadpool", feature = "bb8"))]
#![allow(deprecated, reason = "what is deprecated is what is tested")]

use std::thread::available_parallelism;
use std::time::Duration;

use bb8::RunError;
use cenote_compat_shim::bb8::RedisConnectionManager;
use cenote_compat_shim::deadpool::{
    BuildError, Config, Connection, CreatePoolError, Manager, Pool, PoolConfig, PoolError, QueueMode,
    Runtime, TimeoutType, Timeouts,
};
use cenote_pool_core::Pool as Shared;
use cenote_testkit::{Server, dead_port, eventually_async, within};
use redis::{AsyncCommands, AsyncConnectionConfig};

const SOON: Duration = Duration::from_secs(60);

fn shared(url: impl Into<String>) -> Shared {
    Shared::builder().url(url).max_connections(6).build().unwrap()
}

/// With more patience than redis-rs has, as nothing here depends on it.
fn manager(server: &Server) -> Manager {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(SOON)).set_response_timeout(Some(SOON));
    Manager::from_shared_with_config(shared(server.url()), config)
}

fn sized(server: &Server, size: usize) -> Pool {
    Pool::builder(manager(server)).max_size(size).build().unwrap()
}

async fn id(conn: &mut Connection) -> i64 {
    redis::cmd("CLIENT").arg("ID").query_async(conn).await.unwrap()
}

#[tokio::test]
async fn deadpool_connects_at_its_first_get() {
    let server = Server::start();
    let shared = shared(server.url());
    let pool = Pool::builder(Manager::from_shared(shared.clone())).build().unwrap();
    tokio::task::yield_now().await;
    assert_eq!((pool.status().size, shared.status().dials), (0, 0));
    drop(pool.get().await.unwrap());
    assert_eq!((pool.status().size, shared.status().dials), (1, 1));
}

#[test]
fn deadpool_has_two_places_for_each_processor() {
    let twice = 2 * available_parallelism().unwrap().get();
    let pool = Config::from_url("redis://localhost:7101").create_pool(Some(Runtime::Tokio1)).unwrap();
    assert_eq!((pool.status().max_size, PoolConfig::default().max_size), (twice, twice));
}

#[tokio::test]
async fn deadpool_hands_out_first_what_was_given_back_first_unless_it_is_told_otherwise() {
    let server = Server::start();
    for (mode, order) in [(None, [2, 0, 1]), (Some(QueueMode::Lifo), [1, 0, 2])] {
        let mut config = PoolConfig::new(3);
        config.queue_mode = mode.unwrap_or(config.queue_mode);
        let pool = Pool::builder(manager(&server)).config(config).build().unwrap();
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(pool.get().await.unwrap());
        }
        let mut ids = Vec::new();
        for conn in &mut held {
            ids.push(id(conn).await);
        }
        // Given back in the order 2, 0, 1.
        drop(held.pop());
        held.into_iter().for_each(drop);
        let mut again = Vec::new();
        for place in order {
            let mut conn = pool.get().await.unwrap();
            assert_eq!(id(&mut conn).await, ids[place], "{mode:?}");
            again.push(conn);
        }
    }
}

#[tokio::test]
async fn deadpool_serves_who_asked_first() {
    let server = Server::start();
    let pool = sized(&server, 1);
    let held = pool.get().await.unwrap();
    let mut waiting = Vec::new();
    for number in 1..=4 {
        let asking = pool.clone();
        waiting.push(tokio::spawn(async move {
            let mut conn = asking.get().await.unwrap();
            conn.rpush::<_, _, i64>("turns", number).await.unwrap()
        }));
        eventually_async(SOON, "it waits", || async { pool.status().waiting == number }).await;
    }
    drop(held);
    for (index, task) in waiting.into_iter().enumerate() {
        assert_eq!(within(SOON, task).await.unwrap(), index as i64 + 1);
    }
}

#[tokio::test]
async fn deadpool_refuses_time_limits_without_a_runtime() {
    let mut config = Config::from_url("redis://localhost:7102");
    config.pool = Some(PoolConfig { timeouts: Timeouts::wait_millis(10), ..PoolConfig::default() });
    let error = config.create_pool(None).unwrap_err();
    assert!(matches!(error, CreatePoolError::Build(BuildError::NoRuntimeSpecified)), "{error:?}");
    let pool = Config::from_url("redis://localhost:7102").create_pool(None).unwrap();
    let error = pool.timeout_get(&Timeouts::wait_millis(10)).await.map(drop).unwrap_err();
    assert!(matches!(error, PoolError::NoRuntimeSpecified), "{error:?}");
}

#[tokio::test]
async fn deadpool_unwatches_and_pings_what_it_hands_out_again() {
    let server = Server::start();
    let observer = server.observer();
    let pool = sized(&server, 1);
    drop(pool.get().await.unwrap());
    let pings = observer.calls("ping");
    for round in 1..=5 {
        drop(pool.get().await.unwrap());
        assert_eq!(observer.calls("ping") - pings, round);
        // Its own, and the shim's word that the connection was let go.
        assert!(observer.calls("unwatch") >= 2 * round, "{}", observer.calls("unwatch"));
    }
}

#[test]
fn the_errors_of_deadpool_are_told_in_its_own_words() {
    let errors = [
        (
            PoolError::Timeout(TimeoutType::Wait),
            "Timeout occurred while waiting for a slot to become available",
        ),
        (PoolError::Timeout(TimeoutType::Create), "Timeout occurred while creating a new object"),
        (PoolError::Timeout(TimeoutType::Recycle), "Timeout occurred while recycling an object"),
        (PoolError::Closed, "Pool has been closed"),
        (PoolError::NoRuntimeSpecified, "No runtime specified"),
    ];
    for (error, words) in errors {
        assert_eq!(error.to_string(), words);
    }
}

#[tokio::test]
async fn bb8_connects_while_it_is_built_and_tries_until_it_can() {
    let server = Server::builder().persistent().start();
    let shared = shared(server.url());
    server.kill();
    let build = |number| {
        let manager = RedisConnectionManager::from_shared(shared.clone());
        bb8::Pool::builder().min_idle(number).build(manager)
    };
    let building = tokio::spawn(build(2));
    eventually_async(SOON, "it has tried", || async { shared.status().dials > 0 }).await;
    assert!(!building.is_finished(), "it goes on trying");
    server.restart();
    let pool = within(SOON, building).await.unwrap().unwrap();
    assert_eq!(pool.state().connections, 2);
    assert_eq!(within(SOON, build(0)).await.unwrap().state().connections, 0);
}

#[tokio::test]
async fn bb8_gives_up_after_30_seconds_when_nothing_becomes_free_and_when_there_is_no_server() {
    let server = Server::start();
    let manager = RedisConnectionManager::from_shared(shared(server.url()));
    let full = bb8::Pool::builder().max_size(1).build(manager).await.unwrap();
    let held = full.get().await.unwrap();
    let nowhere = RedisConnectionManager::from_shared(shared(format!("redis://{}", dead_port())));
    let absent = bb8::Pool::builder().build_unchecked(nowhere);
    // The clock of the runtime goes on by itself from here, whenever everybody waits.
    tokio::time::pause();
    for pool in [&full, &absent] {
        let began = tokio::time::Instant::now();
        let error = pool.get().await.map(drop).unwrap_err();
        let took = began.elapsed();
        assert!(matches!(error, RunError::TimedOut), "{error}");
        assert!(took >= Duration::from_secs(30) && took < Duration::from_secs(31), "{took:?}");
    }
    drop(held);
}
