//! A server with a layer, and a plain client that sends what it is told to.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use axum::routing::get;
use axum::{Extension, Router};
use cenote_ratelimit::Decision;
use cenote_ratelimit::tower::{KeyExtractor, PeerAddr, RateLimitLayer};
use cenote_testkit::within;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::common::SOON;

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    /// All values of a header, a line each.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        let pairs = self.head.lines().filter_map(|line| line.split_once(':'));
        pairs.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// The only value of a header, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        let values = self.headers(name);
        assert!(values.len() < 2, "{self:?}");
        values.first().copied().unwrap_or_default()
    }

    pub(crate) fn retry_after(&self) -> u64 {
        self.header("retry-after").parse().unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/problem+json");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub(crate) fn peer() -> PeerAddr {
    PeerAddr::new(|info: &ConnectInfo<SocketAddr>| info.ip())
}

/// Where a server with these routes is.
pub(crate) async fn serve(routes: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    addr
}

/// Every path answers who decided, or that nobody did.
pub(crate) async fn limited<K: KeyExtractor>(layer: RateLimitLayer<K>) -> SocketAddr {
    serve(routes().layer(layer)).await
}

pub(crate) fn routes() -> Router {
    let answer = |decision: Option<Extension<Decision>>| async move {
        decision.map_or_else(|| "nobody".to_owned(), |Extension(decision)| format!("{:?}", decision.source))
    };
    Router::new()
        .route("/", get(answer))
        .route("/health", get(answer))
        .route("/items/{id}", get(answer))
        .route("/search", get(answer))
}

pub(crate) async fn get_from(addr: SocketAddr, path: &str, headers: &[(&str, &[u8])]) -> Response {
    within(SOON, request(addr, path, headers)).await.unwrap()
}

pub(crate) async fn get_root(addr: SocketAddr) -> Response {
    get_from(addr, "/", &[]).await
}

#[expect(clippy::disallowed_methods, reason = "a test's HTTP client is no Redis client")]
async fn request(addr: SocketAddr, path: &str, headers: &[(&str, &[u8])]) -> std::io::Result<Response> {
    let mut stream = TcpStream::connect(addr).await?;
    let mut bytes = format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    bytes.extend(b"\r\n");
    stream.write_all(&bytes).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole HTTP answer");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    Ok(Response { status, head: head.to_owned(), body: body.to_owned() })
}
