use cenote_pubsub_progress::Position;
use cenote_testkit::{Server, is_long, seed};

use crate::common::progress;
use crate::site::{Client, Told, site};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_comes_again_with_the_id_of_any_event_is_told_exactly_the_rest_and_204_after_the_last()
{
    let server = Server::start();
    let job = progress(server.url()).start("job").await.unwrap();
    job.total(3);
    for line in 0..5 {
        job.log(&format!("line {line}"));
    }
    let _ = job.finish(7).await.unwrap();
    let addr = site(&progress(server.url())).await;
    let all = Client::open(addr, "/events/job").await.all().await;
    assert_eq!(all.len(), 7, "{all:?}");
    for (index, told) in all.iter().enumerate() {
        let header = Client::again(addr, "/events/job", &told.id).await;
        let query = Client::open(addr, &format!("/events/job?from={}", told.id)).await;
        for client in [header, query] {
            if told.is_end() {
                assert_eq!(client.status(), 204);
                assert_eq!(client.header("cache-control"), Some("no-cache, no-transform"));
                assert_eq!(client.body().await, "");
                continue;
            }
            assert_eq!(client.status(), 200);
            assert_eq!(client.all().await, all[index + 1..], "after {told:?}");
        }
    }
    let header_first = Client::again(addr, &format!("/events/job?from={}", all[0].id), &all[5].id).await;
    assert_eq!(header_first.all().await, all[6..], "a browser that connects again keeps its address");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_job_is_told_without_a_hole_to_a_client_that_is_cut_off_again_and_again() {
    let server = Server::start();
    let job = progress(server.url()).start("job").await.unwrap();
    let addr = site(&progress(server.url())).await;
    let lines = if is_long() { 5_000 } else { 500 };
    let worker = tokio::spawn(async move {
        job.total(lines);
        for line in 0..lines {
            job.log(&line.to_string());
            job.inc(1);
            if line % 16 == 0 {
                let _ = job.flush().await.unwrap();
            }
        }
        let _ = job.finish(()).await.unwrap();
        job.position()
    });
    let mut rng = fastrand::Rng::with_seed(seed());
    let mut told: Vec<Told> = Vec::new();
    let mut connections = 0;
    loop {
        let mut client = match told.last() {
            None => Client::open(addr, "/events/job").await,
            Some(last) => Client::again(addr, "/events/job", &last.id).await,
        };
        connections += 1;
        assert!(connections < 10_000, "nobody says that all was told");
        if client.status() == 204 {
            break;
        }
        for _ in 0..rng.usize(0..60) {
            match client.next().await {
                Some(event) => told.push(event),
                None => break,
            }
        }
    }
    assert!(connections > 3, "{connections}");
    let end = told.last().unwrap();
    assert_eq!((end.name.as_str(), end.position()), ("finished", worker.await.unwrap()));
    assert_eq!(told.iter().filter(|told| told.name == "snapshot").count(), 1, "of the first connection");
    assert!(told.iter().all(|told| told.name != "gap"), "a log of so many lines is kept whole");
    let seen: Vec<_> =
        told.iter().filter(|told| told.name == "log").map(|told| told.data["seq"].clone()).collect();
    assert_eq!(seen, (1..=lines).map(Into::into).collect::<Vec<serde_json::Value>>());
    let grows = |pair: &[Told]| pair[0].position() < pair[1].position() || pair[1].name == "liveness";
    assert!(told[..told.len() - 1].windows(2).all(grows), "nothing comes twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_that_nobody_knows_is_answered_with_a_snapshot() {
    let server = Server::start();
    let job = progress(server.url()).start("job").await.unwrap();
    job.log("line");
    let _ = job.flush().await.unwrap();
    let addr = site(&progress(server.url())).await;
    let later = Position::new(job.position().run + 1, 0, 0).to_string();
    for id in ["1:99:99", &later, "0:0:0", "no position", "AQ"] {
        let mut client = Client::again(addr, "/events/job", id).await;
        assert_eq!(client.next().await.unwrap().name, "snapshot", "{id}");
        assert_eq!(client.until("log").await.data["seq"], 1, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_begins_anew_is_told_again_though_its_end_was_seen() {
    let server = Server::start();
    let workers = progress(server.url());
    let job = workers.start("job").await.unwrap();
    let _ = job.fail("no room").await.unwrap();
    let addr = site(&progress(server.url())).await;
    let end = Client::open(addr, "/events/job").await.until("failed").await;
    assert_eq!(Client::again(addr, "/events/job", &end.id).await.status(), 204);
    let again = workers.start("job").await.unwrap();
    let _ = again.finish("now").await.unwrap();
    // Another process, which has heard nothing of the first attempt.
    let addr = site(&progress(server.url())).await;
    let told = Client::again(addr, "/events/job", &end.id).await.all().await;
    assert_eq!(told[0].name, "snapshot");
    assert_eq!((told[1].name.as_str(), &told[1].data["result"]), ("finished", &"now".into()));
    assert!(told[1].position().run > end.position().run);
}
