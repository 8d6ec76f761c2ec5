//! A site that tells of jobs, and a client that reads events as a browser does.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::collections::VecDeque;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use axum::serve::Listener;
use cenote_pubsub_progress::sse::{Responder, Resume};
use cenote_pubsub_progress::{Position, Progress};
use cenote_testkit::within;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::common::SOON;

/// `/events/a,b` tells of `a` and `b`.
pub(crate) async fn site(progress: &Progress) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    site_on(listener, Responder::new(progress))
}

pub(crate) fn site_on<L>(listener: L, responder: Responder) -> SocketAddr
where
    L: Listener<Addr = SocketAddr>,
{
    let events = |Path(jobs): Path<String>, resume: Resume| async move {
        let jobs = jobs.split(',').filter(|job| !job.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        responder.respond(jobs, resume).await
    };
    let app = Router::new().route("/events/{jobs}", get(events));
    let addr = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, app).into_future());
    addr
}

/// One event, as it was told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) job: String,
    pub(crate) data: Value,
}

impl Told {
    fn read(block: &str) -> Option<Self> {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let data: Value = serde_json::from_str(field("data")?).unwrap();
        Some(Self {
            id: field("id").expect("every event has an id").to_owned(),
            name: field("event").unwrap().to_owned(),
            job: data["job"].as_str().unwrap().to_owned(),
            data: data["data"].clone(),
        })
    }

    /// Of an event of a stream of one job.
    pub(crate) fn position(&self) -> Position {
        self.id.parse().unwrap()
    }

    pub(crate) fn is_end(&self) -> bool {
        ["finished", "failed", "cancelled", "abandoned", "lost"].contains(&self.name.as_str())
    }
}

/// Reads one stream.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) head: String,
    rest: Vec<u8>,
    /// What was no event: comments, and when to come again.
    pub(crate) others: VecDeque<String>,
}

impl Client {
    pub(crate) async fn open(addr: SocketAddr, path: &str) -> Self {
        Self::open_with(addr, path, "accept-encoding: gzip, br\r\n").await
    }

    /// Where it was.
    pub(crate) async fn again(addr: SocketAddr, path: &str, id: &str) -> Self {
        Self::open_with(addr, path, &format!("last-event-id: {id}\r\n")).await
    }

    /// With HTTP/1.0, in which a body is sent as it is and ends with the connection.
    #[expect(clippy::disallowed_methods, reason = "a test's HTTP client is no Redis client")]
    pub(crate) async fn open_with(addr: SocketAddr, path: &str, headers: &str) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        Self::on(stream, path, headers).await
    }

    pub(crate) async fn on(mut stream: TcpStream, path: &str, headers: &str) -> Self {
        let request = format!("GET {path} HTTP/1.0\r\nhost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut client = Self { stream, head: String::new(), rest: Vec::new(), others: VecDeque::new() };
        client.head = client.block("\r\n\r\n").await.expect("a head");
        client
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }

    /// What comes before the next `end`; `None` at the end of the stream.
    async fn block(&mut self, end: &str) -> Option<String> {
        loop {
            if let Some(at) = self.rest.windows(end.len()).position(|window| window == end.as_bytes()) {
                let block = self.rest.drain(..at + end.len()).take(at).collect();
                return Some(String::from_utf8(block).unwrap());
            }
            let mut bytes = [0; 16 << 10];
            let read = within(SOON, self.stream.read(&mut bytes)).await.unwrap_or(0);
            if read == 0 {
                return None;
            }
            self.rest.extend_from_slice(&bytes[..read]);
        }
    }

    /// The next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        loop {
            let block = self.block("\n\n").await?;
            match Told::read(&block) {
                Some(told) => return Some(told),
                None => self.others.push_back(block),
            }
        }
    }

    /// What follows the next event or comment, whichever it is.
    pub(crate) async fn next_block(&mut self) -> Option<String> {
        self.block("\n\n").await
    }

    pub(crate) async fn until(&mut self, name: &str) -> Told {
        loop {
            let told = self.next().await.unwrap_or_else(|| panic!("no {name}"));
            if told.name == name {
                return told;
            }
        }
    }

    /// All events to the end of the stream.
    pub(crate) async fn all(mut self) -> Vec<Told> {
        let mut all = Vec::new();
        while let Some(told) = self.next().await {
            all.push(told);
        }
        all
    }

    /// A body that is no stream.
    pub(crate) async fn body(mut self) -> String {
        within(SOON, self.stream.read_to_end(&mut self.rest)).await.unwrap();
        String::from_utf8(self.rest).unwrap()
    }
}
