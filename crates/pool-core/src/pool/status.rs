//! A report on the pool's health, for people and for readiness endpoints.

use std::time::UNIX_EPOCH;

use serde::Serialize;

use crate::degrade::JournalStatus;
use crate::pool::Shared;
use crate::pool::State;

/// The short answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Health {
    /// Redis answers, or the pool is embedded by choice.
    Ok,
    /// Redis is away, or was never reached yet, but is not required.
    Degraded,
    /// Redis is away and required, or the pool is closed.
    Error,
}

/// Everything a readiness endpoint may say. It holds no secret.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// The short answer.
    pub status: Health,
    /// The [`State`]'s name.
    pub state: &'static str,
    /// Whether Redis is used at all.
    pub enabled: bool,
    /// Whether [`Pool::start`](crate::Pool::start) fails without it.
    pub required: bool,
    /// Whether the pool can serve or ever could: Redis was reached, or is not needed.
    pub initialized: bool,
    /// Where Redis is, without the password.
    pub url: String,
    /// With Sentinel: the master that the latest connection leads to, as `host:port`. None before the first one.
    pub node: Option<String>,
    /// The server's version, as it greeted.
    pub server_version: Option<String>,
    /// `master` or `replica`, as it greeted.
    pub server_role: Option<String>,
    /// Since when it is degraded, in seconds since the Unix epoch.
    pub degraded_since: Option<f64>,
    /// What went wrong last; it may be over.
    pub last_error: Option<String>,
    /// Round trip as observed lately, in milliseconds.
    pub latency_ms: Option<f64>,
    /// The most connections there may be.
    pub connections_max: usize,
    /// Connections open, being opened or being closed.
    pub connections_in_use: usize,
    /// How many more there may be.
    pub connections_free: usize,
    /// Exclusive connections in their holders' hands.
    pub dedicated_in_use: usize,
    /// Subscribers there are.
    pub subscribers: usize,
    /// Channels, patterns and prefixes that they subscribe to, counted for each of them.
    pub subscriptions: usize,
    /// Calls on shared connections that wait for their reply.
    pub in_flight: usize,
    /// Connections that replaced a lost one.
    pub reconnects: u64,
    /// Attempts to connect, failed ones included.
    pub dials: u64,
    /// `closed` while calls go through, `open` while they fail fast.
    pub breaker: &'static str,
    /// Calls on degradable connections that Redis answered.
    pub answered_by_redis: u64,
    /// Calls on degradable connections that the fallback answered.
    pub answered_by_fallback: u64,
    /// What was written while Redis was away, and is not yet removed there.
    pub journal: JournalStatus,
    /// Entries in the fallback, if there is one.
    pub fallback_entries: Option<usize>,
}

pub(crate) fn status(shared: &Shared) -> Status {
    use std::sync::atomic::Ordering::Relaxed;

    let context = &shared.context;
    let config = &context.config;
    let state = context.state.borrow().clone();
    let health = match &state {
        State::Ready | State::Embedded => Health::Ok,
        State::Closed => Health::Error,
        _ if config.required => Health::Error,
        _ => Health::Degraded,
    };
    let degraded_since = match &state {
        State::Degraded { since, .. } => {
            since.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs_f64())
        }
        _ => None,
    };
    let seen = &context.seen;
    let greeting = seen.greeting.lock().clone().unwrap_or_default();
    let used = if shared.embedded { 0 } else { context.budget.used() };
    let connected = seen.connected.load(Relaxed);
    Status {
        status: health,
        state: state.name(),
        enabled: !shared.embedded,
        required: config.required,
        initialized: connected > 0 || shared.embedded,
        url: if shared.embedded { "embedded".to_owned() } else { context.target.to_string() },
        node: greeting.node.map(|node| node.address.clone()),
        server_version: greeting.version,
        server_role: greeting.role,
        degraded_since,
        last_error: seen.last_error.lock().clone(),
        latency_ms: seen.latency().map(|latency| latency.as_micros() as f64 / 1000.0),
        connections_max: config.max_connections,
        connections_in_use: used,
        connections_free: config.max_connections.saturating_sub(used),
        dedicated_in_use: shared.bench.in_use().saturating_sub(shared.hubs.connections()),
        subscribers: shared.hubs.subscribers(),
        subscriptions: shared.hubs.subscriptions() + shared.local.subscriptions(),
        in_flight: shared.sets.all().iter().map(|lane| lane.in_flight()).sum(),
        reconnects: seen.reconnects.load(Relaxed),
        dials: seen.dials.load(Relaxed),
        breaker: if context.breaker.is_open() { "open" } else { "closed" },
        answered_by_redis: seen.by_redis.load(Relaxed),
        answered_by_fallback: seen.by_fallback.load(Relaxed),
        journal: shared.journal.status(),
        fallback_entries: shared.fallback.as_ref().map(|fallback| fallback.entries()),
    }
}
