//! The store by itself: byte strings in and out, without commands.

use std::fmt;
use std::time::Duration;

use crate::FallbackLru;
use crate::store::{Data, Text};

/// The same entries as those of the commands: what `SET` stored, [`get`](FallbackLru::get) finds.
impl FallbackLru {
    /// A copy of the string under `key`, which becomes the most recently used. `None` if there is none: also if a
    /// command stored a hash, a set or a list there.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let store = cenote_fallback_lru::FallbackLru::default();
    /// store.insert("flags:42", "on", Some(Duration::from_secs(60)))?;
    /// assert_eq!(store.get("flags:42").as_deref(), Some(&b"on"[..]));
    /// assert!(store.remove("flags:42"));
    /// # Ok::<(), cenote_fallback_lru::TooLarge>(())
    /// ```
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        self.get_with(key, <[u8]>::to_vec)
    }

    /// As [`get`](Self::get), without a copy: what `look` makes of the string where it lies.
    ///
    /// Its shard is locked meanwhile, so `look` should be quick, and must not use this store: that would wait for
    /// itself for ever.
    pub fn get_with<R>(&self, key: impl AsRef<[u8]>, look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let key = self.store.hash(key.as_ref());
        let now = self.store.now();
        self.store.with(key, |shard| match &shard.touch(key, &now)?.data {
            Data::String(text) => Some(look(text.value())),
            Data::Collection(_) => None,
        })
    }

    /// Stores a string, whatever was there, as the most recently used. Without a `ttl` it does not expire; with one it
    /// does after so many whole milliseconds.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] if it would not fit if it were alone; then nothing has changed.
    pub fn insert(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        ttl: Option<Duration>,
    ) -> Result<(), TooLarge> {
        let (key, value) = (self.store.hash(key.as_ref()), value.as_ref());
        let now = self.store.now();
        let expires_at =
            ttl.map(|ttl| now.ms().saturating_add(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)));
        let data = Data::String(Text::new(key, value));
        let stored = self.store.with(key, |shard| shard.put(key, data, expires_at, &now));
        stored.map_err(|_| TooLarge {
            bytes: Self::ENTRY_OVERHEAD + key.bytes.len() + value.len(),
            most: self.max_bytes() / self.shards(),
        })
    }

    /// Removes whatever is under `key`. False if there was nothing.
    pub fn remove(&self, key: impl AsRef<[u8]>) -> bool {
        let key = self.store.hash(key.as_ref());
        let now = self.store.now();
        self.store.with(key, |shard| shard.remove(key, &now))
    }
}

/// An entry that no shard can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TooLarge {
    /// What it is charged.
    pub bytes: usize,
    /// What one shard may hold: the store's `max_bytes`, divided among its shards.
    pub most: usize,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, most } = self;
        write!(
            f,
            "the entry takes {bytes} bytes, and a shard has room for {most}: raise max_bytes, or use fewer shards"
        )
    }
}

impl std::error::Error for TooLarge {}
