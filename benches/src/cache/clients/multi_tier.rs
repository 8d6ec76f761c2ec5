//! `multi-tier-cache` with its default tiers: moka, and Redis over one managed connection.

use std::sync::Arc;

use anyhow::Result;
use multi_tier_cache::{Bytes, CacheManager, CacheStrategy, L1Cache, L2Cache, MokaCacheConfig};

use super::{Hot, Stored};
use crate::cache::values::{SMALL_L1, check, keys, value};
use crate::lru::ROOMY;
use crate::lru::clients::look;
use crate::lru::trace::{self, Key};

/// Three hours.
const KEPT: CacheStrategy = CacheStrategy::LongTerm;

async fn manager(url: &str, room: usize) -> Result<CacheManager> {
    let l1 = MokaCacheConfig { max_capacity: room as u64, ..MokaCacheConfig::default() };
    Ok(CacheManager::new(Arc::new(L1Cache::new(l1)?), Arc::new(L2Cache::with_url(url).await?)).await?)
}

/// With an L1 that has room for few of the keys.
#[derive(Clone)]
pub(in crate::cache) struct MultiTier(Arc<CacheManager>);

impl MultiTier {
    /// Stores every key, as another process would.
    pub(in crate::cache) async fn connect(url: &str) -> Result<Self> {
        let writer = manager(url, SMALL_L1).await?;
        let json = Bytes::from(serde_json::to_vec(&value())?);
        for key in keys() {
            writer.set_with_strategy(key, json.clone(), KEPT).await?;
        }
        Ok(Self(Arc::new(manager(url, SMALL_L1).await?)))
    }
}

impl Stored for MultiTier {
    const NAME: &'static str = "multi-tier-cache";

    async fn get(&mut self, index: usize) -> Result<()> {
        let value: Option<String> = self.0.get_typed(&keys()[index]).await?;
        check(value.unwrap_or_default().as_bytes())
    }
}

/// With an L1 that has room for every key. Its values are bytes, and decoding them is left out here.
pub(in crate::cache) struct MultiTierHot(CacheManager);

impl Hot for MultiTierHot {
    const NAME: &'static str = "multi-tier-cache";

    async fn filled(url: &str, _index: usize) -> Result<Self> {
        let cache = manager(url, ROOMY).await?;
        for key in trace::hot_keys() {
            cache.set_with_strategy(std::str::from_utf8(&key)?, value().into(), KEPT).await?;
        }
        Ok(Self(cache))
    }

    async fn get(&self, key: &Key) -> Option<u64> {
        let value = self.0.get(std::str::from_utf8(key).ok()?).await.ok()??;
        Some(look(&value))
    }
}
