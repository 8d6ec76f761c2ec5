//! One Redis for the whole process, by functions: for code that cannot be handed a pool yet.
//!
//! ```no_run
//! use cenote_compat_shim::globals::{RedisCache, close_redis, get_redis, init_redis};
//! use redis::AsyncCommands;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = cenote_pool_core::Pool::builder().url("redis://localhost:6379/0").build()?;
//! init_redis(pool).await?; // at start-up, once
//!
//! let mut conn = get_redis()?; // anywhere
//! let visits: i64 = conn.incr("visits", 1).await?;
//!
//! close_redis().await; // at the end
//! # Ok(()) }
//! ```

use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cenote_pool_core::{Conn, DegradableConn, Pool};
use parking_lot::Mutex;
use redis::{ErrorKind, FromRedisValue, RedisResult, ToSingleRedisArg};

use crate::report::Site;

/// With a number of its own.
static POOL: Mutex<Option<(Pool, u64)>> = Mutex::new(None);
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Makes `pool` the process' own, and connects. A second call while there is one changes nothing and gives that one.
///
/// # Errors
///
/// As those of [`Pool::start`]: Redis is required and away, or the configuration cannot be. Then `pool` is not the
/// process' own, unless it was before, and another may be made.
#[cfg_attr(
    feature = "deprecated",
    deprecated(since = "0.1.0", note = "hand over a `cenote::Pool`, and call its `start()`")
)]
pub async fn init_redis(pool: Pool) -> Result<Pool, cenote_pool_core::Error> {
    let (pool, number) = {
        let mut own = POOL.lock();
        match &*own {
            Some((known, _)) => (known.clone(), None),
            None => {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                *own = Some((pool.clone(), number));
                (pool, Some(number))
            }
        }
    };
    let started = pool.start().await;
    if started.is_err() {
        // It may have been closed, and another made, in the meantime.
        POOL.lock().take_if(|(_, its)| Some(*its) == number);
    }
    started.map(|_| pool)
}

/// A handle of the process' own pool.
///
/// # Errors
///
/// [`init_redis`] was not called, or [`close_redis`] was.
#[track_caller]
#[cfg_attr(
    feature = "deprecated",
    deprecated(since = "0.1.0", note = "hand over a `cenote::Pool`, and use its `conn()`")
)]
pub fn get_redis() -> RedisResult<Conn> {
    Site::of("get_redis()", "a cenote::Pool handed over, and Pool::conn()", Location::caller()).count();
    Ok(current()?.conn())
}

/// Closes the process' own pool, if there is one. Afterwards another may be made.
#[cfg_attr(
    feature = "deprecated",
    deprecated(since = "0.1.0", note = "call `close()` on the `cenote::Pool` that you handed over")
)]
pub async fn close_redis() {
    let pool = POOL.lock().take();
    if let Some((pool, _)) = pool {
        pool.close().await;
    }
}

fn current() -> RedisResult<Pool> {
    let pool = POOL.lock().as_ref().map(|(pool, _)| pool.clone());
    pool.ok_or_else(|| {
        (ErrorKind::InvalidClientConfig, "init_redis() was not called, or close_redis() was").into()
    })
}

/// Keys under a prefix, over the process' own pool. If that has a fallback it answers while Redis is away; what was
/// written then is forgotten afterwards.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "deprecated", deprecated(since = "0.1.0", note = "use `cenote::Cache`"))]
pub struct RedisCache {
    prefix: String,
    ttl: Option<Duration>,
}

impl RedisCache {
    /// Keys become `prefix:key`; without a prefix they stay as they are. Does no I/O.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ttl: None }
    }

    /// What is set expires after `ttl`, to the millisecond.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// The value, if there is one.
    ///
    /// # Errors
    ///
    /// There is no pool; or Redis is away and there is no fallback; or the value is not of this type.
    #[track_caller]
    pub fn get<T: FromRedisValue>(&self, key: &str) -> impl Future<Output = RedisResult<Option<T>>> + Send {
        note();
        let mut cmd = redis::cmd("GET");
        cmd.arg(self.key(key));
        query(cmd)
    }

    /// Sets the value.
    ///
    /// # Errors
    ///
    /// There is no pool; or Redis is away and there is no fallback.
    #[track_caller]
    pub fn set<V: ToSingleRedisArg>(
        &self,
        key: &str,
        value: V,
    ) -> impl Future<Output = RedisResult<()>> + Send {
        note();
        let mut cmd = redis::cmd("SET");
        cmd.arg(self.key(key)).arg(value);
        if let Some(ttl) = self.ttl {
            cmd.arg("PX").arg(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1));
        }
        query(cmd)
    }

    /// Removes the key; whether it was there.
    ///
    /// # Errors
    ///
    /// There is no pool; or Redis is away and there is no fallback.
    #[track_caller]
    pub fn delete(&self, key: &str) -> impl Future<Output = RedisResult<bool>> + Send {
        note();
        let mut cmd = redis::cmd("DEL");
        cmd.arg(self.key(key));
        query(cmd)
    }

    /// Whether the key is there.
    ///
    /// # Errors
    ///
    /// There is no pool; or Redis is away and there is no fallback.
    #[track_caller]
    pub fn exists(&self, key: &str) -> impl Future<Output = RedisResult<bool>> + Send {
        note();
        let mut cmd = redis::cmd("EXISTS");
        cmd.arg(self.key(key));
        query(cmd)
    }

    fn key(&self, key: &str) -> String {
        if self.prefix.is_empty() { key.to_owned() } else { format!("{}:{key}", self.prefix) }
    }
}

#[track_caller]
fn note() {
    Site::of("RedisCache", "cenote::Cache", Location::caller()).count();
}

async fn query<T: FromRedisValue>(cmd: redis::Cmd) -> RedisResult<T> {
    let pool = current()?;
    let degradable: Result<DegradableConn, _> = pool.degradable();
    match degradable {
        Ok(mut conn) => cmd.query_async(&mut conn).await,
        // Without a fallback there is only Redis.
        Err(_) => cmd.query_async(&mut pool.conn()).await,
    }
}
