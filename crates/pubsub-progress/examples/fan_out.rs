//! What it costs to tell one job's watchers in a process: `cargo run --release --example fan_out -- 10000`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::Pool;
use cenote_pubsub_progress::Progress;

// One thread, so that the time that passes is processor time.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let watchers: usize = std::env::args().nth(1).map_or(Ok(10_000), |count| count.parse())?;
    let pool = Pool::embedded(FallbackLru::default());
    let progress = Progress::builder(&pool).throttle(Duration::ZERO).build()?;
    let job = progress.start("job").await?;
    let told = Arc::new(AtomicUsize::new(0));
    for _ in 0..watchers {
        let (mut watch, told) = (progress.watch("job").await?, told.clone());
        tokio::spawn(async move {
            while watch.next().await.is_some() {
                told.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let all = |count: usize| {
        let told = told.clone();
        async move {
            while told.load(Ordering::Relaxed) < count {
                tokio::task::yield_now().await;
            }
        }
    };
    all(watchers).await;
    let (began, rounds) = (Instant::now(), 200);
    for round in 1..=rounds {
        job.set(round as u64);
        all(watchers * (round + 1)).await;
    }
    let each = began.elapsed().as_secs_f64() * 1e6 / (watchers * rounds) as f64;
    println!("{watchers} watchers: {each:.3} us a delivery");
    Ok(())
}
