//! Floor and ceiling of the machine: what Redis' own load generator reaches.

use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cenote_testkit::Server;

use crate::bench::Bench;
use crate::measure::latency::{median, spread};
use crate::report::Row;

const PROGRAM: &str = "redis-benchmark";

struct Gauge {
    name: &'static str,
    connections: usize,
    pipeline: usize,
    requests: usize,
}

const FLOOR: Gauge = Gauge { name: "redis-benchmark -P 1", connections: 50, pipeline: 1, requests: 100_000 };

const CEILING: Gauge =
    Gauge { name: "redis-benchmark -P 64", connections: 16, pipeline: 64, requests: 1_000_000 };

/// Whether there is such a program here.
pub(crate) fn is_installed() -> bool {
    Command::new(PROGRAM).arg("--version").output().is_ok()
}

/// How long a run takes, more or less.
pub(crate) const RUN: Duration = Duration::from_secs(2);

/// Runs it without pipelines and with deep ones, each so many times.
pub(crate) fn run(server: &Server, runs: usize) -> Result<Vec<Row>> {
    store(server)?;
    [FLOOR, CEILING].iter().map(|gauge| gauge.row(server, runs)).collect()
}

/// Without this the key that it reads would not exist.
fn store(server: &Server) -> Result<()> {
    call(server, &["-t", "set", "-d", "100", "-n", "1"]).map(drop)
}

impl Gauge {
    fn row(&self, server: &Server, runs: usize) -> Result<Row> {
        let [connections, pipeline, requests] =
            [self.connections, self.pipeline, self.requests].map(|n| n.to_string());
        let arguments = ["-t", "get", "-d", "100", "-c", &connections, "-P", &pipeline, "-n", &requests];
        let figures = (0..runs).map(|_| figures(&call(server, &arguments)?)).collect::<Result<Vec<_>>>()?;

        let all =
            |name: &str| -> Option<Vec<f64>> { figures.iter().map(|run| run.get(name).copied()).collect() };
        let rates = all("rps").context("no \"rps\" in what redis-benchmark printed")?;
        Ok(Row {
            bench: Bench::PoolGet.name(),
            client: self.name,
            tasks: self.connections,
            ops_per_s: median(rates.iter().copied()),
            // It tells milliseconds; older ones tell none.
            p50_us: all("p50_latency_ms").map(|values| median(values) * 1e3),
            p99_us: all("p99_latency_ms").map(|values| median(values) * 1e3),
            p999_us: None,
            cpu_us_per_op: None,
            peak_rss_mb: None,
            hit_ratio: None,
            rounds: runs,
            spread: spread(rates),
        })
    }
}

fn call(server: &Server, arguments: &[&str]) -> Result<String> {
    let addr = server.addr();
    let (host, port) = (addr.ip().to_string(), addr.port().to_string());
    let output = Command::new(PROGRAM).args(["-h", &host, "-p", &port, "--csv"]).args(arguments).output()?;
    ensure!(output.status.success(), "{PROGRAM}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8(output.stdout)?)
}

/// The columns of the last line of its CSV, by their names.
fn figures(csv: &str) -> Result<HashMap<String, f64>> {
    let mut lines = csv.lines().filter(|line| line.starts_with('"')).map(|line| line.split(','));
    let (Some(names), Some(values)) = (lines.next(), lines.next_back()) else {
        anyhow::bail!("no table in what {PROGRAM} printed: {csv:?}");
    };
    let unquoted = |word: &str| word.trim().trim_matches('"').to_owned();
    let pairs = names.zip(values).map(|(name, value)| (unquoted(name), unquoted(value)));
    Ok(pairs.filter_map(|(name, value)| Some((name, value.parse().ok()?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_was_stored() {
        if !is_installed() {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "not run: {PROGRAM} is not installed");
            eprintln!("not run: {PROGRAM} is not installed");
            return;
        }
        let server = Server::start();
        store(&server).unwrap();
        let row = Gauge { requests: 5_000, ..FLOOR }.row(&server, 1).unwrap();
        assert!(row.ops_per_s > 0.0 && row.tasks == 50, "{row:?}");
        let seen = ["keyspace_hits", "keyspace_misses"].map(|field| server.observer().info(field));
        assert_eq!(seen, ["5000", "0"]);
    }

    #[test]
    fn figures_are_found_by_the_names_of_their_columns() {
        let csv = "\"test\",\"rps\",\"p50_latency_ms\"\n\"GET\",\"150000.50\",\"0.135\"\n";
        let figures = figures(csv).unwrap();
        assert_eq!((figures["rps"], figures["p50_latency_ms"]), (150_000.5, 0.135));
        assert!(!figures.contains_key("test"));
    }

    #[test]
    fn what_is_no_table_is_an_error_that_shows_it() {
        let error = figures("Could not connect\n").unwrap_err().to_string();
        assert!(error.contains("Could not connect"), "{error}");
    }
}
