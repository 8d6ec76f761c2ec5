use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cenote_service::{App, Demo, Wish};
use cenote_testkit::Server;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::{LIMIT, Response, Service, pool, request};

/// The stream of events, read as they come.
struct Events {
    stream: TcpStream,
    text: String,
}

impl Events {
    #[expect(clippy::disallowed_methods, reason = "a test's HTTP client is no Redis client")]
    async fn of(service: &Service) -> Self {
        let mut stream = TcpStream::connect(service.addr).await.unwrap();
        stream.write_all(b"GET /api/status/stream HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        Self { stream, text: String::new() }
    }

    /// The next event, or `None` at the end of the stream.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((before, data)) = self.text.split_once("data: ")
                && let Some((data, rest)) = data.split_once("\n\n")
            {
                assert!(before.contains("200 OK") || !before.contains("HTTP/1.1"), "{before}");
                let value = serde_json::from_str(data).unwrap();
                self.text = rest.to_owned();
                return Some(value);
            }
            let mut bytes = [0; 4096];
            let read = timeout(LIMIT, self.stream.read(&mut bytes)).await.expect("an event each half second");
            let read = read.unwrap_or(0);
            if read == 0 {
                return None;
            }
            self.text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
    }

    async fn until(&mut self, state: &str) -> Value {
        let give_up = Instant::now() + LIMIT;
        loop {
            let event = self.next().await.expect("the stream goes on");
            if event["state"] == state {
                return event;
            }
            assert!(Instant::now() < give_up, "never {state}: {event}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_tells_each_change_of_state_and_looks_twice_a_second() {
    let server = Server::builder().persistent().start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    service.wait_for("ready").await;
    let mut events = Events::of(&service).await;
    let first = events.until("ready").await;
    for part in ["answered_by_redis", "answered_by_fallback", "connections_in_use", "in_flight", "latency_ms"]
    {
        assert!(first[part].is_number(), "{part}: {first}");
    }
    assert_eq!((&first["journal"]["pending_keys"], &first["demo"]), (&0.into(), &Value::Null));

    let began = Instant::now();
    for _ in 0..4 {
        events.next().await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());

    server.kill();
    let away = events.until("degraded").await;
    assert!(away["degraded_since"].is_number(), "{away}");
    service.get("/api/features/me").await;
    let mut event = away;
    while event["journal"]["pending_keys"] != 1 {
        event = events.next().await.unwrap();
    }
    tokio::task::block_in_place(|| server.restart());
    events.until("ready").await;
    assert_eq!(service.get("/api/status").await.text("state"), "ready");

    // An open stream does not hold the service up.
    let began = Instant::now();
    service.stop().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    while events.next().await.is_some() {}
}

async fn press(service: &Service, path: &str, headers: &[(&str, &str)]) -> Response {
    request(service.addr, "POST", path, headers, "").await.unwrap()
}

#[tokio::test]
async fn nobody_takes_redis_away_from_a_service_that_does_not_own_it() {
    let server = Server::start();
    let service = Service::start(pool(server.url()).build().unwrap()).await;
    for path in ["/demo/redis/away", "/demo/redis/back"] {
        let answer = press(&service, path, &[("sec-fetch-site", "same-origin")]).await;
        assert_eq!(answer.status, 404, "{answer:?}");
    }
    assert!(server.is_running());
}

#[tokio::test]
async fn only_the_own_page_takes_redis_away() {
    let server = Server::start();
    let pool = pool(server.url()).build().unwrap();
    let wishes = Arc::new(Mutex::new(Vec::new()));
    let sink = wishes.clone();
    let demo = Demo::new(move |wish| {
        sink.lock().unwrap().push(wish);
        Ok(())
    });
    let service = Service::start_app(pool.clone(), App::new(pool).unwrap().with_demo(Some(demo))).await;
    let own = format!("http://{}", service.addr);
    for headers in [
        &[][..],
        &[("origin", "http://evil.example")],
        &[("sec-fetch-site", "cross-site"), ("origin", "http://evil.example")],
        &[("sec-fetch-site", "cross-site"), ("origin", &own)],
    ] {
        let refused = press(&service, "/demo/redis/away", headers).await;
        assert_eq!(refused.status, 403, "{headers:?}");
        assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    }
    assert_eq!(service.get("/demo/redis/away").await.status, 405, "a link does nothing");
    assert!(wishes.lock().unwrap().is_empty());
    assert_eq!(service.get("/api/status").await.text("demo"), "back");

    let own = [("sec-fetch-site", "same-origin"), ("origin", own.as_str())];
    assert_eq!(press(&service, "/demo/redis/away", &own).await.text("redis"), "away");
    assert_eq!(service.get("/api/status").await.text("demo"), "away");
    assert_eq!(press(&service, "/demo/redis/back", &own).await.text("redis"), "back");
    assert_eq!(*wishes.lock().unwrap(), [Wish::Away, Wish::Back]);
}

#[tokio::test]
async fn a_demo_whose_owner_is_gone_says_so() {
    let server = Server::start();
    let pool = pool(server.url()).build().unwrap();
    let demo = Demo::new(|_| Err(std::io::ErrorKind::BrokenPipe.into()));
    let service = Service::start_app(pool.clone(), App::new(pool).unwrap().with_demo(Some(demo))).await;
    let answer = press(&service, "/demo/redis/away", &[("sec-fetch-site", "same-origin")]).await;
    assert_eq!(answer.status, 503);
    assert!(answer.text("detail").contains("does not listen"), "{answer:?}");
    assert_eq!(service.get("/api/status").await.text("demo"), "back");
}
