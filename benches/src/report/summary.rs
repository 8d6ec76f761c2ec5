//! Where our client stands, in one line for each bench and number of tasks.

use super::Row;
use super::blocks::fairness;
use super::figures::{ratio, thousands};
use super::grid::{Column, Grid, Line, Weight};
use super::standing::{self, EXACT_LRU, Group, Measure, OURS};
use super::subject;

/// One family of benches.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) family: &'static str,
    pub(super) grid: Grid,
}

/// What the ratios of a summary mean.
pub(super) const LEGEND: &str = "\
Ratios of cenote to a peer. The best peer is the best at that measure alone; another column may name another.
More is better for throughput and hits; less is better for p99, CPU and memory.";

/// A column.
#[derive(Debug, Clone, Copy)]
enum Comparison {
    /// With the best peer, which is named.
    Best(Measure),
    /// With this client.
    With(&'static str, Measure),
    /// What is said of this client alone.
    Fairness(&'static str),
}

use self::Comparison::{Best, Fairness, With};

const POOL: &[Comparison] = &[
    Best(Measure::Throughput),
    Best(Measure::P99),
    Best(Measure::Cpu),
    With("redis-rs mux", Measure::Throughput),
    With("deadpool", Measure::Throughput),
    With("bb8", Measure::Throughput),
    With("redis-rs mux", Measure::P99),
];

const DEDICATED: &[Comparison] = &[
    Best(Measure::Throughput),
    Best(Measure::P99),
    Best(Measure::Cpu),
    With("deadpool", Measure::Throughput),
    With("bb8", Measure::Throughput),
    Fairness(OURS),
    Fairness("deadpool"),
    Fairness("bb8"),
];

const LRU: &[Comparison] = &[
    Best(Measure::Throughput),
    With("quick_cache", Measure::Throughput),
    With(EXACT_LRU, Measure::HitRatio),
    Best(Measure::Memory),
];

const CACHE: &[Comparison] = &[
    Best(Measure::Throughput),
    With("quick_cache", Measure::Throughput),
    With("moka", Measure::Throughput),
    With("cenote pool", Measure::Throughput),
    With("cenote one by one", Measure::Throughput),
    Best(Measure::Memory),
];

const RATELIMIT: &[Comparison] = &[
    Best(Measure::Throughput),
    Best(Measure::P99),
    With("governor", Measure::Throughput),
    With("limitador's calls", Measure::Throughput),
    With("limitador's, value only", Measure::Throughput),
    With("cenote script, pool", Measure::Throughput),
    With("cenote script, redis-rs", Measure::Throughput),
];

const PROGRESS: &[Comparison] = &[
    Best(Measure::Throughput),
    Best(Measure::P99),
    Best(Measure::Cpu),
    With("redis-rs pub/sub", Measure::Throughput),
    With("redis-rs pub/sub", Measure::Cpu),
    With("redis-rs push", Measure::Cpu),
    With("fred", Measure::Cpu),
];

/// A summary for each family in which our client met a peer.
pub(super) fn summaries(rows: &[Row]) -> Vec<Summary> {
    let families = [
        ("pool", POOL),
        ("dedicated", DEDICATED),
        ("lru", LRU),
        ("cache", CACHE),
        ("ratelimit", RATELIMIT),
        ("progress", PROGRESS),
    ];
    families.into_iter().filter_map(|(family, columns)| summary(family, columns, rows)).collect()
}

fn summary(family: &'static str, comparisons: &[Comparison], rows: &[Row]) -> Option<Summary> {
    let benches = standing::benches(rows).into_iter().filter(|bench| subject::is_of(family, bench));
    let groups: Vec<_> = benches.flat_map(|bench| standing::groups(bench, rows)).collect();
    let lines: Vec<_> = groups.iter().filter_map(|group| line(group, comparisons)).collect();
    if lines.is_empty() {
        return None;
    }
    let first = [Column { head: "bench".to_owned(), is_number: false }, number(subject::actors(family))];
    let columns = first.into_iter().chain(comparisons.iter().map(|comparison| comparison.column())).collect();
    Some(Summary { family, grid: Grid { columns, lines }.without_empty_columns() })
}

fn line(group: &Group<'_>, comparisons: &[Comparison]) -> Option<Line> {
    let ours = group.client(OURS)?;
    let figures: Vec<_> = comparisons.iter().map(|comparison| comparison.cell(ours, group)).collect();
    figures.iter().any(Option::is_some).then(|| {
        let figures = figures.into_iter().map(|cell| cell.unwrap_or_else(|| "-".to_owned()));
        Line::Cells(
            Weight::Plain,
            [group.bench.to_owned(), group.tasks.to_string()].into_iter().chain(figures).collect(),
        )
    })
}

impl Comparison {
    fn column(self) -> Column {
        match self {
            Best(measure) => Column { head: format!("{}\nover the best", name(measure)), is_number: false },
            // Throughput is what most columns are about, so it goes without saying.
            With(client, Measure::Throughput) => number(&format!("over\n{}", short(client))),
            With(client, measure) => number(&format!("{}\nover {}", name(measure), short(client))),
            Fairness(OURS) => number("p99.9\nover p50"),
            Fairness(client) => number(&format!("that of\n{client}")),
        }
    }

    fn cell(self, ours: &Row, group: &Group<'_>) -> Option<String> {
        match self {
            Best(measure) => {
                let best = group.best_peer(measure)?;
                let over = ratio(standing::ratio(ours, best, measure)?);
                Some(format!("{over:>5} {}", short(best.client)))
            }
            With(client, measure) => standing::ratio(ours, group.client(client)?, measure).map(ratio),
            Fairness(client) => fairness(group.client(client)?).map(|ratio| thousands(ratio, 1)),
        }
    }
}

fn name(measure: Measure) -> &'static str {
    match measure {
        Measure::Throughput => "throughput",
        Measure::P99 => "p99",
        Measure::Cpu => "CPU/op",
        Measure::Memory => "memory",
        Measure::HitRatio => "hits",
    }
}

fn number(head: &str) -> Column {
    Column { head: head.to_owned(), is_number: true }
}

/// The two connections of redis-rs go by their second name, and so do our own variants, for room.
fn short(client: &str) -> &str {
    let variant = client.strip_prefix(OURS).and_then(|rest| rest.strip_prefix(' '));
    variant.or_else(|| client.strip_prefix("redis-rs ")).unwrap_or(client)
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn line_of(rows: &[Row], bench: &str, tasks: &str) -> Vec<String> {
        let grids = summaries(rows).into_iter().map(|summary| summary.grid);
        let words = grids
            .flat_map(|grid| grid.text())
            .map(|(_, line)| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        words.into_iter().find(|words| words.len() > 2 && words[0] == bench && words[1] == tasks).unwrap()
    }

    #[test]
    fn we_are_held_against_the_best_at_each_measure() {
        let mut rows = samples::pool();
        let fred = rows.iter_mut().find(|row| (row.client, row.tasks) == ("fred", 256)).unwrap();
        fred.p99_us = Some(100.0);
        assert_eq!(
            line_of(&rows, "pool-get", "256")[2..],
            ["1.57x", "rustis", "4.32x", "fred", "0.62x", "rustis", "2.62x", "15.2x", "13.1x", "0.38x"]
        );
    }

    #[test]
    fn fairness_is_told_of_every_client_of_exclusive_connections() {
        let words = line_of(&samples::dedicated(), "dedicated", "64");
        assert_eq!(words[words.len() - 3..], ["3.1", "3.1", "1,240.5"]);
    }

    #[test]
    fn the_lru_is_held_against_quick_cache_the_exact_lru_and_the_smallest() {
        let rows = samples::lru();
        assert_eq!(line_of(&rows, "lru-hot", "1")[2..], ["1.02x", "quick_cache", "1.02x", "-", "-"]);
        assert_eq!(line_of(&rows, "lru-memory", "1")[2..], ["-", "-", "-", "0.83x", "quick_cache"]);
        assert_eq!(line_of(&rows, "lru-hit-loop", "1")[4], "1.00x");
    }

    #[test]
    fn the_cache_is_held_against_memory_the_bare_pool_and_single_calls() {
        let rows = samples::cache();
        assert_eq!(
            line_of(&rows, "cache-l1", "1")[2..],
            ["0.75x", "quick_cache", "0.75x", "4.00x", "-", "-", "-"]
        );
        assert_eq!(line_of(&rows, "cache-l2", "256")[4..], ["-", "-", "0.90x", "-", "-"]);
        assert_eq!(line_of(&rows, "cache-many", "1")[2..], ["-", "-", "-", "0.75x", "25.0x", "-"]);
    }

    #[test]
    fn alone_there_is_nothing_to_summarise() {
        let alone: Vec<_> = samples::pool().into_iter().filter(|row| row.client == OURS).collect();
        assert!(summaries(&alone).is_empty());
    }
}
