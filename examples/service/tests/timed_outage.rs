//! How long an answer takes when Redis goes away. Wall-clock bounds: run alone, not beside other tests.

mod common;

use std::time::{Duration, Instant};

use cenote_testkit::{Proxy, Server};
use common::{Service, pool};

const DEGRADE_AFTER: Duration = Duration::from_millis(250);
/// One HTTP request on a connection of its own.
const MARGIN: Duration = Duration::from_millis(100);

type Begin = fn(&Server, &Proxy);

/// The fastest of three in each outage, as a busy machine slows some and a second wait would slow all: the first
/// answer, and the slowest of the twenty after it.
async fn measure(begin: Begin) -> (Duration, Duration) {
    let (mut first, mut next) = (Duration::MAX, Duration::MAX);
    for _ in 0..3 {
        let server = Server::start();
        let proxy = Proxy::to(&server);
        let service = Service::start(pool(proxy.url()).degrade_after(DEGRADE_AFTER).build().unwrap()).await;
        service.wait_for("ready").await;
        // Before the first reply the pool is less patient.
        assert_eq!(service.get("/api/features/me?user=ada").await.text("source"), "computed");
        begin(&server, &proxy);
        let ask = async |source: &str| {
            let began = Instant::now();
            let answer = service.get("/api/features/me").await;
            assert_eq!((answer.status, answer.text("source").as_str()), (200, source));
            began.elapsed()
        };
        first = first.min(ask("computed").await);
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            slowest = slowest.max(ask("fallback").await);
        }
        next = next.min(slowest);
    }
    println!("first answer {first:?}, then at most {next:?}");
    (first, next)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_answer_without_redis_comes_within_degrade_after_and_the_next_at_once() {
    let outages: [(&str, Begin); 3] = [
        ("frozen", |server, _| server.freeze()),
        ("blackholed", |_, proxy| proxy.blackhole(true)),
        ("killed", |server, _| server.kill()),
    ];
    for (name, begin) in outages {
        let (first, next) = measure(begin).await;
        assert!(first < DEGRADE_AFTER + MARGIN, "{name}: {first:?}");
        assert!(next < MARGIN, "{name}: {next:?}");
    }
}
