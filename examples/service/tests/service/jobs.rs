use std::time::Duration;

use cenote_pubsub_progress::{Event, Progress};
use cenote_testkit::{Server, within};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::{LIMIT, Service, pool};

async fn begin(service: &Service, seconds: u64) -> String {
    let answer = service.post(&format!("/api/jobs?seconds={seconds}"), "").await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert!(answer.text("events").contains(&answer.text("job")));
    answer.text("job")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_is_worked_on_in_the_background_and_told_to_its_end() {
    let server = Server::start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    service.wait_for("ready").await;
    let (first, second) = (begin(&service, 1).await, begin(&service, 1).await);
    let told = service.get(&format!("/api/jobs/{first},{second}/events")).await;
    assert_eq!((told.status, told.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!(told.header("cache-control"), Some("no-cache, no-transform"));
    assert_eq!(told.body.matches("event: finished\n").count(), 2, "{}", told.body);
    for word in ["\"phase\":\"downloading\"", "\"unit\":\"bytes\"", "no address, left out", "\"left_out\":3"]
    {
        assert!(told.body.contains(word), "{word}");
    }

    let list = service.get("/api/jobs").await.json();
    assert_eq!((list["jobs"].as_array().unwrap().len(), &list["source"]), (2, &"redis".into()));
    let job = &list["jobs"][0];
    assert_eq!((&job["status"], &job["fraction"]), (&"finished".into(), &1.0.into()));
    assert_eq!(job["children"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_is_stopped_by_whoever_asks_for_it_and_the_answer_says_what_became_of_it() {
    let server = Server::start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    let other = Service::start(pool(server.url()).build().unwrap()).await;
    service.wait_for("ready").await;
    other.wait_for("ready").await;
    let id = begin(&service, 600).await;
    let cancel = format!("/api/jobs/{id}/cancel");
    let said = other.post(&cancel, "").await.text("cancel");
    assert!(["acknowledged", "requested"].contains(&said.as_str()), "{said}");
    let told = other.get(&format!("/api/jobs/{id}/events")).await;
    assert!(told.body.contains("event: cancelled\n"), "{}", told.body);
    assert_eq!(other.post(&cancel, "").await.text("cancel"), "already finished");
    assert_eq!(service.post("/api/jobs/nobody/cancel", "").await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn imports_begin_go_on_and_are_stopped_while_redis_is_away() {
    let server = Server::start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    service.wait_for("ready").await;
    server.kill();
    service.wait_for("degraded").await;
    let (first, second) = (begin(&service, 1).await, begin(&service, 600).await);
    let list = service.get("/api/jobs").await.json();
    let names: Vec<&Value> = list["jobs"].as_array().unwrap().iter().map(|job| &job["job"]).collect();
    assert_eq!(
        (names, &list["source"]),
        (vec![&Value::from(&*second), &Value::from(&*first)], &"process".into())
    );
    assert_eq!(service.post(&format!("/api/jobs/{second}/cancel"), "").await.text("cancel"), "acknowledged");
    let told = service.get(&format!("/api/jobs/{first},{second}/events")).await;
    assert!(
        told.body.contains("event: finished\n") && told.body.contains("event: cancelled\n"),
        "{}",
        told.body
    );
    assert!(told.body.contains("\"degraded\":true"));
    let unknown = service.post("/api/jobs/of-another-process/cancel", "").await;
    assert_eq!((unknown.status, unknown.header("retry-after")), (503, Some("1")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_begun_says_why() {
    let server = Server::start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    service.wait_for("ready").await;
    for path in ["/api/jobs?seconds=0", "/api/jobs?seconds=601", "/api/jobs?seconds=long"] {
        assert_eq!(service.post(path, "").await.status, 400, "{path}");
    }
    for _ in 0..8 {
        begin(&service, 600).await;
    }
    let more = service.post("/api/jobs?seconds=600", "").await;
    assert_eq!((more.status, more.header("retry-after")), (429, Some("5")), "{more:?}");
    let many = (0..33).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
    let refused = service.get(&format!("/api/jobs/{many}/events")).await;
    assert_eq!((refused.status, refused.header("cache-control")), (400, Some("no-store")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_of_a_service_that_stops_is_told_as_abandoned_and_its_streams_end() {
    let server = Server::start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    service.wait_for("ready").await;
    let id = begin(&service, 600).await;
    let elsewhere = pool(server.url()).build().unwrap();
    let mut watch = Progress::new(&elsewhere).watch(&id).await.unwrap();
    let (addr, path) = (service.addr, format!("/api/jobs/{id}/events"));
    #[expect(clippy::disallowed_methods, reason = "a test's HTTP client is no Redis client")]
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut told = Vec::new();
    let text = |told: &[u8]| String::from_utf8_lossy(told).into_owned();
    while !text(&told).contains("event: ") {
        assert!(within(LIMIT, stream.read_buf(&mut told)).await.unwrap() > 0, "{}", text(&told));
    }
    within(Duration::from_secs(5), service.stop()).await.unwrap();
    within(LIMIT, stream.read_to_end(&mut told)).await.unwrap();
    assert!(!text(&told).contains("event: finished\n"), "{}", text(&told));
    loop {
        match within(LIMIT, watch.next()).await.expect("it goes on to its end") {
            Event::Abandoned { .. } => break,
            event => assert!(!event.is_end(), "{event:?}"),
        }
    }
}
