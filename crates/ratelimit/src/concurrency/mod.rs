//! How many may be at something at once, over all processes.

mod builder;
mod permit;
mod remote;
mod stats;

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cenote_pool_core::redis::RedisError;
use cenote_pool_core::{Outcome, Pool};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::runtime::Handle;

use crate::breaker::Breaker;
use crate::builder::OnOutage;
use crate::decision::Source;
use crate::key;

pub use builder::ConcurrencyLimiterBuilder;
use permit::Pending;
pub use permit::Permit;
use remote::{Answer, Slot};
pub use stats::ConcurrencyStats;
use stats::Counters;

/// Who waits looks so often: first soon, then ever more seldom.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_millis(250);

/// Limits how many hold a key at once, over all processes that share a Redis.
///
/// Clones are cheap and all mean the same limiter. All limiters of one name on one Redis share their holders, each by its
/// own number.
///
/// **Bound.** By the server's clock never more than `n` hold a key: its holders are a set in Redis, by the time at which
/// each expires, and one script looks, removes who has expired and adds. No clock of a client takes part. Who holds a
/// permit renews it; a process that dies is forgotten after the [lifetime](ConcurrencyLimiterBuilder::lifetime). A holder
/// whose renewals failed for so long has lost its permit, and is told: [`Permit::is_lost`], [`Permit::lost`]. A server
/// that loses its data, or whose clock jumps ahead, forgets holders.
///
/// **Outages.** When Redis does not answer within the [timeout](ConcurrencyLimiterBuilder::timeout), the
/// [policy](ConcurrencyLimiterBuilder::on_outage) decides: each process has its share, so that at most `n + c * max(1,
/// n / N)` hold a key while `c` of `N` processes are cut off; or all may; or none, which is
/// [`AcquireError::Unavailable`]. Those who were let in so stay in until they drop their permits, and Redis never hears of
/// them.
///
/// **Waiting** is by looking again: after 10 ms, then ever later, up to 250 ms. There is no queue: who looks first when
/// there is room has it.
///
/// ```no_run
/// # async fn example(pool: cenote_pool_core::Pool) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use cenote_ratelimit::ConcurrencyLimiter;
///
/// // Three exports of a tenant at once, in whichever process.
/// let exports = ConcurrencyLimiter::builder(&pool, "exports", 3).lifetime(Duration::from_secs(20)).build()?;
///
/// let permit = exports.acquire_within("tenant:7", Duration::from_secs(2)).await?;
/// tokio::select! {
///     () = write_the_export() => {}
///     () = permit.lost() => println!("somebody else may have begun: stop here"),
/// }
/// drop(permit); // frees the place, without waiting for it
/// # Ok(()) }
/// # async fn write_the_export() {}
/// ```
#[derive(Clone)]
pub struct ConcurrencyLimiter {
    inner: Arc<Inner>,
}

/// Why there is no permit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AcquireError {
    /// As many hold the key as may, or, while Redis does not answer, as many as this process may let in.
    #[error("{limit} hold the key already, which is as many as may")]
    #[non_exhaustive]
    Full {
        /// How many may, by whoever decided.
        limit: u64,
    },
    /// Redis does not answer, and nobody is let in meanwhile: see [`OnOutage::Closed`].
    #[error("Redis does not answer, and the limiter lets nobody in meanwhile")]
    Unavailable,
}

struct Inner {
    pool: Pool,
    name: String,
    prefix: String,
    most: u64,
    lifetime: Duration,
    on_outage: OnOutage,
    share: u64,
    limit: Duration,
    embedded: bool,
    breaker: Breaker,
    counters: Counters,
    /// A failure was told of, and no look has succeeded since.
    told: AtomicBool,
    began: Instant,
    /// Permits that are out, of each key.
    out: Mutex<HashMap<Box<[u8]>, u64>>,
}

impl ConcurrencyLimiter {
    /// Starts the settings of a limiter: its name is part of what Redis knows it by; `most` may hold a key at once.
    pub fn builder(pool: &Pool, name: &str, most: u64) -> ConcurrencyLimiterBuilder {
        ConcurrencyLimiterBuilder::new(pool, name, most)
    }

    fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// A permit if there is room now.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Full`], or [`AcquireError::Unavailable`] if the outage policy says so.
    ///
    /// **Cancel safety.** Dropped while it asks, what it may have got is freed on a task of the runtime.
    pub async fn try_acquire(&self, key: &(impl Display + Sync + ?Sized)) -> Result<Permit, AcquireError> {
        self.inner.attempt(self.key(key)).await
    }

    /// A permit as soon as there is room, however long that takes.
    ///
    /// # Errors
    ///
    /// [`AcquireError::Unavailable`] if Redis does not answer and the outage policy says so.
    ///
    /// **Cancel safety.** As [`try_acquire`](Self::try_acquire).
    pub async fn acquire(&self, key: &(impl Display + Sync + ?Sized)) -> Result<Permit, AcquireError> {
        self.wait(self.key(key), None).await
    }

    /// A permit as soon as there is room, if that is within `limit`: then it looks for the last time, so that it may
    /// take the [timeout](ConcurrencyLimiterBuilder::timeout) longer.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    ///
    /// **Cancel safety.** As [`try_acquire`](Self::try_acquire).
    pub async fn acquire_within(
        &self,
        key: &(impl Display + Sync + ?Sized),
        limit: Duration,
    ) -> Result<Permit, AcquireError> {
        self.wait(self.key(key), Instant::now().checked_add(limit)).await
    }

    async fn wait(&self, key: Box<[u8]>, give_up: Option<Instant>) -> Result<Permit, AcquireError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let refused = match self.inner.attempt(key.clone()).await {
                Err(refused @ AcquireError::Full { .. }) => refused,
                other => return other,
            };
            let left = give_up.map(|time| time.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(refused);
            }
            // Not all at the same time.
            let jittered = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
            tokio::time::sleep(left.map_or(jittered, |left| left.min(jittered))).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// What this limiter has done, in this process.
    pub fn stats(&self) -> ConcurrencyStats {
        let out = self.inner.out.lock().values().sum();
        ConcurrencyStats { out, ..self.inner.counters.stats() }
    }

    fn key(&self, key: &(impl Display + ?Sized)) -> Box<[u8]> {
        key::key(&self.inner.prefix, &key::text(key), "holders").into_boxed_slice()
    }
}

impl Inner {
    fn new(builder: ConcurrencyLimiterBuilder, embedded: bool) -> Self {
        Self {
            counters: Counters::new(&builder.name),
            prefix: format!("concurrency:1:{}:", builder.name),
            name: builder.name,
            most: builder.most,
            lifetime: builder.lifetime,
            on_outage: builder.on_outage,
            share: (builder.most / builder.nodes).max(1),
            limit: builder.limit,
            embedded,
            breaker: Breaker::default(),
            told: AtomicBool::new(false),
            began: Instant::now(),
            out: Mutex::new(HashMap::new()),
            pool: builder.pool,
        }
    }

    async fn attempt(self: &Arc<Self>, key: Box<[u8]>) -> Result<Permit, AcquireError> {
        if self.embedded || !self.breaker.admit(self.now()) {
            return self.without_redis(key);
        }
        let lifetime = u64::try_from(self.lifetime.as_micros()).unwrap_or(u64::MAX);
        let slot = Slot::new(key, lifetime);
        // Should it have been taken, and nobody hear of it, it is freed on the connection that asked, after that.
        let conn = self.pool.conn();
        let pending = Pending::new(slot.clone(), conn.clone(), Handle::try_current().ok());
        let since = Instant::now();
        let error = match slot.acquire(conn, self.limit, self.most).await {
            Ok(answer) => {
                let runtime = pending.settled();
                self.answered();
                return match answer {
                    Answer::Held => {
                        self.counters.redis_granted.one();
                        Ok(Permit::of_redis(self.clone(), slot, runtime, since))
                    }
                    Answer::Full => {
                        self.counters.redis_full.one();
                        Err(AcquireError::Full { limit: self.most })
                    }
                };
            }
            Err(error) => error,
        };
        let known = cenote_pool_core::Error::from_redis(&error);
        if known.is_none_or(|error| error.outcome() == Outcome::NotSent) {
            pending.settled();
        }
        self.failed(&error);
        self.without_redis(slot.key)
    }

    fn answered(&self) {
        let over = self.breaker.answered();
        if self.told.swap(false, Ordering::Relaxed) || over {
            tracing::info!(target: "cenote", limiter = self.name, "Redis answers the limiter again");
        }
    }

    fn failed(&self, error: &RedisError) {
        if cenote_pool_core::Error::from_redis(error).is_some_and(cenote_pool_core::Error::is_timeout) {
            self.counters.misses.one();
            if self.breaker.missed(self.now()) {
                self.counters.pauses.one();
            }
        } else {
            self.counters.failures.one();
        }
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "cenote",
                limiter = self.name,
                %error,
                "Redis does not answer the limiter: {:?} decides",
                self.on_outage
            );
        }
    }

    fn without_redis(self: &Arc<Self>, key: Box<[u8]>) -> Result<Permit, AcquireError> {
        let counters = &self.counters;
        let (limit, source, granted) = match self.on_outage {
            OnOutage::Closed => {
                counters.closed.one();
                return Err(AcquireError::Unavailable);
            }
            OnOutage::Open => (u64::MAX, Source::Open, &counters.open),
            OnOutage::Fallback => (self.share, Source::Fallback, &counters.fallback_granted),
        };
        // Full is only the share: of the open policy there is always more.
        let key = self.take_out(key, limit).inspect_err(|_| counters.fallback_full.one())?;
        granted.one();
        Ok(Permit::without_redis(self.clone(), key, source))
    }

    /// Counts one more permit that is out, if there are fewer than `limit`.
    fn take_out(&self, key: Box<[u8]>, limit: u64) -> Result<Box<[u8]>, AcquireError> {
        let mut out = self.out.lock();
        let count = out.entry(key.clone()).or_default();
        if *count >= limit {
            return Err(AcquireError::Full { limit });
        }
        *count += 1;
        Ok(key)
    }

    fn take_in(&self, key: &[u8]) {
        let mut out = self.out.lock();
        if let Some(count) = out.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                out.remove(key);
            }
        }
    }

    /// Microseconds of this process.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl fmt::Debug for ConcurrencyLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrencyLimiter")
            .field("name", &self.inner.name)
            .field("most", &self.inner.most)
            .field("lifetime", &self.inner.lifetime)
            .finish_non_exhaustive()
    }
}
