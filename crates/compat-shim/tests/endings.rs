//! What ends before its time: a pool, a runtime, a future, a thread, a transaction. Nobody else suffers it.
#![cfg(all(feature = "deadpool", feature = "bb8"))]
#![allow(deprecated, reason = "what is deprecated is what is tested")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cenote_compat_shim::bb8::RedisConnectionManager;
use cenote_compat_shim::deadpool::{Connection, Manager, Pool};
use cenote_pool_core::Pool as Shared;
use cenote_testkit::{Server, Watchdog, eventually, within};
use redis::{AsyncCommands, AsyncConnectionConfig};

const SOON: Duration = Duration::from_secs(30);

fn shared(server: &Server, most: usize) -> Shared {
    Shared::builder().url(server.url()).max_connections(most).build().unwrap()
}

fn patient() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(Some(SOON))
}

fn shell(shared: &Shared, most: usize) -> Pool {
    let manager = Manager::from_shared_with_config(shared.clone(), patient());
    Pool::builder(manager).max_size(most).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_the_shared_pool_ends_the_waiting_of_shells_and_closing_a_shell_leaves_it_open() {
    let _watchdog = Watchdog::new(Duration::from_secs(120));
    let server = Server::start();
    let shared = shared(&server, 4);
    let (one, other) = (shell(&shared, 20), shell(&shared, 20));
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut conn = one.get().await.unwrap();
        redis::cmd("WATCH").arg("k").exec_async(&mut conn).await.unwrap();
        held.push(conn);
    }
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let other = other.clone();
            tokio::spawn(async move { other.get().await.map(drop) })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let third = shell(&shared, 2);
    third.close();
    assert!(third.get().await.is_err());
    let _: i64 = shared.conn().incr("n", 1).await.unwrap();
    let closing = tokio::spawn({
        let shared = shared.clone();
        async move { shared.close().await }
    });
    let began = Instant::now();
    for task in waiting {
        assert!(within(SOON, task).await.unwrap().is_err());
    }
    assert!(began.elapsed() < SOON, "not only when their own limit was reached");
    within(SOON, closing).await.unwrap();
    for conn in &mut held {
        assert!(conn.get::<_, Option<i64>>("n").await.is_err());
    }
    drop(held);
    assert!(within(SOON, one.get()).await.is_err());
    eventually(SOON, "no client is left", || server.observer().client_count() == 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_dropped_midway_or_lost_in_a_panic_gives_its_place_back_once() {
    let _watchdog = Watchdog::new(Duration::from_secs(120));
    let server = Server::start();
    let shared = shared(&server, 4);
    let one = shell(&shared, 3);
    let observer = server.observer();
    for round in 0..6 {
        let pool = one.clone();
        let lost = tokio::spawn(async move {
            let mut conn = pool.get().await.unwrap();
            let _: i64 = conn.incr("n", 1).await.unwrap();
            panic!("in user code");
        });
        assert!(lost.await.is_err());
        let mut conn = one.get().await.unwrap();
        let midway = tokio::time::timeout(
            Duration::from_millis(20),
            conn.blpop::<_, Option<(String, i64)>>("none", 0.3),
        );
        assert!(midway.await.is_err());
        drop(conn);
        let taken = Connection::take(one.get().await.unwrap());
        let mut clone = taken.clone();
        drop(taken);
        let _: i64 = clone.incr("n", 1).await.unwrap();
        drop(clone);
        if round == 3 {
            one.retain(|_, _| false);
            one.resize(1);
            drop(one.get().await.unwrap());
            one.resize(3);
        }
    }
    let held = [one.get().await.unwrap(), one.get().await.unwrap(), one.get().await.unwrap()];
    assert!(observer.client_count() <= 4, "{}", observer.client_count());
    drop(held);
    drop(one);
    eventually(SOON, "no client is left", || observer.client_count() <= 1);
}

#[test]
fn a_runtime_that_ends_with_connections_checked_out_gives_their_places_to_the_next() {
    let _watchdog = Watchdog::new(Duration::from_secs(120));
    let server = Server::start();
    let shared = shared(&server, 4);
    let one = shell(&shared, 3);
    for _ in 0..4 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let held = runtime.block_on(async {
            let mut held = Vec::new();
            for _ in 0..3 {
                let mut conn = within(SOON, one.get()).await.unwrap();
                redis::cmd("WATCH").arg("k").exec_async(&mut conn).await.unwrap();
                held.push(conn);
            }
            held
        });
        drop(runtime);
        let after = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        after.block_on(async {
            // Those of the ended runtime are still held by user code.
            let other = shell(&shared, 3);
            let mut conn = within(SOON, other.get()).await.unwrap();
            let _: i64 = conn.incr("n", 1).await.unwrap();
            drop(held);
            let mut conn = within(SOON, one.get()).await.unwrap();
            let _: i64 = conn.incr("n", 1).await.unwrap();
        });
    }
}

#[tokio::test]
async fn a_budget_of_one_or_two_serves_shells_or_says_why_not() {
    let _watchdog = Watchdog::new(Duration::from_secs(120));
    let server = Server::start();
    for most in [1, 2] {
        let shared = shared(&server, most);
        let one = shell(&shared, 4);
        let other = bb8::Pool::builder()
            .connection_timeout(if most == 1 { Duration::from_millis(300) } else { SOON })
            .build_unchecked(RedisConnectionManager::from_shared(shared.clone()));
        for _ in 0..2 {
            let (by_one, by_other) = (within(SOON, one.get()).await, within(SOON, other.get()).await);
            if most == 1 {
                let why = by_one.unwrap_err().to_string();
                assert!(why.contains("REDIS_MAX_CONNECTIONS is 1"), "{why}");
                assert!(by_other.is_err());
            } else {
                // The first was quiet for long enough when the second was asked for.
                let _: i64 = by_other.unwrap().incr("n", 1).await.unwrap();
                drop(by_one);
                let _: i64 = one.get().await.unwrap().incr("n", 1).await.unwrap();
            }
            let _: i64 = shared.conn().incr("n", 1).await.unwrap();
        }
        assert!(server.observer().client_count() <= most);
        shared.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_given_back_in_the_middle_of_a_transaction_does_not_keep_others_out() {
    let _watchdog = Watchdog::new(Duration::from_secs(120));
    let server = Server::start();
    let shared = shared(&server, 4);
    let one = shell(&shared, 3);
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut conn = one.get().await.unwrap();
        redis::cmd("MULTI").exec_async(&mut conn).await.unwrap();
        held.push(conn);
    }
    // The shell is quiet from here on, and nobody has any of its connections.
    drop(held);
    let other = shell(&shared, 3);
    let mut conn = within(SOON, other.get()).await.unwrap();
    let _: i64 = conn.incr("n", 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_and_shared_connections_go_on_beside_shells_that_want_every_place() {
    let _watchdog = Watchdog::new(Duration::from_secs(120));
    let server = Server::start();
    let shared = shared(&server, 20);
    let observer = server.observer();
    let mut news = shared.subscriber();
    news.subscribe("news").await.unwrap();
    let (one, other) = (shell(&shared, 20), shell(&shared, 20));
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = Vec::new();
    for number in 0..20 {
        for pool in [&one, &other] {
            let (pool, over) = (pool.clone(), over.clone());
            tasks.push(tokio::spawn(async move {
                let key = format!("k:{number}:{}", pool.status().max_size);
                let mut rounds = 0;
                while rounds < 5 || !over.load(Ordering::Relaxed) {
                    let mut conn = pool.get().await.unwrap();
                    if number % 4 == 0 {
                        redis::cmd("WATCH").arg(&key).exec_async(&mut conn).await.unwrap();
                        tokio::time::sleep(Duration::from_millis(30)).await;
                        let pipe = redis::pipe().atomic().incr("n", 1).query_async(&mut conn).await;
                        let done: Option<(i64,)> = pipe.unwrap();
                        assert!(done.is_some(), "nobody else touched it");
                    } else if number % 4 == 1 {
                        let none: Option<(String, String)> = conn.blpop("none", 0.3).await.unwrap();
                        assert_eq!(none, None);
                    } else {
                        let _: i64 = conn.incr("n", 1).await.unwrap();
                    }
                    rounds += 1;
                }
            }));
        }
    }
    let mut most = 0;
    for number in 0..40 {
        let _: i64 = within(SOON, shared.conn().publish("news", number)).await.unwrap();
        loop {
            let event = within(SOON, news.next()).await.unwrap();
            if let cenote_pool_core::Event::Message(message) = event {
                assert_eq!(message.payload(), number.to_string().as_bytes());
                break;
            }
        }
        most = most.max(observer.client_count());
    }
    over.store(true, Ordering::Relaxed);
    for task in tasks {
        within(SOON, task).await.unwrap();
    }
    println!("at most {most} connections by the server's count");
    assert!(most <= 20, "{most}");
}
