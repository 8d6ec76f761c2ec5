//! Keys that no other check uses.

use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The keys of one run of one check. All have one hash tag, so that they may meet in one command on a cluster.
#[derive(Debug)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    /// Fresh keys for the check of this name.
    pub fn new(check: &str) -> Self {
        static RUN: AtomicU64 = AtomicU64::new(0);
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let run = RUN.fetch_add(1, Ordering::Relaxed);
        Self { prefix: format!("contract:{{{check}:{}:{started}:{run}}}", process::id()) }
    }

    /// The key of this name.
    pub fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }

    /// `key("a")`, `key("b")` and `key("c")`.
    pub fn three(&self) -> [String; 3] {
        ["a", "b", "c"].map(|name| self.key(name))
    }
}
