//! `ratelimit-outage`: how long decisions take while the server is frozen, so that only a limit ends a wait for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cenote_ratelimit::{Quota, RateLimiter, Source};
use cenote_testkit::Server;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::subject;
use crate::measure::latency::Percentiles;
use crate::report::Row;

const BENCH: &str = "ratelimit-outage";
const TASKS: usize = 256;
/// Between two decisions of a task.
const PAUSE: Duration = Duration::from_millis(5);
const OUTAGE: Duration = Duration::from_millis(1_200);
const RECOVERY: Duration = Duration::from_secs(30);

/// Percentiles of all rounds together: the first decision of each task, and all that followed.
pub(super) async fn rows(quick: bool) -> Result<Vec<Row>> {
    let rounds = if quick { 2 } else { 15 };
    let server = Server::start();
    let pool = cenote::Pool::builder().url(server.url()).build()?;
    pool.start().await?;
    // Its own limit of 50 ms.
    let limiter = RateLimiter::builder(&pool, "outage").quota(Quota::per_second(1_000)).nodes(4).build()?;
    let (mut first, mut then) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        eprintln!("{BENCH}, round {} of {rounds}", round + 1);
        until_redis_decides(&limiter).await?;
        for latencies in outage(&server, &limiter).await? {
            let (one, rest) = latencies.split_at(1);
            first.extend_from_slice(one);
            then.extend_from_slice(rest);
        }
    }
    Ok(vec![row("cenote, first", rounds, first), row("cenote, afterwards", rounds, then)])
}

async fn until_redis_decides(limiter: &RateLimiter) -> Result<()> {
    let began = Instant::now();
    while limiter.check("warm").await?.source != Source::Redis {
        ensure!(began.elapsed() < RECOVERY, "Redis does not decide again");
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Nanoseconds of each decision, task by task.
async fn outage(server: &Server, limiter: &RateLimiter) -> Result<Vec<Vec<u32>>> {
    let ready = Arc::new(Barrier::new(TASKS + 1));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (limiter, ready, key) = (limiter.clone(), ready.clone(), subject(task));
        tasks.spawn(async move {
            ready.wait().await;
            let (began, mut latencies) = (Instant::now(), Vec::new());
            while began.elapsed() < OUTAGE {
                let asked = Instant::now();
                let decision = limiter.check(key.as_str()).await?;
                latencies.push(u32::try_from(asked.elapsed().as_nanos()).unwrap_or(u32::MAX));
                ensure!(decision.source == Source::Fallback, "{decision:?}");
                tokio::time::sleep(PAUSE).await;
            }
            Ok(latencies)
        });
    }
    server.freeze();
    ready.wait().await;
    let all = tasks.join_all().await;
    server.thaw();
    all.into_iter().collect()
}

fn row(client: &'static str, rounds: usize, latencies: Vec<u32>) -> Row {
    let Percentiles { p50, p99, p999 } = Percentiles::of(latencies);
    Row {
        bench: BENCH,
        client,
        tasks: TASKS,
        // They pause in between: it says nothing.
        ops_per_s: 0.0,
        p50_us: Some(p50),
        p99_us: Some(p99),
        p999_us: Some(p999),
        cpu_us_per_op: None,
        peak_rss_mb: None,
        hit_ratio: None,
        rounds,
        spread: 0.0,
    }
}
