//! The cache by the names that the facade gives it, without a Redis.
#![cfg(all(feature = "cache", feature = "fallback-lru"))]

use std::time::Duration;

use cenote::{Cache, CacheBuilder, FallbackLru, LoadError, Lookup, OnDisconnect, Pool, Tier, Written, cache};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct UserId(u64);

impl cenote::CacheKey for UserId {
    fn write_key(&self, out: &mut cache::KeyText) {
        self.0.write_key(out);
    }
}

fn users(pool: &Pool) -> CacheBuilder<UserId, String> {
    Cache::builder(pool, "user").ttl(Duration::from_secs(60)).on_disconnect(OnDisconnect::Flush)
}

#[tokio::test]
async fn a_cache_is_made_and_used_by_the_names_of_the_facade_alone() {
    let pool = Pool::embedded(FallbackLru::default());
    let users: Cache<UserId, String> = users(&pool).build().unwrap();
    let load = |cx: cenote::Cx<String>| async move {
        cx.tag("team:3");
        Ok::<_, std::io::Error>(Some("Ada".to_owned()))
    };
    let loaded: Result<_, LoadError<std::io::Error>> = users.get_or_load(&UserId(7), load).await;
    assert_eq!(loaded.unwrap().unwrap().as_str(), "Ada");
    let Lookup::Hit(cache::Found { value, tier, .. }) = users.get(&UserId(7)).await.unwrap() else {
        panic!("a hit")
    };
    assert_eq!((value.as_str(), tier), ("Ada", Tier::Fallback));
    let removed: Result<Written, cache::Error> = users.remove_tag("team:3").await;
    assert!(removed.is_ok());
    assert!(users.get(&UserId(7)).await.unwrap().value().is_none());
    let stats: cache::Stats = users.stats();
    assert_eq!((stats.loads, stats.fallback_hits, stats.misses), (1, 1, 2));
}

#[test]
fn a_pool_without_a_fallback_is_told_what_is_missing_when_its_cache_is_built() {
    let pool = Pool::builder().url("redis://localhost:6379/0").build().unwrap();
    let error: cache::Error = users(&pool).build().unwrap_err();
    assert!(error.is_config() && error.to_string().contains("fallback"), "{error}");
}
