//! What a worker has reported, and how much of it Redis has. No I/O.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::estimator::Estimator;
use super::ring::Ring;
use super::text::tame;
use crate::builder::Settings;
use crate::event::{Level, LogLine};
use crate::position::Position;
use crate::snapshot::{ChildSnapshot, Encoded, Liveness, Snapshot, Status};

/// Bytes of a message, a phase, the name of a child or an error; and of a line of the log.
pub(crate) const MESSAGE: usize = 4 << 10;
pub(crate) const LINE: usize = 8 << 10;
pub(crate) const NAME: usize = 128;
/// How many parts a job may have.
pub(crate) const CHILDREN: usize = 64;

#[derive(Debug)]
pub(crate) struct Board {
    job: Arc<str>,
    pub(crate) position: Position,
    pub(crate) attempt: u64,
    pub(crate) status: Status,
    done: u64,
    total: Option<u64>,
    unit: Option<Arc<str>>,
    message: Option<Arc<str>>,
    phase: Option<Arc<str>>,
    children: Vec<ChildSnapshot>,
    estimator: Estimator,
    started_ms: u64,
    updated_ms: u64,
    result: Option<Value>,
    error: Option<Arc<str>>,
    pub(crate) cancelling: bool,
    pub(crate) lines: Ring,
    heartbeat: Duration,
    /// Made of the present version, and when it is made anew.
    made: Option<Arc<Snapshot>>,
}

impl Board {
    pub(crate) fn new(job: Arc<str>, settings: &Settings) -> Self {
        let now = now_ms();
        Self {
            job,
            position: Position::new(0, 1, 0),
            attempt: 0,
            status: Status::Running,
            done: 0,
            total: None,
            unit: None,
            message: None,
            phase: None,
            children: Vec::new(),
            estimator: Estimator::new(Instant::now()),
            started_ms: now,
            updated_ms: now,
            result: None,
            error: None,
            cancelling: false,
            lines: Ring::new(settings.log_lines, settings.log_bytes),
            heartbeat: settings.heartbeat,
            made: None,
        }
    }

    /// It has been given this attempt.
    pub(crate) fn claim(&mut self, run: u64, attempt: u64) {
        (self.position.run, self.attempt) = (run, attempt);
        self.made = None;
    }

    fn changed(&mut self) {
        self.position.v += 1;
        self.made = None;
    }

    pub(crate) fn set(&mut self, done: u64) {
        if self.done != done {
            self.done = done;
            self.changed();
        }
    }

    pub(crate) fn inc(&mut self, by: u64) {
        self.set(self.done.saturating_add(by));
    }

    pub(crate) fn total(&mut self, total: Option<u64>) {
        if self.total != total {
            self.total = total;
            self.changed();
        }
    }

    pub(crate) fn unit(&mut self, unit: &str) {
        self.unit = Some(tame(unit, NAME));
        self.changed();
    }

    pub(crate) fn message(&mut self, message: &str) {
        self.message = Some(tame(message, MESSAGE));
        self.changed();
    }

    pub(crate) fn phase(&mut self, phase: &str) {
        let phase = tame(phase, MESSAGE);
        self.phase = Some(phase.clone());
        self.changed();
        self.line(Level::Phase, phase);
    }

    pub(crate) fn log(&mut self, level: Level, text: &str) {
        self.line(level, tame(text, LINE));
    }

    fn line(&mut self, level: Level, text: Arc<str>) {
        self.position.l += 1;
        let encoded = Encoded::default();
        let line = LogLine { seq: self.position.l, level, text, at_ms: now_ms(), encoded };
        self.lines.push(Arc::new(line));
        // The state is as it was, but it is at another position.
        self.made = None;
    }

    /// The place of the child with this name; `None` if there is no room for one more.
    pub(crate) fn child(&mut self, name: &str) -> Option<usize> {
        let name = tame(name, NAME);
        if let Some(index) = self.children.iter().position(|child| child.name == name) {
            return Some(index);
        }
        if self.children.len() == CHILDREN {
            return None;
        }
        self.children.push(ChildSnapshot {
            name,
            done: 0,
            total: None,
            unit: None,
            weight: 1.0,
            fraction: None,
            message: None,
            finished: false,
        });
        self.changed();
        Some(self.children.len() - 1)
    }

    pub(crate) fn change_child(&mut self, index: usize, change: impl FnOnce(&mut ChildSnapshot)) {
        let Some(child) = self.children.get_mut(index) else { return };
        change(child);
        child.fraction = if child.finished { Some(1.0) } else { fraction(child.done, child.total) };
        self.changed();
    }

    pub(crate) fn cancelling(&mut self) {
        if !self.cancelling {
            self.cancelling = true;
            self.changed();
        }
    }

    pub(crate) fn end(&mut self, status: Status, result: Option<Value>, error: Option<&str>) {
        self.status = status;
        self.result = result;
        self.error = error.map(|error| tame(error, MESSAGE));
        self.changed();
    }

    /// The present state, as it is told.
    pub(crate) fn snapshot(&mut self) -> Arc<Snapshot> {
        if let Some(made) = &self.made {
            return made.clone();
        }
        let now = Instant::now();
        self.updated_ms = now_ms();
        let whole = self.fraction();
        let (counted, all) = match (self.children.is_empty(), whole) {
            (false, fraction) => (fraction.unwrap_or(0.0), Some(1.0)),
            (true, _) => (self.done as f64, self.total.map(|total| total as f64)),
        };
        self.estimator.record(counted, now);
        let rate = self.estimator.rate(now).filter(|_| self.status == Status::Running);
        let left = all.map(|all| (all - counted).max(0.0));
        let eta = rate.zip(left).and_then(|(rate, left)| Duration::try_from_secs_f64(left / rate).ok());
        let made = Arc::new(Snapshot {
            job: self.job.clone(),
            position: self.position,
            attempt: self.attempt,
            status: self.status,
            done: self.done,
            total: self.total,
            unit: self.unit.clone(),
            fraction: whole,
            message: self.message.clone(),
            phase: self.phase.clone(),
            children: self.children.clone(),
            rate,
            eta,
            started_ms: self.started_ms,
            updated_ms: self.updated_ms,
            result: self.result.clone(),
            error: self.error.clone(),
            cancelling: self.cancelling,
            degraded: false,
            liveness: Liveness::Live,
            heartbeat_age: None,
            heartbeat: Some(self.heartbeat),
            encoded: Encoded::default(),
        });
        self.made = Some(made.clone());
        made
    }

    /// By the children and their weights, so that bytes are not added to files.
    fn fraction(&self) -> Option<f64> {
        if self.children.is_empty() {
            return fraction(self.done, self.total);
        }
        let weights: f64 = self.children.iter().map(|child| child.weight).sum();
        let done: f64 = self.children.iter().map(|child| child.weight * child.fraction.unwrap_or(0.0)).sum();
        (weights > 0.0).then(|| (done / weights).clamp(0.0, 1.0))
    }
}

fn fraction(done: u64, total: Option<u64>) -> Option<f64> {
    total.filter(|total| *total > 0).map(|total| (done as f64 / total as f64).min(1.0))
}

pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
