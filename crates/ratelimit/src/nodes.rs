//! How many processes share the quotas of a limiter: as was said, or as Redis counts them.
//!
//! While a limiter is used, its process tells Redis every few seconds that it lives, in one call beside those of the
//! callers, and hears how many do. Who is silent for three times as long is forgotten.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cenote_pool_core::redis::{self, RedisError};
use cenote_pool_core::{Outcome, Pool};
use tokio::runtime::Handle;

const SCRIPT: &str = include_str!("nodes.lua");
/// Nobody waits for it.
const LIMIT: Duration = Duration::from_secs(1);
const BEATS: u32 = 3;

pub(crate) struct Nodes {
    pool: Pool,
    limiter: String,
    key: String,
    me: String,
    said: Option<u64>,
    counted: AtomicU64,
    every: Duration,
    /// When Redis is to be told again, in microseconds of this process.
    next: AtomicU64,
    /// A failure was told of.
    told: AtomicBool,
}

impl Nodes {
    pub(crate) fn new(pool: &Pool, limiter: &str, prefix: &str, said: Option<u64>, every: Duration) -> Self {
        Self {
            pool: pool.clone(),
            limiter: limiter.to_owned(),
            key: format!("{prefix}nodes"),
            me: format!("{:032x}", fastrand::u128(..)),
            said,
            counted: AtomicU64::new(1),
            every,
            next: AtomicU64::new(0),
            told: AtomicBool::new(false),
        }
    }

    /// As was said, or as many as there were when Redis was last asked; 1 before.
    pub(crate) fn count(&self) -> u64 {
        self.said.unwrap_or_else(|| self.counted.load(Ordering::Relaxed))
    }

    /// Redis has answered a call just now, or tokens it gave before were spent: it is told that this process lives, if it is
    /// time to, on a task of this runtime.
    pub(crate) fn seen(self: &Arc<Self>, now: u64) {
        if self.said.is_some() {
            return;
        }
        let next = self.next.load(Ordering::Relaxed);
        if now < next {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let later = now.saturating_add(u64::try_from(self.every.as_micros()).unwrap_or(u64::MAX));
        if self.next.compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let nodes = self.clone();
            runtime.spawn(async move { nodes.beat().await });
        }
    }

    async fn beat(&self) {
        match self.ask().await {
            Ok(count) => {
                self.told.store(false, Ordering::Relaxed);
                self.counted.store(count.max(1), Ordering::Relaxed);
            }
            // That Redis is away is told by those who decide.
            Err(error) => {
                let known = cenote_pool_core::Error::from_redis(&error);
                let refused = known.is_none_or(|error| error.outcome() == Outcome::Answered);
                if refused && !self.told.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        target: "cenote",
                        limiter = self.limiter,
                        %error,
                        "processes cannot be counted: {} share the quota in an outage, unless .nodes(n) says how many",
                        self.count()
                    );
                }
            }
        }
    }

    async fn ask(&self) -> Result<u64, RedisError> {
        let lifetime = u64::try_from((self.every * BEATS).as_micros()).unwrap_or(u64::MAX);
        let mut conn = self.pool.conn().with_timeout(LIMIT);
        let mut cmd = redis::cmd("EVAL");
        cmd.arg(SCRIPT).arg(1).arg(&self.key).arg(&self.me).arg(lifetime);
        cmd.query_async(&mut conn).await
    }
}

impl std::fmt::Debug for Nodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nodes")
            .field("said", &self.said)
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}
