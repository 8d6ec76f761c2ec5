//! Who waits for just as long as `Retry-After` says is let through.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cenote_ratelimit::Quota;
use cenote_ratelimit::tower::RateLimitLayer;
use cenote_testkit::Server;

use crate::common::{limiter, patient, pool};
use crate::http::{get_root, limited, peer};

const SECOND_US: u64 = 1_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_waits_just_that_long_is_let_through() {
    let server = Server::start();
    let limiter = limiter(&pool(server.url()), "api", Quota::per_second(1));
    let addr = limited(RateLimitLayer::new(limiter.clone(), peer())).await;
    assert_eq!(get_root(addr).await.status, 200);
    let mut refused = 0;
    for _ in 0..3 {
        // Refused by Redis, then from memory; the last answer is the one that is heeded.
        let mut wait = None;
        for _ in 0..3 {
            let response = get_root(addr).await;
            if response.status == 429 {
                refused += 1;
                wait = Some(response.retry_after());
            }
        }
        if let Some(wait) = wait {
            assert_eq!(wait, 1);
            tokio::time::sleep(Duration::from_secs(wait)).await;
        }
        assert_eq!(get_root(addr).await.status, 200);
    }
    assert!(refused > 0 && limiter.stats().blocked_locally > 0, "{:?}", limiter.stats());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_any_microsecond_it_is_the_first_whole_second_that_is_not_too_early() {
    let server = Server::start();
    let pool = pool(server.url());
    let now = Arc::new(AtomicU64::new(0));
    for (number, quota) in [
        Quota::per_second(1),
        Quota::per_second(3).burst(1),
        Quota::per_second(1_000).burst(1),
        Quota::new(1, Duration::from_micros(1_000_001)),
        Quota::new(7, Duration::from_secs(60)).burst(2),
        Quota::per_hour(1),
    ]
    .into_iter()
    .enumerate()
    {
        now.store(1_764_000_000_000_000, Ordering::SeqCst);
        let limiter = patient(&pool, &format!("api{number}")).quota(quota).injected_time(now.clone());
        let addr = limited(RateLimitLayer::new(limiter.block_keys(0).build().unwrap(), peer())).await;
        let mut refusals = 0;
        for later in [0, 1, 333_333, 999_999, 1_000_000, 1_000_001, 0, 0, 0] {
            now.fetch_add(later, Ordering::SeqCst);
            let response = get_root(addr).await;
            if response.status == 200 {
                continue;
            }
            refusals += 1;
            let wait = response.retry_after();
            assert!(wait > 0, "{quota}: {response:?}");
            let t: u64 = response.header("ratelimit").rsplit_once(";t=").unwrap().1.parse().unwrap();
            assert!(t <= wait, "{quota}: {response:?}");
            let refused = now.load(Ordering::SeqCst);
            if wait > 1 {
                now.store(refused + (wait - 1) * SECOND_US, Ordering::SeqCst);
                assert_eq!(get_root(addr).await.status, 429, "{quota}: {wait} s would be too long");
            }
            now.store(refused + wait * SECOND_US, Ordering::SeqCst);
            assert_eq!(get_root(addr).await.status, 200, "{quota}: {wait} s is too early");
        }
        assert!(refusals > 0, "{quota}");
    }
}
