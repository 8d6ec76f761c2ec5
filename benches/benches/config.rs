//! What does it cost to read a pool's settings: its URL, its environment, and their check?
//!
//! Each happens once in a process. This is to see that it stays out of the way of the start.

use std::ffi::OsString;
use std::hint::black_box;

use cenote::PoolConfig;
use cenote_pool_core::bench::parse_url;
use criterion::{Criterion, Throughput};

/// Nothing here leads anywhere: no pool is built.
const URLS: [(&str, &str); 3] = [
    ("host", "redis://localhost:6379/0"),
    ("user, password and protocol", "redis://shop:p%40ss%3Aword@cache.internal:6380/7?protocol=resp3"),
    ("socket", "unix:///var/run/redis/redis.sock?db=3&user=shop&pass=secret"),
];

const VARIABLES: [(&str, &str); 8] = [
    ("REDIS_URL", "redis://shop:p%40ss%3Aword@cache.internal:6380/7"),
    ("REDIS_ENABLED", "true"),
    ("REDIS_REQUIRED", "yes"),
    ("REDIS_CONNECT_TIMEOUT", "0.5"),
    ("REDIS_SOCKET_TIMEOUT", "2"),
    ("REDIS_MAX_RETRIES", "5"),
    ("REDIS_MAX_CONNECTIONS", "50"),
    ("REDIS_HEALTH_CHECK_INTERVAL", "10"),
];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("config");
    group.throughput(Throughput::Elements(1));
    for (name, url) in URLS {
        group.bench_function(format!("URL: {name}"), |bencher| {
            bencher.iter(|| parse_url(black_box(url)).unwrap());
        });
    }
    for (name, set) in [("nothing set", &[][..]), ("all set", &VARIABLES)] {
        group.bench_function(format!("environment: {name}"), |bencher| {
            bencher.iter(|| PoolConfig::from_vars(|name| value_of(name, set)).unwrap());
        });
    }
    let config = PoolConfig::default();
    group.bench_function("check of the defaults", |bencher| {
        bencher.iter(|| black_box(&config).validate().unwrap());
    });
    group.finish();
    criterion.final_summary();
}

fn value_of(name: &str, set: &[(&str, &str)]) -> Option<OsString> {
    set.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
}
