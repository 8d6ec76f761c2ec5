//! The one place that opens connections.

pub(crate) mod greet;
#[cfg(test)]
mod names;
mod net;
mod socket;
mod steps;
#[cfg(feature = "tls")]
mod tls;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use redis::RedisError;

use crate::budget::{Berth, Held};
use crate::config::{Address, Target, name_of};
use crate::credentials::Renewal;
use crate::error::{Error, Kind, Outcome};
use crate::timer;
use crate::transport::{Farewell, Io, Socket};

pub(crate) use greet::{Greeting, Identity, Refusal, SENTINEL, Talk, role};
pub(crate) use net::Network;
pub use steps::{Place, Steps};

/// Opens byte streams: the network, or memory in tests.
#[async_trait]
pub(crate) trait Connector: Send + Sync {
    async fn dial(&self, target: &Target, limit: Duration) -> io::Result<Dialled>;
}

pub(crate) struct Dialled {
    pub(crate) io: Box<dyn Io>,
    pub(crate) socket: Arc<dyn Socket>,
}

/// A connection that Redis has greeted.
pub(crate) struct Connection {
    pub(crate) io: Box<dyn Io>,
    pub(crate) held: Held,
    pub(crate) greeting: Greeting,
    /// Logs in anew when that is due.
    pub(crate) renewal: Option<Renewal>,
}

/// Dials and greets within `limit`.
pub(crate) async fn dial(
    connector: &dyn Connector,
    target: &Target,
    held: Held,
    limit: Limit,
    max_reply: usize,
) -> Result<Connection, Error> {
    let berth = Berth::new(held, limit.time);
    let (io, greeting) =
        greeted(connector, target, &berth, limit, max_reply).await.map_err(|failed| failed.leave(&berth))?;
    if greeting.role.as_deref() == Some(SENTINEL) {
        return Err(away(target, &format!("it is {}", mistaken(target))));
    }
    let held = berth.take().ok_or_else(|| given_up(target))?;
    Ok(Connection { io, held, greeting, renewal: None })
}

/// Why a server was not reached.
pub(crate) struct Failed {
    pub(crate) error: Error,
    /// No connection came about, and none will.
    refused: bool,
}

impl Failed {
    fn leave(self, berth: &Berth) -> Error {
        if self.refused
            && let Some(held) = berth.take()
        {
            held.leave(Farewell::PeerGone);
        }
        self.error
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, refused: false }
    }
}

/// The same for a place that may be tried with several servers in turn.
pub(crate) async fn greeted(
    connector: &dyn Connector,
    target: &Target,
    berth: &Arc<Berth>,
    limit: Limit,
    max_reply: usize,
) -> Result<(Box<dyn Io>, Greeting), Failed> {
    let began = Instant::now();
    let mut io = open(connector, target, berth, limit).await?;
    let left = limit.time.saturating_sub(began.elapsed());
    let mut loading = None;
    let greeting = greet::greet(&mut *io, target, max_reply, began + limit.time, &mut loading);
    match timer::within(left, greeting).await {
        Some(Ok(greeting)) => Ok((io, greeting)),
        Some(Err(Refusal::Said(server))) => Err(turned_away(target, server).into()),
        Some(Err(Refusal::Failed(why))) => Err(away(target, &why).into()),
        None => Err(match loading {
            Some(server) => turned_away(target, server).into(),
            None => away(target, &format!("connected, but no answer to the greeting within {limit}")).into(),
        }),
    }
}

/// Dials within `limit`, without greeting the server.
pub(crate) async fn dial_raw(
    connector: &dyn Connector,
    target: &Target,
    held: Held,
    limit: Limit,
) -> Result<(Box<dyn Io>, Held), Error> {
    let berth = Berth::new(held, limit.time);
    let io = open(connector, target, &berth, limit).await.map_err(|failed| failed.leave(&berth))?;
    let held = berth.take().ok_or_else(|| given_up(target))?;
    Ok((io, held))
}

/// Connects within `limit`; the place knows of it.
pub(crate) async fn open(
    connector: &dyn Connector,
    target: &Target,
    berth: &Arc<Berth>,
    limit: Limit,
) -> Result<Box<dyn Io>, Failed> {
    let dialled = match timer::within(limit.time, connector.dial(target, limit.time)).await {
        Some(Ok(dialled)) => dialled,
        Some(Err(error)) if error.kind() != io::ErrorKind::TimedOut => {
            return Err(Failed { error: away(target, &error.to_string()), refused: true });
        }
        _ => return Err(away(target, &format!("no connection within {limit}")).into()),
    };
    if berth.fill(&dialled.socket) {
        Ok(dialled.io)
    } else {
        dialled.socket.abort();
        Err(given_up(target).into())
    }
}

/// How long a dial may take, and who says so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    /// What is left of it.
    pub(crate) time: Duration,
    /// As it is told.
    whole: Duration,
    /// It is the one that was configured, not the shorter one of a probe.
    configured: bool,
}

impl Limit {
    pub(crate) fn new(time: Duration, configured: bool) -> Self {
        Self { time, whole: time, configured }
    }

    pub(crate) fn less(self, spent: Duration) -> Self {
        Self { time: self.time.saturating_sub(spent), ..self }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.whole)?;
        if self.configured { f.write_str(" (REDIS_CONNECT_TIMEOUT)") } else { Ok(()) }
    }
}

/// In the server's words, but for what it may have quoted of our credentials.
pub(crate) fn turned_away(target: &Target, server: RedisError) -> Error {
    let code = server.code().unwrap_or("ERR").to_owned();
    let detail = server.detail().unwrap_or_default().trim_end_matches('.').replace(['\r', '\n'], " ");
    let said = target.scrub(&format!("{code} {detail}"));
    let server = match redis::parse_redis_value(format!("-{said}\r\n").as_bytes()) {
        Ok(value) => value.extract_error().err().unwrap_or(server),
        Err(_) => server,
    };
    let message = format!("Redis at {target} turned us away: {said}");
    Error::from_server(Kind::Away, Outcome::NotSent, message, server)
}

pub(crate) fn given_up(target: &Target) -> Error {
    let why = format!(
        "the connection to Redis at {target} was given up: its runtime was parked, or the pool closed"
    );
    Error::not_sent(Kind::Cut, why)
}

/// The likeliest mistake of who is new to Sentinel: its port for that of a Redis.
fn mistaken(target: &Target) -> String {
    let scheme = if target.tls { "rediss" } else { "redis" };
    let host = match &target.address {
        Address::Tcp { host, port } => name_of(host, *port),
        Address::Unix(_) | Address::Sentinel(_) => "host:port".to_owned(),
    };
    let db = if target.db == 0 { String::new() } else { format!("/{}", target.db) };
    format!(
        "a sentinel, which stores nothing: the master that it watches has the URL {scheme}+sentinel://{host}/master_name{db}, with the name that SENTINEL MASTERS tells"
    )
}

pub(crate) fn away(target: &Target, why: &str) -> Error {
    Error::not_sent(Kind::Away, format!("Redis at {target} is unavailable: {why}"))
}
