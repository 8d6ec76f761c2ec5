//! What the store takes, by a counting allocator. One test, as it counts for the whole process.

use std::alloc::System;
use std::time::Duration;

use cenote_fallback_lru::FallbackLru;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What an allocator keeps beside what it was asked for: its own record, and the rest of a size class.
const PER_ALLOCATION: usize = 16;
const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

#[test]
fn a_full_store_takes_what_its_entries_are_charged_and_ten_thousand_small_ones_two_megabytes() {
    for value in [0, 10, 100, 1000] {
        for ttl in [None, MINUTE] {
            for shards in [1, 8] {
                let (charged, held) = filled(10_000, shards, &vec![b'x'; value], ttl);
                let case = format!("{value} B, {ttl:?}, {shards} shards: {held} held, {charged} charged");
                assert!(held <= charged, "{case}");
                assert!(charged <= held + 10_000 * 72, "{case}");
                if (value, ttl) == (100, None) {
                    assert!(held <= 2_000_000, "{case}");
                }
            }
        }
    }
    let before = held();
    let _store = FallbackLru::builder().capacity(1 << 24).build().expect("built");
    assert!(held() - before < 100_000, "room that nobody uses takes no memory");
}

/// What the entries of a full store are charged, and what it holds.
fn filled(capacity: usize, shards: usize, value: &[u8], ttl: Option<Duration>) -> (usize, usize) {
    let before = held();
    let store = FallbackLru::builder().capacity(capacity).shards(shards).build().expect("built");
    for key in 0..2 * capacity {
        store.insert(format!("user:{key:05}"), value, ttl).expect("it fits");
    }
    (store.bytes(), held() - before)
}

fn held() -> usize {
    let stats = ALLOCATOR.stats();
    let allocations = stats.allocations - stats.deallocations;
    stats.bytes_allocated - stats.bytes_deallocated + PER_ALLOCATION * allocations
}
