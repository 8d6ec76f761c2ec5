//! Invented rows for tests, shaped like those of a real run.

use super::Row;
use super::standing::OURS;

/// A row of which only the throughput is known.
pub(super) fn row(bench: &'static str, client: &'static str, tasks: usize, ops_per_s: f64) -> Row {
    Row {
        bench,
        client,
        tasks,
        ops_per_s,
        p50_us: None,
        p99_us: None,
        p999_us: None,
        cpu_us_per_op: None,
        peak_rss_mb: None,
        hit_ratio: None,
        rounds: 15,
        spread: 0.036,
    }
}

pub(super) const TASKS: [usize; 5] = [1, 16, 64, 256, 1024];

/// Thousands of operations in a second for each of [`TASKS`], and processor time for one.
const CLIENTS: [(&str, [f64; 5], f64); 7] = [
    (OURS, [10.2, 189.0, 512.0, 1127.0, 1269.0], 1.08),
    ("rustis", [11.1, 200.0, 472.0, 720.0, 787.0], 1.75),
    ("fred", [11.0, 191.0, 353.0, 411.0, 459.0], 3.4),
    ("redis-rs mux", [10.4, 170.0, 337.0, 430.0, 400.0], 3.42),
    ("redis-rs manager", [10.9, 177.0, 355.0, 426.0, 390.0], 3.44),
    ("bb8", [5.4, 88.0, 82.0, 86.0, 84.0], 11.9),
    ("deadpool", [5.3, 80.0, 76.0, 74.0, 66.0], 13.8),
];

/// `pool-get` with its gauges, and the other benches of shared connections.
pub(super) fn pool() -> Vec<Row> {
    let get =
        CLIENTS.iter().flat_map(|client| TASKS.iter().map(move |tasks| timed("pool-get", client, *tasks)));
    let others = [("pool-mix", 64), ("pool-pipeline", 256), ("pool-neighbour", 255)];
    let others = others
        .into_iter()
        .flat_map(|(bench, tasks)| CLIENTS.iter().map(move |client| timed(bench, client, tasks)));
    let gauges = [("redis-benchmark -P 1", 50, 152_000.0), ("redis-benchmark -P 64", 16, 2_210_000.0)];
    let gauges = gauges.map(|(client, tasks, rate)| row("pool-get", client, tasks, rate));
    get.chain(others).chain(gauges).collect()
}

/// Exclusive connections of the three clients that have them.
pub(super) fn dedicated() -> Vec<Row> {
    let clients = [
        (OURS, [9.8, 96.0, 104.0, 101.0, 99.0], 9.1),
        ("bb8", [5.4, 88.0, 82.0, 86.0, 84.0], 11.9),
        ("deadpool", [5.3, 80.0, 76.0, 74.0, 66.0], 13.8),
    ];
    clients
        .iter()
        .flat_map(|client| TASKS.iter().map(move |tasks| timed("dedicated", client, *tasks)))
        .collect()
}

/// The in-memory LRU: nanoseconds of one thread for a hot get and a Zipf read-through, hits, and memory.
pub(super) fn lru() -> Vec<Row> {
    let clients = [
        (OURS, 24.1, 39.8),
        ("cenote GET command", 151.0, 190.0),
        ("quick_cache", 24.7, 41.0),
        ("lru + mutex", 31.0, 60.0),
        ("mini-moka", 160.0, 410.0),
        ("moka", 191.0, 488.0),
    ];
    let rate = |nanos: f64, threads: usize| threads as f64 * 1e9 / (nanos * (1.0 + 0.2 * threads as f64));
    let mut rows = Vec::new();
    for threads in [1, 2] {
        rows.extend(clients.map(|(client, hot, _)| row("lru-hot", client, threads, rate(hot, threads))));
    }
    for threads in [1, 2] {
        rows.extend(clients.map(|(client, _, zipf)| Row {
            hit_ratio: Some(0.73),
            ..row("lru-zipf", client, threads, rate(zipf, threads))
        }));
    }
    let hits = [(OURS, 0.001), ("lru + mutex", 0.001), ("quick_cache", 0.379), ("moka", 0.395)];
    rows.extend(
        hits.map(|(client, hits)| Row { hit_ratio: Some(hits), ..row("lru-hit-loop", client, 1, 0.0) }),
    );
    let memory = [(OURS, 1.9), ("quick_cache", 2.3), ("moka", 3.1)];
    rows.extend(
        memory.map(|(client, mb)| Row { peak_rss_mb: Some(mb), ..row("lru-memory", client, 1, 0.0) }),
    );
    rows
}

/// The cache: a hit in each tier, many at once, and memory.
pub(super) fn cache() -> Vec<Row> {
    let mut rows = Vec::new();
    for threads in [1, 2] {
        for (client, rate) in [(OURS, 12e6), ("quick_cache", 16e6), ("moka", 3e6)] {
            rows.push(row("cache-l1", client, threads, rate));
        }
    }
    for (client, rate) in [(OURS, 360e3), ("cenote pool", 400e3), ("multi-tier-cache", 180e3)] {
        rows.push(row("cache-l2", client, 256, rate));
    }
    for (client, rate) in [(OURS, 750e3), ("cenote one by one", 30e3), ("cenote pool", 1e6)] {
        rows.push(row("cache-many", client, 1, rate));
    }
    for (client, mb) in [(OURS, 3.0), ("quick_cache", 2.0)] {
        rows.push(Row { peak_rss_mb: Some(mb), ..row("cache-memory", client, 1, 0.0) });
    }
    rows
}

/// Little's law gives the usual latency; the tail is longer where the clients queue for connections.
fn timed(bench: &'static str, client: &(&'static str, [f64; 5], f64), tasks: usize) -> Row {
    let (name, rates, cpu) = *client;
    let rate = TASKS.iter().zip(rates).rfind(|(known, _)| **known <= tasks).map_or(1.0, |(_, rate)| rate);
    let usual = tasks as f64 * 1e3 / rate;
    let tail = if name == "bb8" && tasks > 16 { 968_210.0 } else { 3.1 * usual };
    Row {
        p50_us: Some(usual),
        p99_us: Some(1.9 * usual),
        p999_us: Some(tail),
        cpu_us_per_op: Some(cpu),
        peak_rss_mb: Some(9.0 + cpu),
        ..row(bench, name, tasks, rate * 1e3)
    }
}
