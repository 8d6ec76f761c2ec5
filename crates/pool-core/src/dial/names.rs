//! Names that move from one server to another, and pools that find them again.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cenote_testkit::{Server, StandInSentinel, eventually_async, within};
use parking_lot::Mutex;
use redis::AsyncCommands;

use super::net::{Network, Resolver};
use crate::config::{PoolConfig, Target};
use crate::pool::Pool;

const SOON: Duration = Duration::from_secs(30);

const CACHE: &str = "cache.internal";
const SENTINEL: &str = "sentinel.internal";

/// Where each name is that there is.
#[derive(Clone, Default)]
pub(super) struct Names {
    addresses: Arc<Mutex<HashMap<&'static str, SocketAddr>>>,
    asked: Arc<AtomicUsize>,
}

impl Names {
    fn new(name: &'static str, address: SocketAddr) -> Self {
        let names = Self::default();
        names.move_to(name, address);
        names
    }

    pub(super) fn look_up(&self, host: &str, port: u16) -> Vec<SocketAddr> {
        if let Ok(ip) = host.parse() {
            return vec![SocketAddr::new(ip, port)];
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.addresses.lock().get(host).copied().into_iter().collect()
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn move_to(&self, name: &'static str, address: SocketAddr) {
        self.addresses.lock().insert(name, address);
    }

    fn pool(&self, url: &str, config: PoolConfig) -> Pool {
        let mut network = Network::plain(&config);
        network.resolver = Resolver::Test(self.clone());
        Pool::assemble(config, Target::parse(url).unwrap(), network, None, None)
    }
}

async fn place(pool: &Pool) -> redis::RedisResult<Option<String>> {
    pool.conn().get("place").await
}

fn two_servers() -> (Server, Server) {
    let (one, other) = (Server::start(), Server::start());
    one.observer().get::<()>(&["SET", "place", "one"]);
    other.observer().get::<()>(&["SET", "place", "other"]);
    (one, other)
}

#[tokio::test]
async fn a_name_is_looked_up_at_every_dial() {
    let (one, other) = two_servers();
    let names = Names::new(CACHE, one.addr());
    let config = PoolConfig { shared_connections: 1, ..PoolConfig::default() };
    let pool = names.pool("redis://cache.internal", config);
    assert_eq!(place(&pool).await.unwrap().as_deref(), Some("one"));
    assert_eq!(names.asked(), 1);
    let _held = (pool.dedicated().await.unwrap(), pool.dedicated().await.unwrap());
    assert_eq!(names.asked(), 3);
    names.move_to(CACHE, other.addr());
    one.kill();
    eventually_async(SOON, "it is found where it has moved", || async {
        place(&pool).await.is_ok_and(|place| place.as_deref() == Some("other"))
    })
    .await;
}

#[tokio::test]
async fn a_name_that_moved_while_all_connections_live_is_followed_within_their_age() {
    let (one, other) = two_servers();
    let names = Names::new(CACHE, one.addr());
    let age = Some(Duration::from_millis(300));
    let config = PoolConfig { connection_max_age: age, ..PoolConfig::default() };
    let pool = names.pool("redis://cache.internal", config);
    assert_eq!(place(&pool).await.unwrap().as_deref(), Some("one"));
    names.move_to(CACHE, other.addr());
    let moved = async {
        // The old server lives on, and no call fails.
        while place(&pool).await.unwrap().as_deref() != Some("other") || one.observer().client_count() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    within(SOON, moved).await;
}

/// A connection is made as sentinels say, of which the one name has moved.
#[tokio::test]
async fn the_name_of_a_sentinel_is_looked_up_at_every_question() {
    let (one, other) = two_servers();
    let (before, after) = (StandInSentinel::naming(one.addr()), StandInSentinel::naming(other.addr()));
    let names = Names::new(SENTINEL, before.addr());
    let config = PoolConfig { shared_connections: 1, ..PoolConfig::default() };
    let pool = names.pool("redis+sentinel://sentinel.internal/main", config);
    assert_eq!(place(&pool).await.unwrap().as_deref(), Some("one"));
    names.move_to(SENTINEL, after.addr());
    let mut held = pool.dedicated().await.unwrap();
    let found: String = held.get("place").await.unwrap();
    assert_eq!(found, "other");
}
