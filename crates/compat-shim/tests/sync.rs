//! A program for r2d2 and synchronous redis-rs: its first `use` is the only line that was changed.
#![cfg(feature = "r2d2")]
#![allow(deprecated, reason = "what is deprecated is what is tested")]

use cenote_compat_shim::r2d2::redis;

use std::time::Duration;

use cenote_compat_shim::r2d2::Manager;
use cenote_pool_core::Pool as Shared;
use cenote_testkit::{Log, Server, Watchdog};
use redis::{AsyncCommands, Commands, Connection, RedisResult};
use tokio::runtime::Builder;

type Pool = r2d2::Pool<redis::Client>;

fn add(conn: &mut Connection) -> RedisResult<i64> {
    conn.incr("n", 1)
}

fn shared(server: &Server) -> Shared {
    Shared::builder().url(server.url()).max_connections(6).build().unwrap()
}

fn pool(shared: &Shared) -> Pool {
    r2d2::Pool::builder().max_size(3).build(Manager::from_shared(shared.clone())).unwrap()
}

#[test]
fn a_plain_thread_is_served_as_by_redis_itself() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let server = Server::start();
    let client = redis::Client::open(server.url().as_str()).unwrap();
    let pool: Pool = r2d2::Pool::builder().max_size(3).build(client.clone()).unwrap();
    assert_eq!(pool.state().connections, 3, "r2d2 connects at once");
    let mut conn = pool.get().unwrap();
    assert_eq!(add(&mut conn).unwrap(), 1);
    let (a, b): (i64, String) = redis::pipe().atomic().incr("n", 1).ping().query(&mut *conn).unwrap();
    assert_eq!((a, b.as_str()), (2, "PONG"));
    let wrong = conn.lpush::<_, _, i64>("n", 1).unwrap_err();
    assert_eq!(wrong.code(), Some("WRONGTYPE"));
    let (n,): (i64,) = redis::transaction(&mut *conn, &["n"], |conn, pipe| {
        let n: i64 = conn.get("n")?;
        pipe.set("n", n + 1).ignore().get("n").query(conn)
    })
    .unwrap();
    assert_eq!(n, 3);
    let mut other = client.get_connection().unwrap();
    redis::cmd("WATCH").arg("n").exec(&mut *conn).unwrap();
    let () = other.set("n", 7).unwrap();
    let lost: Option<(i64,)> = redis::pipe().atomic().incr("n", 1).query(&mut *conn).unwrap();
    assert_eq!(lost, None);
    let nothing: Option<(String, String)> = conn.blpop("nothing", 0.1).unwrap();
    assert_eq!(nothing, None);
    let held = [pool.get().unwrap(), pool.get().unwrap()];
    let error = pool.get_timeout(Duration::from_millis(50)).unwrap_err();
    assert_eq!(error.to_string(), "timed out waiting for connection");
    assert!(pool.try_get().is_none());
    drop((held, conn));
    assert!(pool.try_get().is_some());
}

#[test]
fn a_command_that_is_not_answered_is_given_up_and_its_connection_replaced() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let server = Server::start();
    let pool = pool(&shared(&server));
    let mut conn = pool.get().unwrap();
    conn.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    server.freeze();
    let error = add(&mut conn).unwrap_err();
    assert!(error.is_timeout(), "{error}");
    server.thaw();
    drop(conn);
    assert!(add(&mut pool.get().unwrap()).is_ok());
}

#[test]
fn it_works_inside_every_kind_of_runtime() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let log = Log::capture();
    let server = Server::start();
    let shared = shared(&server);
    let pool = pool(&shared);

    let one = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (blocking, worker) = (pool.clone(), pool.clone());
    one.block_on(async {
        // Connections of this runtime are there, and idle: they must not stand in the way.
        let () = shared.conn().set("native", 1).await.unwrap();
        tokio::task::spawn_blocking(move || add(&mut blocking.get().unwrap())).await.unwrap().unwrap();
        // The only worker waits.
        tokio::spawn(async move { add(&mut worker.get().unwrap()) }).await.unwrap().unwrap();
        let _: i64 = shared.conn().get("native").await.unwrap();
    });
    assert!(!log.text().contains("runtime with one thread"), "{}", log.text());

    let single = Builder::new_current_thread().enable_all().build().unwrap();
    single.block_on(async {
        let mut own = shared.dedicated().await.unwrap();
        let () = own.set("native", 2).await.unwrap();
        for _ in 0..3 {
            add(&mut pool.get().unwrap()).unwrap();
        }
        let _: i64 = shared.conn().get("native").await.unwrap();
        drop(own);
        // A pool is built there, and dropped.
        let more: Pool =
            r2d2::Pool::builder().max_size(1).build(Manager::from_shared(shared.clone())).unwrap();
        add(&mut more.get().unwrap()).unwrap();
    });
    let warnings = log.text().matches("runtime with one thread").count();
    assert_eq!(warnings, 1, "{}", log.text());
    assert_eq!(add(&mut pool.get().unwrap()).unwrap(), 7);
}
