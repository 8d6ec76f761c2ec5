//! What is stored, and where.

use std::sync::LazyLock;

use anyhow::{Result, ensure};

/// How many entries L1 is asked to hold in `cache-l1` and `cache-memory`.
pub(crate) const ENTRIES: usize = crate::lru::trace::CAPACITY;
pub(crate) const VALUE_BYTES: usize = 100;

/// Keys of the benches that go to Redis: far more than the L1s there hold.
pub(super) const KEYS: usize = 20_000;
pub(super) const SMALL_L1: usize = KEYS / 100;

/// As a service has them.
pub(super) fn keys() -> &'static [String] {
    static KEYS_OF_USERS: LazyLock<Vec<String>> = LazyLock::new(|| named("user"));
    &KEYS_OF_USERS
}

/// As long, for bare values.
pub(super) fn bare_keys() -> &'static [String] {
    static BARE: LazyLock<Vec<String>> = LazyLock::new(|| named("bare"));
    &BARE
}

fn named(kind: &str) -> Vec<String> {
    (0..KEYS).map(|index| format!("{kind}:{index:06}")).collect()
}

pub(super) fn value() -> String {
    "x".repeat(VALUE_BYTES)
}

/// So that no error is ever measured as an answer.
pub(super) fn check(value: &[u8]) -> Result<()> {
    ensure!(value.len() == VALUE_BYTES, "a value has {VALUE_BYTES} bytes, and {} came back", value.len());
    Ok(())
}
