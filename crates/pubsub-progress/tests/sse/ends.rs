use std::time::Duration;

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::Pool;
use cenote_pubsub_progress::sse::Responder;
use cenote_pubsub_progress::{Position, Progress};
use cenote_testkit::{Server, eventually_async};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::common::{SOON, builder, pool, progress};
use crate::site::{Client, site, site_on};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_when_the_service_stops_or_the_pool_is_closed_and_are_gone_on_with_elsewhere() {
    let server = Server::start();
    let job = progress(server.url()).start("job").await.unwrap();
    job.log("one");
    let stop = CancellationToken::new();
    let closing = pool(server.url());
    let stopping = Responder::new(&progress(server.url())).ends_with(stop.clone());
    let stopping = site_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), stopping);
    let closed = site(&Progress::new(&closing)).await;
    let (mut first, mut second) =
        (Client::open(stopping, "/events/job").await, Client::open(closed, "/events/job,x").await);
    let last = first.until("log").await;
    second.until("log").await;
    stop.cancel();
    closing.close().await;
    for client in [first, second] {
        assert!(client.all().await.iter().all(|told| !told.is_end()), "the job goes on");
    }
    let _ = job.finish(()).await.unwrap();
    let addr = site(&progress(server.url())).await;
    let rest = Client::again(addr, "/events/job", &last.id).await.all().await;
    assert!(
        rest.iter().all(|told| ["update", "liveness", "finished"].contains(&told.name.as_str())),
        "{rest:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_a_stream_tells_of_this_process_and_ends_with_its_pool() {
    let pool = Pool::embedded(FallbackLru::default());
    let progress = Progress::new(&pool);
    let addr = site(&progress).await;
    let (job, _other) = (progress.start("job").await.unwrap(), progress.start("other").await.unwrap());
    let mut client = Client::open(addr, "/events/job,other").await;
    let _ = job.finish(()).await.unwrap();
    assert_eq!(client.until("finished").await.job, "job");
    pool.close().await;
    assert!(client.all().await.iter().all(|told| !told.is_end() || told.name == "abandoned"));
}

#[test]
fn that_a_job_was_lost_is_told_once() {
    let server = Server::start();
    // A worker that ends in the middle, with all it had.
    let worker = tokio::runtime::Runtime::new().unwrap();
    let job = worker.block_on(async { progress(server.url()).start("job").await.unwrap() });
    let position: Position = job.position();
    std::mem::forget(job);
    let watchers = tokio::runtime::Runtime::new().unwrap();
    watchers.block_on(async {
        let watching = builder(server.url()).lost_after(Duration::from_secs(1)).build().unwrap();
        let addr = site(&watching).await;
        let mut client = Client::open(addr, "/events/job").await;
        client.until("snapshot").await;
        worker.shutdown_background();
        server.observer().get::<String>(&["FLUSHALL"]);
        let lost = client.until("lost").await;
        assert_eq!(lost.id, format!("{}:{}:{}:lost", position.run, position.v, position.l));
        assert_eq!(client.next().await, None);
        assert_eq!(Client::again(addr, "/events/job", &lost.id).await.status(), 204);
        let elsewhere = site(&progress(server.url())).await;
        assert_eq!(Client::again(elsewhere, "/events/job", &lost.id).await.status(), 204);
        let again = progress(server.url()).start("job").await.unwrap();
        eventually_async(SOON, "it has begun anew", || async {
            let mut client = Client::again(addr, "/events/job", &lost.id).await;
            client.status() == 200 && client.next().await.unwrap().name == "snapshot"
        })
        .await;
        drop(again);
    });
}
