//! How soon the first request is answered. Wall-clock bounds: run alone, not beside other tests.

mod common;

use std::time::{Duration, Instant};

use cenote_testkit::{blackhole_addr, dead_port};
use common::{Process, get};

/// From the start of the process to the answer: the fastest of three, as a busy machine slows some and a wait
/// for Redis would slow all.
async fn first_answer(url: &str) -> Duration {
    let mut fastest = Duration::MAX;
    for _ in 0..3 {
        let began = Instant::now();
        let process = Process::start(&[("REDIS_URL", url)]);
        let addr = process.addr();
        let answer = get(addr, "/api/features/me").await;
        fastest = fastest.min(began.elapsed());
        assert_eq!((answer.status, answer.text("source").as_str()), (200, "computed"));
        let ready = get(addr, "/health/ready").await;
        assert_eq!((ready.status, ready.text("status").as_str()), (200, "degraded"), "{ready:?}");
    }
    fastest
}

#[tokio::test]
async fn the_first_request_is_answered_within_100_ms_of_the_start_without_a_server() {
    let took = first_answer(&format!("redis://{}/0", dead_port())).await;
    assert!(took < Duration::from_millis(100), "{took:?}");
}

#[tokio::test]
async fn the_first_request_is_answered_within_100_ms_of_the_start_while_redis_hangs() {
    let hole = blackhole_addr();
    let took = first_answer(&hole.url()).await;
    assert!(took < Duration::from_millis(100), "{took:?}");
}
