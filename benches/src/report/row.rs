//! One measured line: a client, a bench, a number of tasks.

use serde::Serialize;

/// Medians over the rounds of one client in one bench.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// What was measured: `pool-get`, `dedicated`, `lru-zipf`, ...
    pub bench: &'static str,
    /// Ours is `cenote`.
    pub client: &'static str,
    /// Tasks, or threads in the benches of the LRU.
    pub tasks: usize,
    /// Operations in a second; a pipeline of ten is ten.
    pub ops_per_s: f64,
    /// Latency of one call as its task saw it, in microseconds; `None` where single calls are not timed.
    pub p50_us: Option<f64>,
    /// See `p50_us`.
    pub p99_us: Option<f64>,
    /// See `p50_us`.
    pub p999_us: Option<f64>,
    /// User and system time of the client's process for one operation, in microseconds.
    pub cpu_us_per_op: Option<f64>,
    /// Peak resident memory of a run in a process of its own, in MB (10^6 bytes).
    pub peak_rss_mb: Option<f64>,
    /// Share of look-ups that found their key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hit_ratio: Option<f64>,
    /// How many rounds the medians are of.
    pub rounds: usize,
    /// Half of all rounds lay within this share of the median throughput (interquartile range over median).
    pub spread: f64,
}
