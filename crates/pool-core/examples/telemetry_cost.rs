//! What telemetry costs a command: `cargo xtask bench telemetry` builds this twice, with telemetry and without, and counts
//! the instructions of both.
//!
//! `telemetry_cost LISTENER TASKS CALLS` makes so many calls in so many tasks of one thread, after as many to warm up,
//! and prints the nanoseconds of each. `LISTENER` is `nobody`, `metrics` or `spans`.

use std::env;
use std::time::Instant;

use cenote_pool_core::Pool;
use cenote_testkit::Server;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use redis::AsyncCommands;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tracing::level_filters::LevelFilter;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [listener, tasks, calls] = &arguments[..] else {
        return Err("LISTENER TASKS CALLS are needed".into());
    };
    let (tasks, calls): (usize, usize) = (tasks.parse()?, calls.parse()?);
    match listener.as_str() {
        "nobody" => {}
        "metrics" => {
            let suffix = Matcher::Suffix("_seconds".to_owned());
            PrometheusBuilder::new()
                .set_buckets_for_metric(suffix, &[0.0001, 0.001, 0.01, 0.1, 1.0])?
                .install_recorder()?;
        }
        // What it writes is thrown away; that it puts the fields of each span into text is not.
        "spans" => {
            tracing_subscriber::fmt().with_max_level(LevelFilter::DEBUG).with_writer(std::io::sink).init();
        }
        other => return Err(format!("nobody, metrics or spans, and not {other}").into()),
    }
    let server = Server::builder().unix_socket().start();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let pool = Pool::builder().url(server.url()).shared_connections(1).build()?;
    warm_up(&runtime, &pool, tasks, calls);
    let began = Instant::now();
    counted_calls(&runtime, &pool, tasks, calls);
    println!("{:.1}", began.elapsed().as_nanos() as f64 / calls as f64);
    Ok(())
}

#[inline(never)]
fn warm_up(runtime: &Runtime, pool: &Pool, tasks: usize, calls: usize) {
    runtime.block_on(work(pool, tasks, calls));
}

/// Instructions are counted while this runs: it is looked for by its name.
#[inline(never)]
fn counted_calls(runtime: &Runtime, pool: &Pool, tasks: usize, calls: usize) {
    runtime.block_on(work(pool, tasks, calls));
}

async fn work(pool: &Pool, tasks: usize, calls: usize) {
    let mut all = JoinSet::new();
    for _ in 0..tasks {
        let mut conn = pool.conn();
        all.spawn(async move {
            for _ in 0..calls / tasks {
                let _: Option<String> = conn.get("user:12345").await.expect("Redis answers");
            }
        });
    }
    while let Some(ended) = all.join_next().await {
        ended.expect("no task panics");
    }
}
