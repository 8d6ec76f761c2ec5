//! Who is compared with whom: rows of one bench and one number of tasks, and the best of the peers among them.

use super::Row;
use super::subject;

/// Our client in every bench.
pub(super) const OURS: &str = "cenote";
/// The exact LRU, against which hit ratios are held.
pub(super) const EXACT_LRU: &str = "lru + mutex";

/// What a row is to the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Ours,
    /// Another way into our own code: shown, and no peer.
    Variant,
    Peer,
    /// The floor or the ceiling of the machine: no client, and no peer.
    Gauge,
}

impl Role {
    pub(super) fn of(client: &str) -> Self {
        match client {
            OURS => Self::Ours,
            _ if client.starts_with(OURS) => Self::Variant,
            _ if client.starts_with("redis-benchmark") => Self::Gauge,
            _ => Self::Peer,
        }
    }
}

/// A figure by which clients are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    Throughput,
    P99,
    Cpu,
    Memory,
    HitRatio,
}

impl Measure {
    /// `None` where it was not measured.
    pub(super) fn of(self, row: &Row) -> Option<f64> {
        let value = match self {
            Self::Throughput => Some(row.ops_per_s),
            Self::P99 => row.p99_us,
            Self::Cpu => row.cpu_us_per_op,
            Self::Memory => row.peak_rss_mb,
            Self::HitRatio => row.hit_ratio,
        };
        value.filter(|value| value.is_finite() && *value > 0.0)
    }

    fn more_is_better(self) -> bool {
        matches!(self, Self::Throughput | Self::HitRatio)
    }
}

/// The clients of one bench with one number of tasks, the best first.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) bench: &'static str,
    pub(super) tasks: usize,
    pub(super) rows: Vec<&'a Row>,
}

/// The benches in the order in which they were run.
pub(super) fn benches(rows: &[Row]) -> Vec<&'static str> {
    let mut benches = Vec::new();
    for row in rows {
        if !benches.contains(&row.bench) {
            benches.push(row.bench);
        }
    }
    benches
}

/// Floor and ceiling of the machine in this bench. Their connections are not the clients' tasks, so they are in no group.
pub(super) fn gauges<'a>(bench: &str, rows: &'a [Row]) -> Vec<&'a Row> {
    rows.iter().filter(|row| row.bench == bench && Role::of(row.client) == Role::Gauge).collect()
}

/// The groups of one bench, by their number of tasks.
pub(super) fn groups<'a>(bench: &'static str, rows: &'a [Row]) -> Vec<Group<'a>> {
    let is_client = |row: &&Row| row.bench == bench && Role::of(row.client) != Role::Gauge;
    let rows: Vec<_> = rows.iter().filter(is_client).collect();
    let mut tasks: Vec<_> = rows.iter().map(|row| row.tasks).collect();
    tasks.sort_unstable();
    tasks.dedup();
    let of = |tasks| rows.iter().copied().filter(|row| row.tasks == tasks).collect();
    tasks.into_iter().map(|tasks| Group { bench, tasks, rows: of(tasks) }.sorted()).collect()
}

impl<'a> Group<'a> {
    fn sorted(mut self) -> Self {
        let measure = subject::headline(self.bench);
        let sign = if measure.more_is_better() { -1.0 } else { 1.0 };
        let key = |row: &Row| measure.of(row).map_or(f64::INFINITY, |value| sign * value);
        self.rows.sort_by(|a, b| key(a).total_cmp(&key(b)));
        self
    }

    pub(super) fn client(&self, name: &str) -> Option<&'a Row> {
        self.rows.iter().copied().find(|row| row.client == name)
    }

    /// The peer that is best by this measure alone; another may be by another.
    pub(super) fn best_peer(&self, measure: Measure) -> Option<&'a Row> {
        let peers = self.rows.iter().copied().filter(|row| Role::of(row.client) == Role::Peer);
        let measured = peers.filter_map(|row| Some((row, measure.of(row)?)));
        let order = |a: &(&Row, f64), b: &(&Row, f64)| a.1.total_cmp(&b.1);
        let best = if measure.more_is_better() { measured.max_by(order) } else { measured.min_by(order) };
        best.map(|(row, _)| row)
    }
}

/// `row` over `other`.
pub(super) fn ratio(row: &Row, other: &Row, measure: Measure) -> Option<f64> {
    Some(measure.of(row)? / measure.of(other)?)
}

#[cfg(test)]
mod tests {
    use super::super::samples::{self, row};
    use super::*;

    #[test]
    fn the_best_peer_is_the_best_by_the_measure_at_hand() {
        let quick =
            Row { p99_us: Some(900.0), cpu_us_per_op: Some(3.0), ..row("pool-get", "quick", 64, 500.0) };
        let steady =
            Row { p99_us: Some(400.0), cpu_us_per_op: Some(2.0), ..row("pool-get", "steady", 64, 300.0) };
        let ours = Row { p99_us: Some(100.0), cpu_us_per_op: Some(1.0), ..row("pool-get", OURS, 64, 900.0) };
        let rows = [quick, steady, ours];
        let group = &groups("pool-get", &rows)[0];
        let best = |measure| group.best_peer(measure).unwrap().client;
        assert_eq!(best(Measure::Throughput), "quick");
        assert_eq!(best(Measure::P99), "steady");
        assert_eq!(best(Measure::Cpu), "steady");
        assert!(group.best_peer(Measure::Memory).is_none());
        assert_eq!(ratio(&rows[2], &rows[1], Measure::P99), Some(0.25));
    }

    #[test]
    fn gauges_and_our_own_variants_are_no_peers() {
        let rows = [
            row("pool-get", "redis-benchmark -P 64", 16, 900.0),
            row("pool-get", "cenote GET command", 16, 800.0),
            row("pool-get", "peer", 16, 100.0),
        ];
        let group = &groups("pool-get", &rows)[0];
        assert_eq!(group.best_peer(Measure::Throughput).unwrap().client, "peer");
        assert!(group.client("redis-benchmark -P 64").is_none());
        assert_eq!(gauges("pool-get", &rows)[0].client, "redis-benchmark -P 64");
    }

    #[test]
    fn rows_stand_by_what_their_bench_is_about() {
        let rows = samples::lru();
        let first = |bench| groups(bench, &rows)[0].rows[0];
        assert_eq!(first("lru-memory").peak_rss_mb, Some(1.9));
        assert_eq!(first("lru-hit-loop").client, "moka");
        let tasks: Vec<_> = groups("lru-hot", &rows).iter().map(|group| group.tasks).collect();
        assert_eq!(tasks, [1, 2]);
        assert_eq!(benches(&rows)[..2], ["lru-hot", "lru-zipf"]);
    }

    #[test]
    fn what_cannot_be_divided_has_no_ratio() {
        let (ours, stuck) = (row("b", OURS, 1, 10.0), row("b", "stuck", 1, 0.0));
        assert_eq!(ratio(&ours, &stuck, Measure::Throughput), None);
        assert_eq!(ratio(&stuck, &Row { ops_per_s: f64::NAN, ..ours }, Measure::Throughput), None);
    }
}
