use std::collections::BTreeSet;
use std::time::Duration;

use cenote_pubsub_progress::Progress;
use cenote_pubsub_progress::sse::Responder;
use cenote_testkit::Server;
use tokio::net::TcpListener;

use crate::common::{builder, progress};
use crate::site::{Client, site, site_on};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_told_the_state_the_lines_and_the_end_each_with_its_id_and_then_the_stream_closes() {
    let server = Server::start();
    let job = progress(server.url()).start("an import/é").await.unwrap();
    let addr = site(&progress(server.url())).await;
    job.total(10);
    job.log("one\ntwo");
    let _ = job.flush().await.unwrap();

    let mut client = Client::open(addr, "/events/an%20import%2F%C3%A9").await;
    let first = client.next().await.unwrap();
    assert_eq!((first.name.as_str(), first.job.as_str()), ("snapshot", "an import/é"));
    assert_eq!((&first.data["total"], &first.data["status"]), (&10.into(), &"running".into()));
    let line = client.until("log").await;
    assert_eq!(line.data["seq"], 1, "{line:?}");
    job.inc(4);
    let update = client.until("update").await;
    assert!(update.position() > line.position(), "{update:?}");
    job.warn("late");
    assert_eq!(client.until("log").await.data["text"], "late");
    let _ = job.finish("all").await.unwrap();
    let end = client.until("finished").await;
    assert_eq!((&end.data["result"], &end.data["done"]), (&"all".into(), &4.into()));
    assert_eq!(end.position(), job.position());
    assert_eq!(client.next().await, None);

    let names: Vec<_> = Client::open(addr, "/events/an%20import%2F%C3%A9")
        .await
        .all()
        .await
        .into_iter()
        .map(|told| told.name)
        .collect();
    assert_eq!(names, ["snapshot", "log", "log", "finished"], "also of one that has ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_on_the_way_may_keep_a_stream_back_and_clients_come_again_at_different_times() {
    let server = Server::start();
    let addr = site(&progress(server.url())).await;
    let mut pauses = BTreeSet::new();
    for _ in 0..5 {
        let mut client = Client::open(addr, "/events/nobody").await;
        assert_eq!(client.status(), 200);
        assert_eq!(client.header("content-type"), Some("text/event-stream"));
        assert_eq!(client.header("cache-control"), Some("no-cache, no-transform"));
        assert_eq!(client.header("x-accel-buffering"), Some("no"));
        assert_eq!((client.header("content-encoding"), client.header("content-length")), (None, None));
        let pending = client.next().await.unwrap();
        assert_eq!((pending.name.as_str(), pending.id.as_str()), ("pending", "0:0:0"));
        let pause: u64 = client.others[0].strip_prefix("retry: ").unwrap().parse().unwrap();
        assert!((2000..=4000).contains(&pause), "{pause}");
        pauses.insert(pause);
    }
    assert!(pauses.len() > 1, "{pauses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_stream_says_now_and_then_that_it_is_there() {
    let server = Server::start();
    let responder = Responder::new(&progress(server.url())).keep_alive(Duration::from_millis(50));
    let addr = site_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), responder);
    let mut client = Client::open(addr, "/events/nobody").await;
    client.until("pending").await;
    for _ in 0..3 {
        assert_eq!(client.next_block().await.as_deref(), Some(":"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_on_through_an_outage_and_nothing_comes_twice() {
    let server = Server::builder().persistent().start();
    let job = progress(server.url()).start("job").await.unwrap();
    let watchers: Progress = builder(server.url()).build().unwrap();
    let addr = site(&watchers).await;
    let mut client = Client::open(addr, "/events/job").await;
    job.log("before");
    assert_eq!(client.until("log").await.data["text"], "before");
    server.kill();
    assert_eq!(client.until("liveness").await.data["liveness"], "unknown");
    job.log("meanwhile");
    tokio::task::block_in_place(|| server.restart());
    assert_eq!(client.until("log").await.data["text"], "meanwhile");
    let _ = job.finish(()).await.unwrap();
    let mut rest = client.all().await;
    assert_eq!(rest.pop().unwrap().name, "finished");
    assert!(rest.iter().all(|told| told.name != "log" && told.name != "snapshot"), "{rest:?}");
}
