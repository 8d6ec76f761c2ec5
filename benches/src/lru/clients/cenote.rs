//! Our own store, by each of the ways into it.

use ::cenote::fallback_lru::FallbackLru;
use ::cenote::Fallback;
use redis::{Value, cmd};

use super::{Cache, Key, look};

/// The direct way, in which the value is looked at where it lies.
pub(crate) struct Cenote(FallbackLru);

impl Cache for Cenote {
    const NAME: &'static str = "cenote";

    fn with_capacity(entries: usize) -> Self {
        Self(built(entries, None))
    }

    fn get(&self, key: &Key) -> Option<u64> {
        self.0.get_with(key, look)
    }

    fn insert(&self, key: &Key, value: &[u8]) {
        let _ = self.0.insert(key, value, None);
    }

    fn len(&self) -> usize {
        self.0.entries()
    }
}

/// The direct way, one shard.
pub(crate) struct CenoteSharded(FallbackLru);

impl Cache for CenoteSharded {
    const NAME: &'static str = "cenote 8 shards";

    fn with_capacity(entries: usize) -> Self {
        Self(built(entries, Some(8)))
    }

    fn get(&self, key: &Key) -> Option<u64> {
        self.0.get_with(key, look)
    }

    fn insert(&self, key: &Key, value: &[u8]) {
        let _ = self.0.insert(key, value, None);
    }

    fn len(&self) -> usize {
        self.0.entries()
    }
}

/// The direct way, in which the caller gets a copy of the value.
pub(crate) struct CenoteCopied(FallbackLru);

impl Cache for CenoteCopied {
    const NAME: &'static str = "cenote, copied";

    fn with_capacity(entries: usize) -> Self {
        Self(built(entries, None))
    }

    fn get(&self, key: &Key) -> Option<u64> {
        self.0.get(key).map(|value| look(&value))
    }

    fn insert(&self, key: &Key, value: &[u8]) {
        let _ = self.0.insert(key, value, None);
    }

    fn len(&self) -> usize {
        self.0.entries()
    }
}

/// As a pool reaches it: by Redis commands, made for each call.
pub(crate) struct CenoteCommand(FallbackLru);

impl Cache for CenoteCommand {
    const NAME: &'static str = "cenote GET command";

    fn with_capacity(entries: usize) -> Self {
        Self(built(entries, None))
    }

    fn get(&self, key: &Key) -> Option<u64> {
        let replies = self.0.execute(&[cmd("GET").arg(key)], false).ok()?;
        match &replies[..] {
            [Value::BulkString(value)] => Some(look(value)),
            _ => None,
        }
    }

    fn insert(&self, key: &Key, value: &[u8]) {
        let _ = self.0.execute(&[cmd("SET").arg(key).arg(value)], false);
    }

    fn len(&self) -> usize {
        self.0.entries()
    }
}

fn built(entries: usize, shards: Option<usize>) -> FallbackLru {
    let builder = FallbackLru::builder().capacity(entries);
    let builder = match shards {
        Some(shards) => builder.shards(shards),
        None => builder,
    };
    builder.build().unwrap()
}
