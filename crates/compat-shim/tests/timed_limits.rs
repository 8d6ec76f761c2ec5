//! The time limits of redis-rs, which it has when nothing is set: not those of the shared pool, which are 5 s.
#![cfg(feature = "deadpool")]
#![allow(deprecated, reason = "what is deprecated is what is tested")]

use std::time::{Duration, Instant};

use cenote_compat_shim::deadpool::{Manager, Pool, PoolError};
use cenote_pool_core::Pool as Shared;
use cenote_testkit::{Server, blackhole_addr};
use redis::AsyncCommands;

fn pool(url: impl Into<String>) -> Pool {
    let shared = Shared::builder().url(url).build().unwrap();
    Pool::builder(Manager::from_shared(shared)).build().unwrap()
}

#[tokio::test]
async fn a_reply_has_the_half_second_that_redis_gives_it() {
    let server = Server::start();
    let pool = pool(server.url());
    let mut conn = pool.get().await.unwrap();
    let began = Instant::now();
    let error = conn.blpop::<_, Option<(String, String)>>("nothing", 30.0).await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(450) && took < Duration::from_millis(4500), "{took:?}");
}

#[tokio::test]
async fn a_connection_has_the_second_that_redis_gives_it() {
    let address = blackhole_addr();
    let pool = pool(format!("redis://{}", address.addr()));
    let began = Instant::now();
    let error = pool.get().await.map(drop).unwrap_err();
    let took = began.elapsed();
    assert!(matches!(&error, PoolError::Backend(error) if error.is_timeout()), "{error}");
    assert!(took >= Duration::from_millis(900) && took < Duration::from_millis(4500), "{took:?}");
}
