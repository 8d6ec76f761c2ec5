//! `cached`'s store in Redis, over its one multiplexed connection. It has no L1.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use cached::{AsyncRedisCache, ConcurrentCachedAsync};

use super::Stored;
use crate::cache::values::{check, keys, value};

#[derive(Clone)]
pub(in crate::cache) struct Cached(Arc<AsyncRedisCache<String, String>>);

impl Cached {
    pub(in crate::cache) async fn connect(url: &str) -> Result<Self> {
        let builder = AsyncRedisCache::builder("users").ttl(Duration::from_secs(3600));
        let store = Arc::new(builder.connection_string(url).build().await?);
        for keys in keys().chunks(1000) {
            let mut storing = tokio::task::JoinSet::new();
            for key in keys {
                let store = store.clone();
                storing.spawn(async move { store.async_cache_set(key.clone(), value()).await });
            }
            for stored in storing.join_all().await {
                stored?;
            }
        }
        Ok(Self(store))
    }
}

impl Stored for Cached {
    const NAME: &'static str = "cached";

    async fn get(&mut self, index: usize) -> Result<()> {
        let value = self.0.async_cache_get(&keys()[index]).await?;
        check(value.unwrap_or_default().as_bytes())
    }
}
