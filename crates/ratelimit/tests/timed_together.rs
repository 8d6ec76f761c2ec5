//! A call that shares a script with others waits no longer than one that goes alone.

mod common;

use std::time::{Duration, Instant};

use cenote_ratelimit::{Quota, RateLimiter, Source};
use cenote_testkit::{Server, within};
use common::{MINUTE, pool};
use tokio::task::JoinSet;

const LIMIT: Duration = Duration::from_secs(2);

/// How long the runtime does something else, between the calls and what sends them.
const BUSY: Duration = Duration::from_millis(1_500);

#[tokio::test]
async fn a_batch_that_is_sent_late_has_what_is_left_of_its_calls_limit() {
    let server = Server::start();
    let pool = pool(server.url());
    let limiter =
        RateLimiter::builder(&pool, "late").quota(Quota::per_minute(1_000)).timeout(LIMIT).build().unwrap();
    assert_eq!(limiter.check("warm").await.unwrap().source, Source::Redis);
    server.freeze();
    let began = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..12 {
        let limiter = limiter.clone();
        calls.spawn(async move { (limiter.check("all").await.unwrap().source, began.elapsed()) });
    }
    let busy = tokio::spawn(async {
        // What a caller must not do, and does.
        std::thread::sleep(BUSY);
    });
    let all = within(MINUTE, calls.join_all()).await;
    busy.await.unwrap();
    server.thaw();
    for (source, took) in all {
        assert_eq!(source, Source::Fallback);
        assert!(took < LIMIT + BUSY * 2 / 3, "{took:?} with a limit of {LIMIT:?}");
    }
}
