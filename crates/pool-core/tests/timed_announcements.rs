//! What a sentinel announces is heeded at once: by connections that are open, and by the look for Redis.

use std::time::{Duration, Instant};

use cenote_pool_core::{Pool, PoolConfig, State};
use cenote_testkit::{Server, StandInSentinel, dead_port, eventually_async, within};
use redis::AsyncCommands;

const SOON: Duration = Duration::from_secs(30);
/// Half of the time after which calls on a server that is no master any more are cut, and a quarter of that
/// after which a quiet sentinel is looked at.
const AT_ONCE: Duration = Duration::from_millis(250);
const ROUNDS: usize = 11;

async fn is_listened_to(sentinel: &StandInSentinel) {
    eventually_async(SOON, "it is listened to", || async { sentinel.listeners() == 1 }).await;
}

/// Only the announcement tells: the old master lives on, and takes writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_kinds_of_connections_leave_at_once_and_no_call_fails_for_it() {
    let servers = [Server::start(), Server::start()];
    for (index, server) in servers.iter().enumerate() {
        server.observer().get::<()>(&["SET", "which", &index.to_string()]);
    }
    let sentinel = StandInSentinel::naming(servers[0].addr());
    let pool = Pool::builder().url(sentinel.url()).shared_connections(2).build().unwrap();
    let mut conns = [pool.conn(), pool.conn()];
    let mut subscriber = pool.subscriber();
    subscriber.subscribe("news").await.unwrap();
    is_listened_to(&sentinel).await;
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        let (old, new) = (servers[round % 2].observer(), &servers[(round + 1) % 2]);
        drop(pool.dedicated().await.unwrap());
        for conn in &mut conns {
            assert_eq!(conn.get::<_, usize>("which").await.unwrap(), round % 2);
        }
        eventually_async(SOON, "there is one of each kind", || async {
            old.get::<i64>(&["PUBLISH", "news", "x"]) == 1 && old.client_count() >= 3
        })
        .await;
        let began = Instant::now();
        sentinel.announce(new.addr());
        let left = async {
            while conns[0].get::<_, usize>("which").await.unwrap() == round % 2 || old.client_count() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        within(SOON, left).await;
        took.push(began.elapsed());
        assert_eq!(pool.status().node, Some(new.addr().to_string()));
    }
    // A machine that stands still for a while does so in a few of them.
    took.sort_unstable();
    println!("the server before is left within {took:.0?}");
    assert!(took[ROUNDS / 2] < AT_ONCE, "{took:?}");
    let status = pool.status();
    assert_eq!((status.reconnects, status.last_error), (0, None), "it was our own doing");
}

#[tokio::test]
async fn the_next_try_in_an_outage_is_made_at_once() {
    let server = Server::start();
    let sentinel = StandInSentinel::naming(dead_port());
    let far = Duration::from_secs(600);
    let mut config = PoolConfig::default();
    (config.reconnect_min, config.reconnect_max, config.reconnect_max_long) = (far, far, far);
    let pool = Pool::builder().config(config).url(sentinel.url()).build().unwrap();
    assert!(matches!(within(SOON, pool.start()).await, Ok(State::Degraded { .. })));
    is_listened_to(&sentinel).await;
    let began = Instant::now();
    sentinel.announce(server.addr());
    let mut states = pool.state_changes();
    within(SOON, states.wait_for(|state| *state == State::Ready)).await.unwrap();
    println!("the outage ends {:.0?} after the announcement", began.elapsed());
    let () = pool.conn().set("k", "v").await.unwrap();
}
