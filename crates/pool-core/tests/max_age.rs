//! Connections that have reached their age are replaced, and no command fails for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cenote_pool_core::{Pool, State};
use cenote_testkit::{Observer, Proxy, Server, eventually_async, within};
use redis::AsyncCommands;
use tokio::task::JoinSet;

const SOON: Duration = Duration::from_secs(30);
const AGE: Duration = Duration::from_millis(200);

fn dials(server: &Observer) -> usize {
    server.info("total_connections_received").parse().unwrap()
}

/// Each call sees what the one before did.
async fn count(pool: Pool, key: String, over: Arc<AtomicBool>, calls: Arc<AtomicUsize>) {
    let mut conn = pool.conn();
    let mut n = 0;
    while !over.load(Ordering::Relaxed) {
        n += 1;
        assert_eq!(conn.incr::<_, _, i64>(&key, 1).await.unwrap(), n);
        calls.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lanes_are_replaced_under_load_and_no_command_fails_or_is_out_of_order() {
    for max_connections in [1, 2, 20] {
        let server = Server::start();
        let observer = server.observer();
        let pool = Pool::builder()
            .url(server.url())
            .max_connections(max_connections)
            .shared_connections(2)
            .connection_max_age(AGE)
            .build()
            .unwrap();
        let (over, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for n in 0..8 {
            tasks.spawn(count(pool.clone(), format!("n{n}"), over.clone(), calls.clone()));
        }
        let come_and_gone = async {
            while dials(&observer) < 12 {
                if let Some(ended) = tasks.try_join_next() {
                    ended.unwrap();
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        within(SOON, come_and_gone).await;
        assert!(observer.client_count() <= max_connections.min(4), "those that were replaced are gone");
        over.store(true, Ordering::Relaxed);
        while let Some(done) = within(SOON, tasks.join_next()).await {
            done.unwrap();
        }
        let status = pool.status();
        assert_eq!((status.reconnects, status.last_error), (0, None));
        let report = pool.close().await;
        assert_eq!(report.cut_calls, 0);
        println!("{max_connections}: {} calls", calls.load(Ordering::Relaxed));
    }
}

/// Each dial of another one has a limit of its own, and is tried again after it.
fn impatient(proxy: &Proxy, max_connections: usize) -> Pool {
    Pool::builder()
        .url(proxy.url())
        .max_connections(max_connections)
        .shared_connections(1)
        .connection_max_age(AGE)
        .connect_timeout(Duration::from_millis(100))
        .build()
        .unwrap()
}

async fn client_id(pool: &Pool) -> u64 {
    redis::cmd("CLIENT").arg("ID").query_async(&mut pool.conn()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_lane_stays_until_a_new_one_is_there() {
    // With two places the one that fails has the last of them.
    for max_connections in [20, 2] {
        let server = Server::start();
        let observer = server.observer();
        let proxy = Proxy::to(&server);
        let pool = impatient(&proxy, max_connections);
        let before = client_id(&pool).await;
        // Who dials now finds nobody.
        proxy.set_upstream(cenote_testkit::dead_port());
        let accepted = proxy.accepted();
        eventually_async(SOON, "it was tried again and again", || async {
            assert_eq!(client_id(&pool).await, before, "of {max_connections} connections");
            proxy.accepted() >= accepted + 3
        })
        .await;
        proxy.set_upstream(server.addr());
        eventually_async(SOON, "another one took its place", || async { client_id(&pool).await != before })
            .await;
        assert_eq!(observer.client_count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_lane_at_rest_that_finds_no_successor_is_no_outage() {
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = impatient(&proxy, 20);
    let before = client_id(&pool).await;
    let changes = pool.state_changes();
    proxy.set_upstream(cenote_testkit::dead_port());
    // Longer than an answer speaks for Redis.
    let (accepted, since) = (proxy.accepted(), std::time::Instant::now());
    eventually_async(SOON, "it was tried again and again", || async {
        proxy.accepted() >= accepted + 3 && since.elapsed() > Duration::from_secs(2)
    })
    .await;
    assert_eq!((client_id(&pool).await, changes.has_changed().unwrap()), (before, false));
    // Nor does it hide one.
    proxy.cut();
    eventually_async(SOON, "an outage", || async { matches!(pool.state(), State::Degraded { .. }) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exclusive_connection_ends_at_its_age_at_rest_or_when_it_is_given_back_and_not_before() {
    let server = Server::start();
    let observer = server.observer();
    let pool = Pool::builder().url(server.url()).connection_max_age(AGE).build().unwrap();
    let resting = pool.dedicated().await.unwrap();
    let mut held = pool.dedicated().await.unwrap();
    let id: u64 = redis::cmd("CLIENT").arg("ID").query_async(&mut held).await.unwrap();
    drop(resting);
    eventually_async(SOON, "the one at rest is gone", || async { observer.client_count() == 1 }).await;
    tokio::time::sleep(AGE).await;
    let popped: Option<(String, i64)> = held.blpop("nothing", 0.01).await.unwrap();
    assert_eq!((popped, observer.client_ids()), (None, vec![id]), "its holder keeps it");
    drop(held);
    let mut next = pool.dedicated().await.unwrap();
    let other: u64 = redis::cmd("CLIENT").arg("ID").query_async(&mut next).await.unwrap();
    assert_ne!(id, other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_listens_is_told_of_no_gap_on_account_of_age() {
    let server = Server::start();
    let observer = server.observer();
    let pool = Pool::builder().url(server.url()).connection_max_age(AGE).build().unwrap();
    let mut subscriber = pool.subscriber();
    subscriber.subscribe("n").await.unwrap();
    pool.conn().ping::<()>().await.unwrap();
    eventually_async(SOON, "lanes have come and gone", || async { dials(&observer) >= 8 }).await;
    observer.get::<i64>(&["PUBLISH", "n", "1"]);
    let event = within(SOON, subscriber.next()).await;
    assert!(matches!(event, Some(cenote_pool_core::Event::Message(_))), "{event:?}");
}
