//! The settings of progress reports.

use std::fmt;
use std::time::Duration;

use cenote_pool_core::Pool;

use crate::error::Error;
use crate::progress::Progress;
use crate::remote::check_namespace;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    pub(crate) namespace: String,
    pub(crate) throttle: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) retention: Duration,
    pub(crate) log_lines: usize,
    pub(crate) log_bytes: usize,
    pub(crate) timeout: Duration,
    pub(crate) linger: Duration,
    pub(crate) lost_after: Duration,
    pub(crate) max_result: usize,
}

/// Settings for [`Progress`], with their defaults.
#[must_use]
pub struct ProgressBuilder {
    pool: Pool,
    settings: Settings,
    lost_after: Option<Duration>,
}

impl ProgressBuilder {
    pub(crate) fn new(pool: &Pool) -> Self {
        let settings = Settings {
            namespace: "jobs".to_owned(),
            throttle: Duration::from_millis(125),
            heartbeat: Duration::from_secs(5),
            retention: Duration::from_secs(3600),
            log_lines: 1_000,
            log_bytes: 1 << 20,
            timeout: Duration::from_secs(2),
            linger: Duration::from_secs(10),
            lost_after: Duration::ZERO,
            max_result: 64 << 10,
        };
        Self { pool: pool.clone(), settings, lost_after: None }
    }

    /// Jobs of one namespace know nothing of those of another. Workers and watchers must agree on it; 1 to 64 of
    /// `A-Z a-z 0-9 _ . -`. Default: `jobs`.
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.settings.namespace = name.into();
        self
    }

    /// How long a change of the state waits at most for others to go with; the first after a pause goes at once. Lines of
    /// the log and the end do not wait. Default: 125 ms, so 8 a second for each job; 0 is no pause.
    pub fn throttle(mut self, pause: Duration) -> Self {
        self.settings.throttle = pause;
        self
    }

    /// How often a worker gives a sign of life, whether its job gets on or not, and twice as often watchers look. Default: 5 s;
    /// at least 50 ms.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.settings.heartbeat = interval;
        self
    }

    /// How long a job is known after its last sign of life, its end above all. Default: an hour; at least three heartbeats.
    pub fn retention(mut self, time: Duration) -> Self {
        self.settings.retention = time;
        self
    }

    /// How many lines of a job's log are kept, by its worker, in Redis and for its watchers in each process. Default:
    /// 1,000; at least 1.
    pub fn log_lines(mut self, lines: usize) -> Self {
        self.settings.log_lines = lines;
        self
    }

    /// How many bytes of a job's log are kept in a process. Default: 1 MiB.
    pub fn log_bytes(mut self, bytes: usize) -> Self {
        self.settings.log_bytes = bytes;
        self
    }

    /// The limit of each call, and how long an end waits to be confirmed. Default: 2 s.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.settings.timeout = limit;
        self
    }

    /// How long a job is listened to after its last watcher has gone. Default: 10 s.
    pub fn linger(mut self, time: Duration) -> Self {
        self.settings.linger = time;
        self
    }

    /// How long a job's record and its worker must both be missing before its watchers are told that it is lost. Default:
    /// three heartbeats, and at least 5 s.
    pub fn lost_after(mut self, time: Duration) -> Self {
        self.lost_after = Some(time);
        self
    }

    /// The longest result of a job as JSON, in bytes. Default: 64 KiB.
    pub fn max_result(mut self, bytes: usize) -> Self {
        self.settings.max_result = bytes;
        self
    }

    pub(crate) fn defaults(self) -> Settings {
        let lost_after = self.settings.heartbeat * 3;
        Settings { lost_after, ..self.settings }
    }

    /// Makes it, without I/O. Those of one pool and one namespace with the same settings share all they have.
    ///
    /// # Errors
    ///
    /// Settings that cannot be, each with what would be right.
    pub fn build(mut self) -> Result<Progress, Error> {
        let settings = &mut self.settings;
        check_namespace(&settings.namespace)?;
        let least = Duration::from_secs(5).max(settings.heartbeat * 3);
        settings.lost_after = self.lost_after.unwrap_or(least);
        let mut problems = Vec::new();
        if settings.heartbeat < Duration::from_millis(50) {
            problems.push("heartbeat must be at least 50 ms");
        }
        if settings.retention < settings.heartbeat * 3 {
            problems.push("retention must be at least three heartbeats");
        }
        if settings.log_lines == 0 {
            problems.push("log_lines must be at least 1");
        }
        if settings.timeout.is_zero() {
            problems.push("timeout must be more than 0");
        }
        if !problems.is_empty() {
            return Err(Error::Config(format!(
                "progress of {:?}: {}",
                settings.namespace,
                problems.join("; ")
            )));
        }
        Ok(Progress::with(&self.pool, self.settings))
    }
}

impl fmt::Debug for ProgressBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProgressBuilder").field("settings", &self.settings).finish_non_exhaustive()
    }
}
