//! What the tasks of a pool share. It owns no task and no connection, so a task may keep it alive.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::breaker::{Backoff, Breaker, Lease, jitter};
use crate::budget::Budget;
use crate::config::{PoolConfig, Target};
use crate::credentials::{CredentialsProvider, Keyring};
use crate::dial::{Connector, Greeting, Identity, Network};
use crate::error::{Error, Kind};
use crate::lane::Window;
use crate::sentinel::{self, Sentinel};
use crate::telemetry::{Meters, Server};

use super::State;
use super::chronicle::Chronicle;
use super::seen::Seen;
use super::witness::Fault;

/// At most one connection in so long is given up because the server refused us as a writer or a user.
const REBUILD_EVERY: Duration = Duration::from_secs(1);
/// So many lost connections are remembered.
const MOST_LOST: usize = 256;
/// A reply on an open connection speaks for Redis for so long against a dial that fails.
const PROOF: Duration = Duration::from_secs(1);

pub(crate) struct Context {
    pub(crate) config: PoolConfig,
    pub(crate) target: Target,
    pub(crate) budget: Arc<Budget>,
    pub(crate) breaker: Breaker,
    pub(crate) state: watch::Sender<State>,
    /// The pool is closed, or gone.
    pub(crate) ended: watch::Sender<bool>,
    pub(crate) seen: Seen,
    /// Who knows where Redis is, if that is not in the target itself.
    pub(crate) sentinel: Option<Sentinel>,
    pub(crate) meters: Meters,
    /// As spans name it.
    pub(crate) server: Server,
    pub(crate) keyring: Arc<Keyring>,
    connector: Box<dyn Connector>,
    born: Instant,
    /// When a reply last came, in nanoseconds since `born`; 0 before the first.
    last_reply: AtomicU64,
    /// Lanes that are open and were answered.
    proven: AtomicUsize,
    rebuilt: Mutex<Option<Instant>>,
    pub(crate) chronicle: Chronicle,
    /// Connections that were lost with calls unanswered: what they still have on its way may yet be executed.
    lost: Mutex<VecDeque<Greeting>>,
}

fn backoff_of(config: &PoolConfig) -> Backoff {
    Backoff::new(config.reconnect_min, config.reconnect_max, config.reconnect_max_long)
}

/// A lane that is open and was answered.
pub(crate) struct Proof(Arc<Context>);

impl Drop for Proof {
    fn drop(&mut self) {
        self.0.proven.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Context {
    pub(crate) fn new(
        config: PoolConfig,
        target: Target,
        network: Network,
        provider: Option<Arc<dyn CredentialsProvider>>,
    ) -> Self {
        let backoff = backoff_of(&config);
        let probe_limit = config.connect_timeout.min(Duration::from_millis(500));
        let meters = Meters::new(if config.enabled { config.max_connections } else { 0 });
        let keyring = Keyring::new(target.credentials(), provider, config.connect_timeout, meters.clone());
        Self {
            budget: Budget::new(config.max_connections, meters.clone()),
            breaker: Breaker::new(backoff, probe_limit),
            state: watch::Sender::new(State::Idle),
            ended: watch::Sender::new(false),
            seen: Seen::default(),
            sentinel: Sentinel::of(&target),
            meters,
            server: Server::of(&target),
            keyring,
            connector: Box::new(network),
            born: Instant::now(),
            last_reply: AtomicU64::new(0),
            proven: AtomicUsize::new(0),
            rebuilt: Mutex::new(None),
            chronicle: Chronicle::default(),
            lost: Mutex::default(),
            config,
            target,
        }
    }

    /// For tests that never dial.
    #[cfg(test)]
    pub(crate) fn nowhere(config: PoolConfig) -> Self {
        let network = Network::plain(&config);
        Self::new(config, Target::nowhere(), network, None)
    }

    pub(crate) fn backoff(&self) -> Backoff {
        backoff_of(&self.config)
    }

    /// When a connection that is made now is to be replaced. Drawn for each, so that they do not all go at once.
    pub(crate) fn old_at(&self, now: Instant) -> Option<Instant> {
        let age = self.config.connection_max_age?;
        Some(now + age - jitter(age / 4))
    }

    pub(crate) fn window(&self) -> Window {
        Window { commands: self.config.window_commands, bytes: self.config.window_bytes }
    }

    pub(crate) fn connector(&self) -> &dyn Connector {
        &*self.connector
    }

    pub(super) fn about_to_dial(&self) {
        self.seen.dials.fetch_add(1, Ordering::Relaxed);
        let first = self.state.send_if_modified(|state| {
            let idle = *state == State::Idle;
            if idle {
                *state = State::Connecting;
            }
            idle
        });
        if first {
            tracing::info!(target: "cenote", address = %self.target, "connecting to Redis");
        }
    }

    pub(crate) fn connected(&self, greeting: &Greeting) {
        self.note_greeting(greeting);
        self.become_ready(|state| matches!(state, State::Idle | State::Connecting));
    }

    /// The first greeting is part of the log's story; a connection that replaces a lost one is counted.
    ///
    /// Invariant: it is called before the connection is handed to whoever sends commands on it, so no reply comes
    /// from a server that is not known yet.
    fn note_greeting(&self, greeting: &Greeting) {
        let mut last = self.seen.greeting.lock();
        if last.as_ref().map(|last| &last.identity) != Some(&greeting.identity) {
            self.seen.server_changes.fetch_add(1, Ordering::Release);
        }
        *last = Some(greeting.clone());
        drop(last);
        if self.seen.connected.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::info!(
                target: "cenote",
                address = %self.target,
                version = greeting.version.as_deref().unwrap_or("unknown"),
                role = greeting.role.as_deref().unwrap_or("unknown"),
                protocol = if greeting.resp3 { "RESP3" } else { "RESP2" },
                after_ms = self.born.elapsed().as_millis() as u64,
                "Redis is ready"
            );
        }
        let lost = self.seen.lost.load(Ordering::Relaxed);
        let replaced = |reconnects: u64| if reconnects < lost { Some(reconnects + 1) } else { None };
        if self.seen.reconnects.fetch_update(Ordering::Relaxed, Ordering::Relaxed, replaced).is_ok() {
            self.meters.reconnected();
        }
    }

    fn become_ready(&self, from: impl Fn(&State) -> bool) -> bool {
        self.state.send_if_modified(|state| {
            let change = from(state) && !self.breaker.is_open();
            if change {
                *state = State::Ready;
            }
            change
        })
    }

    /// A connection could not be made. Opens the breaker, unless others show that Redis is there (it may be full, or refuse
    /// only this one). Returns the duty to look for Redis, if it falls to the caller.
    pub(crate) fn dial_failed(&self, fault: &Fault) -> Option<Lease> {
        let Fault { error, is_vouched } = fault;
        if error.kind() != Kind::Away {
            return None;
        }
        self.note_error(error);
        if *is_vouched { None } else { self.trip(error) }
    }

    /// A connection is open, and was answered lately: what fails elsewhere is no outage.
    pub(super) fn is_proven(&self) -> bool {
        let last_reply = self.last_reply.load(Ordering::Relaxed);
        let lately = self.born + Duration::from_nanos(last_reply) + PROOF;
        last_reply > 0 && lately > Instant::now() && self.proven.load(Ordering::Relaxed) > 0
    }

    /// A lane was answered for the first time; what is returned lasts as long as the lane.
    pub(crate) fn prove(self: &Arc<Self>) -> Proof {
        self.proven.fetch_add(1, Ordering::Relaxed);
        Proof(self.clone())
    }

    /// A connection was lost. Returns the duty to look for Redis, if it falls to the caller.
    pub(crate) fn lane_lost(&self, error: &Error, badly: bool) -> Option<Lease> {
        self.note_error(error);
        self.seen.lost.fetch_add(1, Ordering::Relaxed);
        self.meters.connection_lost();
        tracing::debug!(target: "cenote", address = %self.target, %error, "a connection was lost");
        if badly { self.trip(error) } else { self.breaker.suspect(Instant::now()) }
    }

    /// A connection was lost with calls unanswered.
    pub(crate) fn note_lost(&self, greeting: &Greeting) {
        let mut lost = self.lost.lock();
        if lost.len() == MOST_LOST {
            lost.pop_front();
        }
        lost.push_back(greeting.clone());
    }

    /// The one lost longest ago.
    pub(crate) fn take_lost(&self) -> Option<Greeting> {
        self.lost.lock().pop_front()
    }

    fn trip(&self, cause: &Error) -> Option<Lease> {
        let lease = self.breaker.trip(cause, Instant::now());
        if lease.is_some() {
            self.degrade(cause);
        }
        lease
    }

    fn degrade(&self, cause: &Error) {
        self.meters.breaker_opened();
        if !self.breaker.is_open() {
            self.meters.breaker_closed();
        }
        let cause = cause.message().to_owned();
        // A reply may have closed the breaker already. Whoever closes it sets the state after this lock, or finds
        // that this looked after it: either way the last word is that of the breaker.
        let changed = self.state.send_if_modified(|state| {
            let away = self.breaker.is_open() && *state != State::Closed;
            if away {
                *state = State::Degraded { since: SystemTime::now(), cause: cause.clone() };
            }
            away
        });
        if changed && let Some(left_out) = self.chronicle.admit(Instant::now()) {
            tracing::warn!(
                target: "cenote",
                %cause,
                lines_left_out = left_out,
                "Redis is away: strict calls fail fast until it answers again"
            );
        }
    }

    /// A look for Redis failed. True if there was no outage, and is none: others show that Redis is there.
    pub(crate) fn probe_failed(&self, lease: Lease, fault: &Fault) -> bool {
        let Fault { error, is_vouched } = fault;
        self.note_error(error);
        let acquitted = *is_vouched && self.breaker.acquit(lease);
        if !acquitted && self.breaker.failed(lease, error, Instant::now()) {
            self.degrade(error);
        }
        acquitted
    }

    pub(crate) fn recovered(&self, lease: Lease, greeting: &Greeting) {
        self.note_greeting(greeting);
        if let Some(outage) = self.breaker.recovered(lease, Instant::now()) {
            self.back(outage);
        }
    }

    fn back(&self, outage: Duration) {
        self.meters.breaker_closed();
        let back = self.become_ready(|state| matches!(state, State::Degraded { .. }));
        if back && let Some(left_out) = self.chronicle.admit(Instant::now()) {
            tracing::info!(
                target: "cenote",
                address = %self.target,
                outage_ms = outage.as_millis() as u64,
                lines_left_out = left_out,
                "Redis answers again"
            );
        }
    }

    /// Some command was answered, just now.
    pub(crate) fn reply_seen(self: &Arc<Self>, now: Instant) {
        let nanos = now.saturating_duration_since(self.born).as_nanos() as u64;
        self.last_reply.store(nanos.max(1), Ordering::Relaxed);
        if let Some(outage) = self.breaker.reply_seen(now) {
            self.back(outage);
        }
        if self.sentinel.is_some() {
            sentinel::tend(self, now);
        }
    }

    /// Some reply was seen after `since`.
    pub(super) fn has_heard_since(&self, since: Instant) -> bool {
        let since = since.saturating_duration_since(self.born).as_nanos() as u64;
        self.last_reply.load(Ordering::Relaxed) > since
    }

    /// Some reply was ever seen.
    pub(crate) fn has_heard(&self) -> bool {
        self.last_reply.load(Ordering::Relaxed) > 0
    }

    /// Which server greeted us last.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.seen.greeting.lock().as_ref().map(|greeting| greeting.identity.clone())
    }

    /// The server that greeted us last says that it is one by itself.
    pub(crate) fn is_single(&self) -> bool {
        self.seen.greeting.lock().as_ref().is_some_and(|greeting| greeting.single)
    }

    /// How often another server than the one before greeted us.
    pub(crate) fn server_changes(&self) -> u64 {
        self.seen.server_changes.load(Ordering::Acquire)
    }

    pub(crate) fn observe_latency(&self, sample: Duration) {
        let sample = (sample.as_micros() as u64).max(1);
        let old = self.seen.latency_us.load(Ordering::Relaxed);
        let new = if old == 0 { sample } else { (old * 7 + sample) / 8 };
        self.seen.latency_us.store(new.max(1), Ordering::Relaxed);
    }

    pub(crate) fn may_rebuild(&self, now: Instant) -> bool {
        let mut rebuilt = self.rebuilt.lock();
        let due = rebuilt.is_none_or(|last| now.saturating_duration_since(last) >= REBUILD_EVERY);
        if due {
            *rebuilt = Some(now);
        }
        due
    }

    fn note_error(&self, error: &Error) {
        *self.seen.last_error.lock() = Some(error.message().to_owned());
    }
}
