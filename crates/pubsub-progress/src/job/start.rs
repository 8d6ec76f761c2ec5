//! How a worker begins a job.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use super::{Job, JobHandle};
use crate::error::Error;
use crate::position::Position;
use crate::remote::{Begin, Code, check_job, publish};
use crate::shared::Shared;

/// Up to here Lua's numbers count exactly.
const MOST: u64 = 1 << 53;

/// The beginning of a job: await it, after saying what else is to be.
#[must_use = "a start does nothing until it is awaited"]
pub struct Start {
    shared: Arc<Shared>,
    id: Arc<str>,
    attempt: u64,
    restart: bool,
}

impl Start {
    pub(crate) fn new(shared: Arc<Shared>, id: &str) -> Self {
        Self { shared, id: id.into(), attempt: 0, restart: false }
    }

    /// This attempt's number, from 1, for who counts them: a later one must be larger, and an earlier one is refused.
    /// Default: later than all before, by the server's clock. All attempts of a job must be counted in one of the two ways.
    pub fn attempt(mut self, number: u64) -> Self {
        self.attempt = number;
        self
    }

    /// A job that has finished or was cancelled begins anew; without this that is an error. One that runs, failed or was
    /// abandoned is taken over anyway.
    pub fn restart(mut self) -> Self {
        self.restart = true;
        self
    }

    async fn begin(self) -> Result<JobHandle, Error> {
        let Self { shared, id, attempt, restart } = self;
        check_job(&id)?;
        if attempt >= MOST {
            return Err(Error::Job(format!(
                "the attempt {attempt} is too large: at most {} is allowed",
                MOST - 1
            )));
        }
        shared.ensure_driver();
        let job = Arc::new(Job::new(id, &shared.names, &shared.settings));
        let begin = Begin { restart };
        if !shared.embedded {
            let report = job.first(attempt, begin);
            let index = shared.workers.index(std::slice::from_ref(&job), &shared);
            let mut conn = shared.conn();
            let told = publish(&mut conn, &shared.settings, std::slice::from_ref(&report), &index).await;
            match told.and_then(|(mut replies, _)| replies.pop().transpose()) {
                Ok(Some(reply)) => {
                    match reply.code {
                        Code::Fenced | Code::Ended => shared.counters.fenced.one(),
                        Code::Duplicate => shared.counters.duplicates.one(),
                        Code::Applied | Code::Behind | Code::Renamed => shared.counters.published.one(),
                    }
                    match reply.code {
                        Code::Fenced => return Err(Error::Fenced { run: reply.position.run }),
                        Code::Ended => return Err(Error::Ended { at: reply.position }),
                        Code::Applied | Code::Duplicate | Code::Behind | Code::Renamed => {}
                    }
                    job.claimed(reply.position.run, reply.attempt, true);
                    shared.workers.add(&job);
                    shared.hub.deliver(&job, false);
                    shared.hub.attend();
                    return Ok(JobHandle::new(shared, job));
                }
                Ok(None) => {}
                Err(error) => {
                    shared.counters.failures.one();
                    let error = Error::from(error);
                    if !error.is_unavailable() {
                        return Err(error);
                    }
                }
            }
        }
        // Nobody else can be asked, so the clock of this machine has to do.
        let run = if attempt == 0 { now_us().max(shared.workers.last_run(&job.id) + 1) } else { attempt };
        job.claimed(run, if attempt == 0 { 1 } else { attempt }, shared.embedded);
        shared.workers.add(&job);
        shared.hub.deliver(&job, !shared.embedded);
        shared.hub.attend();
        if let Some(due) = job.plan_next(super::workers::RETRY) {
            shared.workers.queue(&job, due);
        }
        Ok(JobHandle::new(shared, job))
    }
}

fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(Position::START.run)
}

impl IntoFuture for Start {
    type Output = Result<JobHandle, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.begin())
    }
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start").field("id", &self.id).field("attempt", &self.attempt).finish_non_exhaustive()
    }
}
