//! All shims and native use in one process, on one budget.
#![cfg(all(feature = "deadpool", feature = "bb8", feature = "connection-manager", feature = "r2d2"))]
#![allow(deprecated, reason = "what is deprecated is what is tested")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use cenote_compat_shim::bb8::RedisConnectionManager;
use cenote_compat_shim::connection_manager::aio::ConnectionManager;
use cenote_compat_shim::deadpool::{Manager, Pool};
use cenote_compat_shim::r2d2;
use cenote_pool_core::Pool as Shared;
use cenote_testkit::{Server, Watchdog, eventually, within};
use redis::{AsyncCommands, AsyncConnectionConfig, Commands};

const SOON: Duration = Duration::from_secs(60);
const MOST: usize = 20;

/// The greatest number of clients that the server had while it looked.
struct Peak(Arc<AtomicBool>, thread::JoinHandle<usize>);

impl Peak {
    fn of(server: &Server) -> Self {
        let (stop, observer) = (Arc::new(AtomicBool::new(false)), server.observer());
        let stopped = stop.clone();
        let look = move || {
            let mut most = 0;
            while !stopped.load(Ordering::Relaxed) {
                most = most.max(observer.client_count());
            }
            most
        };
        Self(stop, thread::spawn(look))
    }

    fn end(self) -> usize {
        self.0.store(true, Ordering::Relaxed);
        self.1.join().unwrap()
    }
}

fn patient() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(Some(SOON))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_shells_of_20_on_a_budget_of_20_both_go_on_and_nothing_is_broken() {
    let _watchdog = Watchdog::new(Duration::from_secs(120));
    let server = Server::start();
    let shared = Shared::builder().url(server.url()).max_connections(MOST).build().unwrap();
    shared.start().await.unwrap();
    let peak = Peak::of(&server);
    let one = Pool::builder(Manager::from_shared_with_config(shared.clone(), patient()))
        .max_size(20)
        .build()
        .unwrap();
    let other = bb8::Pool::builder()
        .max_size(20)
        .connection_timeout(SOON)
        .build(RedisConnectionManager::from_shared(shared.clone()))
        .await
        .unwrap();
    let (by_one, by_other) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = Vec::new();
    for _ in 0..20 {
        let (pool, count) = (one.clone(), by_one.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..25 {
                let mut conn = pool.get().await.unwrap();
                let _: i64 = conn.incr("one", 1).await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
            }
        }));
        let (pool, count) = (other.clone(), by_other.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..25 {
                let mut conn = pool.get().await.unwrap();
                let _: i64 = conn.incr("other", 1).await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for number in 0..3 {
        let pool = one.clone();
        tasks.push(tokio::spawn(async move {
            let key = format!("watched:{number}");
            let mut conn = pool.get().await.unwrap();
            redis::cmd("WATCH").arg(&key).exec_async(&mut conn).await.unwrap();
            // Longer than any connection is left alone for its own sake.
            tokio::time::sleep(Duration::from_millis(600)).await;
            let done: Option<(i64,)> =
                redis::pipe().atomic().incr(&key, 1).query_async(&mut conn).await.unwrap();
            assert_eq!(done, Some((1,)), "nobody else touched it");
        }));
        let pool = one.clone();
        tasks.push(tokio::spawn(async move {
            let mut conn = pool.get().await.unwrap();
            let popped: (String, String) = conn.blpop(format!("list:{number}"), 0.0).await.unwrap();
            assert_eq!(popped.1, "x");
        }));
    }
    let native = shared.clone();
    tasks.push(tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(600)).await;
        for number in 0..3 {
            let () = native.conn().rpush(format!("list:{number}"), "x").await.unwrap();
            let mut own = native.dedicated().await.unwrap();
            let _: i64 = own.incr("native", 1).await.unwrap();
        }
    }));
    for task in tasks {
        within(SOON, task).await.unwrap();
    }
    assert_eq!((by_one.load(Ordering::Relaxed), by_other.load(Ordering::Relaxed)), (500, 500));
    let most = peak.end();
    println!("at most {most} connections by the server's count");
    assert!(most <= MOST, "{most}");
}

#[test]
fn every_shim_is_served_from_one_budget_and_closing_the_pool_closes_all() {
    let _watchdog = Watchdog::new(Duration::from_secs(120));
    let server = Server::start();
    let shared = Shared::builder().url(server.url()).max_connections(6).build().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // Connected before anybody counts: it has its name, by which it is left out, only a moment later.
    let observer = server.observer();
    assert_eq!(observer.client_count(), 0);
    let peak = Peak::of(&server);
    let sync = r2d2::Pool::builder().max_size(3).build(r2d2::Manager::from_shared(shared.clone())).unwrap();
    let (one, other, manager) = runtime.block_on(async {
        let one = Pool::builder(Manager::from_shared_with_config(shared.clone(), patient()))
            .max_size(5)
            .build()
            .unwrap();
        let other = bb8::Pool::builder()
            .max_size(5)
            .build(RedisConnectionManager::from_shared(shared.clone()))
            .await
            .unwrap();
        (one, other, ConnectionManager::from_shared(shared.clone()))
    });
    for round in 0..5 {
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let sync = sync.clone();
                thread::spawn(move || sync.get().unwrap().incr::<_, _, i64>("n", 1).unwrap())
            })
            .collect();
        runtime.block_on(async {
            let held = [one.get().await.unwrap(), one.get().await.unwrap()];
            let (mut a, mut b) = (other.get().await.unwrap(), manager.clone());
            let _: i64 = a.incr("n", 1).await.unwrap();
            let _: i64 = b.incr("n", 1).await.unwrap();
            for mut conn in held {
                let _: i64 = conn.incr("n", 1).await.unwrap();
            }
            let _: i64 = shared.dedicated().await.unwrap().incr("n", 1).await.unwrap();
        });
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(observer.get::<i64>(&["GET", "n"]), (round + 1) * 8);
    }
    let most = peak.end();
    assert!(most <= 6, "{most}");
    runtime.block_on(shared.close());
    eventually(SOON, "the server has no client left", || observer.client_count() == 0);
    assert!(sync.get_timeout(Duration::from_millis(300)).is_err());
    assert!(runtime.block_on(one.get()).is_err());
    assert!(runtime.block_on(async { manager.clone().get::<_, Option<i64>>("n").await }).is_err());
}
