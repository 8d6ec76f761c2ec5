//! A block of the report for each bench: every client with all its figures.

use super::Row;
use super::figures::{RateUnit, percent, ratio, thousands};
use super::grid::{Column, Grid, Line, Weight};
use super::standing::{self, EXACT_LRU, Group, Measure, Role};
use super::subject;
use crate::cache;

/// A bench with its rows.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) bench: &'static str,
    pub(super) about: &'static str,
    pub(super) grid: Grid,
}

/// What a column shows.
#[derive(Debug, Clone, Copy)]
enum Figure {
    Tasks,
    Client,
    Rate(RateUnit),
    NanosPerOp,
    Spread,
    P50,
    P99,
    P999,
    Fairness,
    Cpu,
    Memory,
    /// What an entry takes beside its value.
    Overhead,
    HitRatio,
    /// The hit ratio over that of the exact LRU.
    OfExactLru,
    OfBestPeer(Measure),
}

/// What the rows of `redis-benchmark` are.
pub(super) const GAUGES: &str = "\
redis-benchmark is no client: it shows what this machine can do, without pipelines (floor) and with deep ones
(ceiling). Its number of tasks is that of its connections.";

/// One block for each bench, in the order in which they were run.
pub(super) fn blocks(rows: &[Row]) -> Vec<Block> {
    standing::benches(rows).into_iter().map(|bench| block(bench, rows)).collect()
}

fn block(bench: &'static str, rows: &[Row]) -> Block {
    let figures = figures(bench, rows);
    let mut lines = Vec::new();
    for group in standing::groups(bench, rows) {
        for (at, row) in group.rows.iter().enumerate() {
            let cells = figures.iter().map(|figure| figure.cell(row, &group, at == 0)).collect();
            let weight = if Role::of(row.client) == Role::Ours { Weight::Strong } else { Weight::Plain };
            lines.push(Line::Cells(weight, cells));
        }
        lines.push(Line::Gap);
    }
    for row in standing::gauges(bench, rows) {
        let alone = Group { bench, tasks: row.tasks, rows: Vec::new() };
        lines.push(Line::Cells(
            Weight::Faint,
            figures.iter().map(|figure| figure.cell(row, &alone, true)).collect(),
        ));
    }
    if matches!(lines.last(), Some(Line::Gap)) {
        lines.pop();
    }
    let columns = figures.iter().map(|figure| figure.column(bench)).collect();
    Block { bench, about: subject::about(bench), grid: Grid { columns, lines }.without_empty_columns() }
}

/// The columns; those that no row can fill are left out later.
fn figures(bench: &str, rows: &[Row]) -> Vec<Figure> {
    use Figure::*;

    let largest = rows.iter().filter(|row| row.bench == bench).map(|row| row.ops_per_s).fold(0.0, f64::max);
    let unit = RateUnit::for_largest(largest);
    let best = OfBestPeer(subject::headline(bench));
    if subject::is_of("dedicated", bench) {
        vec![Tasks, Client, Rate(unit), Spread, P50, P99, P999, Fairness, Cpu, Memory, best]
    } else if subject::is_of("lru-hit", bench) {
        vec![Tasks, Client, HitRatio, OfExactLru, best]
    } else if subject::is_of("cache-memory", bench) {
        vec![Tasks, Client, Memory, Overhead, best]
    } else if subject::is_of("lru-memory", bench) {
        vec![Tasks, Client, Memory, best]
    } else if subject::is_in_memory(bench) {
        vec![Tasks, Client, Rate(unit), Spread, NanosPerOp, HitRatio, Memory, best]
    } else {
        vec![Tasks, Client, Rate(unit), Spread, P50, P99, P999, Cpu, Memory, best]
    }
}

impl Figure {
    fn column(self, bench: &str) -> Column {
        let head = match self {
            Self::Tasks => subject::actors(bench).to_owned(),
            Self::Client => "client".to_owned(),
            Self::Rate(unit) => format!("ops\n{}", unit.name),
            Self::NanosPerOp => "ns/op of\na thread".to_owned(),
            Self::Spread => "±\n%".to_owned(),
            Self::P50 => "p50\nµs".to_owned(),
            Self::P99 => "p99\nµs".to_owned(),
            Self::P999 => "p99.9\nµs".to_owned(),
            Self::Fairness => "p99.9\nover p50".to_owned(),
            Self::Cpu => "CPU\nµs/op".to_owned(),
            Self::Memory if subject::is_in_memory(bench) => "memory\nMB".to_owned(),
            Self::Memory => "peak\nMB".to_owned(),
            Self::Overhead => "B/entry beyond\nits value".to_owned(),
            Self::HitRatio => "hits\n%".to_owned(),
            Self::OfExactLru => "of the\nexact LRU".to_owned(),
            Self::OfBestPeer(_) => "over the\nbest peer".to_owned(),
        };
        Column { head, is_number: !matches!(self, Self::Client) }
    }

    fn cell(self, row: &Row, group: &Group<'_>, is_first: bool) -> String {
        let over =
            |other: Option<&Row>, measure| other.and_then(|other| standing::ratio(row, other, measure));
        let micros = |time: f64| thousands(time, 0);
        let shown = match self {
            // Said once: the lines below it are of the same number.
            Self::Tasks if !is_first => return String::new(),
            Self::Tasks => Some(row.tasks.to_string()),
            Self::Client => Some(row.client.to_owned()),
            Self::Rate(unit) => Measure::Throughput.of(row).map(|rate| unit.show(rate)),
            Self::NanosPerOp => {
                Measure::Throughput.of(row).map(|rate| thousands(nanos_per_op(row.tasks, rate), 1))
            }
            Self::Spread => Measure::Throughput.of(row).and(finite(Some(row.spread / 2.0))).map(percent),
            Self::P50 => finite(row.p50_us).map(micros),
            Self::P99 => finite(row.p99_us).map(micros),
            Self::P999 => finite(row.p999_us).map(micros),
            Self::Fairness => fairness(row).map(|ratio| thousands(ratio, 1)),
            Self::Cpu => finite(row.cpu_us_per_op).map(|time| format!("{time:.2}")),
            Self::Memory => finite(row.peak_rss_mb).map(|size| format!("{size:.1}")),
            Self::Overhead => finite(row.peak_rss_mb).map(|size| thousands(overhead(size), 0)),
            Self::HitRatio => finite(row.hit_ratio).map(percent),
            Self::OfExactLru => over(group.client(EXACT_LRU), Measure::HitRatio).map(ratio),
            Self::OfBestPeer(measure) => over(group.best_peer(measure), measure).map(ratio),
        };
        shown.unwrap_or_else(|| "-".to_owned())
    }
}

/// How long one thread works at one operation.
pub(super) fn nanos_per_op(threads: usize, ops_per_s: f64) -> f64 {
    threads as f64 * 1e9 / ops_per_s
}

/// Bytes of one entry of L1 that are not its value: its key, and whatever the cache needs for it.
fn overhead(megabytes: f64) -> f64 {
    megabytes * 1e6 / cache::ENTRIES as f64 - cache::VALUE_BYTES as f64
}

/// How much worse off than usual the unluckiest calls are.
pub(super) fn fairness(row: &Row) -> Option<f64> {
    let (tail, usual) = (finite(row.p999_us)?, finite(row.p50_us)?);
    (usual > 0.0).then_some(tail / usual)
}

fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn text(rows: &[Row]) -> String {
        let lines = blocks(rows).into_iter().flat_map(|block| block.grid.text());
        lines.map(|(_, line)| line + "\n").collect()
    }

    fn line_of<'a>(text: &'a str, client: &str) -> Vec<&'a str> {
        text.lines().find(|line| line.contains(client)).unwrap().split_whitespace().collect()
    }

    #[test]
    fn a_client_is_shown_with_all_that_was_measured_of_it() {
        let rows: Vec<_> = samples::pool().into_iter().filter(|row| row.tasks == 256).collect();
        let text = text(&rows);
        assert_eq!(
            line_of(&text, "cenote"),
            ["256", "cenote", "1,127.0", "1.8", "227", "432", "704", "1.08", "10.1", "1.57x"]
        );
        assert_eq!(line_of(&text, "rustis").last(), Some(&"1.00x"));
        assert!(line_of(&text, "bb8").contains(&"968,210"));
    }

    #[test]
    fn gauges_stand_last_and_are_compared_with_nobody() {
        let text = text(&samples::pool());
        assert_eq!(
            line_of(&text, "-P 64"),
            ["16", "redis-benchmark", "-P", "64", "2,210.0", "1.8", "-", "-", "-", "-", "-", "-"]
        );
        let bench_of_gauges = text.find("redis-benchmark").unwrap();
        assert!(text[..bench_of_gauges].contains("deadpool"));
    }

    #[test]
    fn fairness_is_the_tail_over_the_usual() {
        let text = text(&samples::dedicated());
        assert!(text.contains("over p50"));
        assert_eq!(line_of(&text, "cenote")[7], "3.1");
    }

    #[test]
    fn the_lru_is_shown_by_the_time_of_a_thread_its_hits_and_its_memory() {
        let rows = samples::lru();
        let of = |bench| text(&rows.iter().filter(|row| row.bench == bench).cloned().collect::<Vec<_>>());
        assert_eq!(line_of(&of("lru-hot"), " cenote "), ["1", "cenote", "34.58", "1.8", "28.9", "1.02x"]);
        assert_eq!(line_of(&of("lru-hot"), "cenote GET")[..3], ["cenote", "GET", "command"]);
        assert!(line_of(&of("lru-zipf"), "quick_cache").contains(&"73.0"));
        assert_eq!(line_of(&of("lru-hit-loop"), "quick_cache"), ["quick_cache", "37.9", "379x", "0.96x"]);
        assert_eq!(line_of(&of("lru-memory"), "cenote"), ["1", "cenote", "1.9", "0.83x"]);
        assert!(!text(&rows).contains("p99") && !text(&rows).contains("NaN"), "{}", text(&rows));
    }

    #[test]
    fn an_entry_of_the_cache_is_shown_by_what_it_takes_beyond_its_value() {
        let rows: Vec<_> = samples::cache().into_iter().filter(|row| row.bench == "cache-memory").collect();
        assert_eq!(line_of(&text(&rows), "cenote"), ["cenote", "3.0", "200", "1.50x"]);
    }
}
