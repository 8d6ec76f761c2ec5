//! What everybody shares: the pool, its server and the proxy between, the gate and the report.

use std::ops::Deref;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use cenote_pool_core::{Pool, State};
use cenote_testkit::{Observer, Proxy, Server, eventually};
use redis::Cmd;

use crate::gate::Gate;
use crate::report::Report;

/// Short, so that a server frozen for a second has fallen silent.
pub(crate) const SOCKET_TIMEOUT: Duration = Duration::from_millis(700);
pub(crate) const DEGRADE_AFTER: Duration = Duration::from_millis(250);

/// The one key that is always there, in database 0 only.
pub(crate) const MARKER: &str = "database";

const QUIET: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(crate) struct Stage(Arc<Set>);

pub(crate) struct Set {
    pub(crate) pool: Pool,
    pub(crate) proxy: Proxy,
    pub(crate) server: Server,
    pub(crate) observer: Observer,
    pub(crate) gate: Gate,
    pub(crate) report: Report,
}

impl Stage {
    pub(crate) fn new(server: Server, proxy: Proxy, pool: Pool) -> Self {
        let observer = server.observer();
        observer.get::<()>(&["SET", MARKER, "0"]);
        Self(Arc::new(Set { pool, proxy, server, observer, gate: Gate::new(), report: Report::new() }))
    }

    /// Brings everything to rest after a fault: first the pool is back, within `limit`, then the load
    /// stands still, then nothing is under way any more, in the pool or in the proxy or in the server.
    pub(crate) fn settle(&self, limit: Duration) {
        let fault_ended = Instant::now();
        eventually(QUIET, "the pool is back", || self.pool.state() == State::Ready);
        self.report.was_back_after(fault_ended.elapsed(), limit);
        self.gate.shut();
        let (pool, proxy) = (&self.pool, &self.proxy);
        let mut last = String::new();
        let mut is_quiet = || {
            let status = pool.status();
            let clients = self.observer.client_count();
            last = format!("{clients} clients, {status:?}");
            status.state == "ready"
                && status.in_flight == 0
                && status.dedicated_in_use == 0
                && !status.journal.local
                && proxy.held_requests() + proxy.held_replies() == 0
                && clients == status.connections_in_use
                && clients == proxy.open()
        };
        let give_up = Instant::now() + QUIET;
        while !is_quiet() {
            assert!(Instant::now() < give_up, "it does not come to rest: {last}");
            thread::sleep(Duration::from_millis(2));
        }
        self.report.was_at_rest_after(fault_ended.elapsed());
    }

    /// Everybody has removed what is known to them: what is left was written by nobody, or came late.
    pub(crate) fn assert_nothing_is_left(&self) {
        let left: Vec<String> = self.observer.get(&["KEYS", "*"]);
        self.report.expect(left == [MARKER], || format!("left on the server: {left:?}"));
    }

    /// Removes `keys` behind the pool's back.
    pub(crate) fn remove(&self, keys: &[String]) {
        if !keys.is_empty() {
            let mut words = vec!["DEL"];
            words.extend(keys.iter().map(String::as_str));
            self.observer.get::<()>(&words);
        }
    }
}

impl Deref for Stage {
    type Target = Set;

    fn deref(&self) -> &Set {
        &self.0
    }
}

/// A command of these words.
pub(crate) fn cmd(words: &[&str]) -> Cmd {
    let mut cmd = Cmd::new();
    for word in words {
        cmd.arg(word);
    }
    cmd
}
