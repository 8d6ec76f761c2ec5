//! A name that moves from one server to another, and pools that find it again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cenote_testkit::{Server, eventually_async, within};
use parking_lot::Mutex;
use redis::AsyncCommands;

use super::Network;
use crate::config::{PoolConfig, Target};
use crate::pool::Pool;

const SOON: Duration = Duration::from_secs(30);

/// Where the one name is that there is.
#[derive(Clone)]
pub(super) struct Names {
    address: Arc<Mutex<SocketAddr>>,
    asked: Arc<AtomicUsize>,
}

impl Names {
    fn new(address: SocketAddr) -> Self {
        Self { address: Arc::new(Mutex::new(address)), asked: Arc::default() }
    }

    pub(super) fn look_up(&self) -> Vec<SocketAddr> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        vec![*self.address.lock()]
    }

    fn move_to(&self, address: SocketAddr) {
        *self.address.lock() = address;
    }

    fn pool(&self, config: PoolConfig) -> Pool {
        let mut network = Network::plain(&config);
        network.names = Some(self.clone());
        let target = Target::parse("redis://cache.internal").unwrap();
        Pool::assemble(config, target, network, None, None)
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
    let names = Names::new(one.addr());
    let pool = names.pool(PoolConfig { shared_connections: 1, ..PoolConfig::default() });
    assert_eq!(place(&pool).await.unwrap().as_deref(), Some("one"));
    assert_eq!(names.asked.load(Ordering::Relaxed), 1);
    let _held = (pool.dedicated().await.unwrap(), pool.dedicated().await.unwrap());
    assert_eq!(names.asked.load(Ordering::Relaxed), 3);
    names.move_to(other.addr());
    one.kill();
    eventually_async(SOON, "it is found where it has moved", || async {
        place(&pool).await.is_ok_and(|place| place.as_deref() == Some("other"))
    })
    .await;
}

#[tokio::test]
async fn a_name_that_moved_while_all_connections_live_is_followed_within_their_age() {
    let (one, other) = two_servers();
    let names = Names::new(one.addr());
    let age = Some(Duration::from_millis(300));
    let pool = names.pool(PoolConfig { connection_max_age: age, ..PoolConfig::default() });
    assert_eq!(place(&pool).await.unwrap().as_deref(), Some("one"));
    names.move_to(other.addr());
    let moved = async {
        // The old server lives on, and no call fails.
        while place(&pool).await.unwrap().as_deref() != Some("other") || one.observer().client_count() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    within(SOON, moved).await;
}
