//! The one place that opens connections.

pub(crate) mod greet;
mod net;
mod socket;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::budget::{Budget, Permit};
use crate::config::Target;
use crate::error::{Error, Kind, Outcome};

pub(crate) use greet::Greeting;
pub(crate) use net::Network;

/// A byte stream as a lane needs it: reads, and vectored writes. TLS is one more implementation.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Io for T {}

/// The stream's other handle: ends it from any thread, also while its own runtime does not run.
pub(crate) trait Socket: Send + Sync {
    /// Says that no more comes from us; what was written still arrives.
    fn finish(&self);
    /// Throws away what was not yet sent.
    fn abort(&self);
    /// The peer has closed the connection, as far as the kernel knows by now. Reads nothing.
    fn is_closed(&self) -> bool;
    /// The peer has closed its side. Reads and drops what it still sends, so only after [`finish`](Self::finish).
    fn peer_closed(&self) -> bool;
}

/// Opens byte streams: the network, or memory in tests.
#[async_trait]
pub(crate) trait Connector: Send + Sync {
    async fn dial(&self, target: &Target, limit: Duration) -> io::Result<Dialled>;
}

pub(crate) struct Dialled {
    pub(crate) io: Box<dyn Io>,
    pub(crate) socket: Arc<dyn Socket>,
}

/// A place in the budget and the socket that fills it. However it goes, the place is only given on once the
/// server has let go, so that the server never counts more of our connections than the budget allows.
pub(crate) struct Held {
    budget: Arc<Budget>,
    permit: Option<Permit>,
    socket: Option<Arc<dyn Socket>>,
}

/// How a connection is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    PeerGone,
    Finish,
    Abort,
}

impl Held {
    pub(crate) fn new(budget: Arc<Budget>, permit: Permit) -> Self {
        Self { budget, permit: Some(permit), socket: None }
    }

    pub(crate) fn socket(&self) -> Option<Arc<dyn Socket>> {
        self.socket.clone()
    }

    pub(crate) fn leave(mut self, farewell: Farewell) {
        match (farewell, &self.socket) {
            (Farewell::PeerGone, _) => {
                self.permit = None;
                return;
            }
            (Farewell::Finish, Some(socket)) => socket.finish(),
            (Farewell::Abort, Some(socket)) => socket.abort(),
            (_, None) => {}
        }
        if let Some(permit) = self.permit.take() {
            self.budget.closing(permit, self.socket.take());
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            if let Some(socket) = &self.socket {
                socket.abort();
            }
            self.budget.closing(permit, self.socket.take());
        }
    }
}

/// A connection that Redis has greeted.
pub(crate) struct Connection {
    pub(crate) io: Box<dyn Io>,
    pub(crate) held: Held,
    pub(crate) greeting: Greeting,
}

/// Dials within `limit`, without greeting the server.
pub(crate) async fn dial_raw(
    connector: &dyn Connector,
    target: &Target,
    budget: &Arc<Budget>,
    permit: Permit,
    limit: Duration,
) -> Result<(Box<dyn Io>, Held), Error> {
    let mut held = Held::new(budget.clone(), permit);
    let attempt = connector.dial(target, limit);
    let dialled = match tokio::time::timeout(limit, attempt).await {
        Ok(Ok(dialled)) => dialled,
        Ok(Err(error)) if error.kind() != io::ErrorKind::TimedOut => {
            held.permit = None;
            return Err(away(target, &error.to_string()));
        }
        _ => return Err(away(target, &format!("no connection within {limit:?} (REDIS_CONNECT_TIMEOUT)"))),
    };
    held.socket = Some(dialled.socket);
    Ok((dialled.io, held))
}

/// Dials and greets within `limit`.
pub(crate) async fn dial(
    connector: &dyn Connector,
    target: &Target,
    budget: &Arc<Budget>,
    permit: Permit,
    limit: Duration,
    max_reply: usize,
) -> Result<Connection, Error> {
    let began = Instant::now();
    let (mut io, held) = dial_raw(connector, target, budget, permit, limit).await?;
    let left = limit.saturating_sub(began.elapsed());
    match tokio::time::timeout(left, greet::greet(&mut *io, target, max_reply)).await {
        Ok(Ok(greeting)) => Ok(Connection { io, held, greeting }),
        Ok(Err(greet::Refusal::Said(server))) => {
            let message = format!("Redis at {target} let us not in: {server}");
            Err(Error::from_server(Kind::Away, Outcome::NotSent, message, server))
        }
        Ok(Err(greet::Refusal::Failed(why))) => Err(away(target, &why)),
        Err(_) => Err(away(
            target,
            &format!("connected, but no answer to the greeting within {limit:?} (REDIS_CONNECT_TIMEOUT)"),
        )),
    }
}

fn away(target: &Target, why: &str) -> Error {
    Error::not_sent(Kind::Away, format!("Redis at {target} is unavailable: {why}"))
}
