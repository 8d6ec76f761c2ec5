//! How soon degradable connections answer without Redis, and what a server that comes and goes does to them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::{Error, Outcome, Pool, PoolBuilder, Source, State};
use cenote_testkit::{
    Log, Proxy, Server, Watchdog, blackhole_addr, dead_port, eventually_async, is_long, within,
};
use redis::AsyncCommands;

/// What a call may take beyond its own wait.
const MARGIN: Duration = Duration::from_millis(50);

fn at(address: SocketAddr) -> PoolBuilder {
    Pool::builder().url(format!("redis://{address}")).fallback(FallbackLru::default())
}

fn get(key: &str) -> redis::Cmd {
    redis::cmd("GET").arg(key).clone()
}

#[tokio::test]
async fn refused_blackholed_or_frozen_a_call_is_answered_in_time_from_the_first_on() {
    let frozen = Server::start();
    frozen.freeze();
    let blackhole = blackhole_addr();
    for address in [dead_port(), blackhole.addr(), frozen.addr()] {
        let pool = at(address).connect_timeout(Duration::from_millis(400)).build().unwrap();
        let mut soft = pool.degradable().unwrap();
        while pool.state().name() != "degraded" {
            let began = Instant::now();
            assert_eq!(soft.query(&get("k")).await.unwrap().source, Source::Fallback);
            let took = began.elapsed();
            assert!(took <= Duration::from_millis(50) + MARGIN, "{took:?} before Redis was ever heard of");
        }
        let began = Instant::now();
        for n in 0..1_000 {
            let () = soft.set("k", n).await.unwrap();
        }
        let took = began.elapsed();
        println!("{address}: 1,000 writes in {took:?} while the breaker is open");
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    frozen.thaw();
}

#[tokio::test]
async fn once_redis_was_heard_of_a_call_waits_for_it_a_quarter_of_a_second() {
    let server = Server::start();
    let pool = at(server.addr()).build().unwrap();
    let mut soft = pool.degradable().unwrap();
    assert_eq!(soft.query(&get("k")).await.unwrap().source, Source::Redis);
    server.freeze();
    let began = Instant::now();
    assert_eq!(soft.query(&get("k")).await.unwrap().source, Source::Fallback);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(240) && took <= Duration::from_millis(250) + MARGIN, "{took:?}");
    server.thaw();
}

/// A key's only writer, and whether its last write was pending.
#[derive(Default)]
struct Written {
    last: HashMap<String, (u64, bool)>,
    calls: u64,
}

/// Writes, overwrites and reads its own keys until told to stop, as fast as the answers come.
async fn work(pool: Pool, name: usize, stop: Arc<AtomicBool>) -> Written {
    let mut soft = pool.degradable().unwrap();
    let mut written = Written::default();
    while !stop.load(Ordering::Relaxed) {
        written.calls += 1;
        let n = written.calls;
        let key = format!("work:{name}:{}", n % 7);
        let set = redis::cmd("SET").arg(&key).arg(n).clone();
        let answer = soft.query(&set).await.unwrap();
        written.last.insert(key.clone(), (n, answer.pending));
        let read = soft.query(&get(&key)).await.unwrap();
        let value: Option<u64> = redis::from_redis_value(read.value).unwrap();
        assert!(value == Some(n) || value.is_none(), "{key} was written as {n} and read as {value:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    written
}

async fn settled(pool: &Pool) {
    let mut states = pool.state_changes();
    within(Duration::from_secs(20), states.wait_for(|state| *state == State::Ready)).await.unwrap();
    eventually_async(Duration::from_secs(20), "the journal is replayed", || async {
        !pool.status().journal.local
    })
    .await;
}

/// What Redis has taken is there, and what was pending is gone.
fn assert_kept(server: &Server, written: &Written) {
    for (key, (n, pending)) in &written.last {
        let there = server.observer().get::<Option<u64>>(&["GET", key]);
        assert_eq!(there, (!pending).then_some(*n), "{key}, pending: {pending}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_and_goes_loses_nothing_and_fills_no_log() {
    let _watchdog = Watchdog::new(Duration::from_secs(120));
    let length = Duration::from_secs(if is_long() { 20 } else { 5 });
    let log = Log::capture();
    let server = Server::start();
    let proxy = Proxy::to(&server);
    let pool = at(proxy.addr()).socket_timeout(Duration::from_secs(1)).build().unwrap();
    pool.start().await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..8).map(|name| tokio::spawn(work(pool.clone(), name, stop.clone()))).collect();
    // Strict increments beside: none may run twice.
    let counter = tokio::spawn({
        let (pool, stop) = (pool.clone(), stop.clone());
        async move {
            let (mut conn, mut counted, mut perhaps) = (pool.conn(), 0u64, 0u64);
            while !stop.load(Ordering::Relaxed) {
                match conn.incr::<_, _, u64>("counter", 1).await {
                    Ok(_) => counted += 1,
                    Err(error) => {
                        let maybe =
                            Error::from_redis(&error).map(Error::outcome) == Some(Outcome::MayHaveExecuted);
                        perhaps += u64::from(maybe);
                    }
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            (counted, perhaps)
        }
    });
    let began = Instant::now();
    while began.elapsed() < length {
        proxy.refuse_after_accept(true);
        proxy.cut();
        tokio::time::sleep(Duration::from_millis(200)).await;
        proxy.pass();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let (counted, perhaps) = counter.await.unwrap();
    let mut calls = 0;
    let mut all = Vec::new();
    for worker in workers {
        let written = worker.await.unwrap();
        calls += written.calls;
        all.push(written);
    }
    settled(&pool).await;
    for written in &all {
        assert_kept(&server, written);
    }
    let value: u64 = server.observer().get(&["GET", "counter"]);
    assert!((counted..=counted + perhaps).contains(&value), "{counted} + {perhaps} perhaps, but {value}");
    // Every line of ours that a service logging at its usual level would write.
    let ours = |line: &&str| {
        ["INFO", "WARN", "ERROR"].iter().any(|level| line.starts_with(&format!("event {level} cenote ")))
    };
    let lines = log.text().lines().filter(ours).count();
    assert!(lines >= 5, "it captures: {}", log.text());
    let per_second = lines as f64 / length.as_secs_f64();
    println!("{calls} degradable calls, {counted} increments; {per_second:.1} log lines a second");
    assert!(per_second < 10.0, "{per_second} lines a second");
    assert!(pool.status().journal.replays >= 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_minute_of_load_with_an_outage_in_the_middle_nothing_has_grown() {
    if !is_long() {
        return println!("runs under `cargo xtask test --long`");
    }
    let server = Server::builder().persistent().start();
    let pool = at(server.addr()).build().unwrap();
    pool.start().await.unwrap();
    let measure = || {
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let sockets = std::fs::read_dir("/proc/self/fd").map_or(0, |dir| {
            dir.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
                .filter(|target| target.to_string_lossy().starts_with("socket:"))
                .count()
        });
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes: usize =
            resident.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default();
        (tasks, sockets, kilobytes)
    };
    let stop = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..16).map(|name| tokio::spawn(work(pool.clone(), name, stop.clone()))).collect();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let before = measure();
    server.kill();
    tokio::time::sleep(Duration::from_secs(20)).await;
    server.restart();
    tokio::time::sleep(Duration::from_secs(20)).await;
    settled(&pool).await;
    let after = measure();
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        assert_kept(&server, &worker.await.unwrap());
    }
    println!("(tasks, sockets, kB) before {before:?}, after {after:?}");
    assert!(after.0 <= before.0 + 2, "tasks: {before:?}, {after:?}");
    assert!(after.1 <= before.1 + 2, "sockets: {before:?}, {after:?}");
    assert!(after.2 <= before.2 + before.2 / 4 + 4_096, "memory: {before:?}, {after:?}");
}
