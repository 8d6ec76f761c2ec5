//! Clients in turn, round by round, so that what else happens on the machine hits them alike.

use std::sync::Barrier;
use std::time::Instant;

use super::clients::Cache;
use super::trace::Key;
use crate::measure::latency::{median, spread};
use crate::report::Row;

const VALUE: [u8; 100] = [7; 100];

/// A cache that was filled, whichever it is: rounds are called through it, never single look-ups.
pub(crate) trait Contender {
    fn name(&self) -> &'static str;
    fn round(&self, traces: &[Vec<Key>]) -> Round;
}

/// What one round found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Round {
    pub(crate) ops_per_s: f64,
    pub(crate) hit_ratio: f64,
}

impl<C: Cache> Contender for C {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn round(&self, traces: &[Vec<Key>]) -> Round {
        timed(traces, |trace| read_through(self, trace))
    }
}

/// A thread for each trace; `read` goes through one and counts what hits.
pub(crate) fn timed(traces: &[Vec<Key>], read: impl Fn(&[Key]) -> usize + Sync) -> Round {
    let barrier = Barrier::new(traces.len());
    let times: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = traces
            .iter()
            .map(|trace| {
                let (barrier, read) = (&barrier, &read);
                scope.spawn(move || {
                    barrier.wait();
                    let start = Instant::now();
                    let hits = read(trace);
                    (start, Instant::now(), hits)
                })
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let ops: usize = traces.iter().map(Vec::len).sum();
    let start = times.iter().map(|(start, ..)| *start).min();
    let end = times.iter().map(|(_, end, _)| *end).max();
    let took = end.zip(start).map_or(f64::INFINITY, |(end, start)| (end - start).as_secs_f64());
    let hits: usize = times.iter().map(|(.., hits)| hits).sum();
    Round { ops_per_s: ops as f64 / took, hit_ratio: hits as f64 / ops as f64 }
}

fn read_through<C: Cache>(cache: &C, trace: &[Key]) -> usize {
    let (mut hits, mut seen) = (0, 0);
    for key in trace {
        match cache.get(key) {
            Some(sum) => {
                hits += 1;
                seen += sum;
            }
            None => cache.insert(key, &VALUE),
        }
    }
    assert_eq!(seen, hits as u64 * super::clients::look(&VALUE), "the value is looked at");
    hits
}

pub(crate) fn compete(
    bench: &'static str,
    contenders: &[Box<dyn Contender>],
    traces: &[Vec<Key>],
    rounds: usize,
) -> Vec<Row> {
    let mut results: Vec<Vec<Round>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            let index = (round + turn) % contenders.len();
            results[index].push(contenders[index].round(traces));
        }
    }
    contenders
        .iter()
        .zip(&results)
        .map(|(contender, results)| row(bench, contender.name(), traces.len(), results))
        .collect()
}

pub(crate) fn row(bench: &'static str, client: &'static str, threads: usize, rounds: &[Round]) -> Row {
    Row {
        bench,
        client,
        tasks: threads,
        ops_per_s: median(rounds.iter().map(|round| round.ops_per_s)),
        p50_us: None,
        p99_us: None,
        p999_us: None,
        cpu_us_per_op: None,
        peak_rss_mb: None,
        hit_ratio: Some(median(rounds.iter().map(|round| round.hit_ratio))),
        rounds: rounds.len(),
        spread: spread(rounds.iter().map(|round| round.ops_per_s)),
    }
}
