//! Our own store, by each of the ways into it.

use std::num::NonZeroUsize;

use cenote::{Fallback, FallbackLru};
use redis::{Value, cmd};

use super::{Cache, Key, look};

/// The direct way, in which the value is looked at where it lies.
pub(crate) struct Cenote(FallbackLru);

impl Cache for Cenote {
    const NAME: &'static str = "cenote";

    fn with_capacity(entries: usize) -> Self {
        Self(built(entries))
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
        Self(built(entries))
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
        Self(built(entries))
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

fn built(entries: usize) -> FallbackLru {
    FallbackLru::new(NonZeroUsize::new(entries).unwrap_or(NonZeroUsize::MIN))
}
