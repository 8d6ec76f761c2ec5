//! Synchronous calls from wherever a program may make them.
#![cfg(feature = "r2d2")]
#![allow(deprecated, reason = "what is deprecated is what is tested")]

use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use cenote_compat_shim::r2d2::{Manager, redis};
use cenote_pool_core::Pool as Shared;
use cenote_testkit::{Server, Watchdog};
use redis::Commands;
use tokio::runtime::Builder;

static SERVER: LazyLock<Server> = LazyLock::new(Server::start);
static POOL: LazyLock<r2d2::Pool<Manager>> = LazyLock::new(|| pool(&SERVER, 4));

fn pool(server: &Server, most: u32) -> r2d2::Pool<Manager> {
    let shared = Shared::builder().url(server.url()).max_connections(6).build().unwrap();
    r2d2::Pool::builder().max_size(most).build(Manager::from_shared(shared)).unwrap()
}

fn add() -> i64 {
    POOL.get().unwrap().incr("n", 1).unwrap()
}

struct Adds;

impl Drop for Adds {
    fn drop(&mut self) {
        add();
    }
}

#[test]
fn a_pool_in_a_static_serves_every_kind_of_thread_and_task() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    // First used, and so built, in a runtime that ends.
    let first = Builder::new_current_thread().enable_all().build().unwrap();
    first.block_on(async { add() });
    drop(first);
    add();
    let many = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    many.block_on(async {
        let blocked = tokio::spawn(async { tokio::task::block_in_place(add) });
        blocked.await.unwrap();
        tokio::spawn(async { drop(Adds) }).await.unwrap();
        let waiting = tokio::spawn(async {
            let _adds = Adds;
            std::future::pending::<()>().await;
        });
        tokio::task::yield_now().await;
        waiting.abort();
        let _ = waiting.await;
    });
    let local = tokio::task::LocalSet::new();
    let single = Builder::new_current_thread().enable_all().build().unwrap();
    local.block_on(&single, async {
        tokio::task::spawn_local(async { add() }).await.unwrap();
        tokio::task::spawn_local(async { drop(Adds) }).await.unwrap();
    });
    // Without a driver for time or I/O.
    let bare = Builder::new_current_thread().build().unwrap();
    bare.block_on(async { add() });
    // Dropped with a task in it that calls.
    let ending = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    ending.spawn(async {
        let _adds = Adds;
        std::future::pending::<()>().await;
    });
    drop(ending);
    let before = add();
    let threads: Vec<_> = (0..64)
        .map(|_| {
            thread::spawn(|| {
                for _ in 0..20 {
                    add();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|it| it.join().unwrap());
    assert_eq!(add(), before + 64 * 20 + 1);
}

#[test]
fn no_limit_is_too_long_and_every_limit_is_kept_by_a_server_that_is_stopped() {
    let _watchdog = Watchdog::new(Duration::from_secs(60));
    let server = Server::start();
    let client = redis::Client::open(server.url().as_str()).unwrap();
    for limit in [Duration::MAX, Duration::from_secs(u64::MAX / 2), Duration::from_secs(60)] {
        let mut conn = client.get_connection_with_timeout(limit).unwrap();
        conn.set_read_timeout(Some(limit)).unwrap();
        let _: i64 = conn.incr("n", 1).unwrap();
    }
    let mut conn = client.get_connection().unwrap();
    conn.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    server.freeze();
    let began = Instant::now();
    assert!(conn.incr::<_, _, i64>("n", 1).unwrap_err().is_timeout());
    let first = client.get_connection_with_timeout(Duration::from_millis(200));
    assert!(first.is_err());
    let took = began.elapsed();
    server.thaw();
    assert!(took < Duration::from_secs(10), "{took:?}");
}
