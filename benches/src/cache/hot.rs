//! `cache-l1`: values that are in this process, by one thread and by as many as there are cores.

use std::num::NonZero;
use std::thread;

use anyhow::{Result, ensure};
use tokio::runtime::{Handle, Runtime};

use super::clients::{CenoteHot, Hot, Moka, MultiTierHot, QuickCache};
use crate::lru::rounds::{self, Contender, Round, timed};
use crate::lru::trace::{Key, Pattern};
use crate::report::Row;

pub(super) fn rows(runtime: &Runtime, url: &str, quick: bool) -> Result<Vec<Row>> {
    let (rounds, lookups) = if quick { (7, 50_000) } else { (15, 200_000) };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let mut thread_counts = vec![1, cores];
    thread_counts.dedup();
    let contenders = [
        contender::<CenoteHot>(runtime, url)?,
        contender::<QuickCache>(runtime, url)?,
        contender::<Moka<Key>>(runtime, url)?,
        contender::<MultiTierHot>(runtime, url)?,
    ];
    let mut rows = Vec::new();
    for threads in thread_counts {
        eprintln!("cache-l1, threads: {threads}");
        let traces: Vec<_> = (0..threads).map(|stream| Pattern::Hot.trace(lookups, stream)).collect();
        rows.extend(rounds::compete("cache-l1", &contenders, &traces, rounds));
    }
    for row in &mut rows {
        ensure!(
            row.hit_ratio == Some(1.0),
            "{} had to load: {:?} of its look-ups hit",
            row.client,
            row.hit_ratio
        );
        row.hit_ratio = None;
    }
    Ok(rows)
}

fn contender<C: Hot>(runtime: &Runtime, url: &str) -> Result<Box<dyn Contender>> {
    Ok(Box::new(InRuntime { cache: runtime.block_on(C::filled(url, 0))?, handle: runtime.handle().clone() }))
}

/// A cache that is called by async code.
struct InRuntime<C> {
    cache: C,
    handle: Handle,
}

impl<C: Hot> Contender for InRuntime<C> {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn round(&self, traces: &[Vec<Key>]) -> Round {
        timed(traces, |trace| self.handle.block_on(read(&self.cache, trace)))
    }
}

async fn read(cache: &impl Hot, trace: &[Key]) -> usize {
    let (mut hits, mut seen) = (0, 0);
    for key in trace {
        if let Some(sum) = cache.get(key).await {
            hits += 1;
            seen += sum;
        }
    }
    assert_eq!(seen, hits as u64 * 2 * u64::from(b'x'), "the value is looked at");
    hits
}

#[cfg(test)]
mod tests {
    use cenote_testkit::Server;

    use super::*;

    #[test]
    fn every_client_is_measured_by_one_thread_and_by_all() {
        let server = Server::start();
        let runtime = Runtime::new().unwrap();
        let rows = rows(&runtime, &server.url(), true).unwrap();
        assert!(rows.len() >= 4 && rows.iter().all(|row| row.ops_per_s > 0.0), "{rows:?}");
    }
}
