//! What each bench is about, for who has not read its code.

use super::standing::Measure;

/// What a bench does, in a line; empty for one that speaks for itself.
pub(super) fn about(bench: &str) -> &'static str {
    match bench {
        "pool-get" => "GET of 100 B",
        "pool-mix" => "80 % GET and 20 % SET, values of 10 B to 10 KB",
        "pool-pipeline" => "pipelines of 10 GETs: throughput in commands, latency of the whole pipeline",
        "pool-neighbour" => "small GETs only, while one more task fetches values of 1 MB",
        "dedicated" => "one of 20 exclusive connections: acquire, GET of 100 B, give back",
        "lru-hot" => "get, every key present",
        "lru-zipf" => "read-through, Zipf-distributed keys",
        "lru-scan" => "read-through, scans in between",
        "lru-memory" => "10,000 entries of 100 B",
        "lru-hit-zipf" => "share of look-ups that hit, Zipf-distributed keys",
        "lru-hit-scan" => "share of look-ups that hit, scans in between",
        "lru-hit-loop" => "share of look-ups that hit, a loop longer than the capacity",
        "lru-hit-uniform" => "share of look-ups that hit, all keys alike",
        "cache-l1" => "get of a value that this process has: 100 B, 10,000 keys",
        "cache-l2" => "get of a value that Redis has and this process has not: 100 B",
        "cache-many" => "100 values that Redis has: in one call, and in a hundred; throughput in values",
        "cache-fill" => "get of a value that nobody has: load and keep it",
        "cache-memory" => "10,000 entries of 100 B in this process",
        "ratelimit-check" => "one token of one of 1,000 keys, all of which are allowed",
        "ratelimit-blocked" => "a refusal without asking Redis, of one of 1,000 keys",
        "ratelimit-lease" => "one token that the process holds, of one of 1,000 keys",
        "ratelimit-outage" => {
            "while the server is frozen: the first decision of each task, and all afterwards"
        }
        "progress-publish" => "a state that got on, until the server has it; a job for each task",
        "progress-receive" => "from who tells to who watches",
        "progress-fanout" => {
            "one job with so many watchers in one process: deliveries, and the time until the last has it"
        }
        "progress-sse" => {
            "one job with so many clients of one service: deliveries, and the time until the last has it"
        }
        "progress-sse-server" => "the same, with the processor time of Redis for one delivery",
        "progress-server" => "the same, with the processor time of the server for one delivery",
        _ => "",
    }
}

/// The measure by which the clients of a bench are put in order.
pub(super) fn headline(bench: &str) -> Measure {
    match bench {
        "lru-memory" | "cache-memory" => Measure::Memory,
        _ if bench.starts_with("lru-hit") => Measure::HitRatio,
        _ => Measure::Throughput,
    }
}

/// What runs at once in a bench.
pub(super) fn actors(bench: &str) -> &'static str {
    if is_in_memory(bench) { "threads" } else { "tasks" }
}

/// Whether threads work on what their own process has.
pub(super) fn is_in_memory(bench: &str) -> bool {
    is_of("lru", bench)
        || is_of("cache-l1", bench)
        || is_of("cache-memory", bench)
        || is_of("ratelimit-blocked", bench)
        || is_of("ratelimit-lease", bench)
}

/// Whether a bench belongs to a family: `pool-get` to `pool`.
pub(super) fn is_of(family: &str, bench: &str) -> bool {
    bench.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_a_whole_word() {
        assert!(is_of("pool", "pool-get") && is_of("dedicated", "dedicated"));
        assert!(!is_of("pool", "pooled") && !is_of("pool", "dedicated"));
    }
}
