use cenote_pubsub_progress::Progress;
use cenote_testkit::Server;

use crate::common::{pool, progress};
use crate::site::{Client, site};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_asked_for_is_a_400_that_says_what_would_be_right() {
    let server = Server::start();
    let addr = site(&progress(server.url())).await;
    let jobs = |count: usize| (0..count).map(|job| job.to_string()).collect::<Vec<_>>().join(",");
    for (path, says) in [
        (format!("/events/{}", jobs(33)), "at most 32 jobs"),
        ("/events/,".to_owned(), "at least one"),
        (format!("/events/{}", "x".repeat(513)), "at most 512"),
        ("/events/job?from=12".to_owned(), "`run:v:l`, three whole numbers"),
        ("/events/job?from=".to_owned(), "`run:v:l`, three whole numbers"),
        ("/events/a,b?from=1:2:3".to_owned(), "stream of these 2 jobs in this order"),
    ] {
        let client = Client::open(addr, &path).await;
        assert_eq!(
            (client.status(), client.header("content-type")),
            (400, Some("application/problem+json")),
            "{path}"
        );
        let body = client.body().await;
        assert!(body.contains(says), "{path}: {body}");
    }
    let mut most = Client::open(addr, &format!("/events/{},1,2", jobs(32))).await;
    for _ in 0..32 {
        assert_eq!(most.next().await.unwrap().name, "pending");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_pool_is_a_503() {
    let server = Server::start();
    let pool = pool(server.url());
    let addr = site(&Progress::new(&pool)).await;
    pool.close().await;
    assert_eq!(Client::open(addr, "/events/job").await.status(), 503);
}
