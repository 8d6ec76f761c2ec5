//! `moka`'s cache for async code, by the call that loads what is missing.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::Result;
use moka::future::Cache;

use super::{Filling, Hot};
use crate::cache::values::{check, value};
use crate::lru::ROOMY;
use crate::lru::clients::look;
use crate::lru::trace::{self, Key};

#[derive(Debug, Clone, Copy)]
struct Missing;

pub(in crate::cache) struct Moka<K>(Cache<K, Arc<String>>);

impl Hot for Moka<Key> {
    const NAME: &'static str = "moka";

    async fn filled(_url: &str, _index: usize) -> Result<Self> {
        let cache = Cache::new(ROOMY as u64);
        for key in trace::hot_keys() {
            cache.insert(key, Arc::new(value())).await;
        }
        cache.run_pending_tasks().await;
        Ok(Self(cache))
    }

    async fn get(&self, key: &Key) -> Option<u64> {
        let value = self.0.try_get_with_by_ref(key, async { Err(Missing) }).await.ok()?;
        Some(look(value.as_bytes()))
    }
}

impl<K: std::hash::Hash + Eq + Send + Sync + 'static> Moka<K> {
    pub(in crate::cache) fn with_room(entries: usize) -> Self {
        Self(Cache::new(entries as u64))
    }
}

impl<K> Clone for Moka<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Filling for Moka<String> {
    const NAME: &'static str = "moka";

    async fn load(&self, key: &str) -> Result<()> {
        let load = async { Ok::<_, Infallible>(Arc::new(value())) };
        check(self.0.try_get_with_by_ref(key, load).await?.as_bytes())
    }
}
