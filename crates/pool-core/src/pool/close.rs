//! The end of a pool: nothing new, what is in flight finishes, the rest is cut and counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::budget::Tenant;
use crate::error::{Error, Kind};
use crate::pool::Shared;
use crate::pool::State;
use crate::timer;
use crate::transport::Farewell;

/// How often the drain looks whether all is done.
const LOOK: Duration = Duration::from_millis(2);

/// What [`Pool::close`](crate::Pool::close) found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CloseReport {
    /// Connections that were cut because they had not finished within `close_timeout`.
    pub cut_connections: usize,
    /// Calls that were still unanswered on them.
    pub cut_calls: usize,
    /// How long the close waited.
    pub waited: Duration,
}

/// Holds the report once there is one.
pub(crate) struct Closing(watch::Sender<Option<CloseReport>>);

impl Closing {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }
}

/// The first caller starts the end, everybody waits for it. The drain runs in a task, so a caller that goes
/// away does not stop it; outside a runtime there is nothing to wait with, and all is cut at once.
pub(crate) async fn close(shared: Arc<Shared>) -> CloseReport {
    let mut done = shared.closing.0.subscribe();
    if shared.context.breaker.shut() {
        shared.context.state.send_replace(State::Closed);
        tracing::info!(target: "cenote", address = %shared.context.target, "closing the Redis pool");
        let cut = Cut { shared, began: Instant::now() };
        match Handle::try_current() {
            Ok(handle) => drop(handle.spawn(drain(cut))),
            Err(_) => drop(cut),
        }
    }
    loop {
        if let Some(report) = *done.borrow_and_update() {
            return report;
        }
        if done.changed().await.is_err() {
            return CloseReport::default();
        }
    }
}

async fn drain(cut: Cut) {
    let shared = &cut.shared;
    for lane in shared.sets.all() {
        // A parked runtime would never notice that its idle lane is to drain.
        if !lane.retire() {
            lane.drain();
        }
    }
    shared.bench.end_idle();
    let limit = shared.context.config.close_timeout;
    while cut.began.elapsed() < limit && !cut.is_done() {
        timer::sleep(LOOK.min(limit)).await;
    }
}

/// Cuts what is left and reports, also if the runtime ends in the middle of the drain.
struct Cut {
    shared: Arc<Shared>,
    began: Instant,
}

impl Cut {
    fn is_done(&self) -> bool {
        self.shared.sets.all().iter().all(|lane| lane.has_ended()) && self.shared.bench.in_use() == 0
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        let lanes = self.shared.sets.all();
        let cut_calls = lanes.iter().filter(|lane| !lane.has_ended()).map(|lane| lane.in_flight()).sum();
        let cause = Error::not_sent(Kind::Closed, "the pool was closed");
        let exclusive = self.shared.bench.in_use();
        let shared = self.shared.sets.end_all(&cause, Farewell::Abort);
        self.shared.context.budget.end_all(&cause);
        self.shared.bench.end_all(&cause);
        let report =
            CloseReport { cut_connections: shared + exclusive, cut_calls, waited: self.began.elapsed() };
        tracing::info!(
            target: "cenote",
            address = %self.shared.context.target,
            cut_connections = report.cut_connections,
            cut_calls,
            waited_ms = report.waited.as_millis() as u64,
            "the Redis pool is closed"
        );
        self.shared.closing.0.send_replace(Some(report));
    }
}
