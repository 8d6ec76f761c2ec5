//! The handle.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use cenote_pool_core::Pool;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::builder::{CacheBuilder, ValueType};
use crate::clock::now_ms;
use crate::codec::{Codec, Json};
use crate::error::Error;
use crate::event::{Event, Listener};
use crate::key::{self, CacheKey};
use crate::l1::L1;
use crate::load::{Cooling, Flights};
use crate::namespace::Namespace;
use crate::options::Options;
use crate::stats::Stats;

/// A typed cache over the pool: see the [crate's documentation](crate). Cheap to clone; all clones are the same cache,
/// and so are caches of one namespace and schema with the same types on one pool, but for their settings. They
/// share L1 and the journal file.
pub struct Cache<K: Hash + Eq, V> {
    pub(crate) inner: Arc<Inner<K, V>>,
}

pub(crate) struct Inner<K: Hash + Eq, V> {
    pub(crate) namespace: Arc<Namespace>,
    pub(crate) shared: Arc<Shared<K, V>>,
    pub(crate) layout: Layout<K>,
    pub(crate) codec: Box<dyn Codec<V>>,
    pub(crate) options: Options,
    pub(crate) listener: Option<Box<Listener>>,
}

/// What caches of one namespace have in common beside their [`Namespace`].
pub(crate) struct Shared<K: Hash + Eq, V> {
    pub(crate) l1: Option<L1<K, V>>,
    /// Entries and bytes, as they were asked for.
    pub(crate) l1_room: Option<(usize, usize)>,
    pub(crate) flights: Flights<K, V>,
    pub(crate) cooling: Cooling<K>,
    /// Lives for as long as one of them does.
    pub(crate) _values: Arc<ValueType>,
}

/// How values lie in Redis.
pub(crate) enum Layout<K> {
    /// In an envelope, under names of ours.
    Envelope,
    /// As they are, under these names.
    Raw(Box<dyn Fn(&K) -> String + Send + Sync>),
}

/// What a key must be: [`CacheKey`] says what it is called, the rest is for L1 and for those who wait for a load.
pub trait Key: CacheKey + Hash + Eq + Clone + Send + Sync + 'static {}

impl<K: CacheKey + Hash + Eq + Clone + Send + Sync + 'static> Key for K {}

impl<K: Key, V: Serialize + DeserializeOwned + Send + Sync + 'static> Cache<K, V> {
    /// Begins a cache whose keys all begin with `namespace`; values are JSON unless another
    /// [codec](CacheBuilder::codec) is given.
    pub fn builder(pool: &Pool, namespace: &str) -> CacheBuilder<K, V> {
        CacheBuilder::new(pool, namespace, Json)
    }
}

impl<K: Key, V: Send + Sync + 'static> Cache<K, V> {
    /// As [`builder`](Self::builder), for values that serde does not know.
    pub fn builder_with(pool: &Pool, namespace: &str, codec: impl Codec<V>) -> CacheBuilder<K, V> {
        CacheBuilder::new(pool, namespace, codec)
    }

    /// What it has done so far.
    pub fn stats(&self) -> Stats {
        let namespace = &self.inner.namespace;
        let l1 = self.inner.shared.l1.as_ref().map(L1::figures).unwrap_or_default();
        let counted = namespace.counters.stats();
        Stats {
            l1_hits: l1.hits,
            absent_hits: counted.absent_hits + l1.absent_hits,
            l1_evictions: l1.evictions,
            l1_entries: l1.entries,
            l1_bytes: l1.bytes,
            journal_keys: namespace.pool.journal_status().pending_keys as u64,
            ..counted
        }
    }

    /// The name of `key` in Redis.
    pub fn name<Q>(&self, key: &Q) -> String
    where
        K: Borrow<Q>,
        Q: CacheKey + Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        String::from_utf8_lossy(&self.inner.name(key)).into_owned()
    }
}

/// Most names are shorter.
pub(crate) const ROOM_OF_NAME: usize = 64;

impl<K: Key, V> Inner<K, V> {
    pub(crate) fn name<Q>(&self, key: &Q) -> Vec<u8>
    where
        K: Borrow<Q>,
        Q: CacheKey + ToOwned<Owned = K> + ?Sized,
    {
        let mut name = Vec::with_capacity(ROOM_OF_NAME);
        self.write_name(key, &mut name);
        name
    }

    /// Appends the name of `key`.
    pub(crate) fn write_name<Q>(&self, key: &Q, out: &mut Vec<u8>)
    where
        K: Borrow<Q>,
        Q: CacheKey + ToOwned<Owned = K> + ?Sized,
    {
        match &self.layout {
            Layout::Envelope => key::write_name(&self.namespace.names.prefix, key, out),
            Layout::Raw(name) => out.extend_from_slice(name(&key.to_owned()).as_bytes()),
        }
    }

    pub(crate) fn is_raw(&self) -> bool {
        matches!(self.layout, Layout::Raw(_))
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        // Keys may be nobody's business: what they are called is for the listener alone.
        let cache = &self.namespace.names.title;
        if let Event::NotStored { why, is_fault: false, .. } = event {
            tracing::debug!(target: "cenote", cache, why, "a value was not stored");
        } else if let Some(lines_left_out) = self.namespace.lines.admit(now_ms()) {
            match event {
                Event::Corrupt { why, .. } => tracing::warn!(
                    target: "cenote", cache, %why, lines_left_out, "a value could not be read (on_event tells its name)"
                ),
                Event::NotStored { why, .. } => tracing::warn!(
                    target: "cenote", cache, why, lines_left_out, "a value was loaded and could not be stored"
                ),
                Event::RefreshFailed { how, .. } => tracing::warn!(
                    target: "cenote", cache, how, lines_left_out, "a stale value could not be loaded anew"
                ),
            }
        }
        if let Some(listener) = &self.listener {
            listener(event);
        }
    }

    pub(crate) fn refuse_raw(&self, why: &'static str) -> Result<(), Error> {
        if self.is_raw() { Err(Error::refused(why)) } else { Ok(()) }
    }
}

pub(crate) fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

impl<K: Hash + Eq, V> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<K: Hash + Eq, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("namespace", &self.inner.namespace.names.title).finish_non_exhaustive()
    }
}
