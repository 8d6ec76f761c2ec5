//! The one place that opens connections.

pub(crate) mod greet;
mod net;
mod socket;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::budget::{Budget, Held, Permit};
use crate::config::Target;
use crate::error::{Error, Kind, Outcome};
use crate::timer;
use crate::transport::{Farewell, Io, Socket};

pub(crate) use greet::{Greeting, Identity};
pub(crate) use net::Network;

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
    let dialled = match timer::within(limit, attempt).await {
        Some(Ok(dialled)) => dialled,
        Some(Err(error)) if error.kind() != io::ErrorKind::TimedOut => {
            held.leave(Farewell::PeerGone);
            return Err(away(target, &error.to_string()));
        }
        _ => return Err(away(target, &format!("no connection within {limit:?} (REDIS_CONNECT_TIMEOUT)"))),
    };
    held.fill(dialled.socket);
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
    match timer::within(left, greet::greet(&mut *io, target, max_reply)).await {
        Some(Ok(greeting)) => Ok(Connection { io, held, greeting }),
        Some(Err(greet::Refusal::Said(server))) => {
            let detail = server.detail().unwrap_or_default().trim_end_matches('.');
            let said = format!("{} {detail}", server.code().unwrap_or("ERR"));
            let message = format!("Redis at {target} turned us away: {said}");
            Err(Error::from_server(Kind::Away, Outcome::NotSent, message, server))
        }
        Some(Err(greet::Refusal::Failed(why))) => Err(away(target, &why)),
        None => Err(away(
            target,
            &format!("connected, but no answer to the greeting within {limit:?} (REDIS_CONNECT_TIMEOUT)"),
        )),
    }
}

fn away(target: &Target, why: &str) -> Error {
    Error::not_sent(Kind::Away, format!("Redis at {target} is unavailable: {why}"))
}
