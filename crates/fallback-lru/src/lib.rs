//! Redis commands answered from memory.
//!
//! ```
//! use cenote_fallback_lru::FallbackLru;
//! use cenote_pool_core::Fallback;
//! use redis::{Value, cmd};
//!
//! let store = FallbackLru::default(); // 10,000 entries, then the least recently used one goes
//! let set = cmd("SET").arg("flags:42").arg("on").arg("EX").arg(60).clone();
//! let get = cmd("GET").arg("flags:42").clone();
//! let replies = store.execute(&[&set, &get], false)?;
//! assert_eq!(replies, [Value::Okay, Value::BulkString(b"on".to_vec())]);
//! # Ok::<(), cenote_pool_core::NotDegradable>(())
//! ```
//!
//! A [`FallbackLru`] is all there is behind an embedded pool. It keeps strings, hashes, sets and lists, with expiries, bounded in entries and
//! bytes, and replies as Redis 7 does over RESP3, errors included. What it does not serve, it says so before
//! it has run anything.
//!
//! It can be used by itself: [`get`](FallbackLru::get), [`insert`](FallbackLru::insert) and their like read and write
//! the same strings without commands.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod batch;
mod bignum;
mod builder;
mod command;
mod direct;
mod float;
mod glob;
mod number;
mod refusal;
mod reply;
mod store;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use cenote_pool_core::{Fallback, NotDegradable};
use redis::{Cmd, Value};

pub use builder::{BuildError, Builder};
pub use direct::TooLarge;

use store::Store;

/// A bounded store that answers Redis commands from memory. Clones share what is stored.
#[derive(Clone)]
pub struct FallbackLru {
    store: Arc<Store>,
}

impl FallbackLru {
    /// The bytes that an entry is charged beside its key and its value.
    pub const ENTRY_OVERHEAD: usize = store::ENTRY_OVERHEAD;

    /// The bytes that a hash's field, a set's member or a list's element is charged beside its own.
    pub const ELEMENT_OVERHEAD: usize = store::ELEMENT_OVERHEAD;

    /// A store for `capacity` entries.
    pub fn new(capacity: NonZeroUsize) -> Self {
        Self::builder().infallible(Some(capacity))
    }

    /// Sets more than the capacity.
    ///
    /// ```
    /// use cenote_fallback_lru::FallbackLru;
    ///
    /// let store = FallbackLru::builder().capacity(50_000).max_bytes(64 << 20).build()?;
    /// assert_eq!(store.capacity(), 50_000);
    /// # Ok::<(), cenote_fallback_lru::BuildError>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The names of the commands that are served, in upper case, sorted.
    pub fn commands() -> impl ExactSizeIterator<Item = &'static str> {
        command::TABLE.iter().map(|spec| spec.name)
    }

    /// How many entries it holds at most.
    pub fn capacity(&self) -> usize {
        self.store.capacity
    }

    /// How many bytes it holds at most; `usize::MAX` without a bound.
    pub fn max_bytes(&self) -> usize {
        self.store.max_bytes
    }

    /// Into how many shards it is divided. With one, eviction is exact over the whole store.
    pub fn shards(&self) -> usize {
        self.store.shards()
    }

    /// How many bytes the entries are charged now, those included that expired and were not swept yet.
    pub fn bytes(&self) -> usize {
        self.store.sum(|shard| shard.bytes())
    }

    /// Removes everything.
    pub fn clear(&self) {
        let mut locked = self.store.lock_all();
        locked.each().for_each(store::Shard::clear);
        locked.release();
    }
}

impl Default for FallbackLru {
    /// A store for 10,000 entries, without a bound on bytes.
    fn default() -> Self {
        Self::builder().infallible(None)
    }
}

impl Fallback for FallbackLru {
    fn execute(&self, batch: &[&Cmd], atomic: bool) -> Result<Vec<Value>, NotDegradable> {
        if atomic { batch::transaction(&self.store, batch) } else { batch::pipeline(&self.store, batch) }
    }

    fn clear(&self) {
        Self::clear(self);
    }

    fn entries(&self) -> usize {
        let now = self.store.now();
        self.store.sum(|shard| {
            shard.sweep(&now, usize::MAX);
            shard.len()
        })
    }
}

/// Sizes only, no contents.
impl fmt::Debug for FallbackLru {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackLru")
            .field("capacity", &self.capacity())
            .field("max_bytes", &self.max_bytes())
            .field("shards", &self.shards())
            .finish_non_exhaustive()
    }
}

impl FallbackLru {
    fn from_store(store: Store) -> Self {
        Self { store: Arc::new(store) }
    }
}
