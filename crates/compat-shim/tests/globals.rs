//! One pool for the process.
#![cfg(feature = "globals")]
#![allow(deprecated, reason = "what is deprecated is what is tested")]

use std::time::Duration;

use cenote_compat_shim::globals::{RedisCache, close_redis, get_redis, init_redis};
use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::Pool;
use cenote_testkit::{Server, eventually};
use redis::AsyncCommands;

// One test, as there is one global.
#[tokio::test]
async fn there_is_one_from_init_to_close_and_its_cache_outlives_redis() {
    assert!(get_redis().unwrap_err().to_string().contains("init_redis()"));
    let server = Server::start();
    let pool = || Pool::builder().url(server.url()).fallback(FallbackLru::default()).build().unwrap();
    init_redis(pool()).await.unwrap();
    let second = pool();
    init_redis(second.clone()).await.unwrap();
    let _: i64 = get_redis().unwrap().incr("n", 1).await.unwrap();
    assert_eq!(second.status().dials, 0, "the second is not used");

    let cache = RedisCache::new("user").with_ttl(Duration::from_secs(60));
    cache.set("7", "Ada").await.unwrap();
    assert_eq!(cache.get::<String>("7").await.unwrap().as_deref(), Some("Ada"));
    let ttl: i64 = server.observer().get(&["PTTL", "user:7"]);
    assert!((1..=60_000).contains(&ttl), "{ttl}");
    assert!(cache.exists("7").await.unwrap());
    assert!(cache.delete("7").await.unwrap());
    assert!(!cache.exists("7").await.unwrap());

    server.kill();
    cache.set("8", "Bob").await.unwrap();
    assert_eq!(cache.get::<String>("8").await.unwrap().as_deref(), Some("Bob"), "the fallback answers");
    server.restart();

    close_redis().await;
    assert!(get_redis().is_err());
    assert!(cache.exists("7").await.is_err());
    eventually(Duration::from_secs(10), "no client is left", || server.observer().client_count() == 0);
    init_redis(pool()).await.unwrap();
    close_redis().await;
}
