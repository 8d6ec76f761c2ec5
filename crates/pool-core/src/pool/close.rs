//! The end of a pool: nothing new, what is in flight finishes, the rest is cut and counted.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::budget::Tenant;
use crate::error::{Error, Kind};
use crate::pool::Shared;
use crate::pool::{Flush, State};
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
    /// Keys that were written while Redis was away and are not removed there: their old values stay.
    pub journal_keys: usize,
    /// How long the close waited.
    pub waited: Duration,
}

/// The end of one pool: when it began, who works on it, and the report once there is one.
pub(crate) struct Closing {
    began: OnceLock<Instant>,
    drainers: AtomicUsize,
    cut: AtomicBool,
    report: watch::Sender<Option<CloseReport>>,
}

impl Closing {
    pub(crate) fn new() -> Self {
        Self {
            began: OnceLock::new(),
            drainers: AtomicUsize::new(0),
            cut: AtomicBool::new(false),
            report: watch::Sender::new(None),
        }
    }
}

/// The first caller starts the end, and each helps with it: the drain runs in a task of every caller's runtime,
/// so that one which is parked or ends holds up nobody. Outside a runtime there is nothing to wait with, and
/// all is cut at once.
pub(crate) async fn close(shared: Arc<Shared>) -> CloseReport {
    let mut done = shared.closing.report.subscribe();
    shared.closing.began.get_or_init(Instant::now);
    let handle = Handle::try_current().ok();
    // Without a runtime there is nothing to flush with.
    let flushes = handle.as_ref().map(|_| shared.flushes.begin()).unwrap_or_default();
    if !shared.flushes.is_under_way() {
        shut(&shared);
    }
    if done.borrow().is_none() {
        match handle {
            Some(handle) => drop(handle.spawn(end(Drainer::new(shared.clone()), flushes))),
            None => {
                shut(&shared);
                cut(&shared);
            }
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

fn shut(shared: &Shared) {
    if shared.context.shut() {
        shared.context.state.send_replace(State::Closed);
        if !shared.embedded {
            tracing::info!(target: "cenote", address = %shared.context.target, "closing the Redis pool");
        }
    }
    shared.hubs.end_all(&Error::closed());
}

/// What others have yet to tell is told first, within the same limit.
async fn end(drainer: Drainer, flushes: Vec<Arc<dyn Flush>>) {
    let shared = &drainer.shared;
    let limit = shared.context.config.close_timeout;
    if !flushes.is_empty() {
        let _flushed = Flushed(shared.clone());
        timer::within(limit.saturating_sub(waited(shared)), async {
            for flush in flushes {
                flush.flush().await;
            }
        })
        .await;
    }
    while shared.flushes.is_under_way() && waited(shared) < limit {
        timer::sleep(LOOK.min(limit)).await;
    }
    shut(shared);
    drain(&drainer).await;
}

/// Speaks when its runtime ends in the middle, too.
struct Flushed(Arc<Shared>);

impl Drop for Flushed {
    fn drop(&mut self) {
        // Shut before it is over: in between nobody slips in.
        shut(&self.0);
        self.0.flushes.end();
    }
}

async fn drain(drainer: &Drainer) {
    let shared = &drainer.shared;
    for lane in shared.sets.all() {
        // A parked runtime would never notice that its idle lane is to drain.
        if !lane.retire() {
            lane.drain();
        }
    }
    let limit = shared.context.config.close_timeout;
    let is_done = || {
        shared.bench.end_idle();
        shared.sets.all().iter().all(|lane| lane.has_ended()) && shared.bench.in_use() == 0
    };
    while waited(shared) < limit && !is_done() && !shared.closing.cut.load(Ordering::Acquire) {
        timer::sleep(LOOK.min(limit)).await;
    }
    cut(shared);
}

fn waited(shared: &Shared) -> Duration {
    shared.closing.began.get().map(Instant::elapsed).unwrap_or_default()
}

/// One task at work on the end. If its runtime drops the last of them, nobody is left to wait.
struct Drainer {
    shared: Arc<Shared>,
}

impl Drainer {
    fn new(shared: Arc<Shared>) -> Self {
        shared.closing.drainers.fetch_add(1, Ordering::AcqRel);
        Self { shared }
    }
}

impl Drop for Drainer {
    fn drop(&mut self) {
        if self.shared.closing.drainers.fetch_sub(1, Ordering::AcqRel) == 1 {
            cut(&self.shared);
        }
    }
}

/// Cuts what is left and reports, once.
fn cut(shared: &Shared) {
    if shared.closing.cut.swap(true, Ordering::AcqRel) {
        return;
    }
    let lanes = shared.sets.all();
    let cut_calls = lanes.iter().filter(|lane| !lane.has_ended()).map(|lane| lane.in_flight()).sum();
    let cause = Error::not_sent(Kind::Closed, "the pool was closed");
    let exclusive = shared.bench.in_use();
    let cut_shared = shared.sets.end_all(&cause, Farewell::Abort);
    shared.context.budget.end_all(&cause);
    shared.bench.end_all(&cause);
    let report = CloseReport {
        cut_connections: cut_shared + exclusive,
        cut_calls,
        journal_keys: shared.journal.status().pending_keys,
        waited: waited(shared),
    };
    if !shared.embedded {
        tracing::info!(
            target: "cenote",
            address = %shared.context.target,
            cut_connections = report.cut_connections,
            cut_calls,
            journal_keys = report.journal_keys,
            waited_ms = report.waited.as_millis() as u64,
            "the Redis pool is closed"
        );
    }
    if report.journal_keys > 0 {
        tracing::warn!(
            target: "cenote",
            journal_keys = report.journal_keys,
            "keys that were overwritten or deleted while Redis was away keep their old values there until they expire"
        );
    }
    shared.closing.report.send_replace(Some(report));
}
