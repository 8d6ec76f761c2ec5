//! The in-memory store beside in-memory caches: speed, hits and memory.

pub(crate) mod clients;
mod memory;
pub(crate) mod rounds;
pub(crate) mod trace;

use std::num::NonZero;
use std::thread;

use anyhow::Result;

use self::clients::{Cache, Cenote, CenoteCommand, CenoteCopied, LruMutex, MiniMoka, Moka, QuickCache};
pub(crate) use self::memory::{ALONE, run_alone};
use self::rounds::Contender;
use self::trace::{CAPACITY, Pattern};
use crate::report::Row;

/// For hot look-ups there is room to spare: a cache that divides it among shards evicts nothing either.
pub(crate) const ROOMY: usize = 16_000;

/// How often, and how many look-ups at a time.
struct Length {
    rounds: usize,
    lookups: usize,
}

/// Every bench of this family.
pub(crate) fn run(quick: bool) -> Result<Vec<Row>> {
    let length =
        if quick { Length { rounds: 7, lookups: 100_000 } } else { Length { rounds: 15, lookups: 400_000 } };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let mut thread_counts = vec![1, cores];
    thread_counts.dedup();

    let mut rows = Vec::new();
    for threads in thread_counts {
        for (bench, pattern, room) in [
            ("lru-hot", Pattern::Hot, ROOMY),
            ("lru-zipf", Pattern::Zipf, CAPACITY),
            ("lru-scan", Pattern::Scan, CAPACITY),
        ] {
            eprintln!("{bench}, threads: {threads}");
            rows.extend(speed(bench, pattern, room, threads, &length));
        }
    }
    for (bench, pattern) in [
        ("lru-hit-zipf", Pattern::Zipf),
        ("lru-hit-scan", Pattern::Scan),
        ("lru-hit-loop", Pattern::Loop),
        ("lru-hit-uniform", Pattern::Uniform),
    ] {
        rows.extend(hits(bench, pattern, length.lookups));
    }
    eprintln!("lru-memory");
    rows.extend(memory::rows()?);
    Ok(rows)
}

/// Look-ups as fast as they go, in turns.
fn speed(bench: &'static str, pattern: Pattern, room: usize, threads: usize, length: &Length) -> Vec<Row> {
    let mut contenders = contenders(room);
    contenders.extend([contender::<CenoteCopied>(room), contender::<CenoteCommand>(room)]);
    let fill = match pattern {
        Pattern::Hot => trace::hot_keys().collect(),
        _ => pattern.trace(length.lookups, threads),
    };
    for contender in &contenders {
        contender.round(std::slice::from_ref(&fill));
    }
    let traces: Vec<_> = (0..threads).map(|stream| pattern.trace(length.lookups, stream)).collect();
    rounds::compete(bench, &contenders, &traces, length.rounds)
}

/// How many look-ups hit once the cache is warm: the same in every run, so one is enough.
fn hits(bench: &'static str, pattern: Pattern, lookups: usize) -> Vec<Row> {
    // One sequence in two halves: a loop that began anew would find what the warm-up left.
    let mut warm = pattern.trace(2 * lookups, 0);
    let measured = warm.split_off(lookups);
    contenders(CAPACITY)
        .iter()
        .map(|contender| {
            contender.round(std::slice::from_ref(&warm));
            let round = contender.round(std::slice::from_ref(&measured));
            Row { ops_per_s: 0.0, ..rounds::row(bench, contender.name(), 1, &[round]) }
        })
        .collect()
}

fn contenders(room: usize) -> Vec<Box<dyn Contender>> {
    vec![
        contender::<Cenote>(room),
        contender::<LruMutex>(room),
        contender::<QuickCache>(room),
        contender::<Moka>(room),
        contender::<MiniMoka>(room),
    ]
}

fn contender<C: Cache + 'static>(room: usize) -> Box<dyn Contender> {
    Box::new(C::with_capacity(room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_hits_are_those_of_the_exact_lru() {
        for pattern in [Pattern::Zipf, Pattern::Scan, Pattern::Loop, Pattern::Uniform] {
            let rows = hits("lru-hit-zipf", pattern, 50_000);
            let of =
                |client: &str| rows.iter().find(|row| row.client == client).and_then(|row| row.hit_ratio);
            assert_eq!(of("cenote"), of("lru + mutex"), "{pattern:?}");
            assert!(of("quick_cache").is_some());
        }
    }

    #[test]
    fn every_client_is_measured_by_one_thread_and_by_two() {
        for threads in [1, 2] {
            let rows = speed("lru-hot", Pattern::Hot, ROOMY, threads, &Length { rounds: 2, lookups: 1000 });
            assert_eq!(rows.len(), 7);
            assert!(rows.iter().all(|row| row.ops_per_s > 0.0 && row.hit_ratio == Some(1.0)), "{rows:?}");
        }
    }
}
