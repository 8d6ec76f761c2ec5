//! What a worker holds of its job.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::{Child, Job};
use crate::error::Error;
use crate::event::Level;
use crate::position::Position;
use crate::shared::Shared;
use crate::snapshot::{Snapshot, Status};

/// Whether Redis has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[must_use = "what is pending is known in this process only"]
pub enum Delivery {
    /// Redis has it, and so will all watchers.
    Confirmed,
    /// Redis is away or slow. Watchers in this process have it; this process goes on trying to tell Redis for the
    /// retention, and [`Pool::close`](cenote_pool_core::Pool::close) makes a last attempt.
    Pending,
}

/// A worker's job. All but the ends are synchronous, never wait and may be called from any thread; what they report goes to Redis
/// in the background, at most so often as the throttle allows.
///
/// Clones mean the same job. When the last one is dropped (its children count as clones) without an end, the job is abandoned, or
/// cancelled if it was asked to stop: watchers are told, if the process lives long enough for that.
///
/// **Bounds.** Messages, phases and errors longer than 4 KiB are cut, lines of the log after 8 KiB; they end in `…` then.
/// Control characters are replaced. A job has at most 64 children, and the calls on further ones do nothing. After an end,
/// or when another attempt has taken over, setters do nothing.
#[derive(Clone)]
pub struct JobHandle {
    held: Arc<Held>,
}

/// What all clones and children share.
pub(super) struct Held {
    pub(super) shared: Arc<Shared>,
    pub(super) job: Arc<Job>,
}

impl Held {
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Board) -> T) -> Option<T> {
        let (result, due) = self.job.change(change);
        if let Some(due) = due {
            self.shared.workers.queue(&self.job, due);
        }
        // What it had in hand when its runtime ended is due, too.
        self.shared.ensure_driver();
        result
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let asked = self.job.token.is_cancelled();
        self.change(|board| {
            board.end(if asked { Status::Cancelled } else { Status::Abandoned }, None, None);
        });
    }
}

impl JobHandle {
    pub(super) fn new(shared: Arc<Shared>, job: Arc<Job>) -> Self {
        Self { held: Arc::new(Held { shared, job }) }
    }

    /// The job's name.
    pub fn id(&self) -> &str {
        &self.held.job.id
    }

    /// Where it is: what was reported, whether Redis has it or not.
    pub fn position(&self) -> Position {
        self.held.job.position()
    }

    /// The present state as watchers see it.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.held.job.snapshot()
    }

    /// So much is done. Less than before is possible.
    pub fn set(&self, done: u64) {
        self.held.change(|board| board.set(done));
    }

    /// So much more is done.
    pub fn inc(&self, by: u64) {
        self.held.change(|board| board.inc(by));
    }

    /// Of how much. 0 is as if it were not known.
    pub fn total(&self, total: u64) {
        self.held.change(|board| board.total(Some(total)));
    }

    /// What is counted, for instance `bytes`. At most 128 bytes.
    pub fn unit(&self, unit: &str) {
        self.held.change(|board| board.unit(unit));
    }

    /// What it does at the moment.
    pub fn message(&self, message: &str) {
        self.held.change(|board| board.message(message));
    }

    /// A new part of the work begins: part of the state, and a line of the log.
    pub fn phase(&self, phase: &str) {
        self.held.change(|board| board.phase(phase));
    }

    /// A line of the log. The last 1,000 are kept ([`log_lines`](crate::ProgressBuilder::log_lines)); who writes faster than they
    /// can be told, or through a long outage, gives its watchers a gap. [`flush`](Self::flush) waits until they are told.
    pub fn log(&self, line: &str) {
        self.held.change(|board| board.log(Level::Info, line));
    }

    /// A line of the log that should be looked at.
    pub fn warn(&self, line: &str) {
        self.held.change(|board| board.log(Level::Warning, line));
    }

    /// The part of the job with this name, which is added if there is none. With children the whole is counted by them
    /// and their weights. At most 64.
    pub fn child(&self, name: &str) -> Child {
        let index = self.held.change(|board| board.child(name)).flatten();
        if index.is_none() && !self.status().is_end() {
            tracing::debug!(target: "cenote", job = self.id(), name, "a job has at most 64 children: this one is not shown");
        }
        Child::new(self.held.clone(), index)
    }

    /// Running, or how it ended.
    pub fn status(&self) -> Status {
        self.held.job.status()
    }

    /// The attempt that has taken over from this one, if there is one. It is known with the first report after that.
    pub fn fenced(&self) -> Option<u64> {
        self.held.job.fenced()
    }

    /// By which the worker learns that it is to stop: somebody asked for it, or another attempt has taken over.
    pub fn cancellation(&self) -> CancellationToken {
        self.held.job.token.clone()
    }

    /// Somebody asked it to stop, or another attempt has taken over.
    pub fn is_cancelled(&self) -> bool {
        self.held.job.token.is_cancelled()
    }

    /// It ended well. Called again it waits again, and changes nothing.
    ///
    /// # Errors
    ///
    /// The result cannot be written as JSON or is too large, and the job goes on; or another attempt has taken over.
    ///
    /// **Cancel safety.** Dropped after its first poll the job has ended all the same.
    pub fn finish<T: Serialize>(
        &self,
        result: T,
    ) -> impl Future<Output = Result<Delivery, Error>> + Send + use<T> {
        let result = serde_json::to_value(result).map_err(|error| {
            Error::Result(format!("the result of a job cannot be written as JSON: {error}"))
        });
        let this = self.clone();
        async move { this.end(Status::Finished, Some(this.fits(result?)?), None).await }
    }

    /// It failed. Called again it waits again, and changes nothing.
    ///
    /// # Errors
    ///
    /// Another attempt has taken over.
    ///
    /// **Cancel safety.** Dropped after its first poll the job has ended all the same.
    pub fn fail<E: fmt::Display>(
        &self,
        error: E,
    ) -> impl Future<Output = Result<Delivery, Error>> + Send + use<E> {
        let (this, error) = (self.clone(), error.to_string());
        async move { this.end(Status::Failed, None, Some(&error)).await }
    }

    /// It stopped because it was asked to. Called again it waits again, and changes nothing.
    ///
    /// # Errors
    ///
    /// Another attempt has taken over.
    ///
    /// **Cancel safety.** Dropped after its first poll the job has ended all the same.
    pub fn cancelled(&self) -> impl Future<Output = Result<Delivery, Error>> + Send + use<> {
        let this = self.clone();
        async move { this.end(Status::Cancelled, None, None).await }
    }

    /// Waits until Redis has all that was reported so far, at most for the timeout.
    ///
    /// # Errors
    ///
    /// Another attempt has taken over.
    pub async fn flush(&self) -> Result<Delivery, Error> {
        self.delivered(self.position()).await
    }

    async fn end(
        &self,
        status: Status,
        result: Option<Value>,
        error: Option<&str>,
    ) -> Result<Delivery, Error> {
        self.held.change(|board| board.end(status, result, error));
        self.delivered(self.position()).await
    }

    fn fits(&self, result: Value) -> Result<Value, Error> {
        let (length, most) = (result.to_string().len(), self.held.shared.settings.max_result);
        if length > most {
            return Err(Error::Result(format!(
                "the result of a job has {length} bytes as JSON: at most {most} are allowed, so keep it elsewhere"
            )));
        }
        Ok(result)
    }

    async fn delivered(&self, position: Position) -> Result<Delivery, Error> {
        let mut settled = self.held.job.settled();
        let limit = self.held.shared.settings.timeout + Duration::from_millis(200);
        let known = tokio::time::timeout(
            limit,
            settled.wait_for(|settled| {
                settled.fenced.is_some() || settled.acked >= position || settled.failed >= position
            }),
        );
        if let Ok(Ok(settled)) = known.await {
            if let Some(run) = settled.fenced {
                return Err(Error::Fenced { run });
            }
            if settled.acked >= position {
                return Ok(Delivery::Confirmed);
            }
        }
        self.held.shared.counters.pending.one();
        Ok(Delivery::Pending)
    }
}

impl fmt::Debug for JobHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle")
            .field("id", &self.held.job.id)
            .field("position", &self.position())
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
