//! Ours: one pool with default settings and its fallback.

use std::io;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Result, ensure};
use cenote::{FallbackLru, Pool};
use cenote_cache::{Cache, CacheBuilder, Cx, Tier};

use super::{Filling, Hot, Stored, StoredMany};
use crate::cache::values::{SMALL_L1, check, keys, value};
use crate::lru::ROOMY;
use crate::lru::clients::look;
use crate::lru::trace::{self, Key};

/// Longer than any run.
const HOUR: Duration = Duration::from_secs(3600);
/// More than its entries need.
const ROOM: usize = 64 << 20;
/// How long it may take until Redis tells of changes.
const ATTEMPTS: usize = 1000;

fn pool(url: &str) -> Result<Pool> {
    Ok(Pool::builder().url(url).fallback(FallbackLru::default()).build()?)
}

fn users(url: &str) -> Result<CacheBuilder<String, String>> {
    Ok(Cache::builder(&pool(url)?, "l2").ttl(HOUR))
}

/// What is never called, as the value is there.
async fn missing(_: Cx<String>) -> io::Result<Option<String>> {
    Ok(None)
}

async fn get(cache: &Cache<String, String>, index: usize) -> Result<()> {
    let found = cache.get_or_load(keys()[index].as_str(), missing).await?;
    check(found.as_deref().map_or(&[][..], |value| value.as_bytes()))
}

/// With an L1 that has room for few of the keys.
#[derive(Clone)]
pub(in crate::cache) struct Cenote(Cache<String, String>);

impl Cenote {
    pub(in crate::cache) const NAME: &'static str = "cenote";

    /// Stores every key, as another process would.
    pub(in crate::cache) async fn connect(url: &str) -> Result<Self> {
        let (writer, value) = (users(url)?.build()?, value());
        for keys in keys().chunks(1000) {
            let _ = writer.put_many(keys.iter().map(|key| (key, &value))).await?;
        }
        let cache = users(url)?.l1(SMALL_L1, ROOM).build()?;
        in_l1(&cache, &keys()[..1]).await?;
        Ok(Self(cache))
    }

    pub(in crate::cache) async fn get(&self, index: usize) -> Result<()> {
        get(&self.0, index).await
    }
}

impl StoredMany for Cenote {
    const NAME: &'static str = Self::NAME;

    async fn get_many(&mut self, indices: Range<usize>) -> Result<()> {
        let keys = &keys()[indices];
        let found = self.0.get_or_load_many(keys, |_| async { io::Result::Ok([].into()) }).await?;
        ensure!(found.len() == keys.len(), "{} of {} values came back", found.len(), keys.len());
        found.values().try_for_each(|value| check(value.as_bytes()))
    }
}

impl Stored for Cenote {
    const NAME: &'static str = Self::NAME;

    async fn get(&mut self, index: usize) -> Result<()> {
        get(&self.0, index).await
    }
}

impl Filling for Cenote {
    const NAME: &'static str = Self::NAME;

    async fn load(&self, key: &str) -> Result<()> {
        let loaded = self.0.get_or_load(key, |_| async { io::Result::Ok(Some(value())) }).await?;
        check(loaded.as_deref().map_or(&[][..], |value| value.as_bytes()))
    }
}

/// Without an L1, so that Redis tells it of no change.
#[derive(Clone)]
pub(in crate::cache) struct CenoteWithoutL1(Cache<String, String>);

impl CenoteWithoutL1 {
    /// What [`Cenote`] stored is there for it, too.
    pub(in crate::cache) fn connect(url: &str) -> Result<Self> {
        Ok(Self(users(url)?.build()?))
    }
}

impl Stored for CenoteWithoutL1 {
    const NAME: &'static str = "cenote without L1";

    async fn get(&mut self, index: usize) -> Result<()> {
        get(&self.0, index).await
    }
}

/// With an L1 that has room for every key.
pub(in crate::cache) struct CenoteHot(Cache<Key, String>);

impl Hot for CenoteHot {
    const NAME: &'static str = "cenote";

    async fn filled(url: &str, index: usize) -> Result<Self> {
        let (namespace, keys, value) =
            (format!("l1-{index}"), trace::hot_keys().collect::<Vec<_>>(), value());
        let writer = Cache::<Key, String>::builder(&pool(url)?, &namespace).ttl(HOUR).build()?;
        for keys in keys.chunks(1000) {
            let _ = writer.put_many(keys.iter().map(|key| (key, &value))).await?;
        }
        let ours = Cache::builder(&pool(url)?, &namespace).ttl(HOUR).l1_ttl(HOUR).l1(ROOMY, ROOM).build()?;
        in_l1(&ours, &keys).await?;
        Ok(Self(ours))
    }

    async fn get(&self, key: &Key) -> Option<u64> {
        self.0.get_or_load(key, missing).await.ok().flatten().map(|value| look(value.as_bytes()))
    }
}

/// Reads `keys` until L1 has them all.
async fn in_l1<K: cenote_cache::CacheKey + std::hash::Hash + Eq + Clone + Send + Sync + 'static>(
    cache: &Cache<K, String>,
    keys: &[K],
) -> Result<()> {
    for _ in 0..ATTEMPTS {
        for keys in keys.chunks(100) {
            cache.get_or_load_many(keys, |_| async { io::Result::Ok([].into()) }).await?;
        }
        let mut all = true;
        for key in keys {
            all &= cache.get(key).await?.tier() == Tier::L1;
        }
        if all {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    anyhow::bail!("L1 does not answer: Redis does not tell of changes")
}
