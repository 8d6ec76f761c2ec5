//! How many checks one core decides of a lease: `cargo run --release -p cenote-ratelimit --example lease_rate`.

use std::time::{Duration, Instant};

use cenote_pool_core::Pool;
use cenote_ratelimit::{Lease, Quota, RateLimiter, Source};
use cenote_testkit::Server;

const KEYS: usize = 1_000;
const CHECKS: usize = 2_000_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::start();
    let pool = Pool::builder().url(server.url()).build()?;
    let lease = Lease::of(1_000_000).for_at_most(Duration::from_secs(600));
    let limiter = RateLimiter::builder(&pool, "rate")
        .quota(Quota::per_second(1_000_000).burst(4_000_000))
        .timeout(Duration::from_secs(5))
        .lease(lease)
        .build()?;
    let keys: Vec<String> = (0..KEYS).map(|key| format!("user:{key}")).collect();
    for key in &keys {
        assert!(limiter.check(key).await?.allowed);
    }
    for _ in 0..5 {
        let (began, mut leased) = (Instant::now(), 0);
        for number in 0..CHECKS {
            leased += usize::from(limiter.check(&keys[number % KEYS]).await?.source == Source::Lease);
        }
        let each = began.elapsed().as_secs_f64() / CHECKS as f64;
        println!(
            "{:.0} checks a second, {:.0} ns each; {leased} of {CHECKS} of leases",
            1.0 / each,
            each * 1e9
        );
    }
    Ok(())
}
