//! What the tests of this crate share.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::{Clock, Fallback};
use redis::{Cmd, Value};

/// A random sequence that its seed repeats.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Takes the seed from `CENOTE_SEED`, or a new one, and prints it.
    pub(crate) fn from_environment() -> Self {
        let seed = match std::env::var("CENOTE_SEED") {
            Ok(seed) => seed.parse().expect("CENOTE_SEED is a number"),
            Err(_) => std::process::id().into(),
        };
        println!("CENOTE_SEED={seed}");
        Self(seed)
    }

    /// Another sequence, for another thread or part.
    pub(crate) fn branch(&mut self) -> Self {
        Self(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub(crate) struct ManualClock {
    start: Instant,
    ms: AtomicU64,
}

impl ManualClock {
    /// Some time in 2023.
    pub(crate) const START: u64 = 1_700_000_000_000;

    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { start: Instant::now(), ms: AtomicU64::new(0) })
    }

    pub(crate) fn advance(&self, ms: u64) {
        self.ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.ms.load(Ordering::SeqCst))
    }

    fn unix_time(&self) -> Duration {
        Duration::from_millis(Self::START + self.ms.load(Ordering::SeqCst))
    }
}

/// A command from its words: `cmd("SET key value")`.
pub(crate) fn cmd(words: &str) -> Cmd {
    command(&words.split_whitespace().collect::<Vec<_>>())
}

pub(crate) fn command(words: &[impl AsRef<[u8]>]) -> Cmd {
    let mut cmd = Cmd::new();
    for word in words {
        cmd.arg(word.as_ref());
    }
    cmd
}

/// One command's reply.
pub(crate) fn run(store: &FallbackLru, words: &str) -> Value {
    run_cmd(store, &cmd(words))
}

pub(crate) fn run_cmd(store: &FallbackLru, cmd: &Cmd) -> Value {
    store.execute(&[cmd], false).expect("served").remove(0)
}

pub(crate) fn bulk(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

/// An error's whole line.
pub(crate) fn error(value: &Value) -> String {
    match value {
        Value::ServerError(error) => {
            format!("{} {}", error.code(), error.details().unwrap_or_default())
        }
        other => panic!("not an error: {other:?}"),
    }
}
