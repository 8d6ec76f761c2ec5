//! The calls.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cenote_pool_core::redis::{self, from_redis_value};
use cenote_pool_core::{Pool, State};

use crate::builder::{ProgressBuilder, Settings};
use crate::error::Error;
use crate::hub::Watch;
use crate::job::Start;
use crate::position::Position;
use crate::remote::{Asking, CANCEL, check_job, read_all};
use crate::shared::{Place, Shared};
use crate::snapshot::{Snapshot, Status};
use crate::stats::Stats;

/// How long a request to stop waits for the worker's word.
const PATIENCE: Duration = Duration::from_secs(1);

/// What became of a request to stop a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cancel {
    /// Its worker knows, and is to stop.
    Acknowledged,
    /// It is written down, and its worker has not said so within a second. It learns it with its next sign of life.
    Requested,
    /// The job has ended.
    AlreadyFinished,
    /// Nobody knows of such a job.
    NotFound,
}

/// Jobs that report, and watchers that never miss the end. Cheap to clone.
///
/// Made without I/O; nothing runs before the first job or the first watch. All of one pool, one namespace and the same
/// settings share one task that reports, one that listens, and one subscription for each job that is watched.
#[derive(Clone)]
pub struct Progress {
    shared: Arc<Shared>,
}

impl Progress {
    /// With the defaults of [`ProgressBuilder`].
    pub fn new(pool: &Pool) -> Self {
        let settings = ProgressBuilder::new(pool).defaults();
        Self::with(pool, settings)
    }

    /// Starts a configuration.
    pub fn builder(pool: &Pool) -> ProgressBuilder {
        ProgressBuilder::new(pool)
    }

    pub(crate) fn with(pool: &Pool, settings: Settings) -> Self {
        let place = pool.companion(&format!("{settings:?}"), Place::new);
        Self { shared: place.get(pool, settings) }
    }

    #[cfg(feature = "sse")]
    pub(crate) fn pool(&self) -> Pool {
        self.shared.pool.clone()
    }

    /// Begins a job, or takes it over from another worker, whose reports are refused from then on: `start("import-42").await`,
    /// or with [`attempt`](Start::attempt) or [`restart`](Start::restart) in between. A name has 1 to 512 bytes, whichever they
    /// are.
    ///
    /// While Redis is away it begins in this process, and is told to Redis later.
    ///
    /// # Errors
    ///
    /// The name cannot be; the job has ended well or was cancelled; a later attempt has it; Redis refuses; or the pool is
    /// closed.
    ///
    /// **Cancel safety.** Dropped in the middle it may leave a job that is found stalled.
    pub fn start(&self, job: impl AsRef<str>) -> Start {
        Start::new(self.shared.clone(), job.as_ref())
    }

    /// Watches a job, whether it has begun or not. Returns once the job's state is known; while Redis is away, at once.
    ///
    /// # Errors
    ///
    /// The name cannot be, the pool is closed, or there is no tokio runtime.
    ///
    /// **Cancel safety.** Dropping it ends the watch.
    pub async fn watch(&self, job: impl AsRef<str>) -> Result<Watch, Error> {
        self.watch_from(job, Position::START).await
    }

    /// Watches a job from where another watch was: what was told up to there does not come again. Of an earlier attempt,
    /// and of a position that nobody knows, it begins anew with a snapshot.
    ///
    /// # Errors
    ///
    /// As [`watch`](Self::watch).
    pub async fn watch_from(&self, job: impl AsRef<str>, from: Position) -> Result<Watch, Error> {
        check_job(job.as_ref())?;
        let shared = &self.shared;
        if shared.pool.state() == State::Closed {
            return Err(closed(shared).await);
        }
        shared.ensure_reader();
        let id: Arc<str> = job.as_ref().into();
        let entry = shared.hub.enter(&id, shared);
        let watch = Watch::new(shared.clone(), entry, from);
        watch.ready(shared.settings.timeout).await;
        Ok(watch)
    }

    /// The present state of a job; `None` if nobody knows of it.
    ///
    /// # Errors
    ///
    /// The name cannot be; or Redis does not answer and the job is none of this process.
    pub async fn snapshot(&self, job: impl AsRef<str>) -> Result<Option<Arc<Snapshot>>, Error> {
        check_job(job.as_ref())?;
        let shared = &self.shared;
        let id: Arc<str> = job.as_ref().into();
        let own = shared.workers.find(&id).filter(|job| job.fenced().is_none());
        if shared.embedded {
            return Ok(own.map(|job| job.snapshot()));
        }
        match read_all(&mut shared.conn(), &shared.names, std::slice::from_ref(&id)).await {
            Ok(mut found) => Ok(found.pop().flatten().map(|record| record.snapshot)),
            Err(error) => match (Error::from(error), own) {
                (error, Some(job)) if error.is_unavailable() => {
                    Ok(Some(Arc::new(Snapshot { degraded: true, ..(*job.snapshot()).clone() })))
                }
                (error, _) => Err(error),
            },
        }
    }

    /// What it has done so far in this process.
    pub fn stats(&self) -> Stats {
        let shared = &self.shared;
        let (jobs, ended_jobs) = shared.workers.count();
        let (watched_jobs, watchers, stalled_jobs) = shared.hub.count();
        Stats { jobs, ended_jobs, watchers, watched_jobs, stalled_jobs, ..shared.counters.stats() }
    }

    /// The jobs that are known, those with the latest sign of life first, `limit` at most.
    ///
    /// # Errors
    ///
    /// Redis does not answer.
    pub async fn list(&self, limit: usize) -> Result<Vec<Arc<Snapshot>>, Error> {
        let shared = &self.shared;
        if shared.embedded {
            let mut all: Vec<_> = shared.workers.all().iter().map(|job| job.snapshot()).collect();
            all.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.updated_ms));
            all.truncate(limit);
            return Ok(all);
        }
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut conn = shared.conn();
        let mut range = redis::cmd("ZREVRANGE");
        range.arg(shared.names.index()).arg(0).arg(limit - 1);
        let jobs: Vec<String> = range.query_async(&mut conn).await?;
        let jobs: Vec<Arc<str>> = jobs.into_iter().map(Into::into).collect();
        let records = read_all(&mut conn, &shared.names, &jobs).await?;
        let mut gone = redis::cmd("ZREM");
        gone.arg(shared.names.index());
        let (mut any, mut found) = (false, Vec::new());
        for (job, record) in jobs.iter().zip(records) {
            match record {
                Some(record) => found.push(record.snapshot),
                None => {
                    any = true;
                    gone.arg(&**job);
                }
            }
        }
        if any {
            // If it fails, the next one does it.
            let _ = gone.exec_async(&mut conn).await;
        }
        Ok(found)
    }

    /// Asks the worker of a job to stop, wherever it is, and waits up to a second for its word.
    ///
    /// # Errors
    ///
    /// The name cannot be; or Redis does not answer and the job is none of this process.
    ///
    /// **Cancel safety.** Dropped after its first poll the job may have been asked.
    pub async fn cancel(&self, job: impl AsRef<str>) -> Result<Cancel, Error> {
        let id = job.as_ref();
        check_job(id)?;
        let shared = &self.shared;
        if shared.embedded {
            return Ok(self.cancel_here(id));
        }
        let mut conn = shared.conn();
        let asked = Asking { state: shared.names.state(id), control: shared.names.control(), job: id };
        let said: u64 = match CANCEL.call(&mut conn, asked).await.and_then(|said| Ok(from_redis_value(said)?))
        {
            Ok(said) => said,
            Err(error) => {
                let error = Error::from(error);
                return match self.cancel_here(id) {
                    Cancel::Acknowledged if error.is_unavailable() => Ok(Cancel::Acknowledged),
                    _ => Err(error),
                };
            }
        };
        match said {
            0 => Ok(Cancel::NotFound),
            1 => Ok(Cancel::AlreadyFinished),
            3 => Ok(Cancel::Acknowledged),
            _ => self.acknowledged(id).await,
        }
    }

    fn cancel_here(&self, id: &str) -> Cancel {
        if self.shared.workers.cancel(id) {
            self.shared.ensure_driver();
            return Cancel::Acknowledged;
        }
        match self.shared.workers.find(id) {
            Some(_) => Cancel::AlreadyFinished,
            None => Cancel::NotFound,
        }
    }

    async fn acknowledged(&self, id: &str) -> Result<Cancel, Error> {
        let shared = &self.shared;
        let (began, mut pause) = (Instant::now(), Duration::from_millis(2));
        while began.elapsed() < PATIENCE {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
            let mut ask = redis::cmd("HMGET");
            ask.arg(shared.names.state(id)).arg(&["st", "c"]);
            let said: Result<(Option<String>, Option<u64>), _> = ask.query_async(&mut shared.conn()).await;
            match said {
                Ok((_, Some(2))) => return Ok(Cancel::Acknowledged),
                Ok((Some(status), _)) if status == Status::Cancelled.name() => {
                    return Ok(Cancel::Acknowledged);
                }
                Ok((Some(status), _)) if status != Status::Running.name() => {
                    return Ok(Cancel::AlreadyFinished);
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        Ok(Cancel::Requested)
    }
}

/// The pool's own word for it.
async fn closed(shared: &Shared) -> Error {
    match redis::cmd("PING").exec_async(&mut shared.conn()).await {
        Err(error) => error.into(),
        Ok(()) => Error::Config("the pool is closed".to_owned()),
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("namespace", &self.shared.settings.namespace).finish_non_exhaustive()
    }
}
