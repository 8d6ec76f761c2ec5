//! What the tests of the cache share.
#![allow(dead_code, reason = "each test file takes what it needs")]

pub(crate) mod gate;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cenote_cache::{Cache, CacheBuilder, Cx, LoadError};
use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::{Pool, PoolBuilder};

pub(crate) const SOON: Duration = Duration::from_secs(10);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn builder(url: impl Into<String>) -> PoolBuilder {
    Pool::builder().url(url).fallback(FallbackLru::default()).socket_timeout(Duration::from_millis(400))
}

pub(crate) fn pool(url: impl Into<String>) -> Pool {
    builder(url).build().unwrap()
}

/// For tests in which Redis is there, however busy the machine is: nothing goes to the fallback for being slow.
pub(crate) fn patient(url: impl Into<String>) -> Pool {
    builder(url).socket_timeout(SOON).degrade_after(SOON).degrade_after_first(SOON).build().unwrap()
}

/// A cache of texts by number.
pub(crate) fn texts(pool: &Pool, namespace: &str) -> CacheBuilder<u64, String> {
    Cache::builder(pool, namespace).ttl(MINUTE).jitter(0.0)
}

/// A source of values that counts how often it is asked.
#[derive(Clone, Default)]
pub(crate) struct Source(Arc<AtomicU64>);

impl Source {
    pub(crate) fn asked(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// The loader of one text.
    pub(crate) fn load(
        &self,
        text: &str,
    ) -> impl FnOnce(Cx<String>) -> std::future::Ready<Result<Option<String>, std::io::Error>> + Send + 'static
    {
        let (source, text) = (self.clone(), text.to_owned());
        move |_| {
            source.0.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Ok(Some(text)))
        }
    }
}

/// What `get_or_load` gives, as a text.
pub(crate) fn text<E: std::fmt::Debug>(loaded: Result<Option<Arc<String>>, LoadError<E>>) -> String {
    loaded.unwrap().expect("there is a value").to_string()
}
