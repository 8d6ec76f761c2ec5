//! The limiters that count in Redis, each called as its documentation says; and the script of ours by hand.

use std::future::Future;
use std::sync::Arc;

use anyhow::{Result, ensure};
use cenote::{Conn, FallbackLru};
use cenote_ratelimit::{Quota, RateLimiter, Source};
use redis::aio::{ConnectionLike, ConnectionManager, MultiplexedConnection};
use redis::{Cmd, Script, Value};

use super::{SUBJECTS, subject};
use crate::clients::redis_rs::open;

/// Per second; no run uses it up.
const RATE: u64 = 1_000_000;
const OURS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/ratelimit/src/gcra.lua"));

/// A client that takes one token. Each task has a clone.
pub(super) trait Limit: Clone + Send + Sync + 'static {
    const NAME: &'static str;

    /// Takes one of the `index`th subject, and sees that it was allowed by Redis.
    fn take(&mut self, index: usize) -> impl Future<Output = Result<()>> + Send;
}

fn subjects() -> Arc<[String]> {
    (0..SUBJECTS).map(subject).collect()
}

#[derive(Clone)]
pub(super) struct Cenote(RateLimiter, Arc<[String]>);

impl Cenote {
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let pool = cenote::Pool::builder().url(url).fallback(FallbackLru::default()).build()?;
        pool.start().await?;
        let limiter = RateLimiter::builder(&pool, "bench").quota(Quota::per_second(RATE)).build()?;
        Ok(Self(limiter, subjects()))
    }
}

impl Limit for Cenote {
    const NAME: &'static str = "cenote";

    async fn take(&mut self, index: usize) -> Result<()> {
        let decision = self.0.check(self.1[index].as_str()).await?;
        ensure!(decision.allowed && decision.source == Source::Redis, "{decision:?}");
        Ok(())
    }
}

/// Prepared commands of one script, one for each subject.
#[derive(Clone)]
struct Prepared(Arc<[Cmd]>);

impl Prepared {
    fn new(script: &str, prefix: &str, arguments: &[&str]) -> Self {
        let script = Script::new(script);
        let command = |subject: &String| {
            let mut cmd = redis::cmd("EVALSHA");
            cmd.arg(script.get_hash()).arg(1).arg(format!("{prefix}:{{{subject}}}")).arg(arguments);
            cmd
        };
        Self(subjects().iter().map(command).collect())
    }

    async fn load(script: &str, conn: &mut impl ConnectionLike) -> Result<()> {
        conn.req_packed_command(redis::cmd("SCRIPT").arg("LOAD").arg(script)).await?;
        Ok(())
    }

    async fn take(&self, index: usize, conn: &mut impl ConnectionLike) -> Result<()> {
        let Value::Array(reply) = conn.req_packed_command(&self.0[index]).await? else {
            anyhow::bail!("a script replies with an array");
        };
        ensure!(reply.contains(&Value::Int(1)), "it is allowed: {reply:?}");
        Ok(())
    }
}

/// What the limiter sends, for the same quota.
fn ours() -> Prepared {
    Prepared::new(OURS, "bench", &["", "1", "0", "1", "1", &RATE.to_string(), "1"])
}

/// Our pool by hand.
#[derive(Clone)]
pub(super) struct Pool(Conn, Prepared);

impl Pool {
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let pool = cenote::Pool::builder().url(url).build()?;
        let mut conn = pool.conn();
        Prepared::load(OURS, &mut conn).await?;
        Ok(Self(conn, ours()))
    }
}

impl Limit for Pool {
    const NAME: &'static str = "cenote pool";

    async fn take(&mut self, index: usize) -> Result<()> {
        self.1.take(index, &mut self.0).await
    }
}

/// redis-rs by hand.
#[derive(Clone)]
pub(super) struct Mux(MultiplexedConnection, Prepared);

impl Mux {
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let conn = open(url)?.get_multiplexed_async_connection().await?;
        Ok(Self(conn, ours()))
    }
}

impl Limit for Mux {
    const NAME: &'static str = "redis-rs mux";

    async fn take(&mut self, index: usize) -> Result<()> {
        self.1.take(index, &mut self.0).await
    }
}

/// GCRA in floating point with the arrival time in the key, as Go's redis_rate has it.
const REDIS_RATE: &str = r"
redis.replicate_commands()
local key, burst, rate, period, cost = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local interval = period / rate
local increment, tolerance = interval * cost, interval * burst
local time = redis.call('TIME')
local now = (time[1] - 1483228800) + time[2] / 1000000
local arrival = redis.call('GET', key)
arrival = arrival and tonumber(arrival) or now
local new = math.max(arrival, now) + increment
local allow_at = new - tolerance
local remaining = (now - allow_at) / interval
if remaining < 0 then return { 0, 0, tostring(-remaining * interval), tostring(arrival - now) } end
local reset = new - now
if reset > 0 then redis.call('SET', key, new, 'EX', math.ceil(reset)) end
return { cost, remaining, '-1', tostring(reset) }
";

#[derive(Clone)]
pub(super) struct RedisRate(Conn, Prepared);

impl RedisRate {
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let pool = cenote::Pool::builder().url(url).build()?;
        let mut conn = pool.conn();
        Prepared::load(REDIS_RATE, &mut conn).await?;
        let rate = RATE.to_string();
        Ok(Self(conn, Prepared::new(REDIS_RATE, "rate", &[&rate, &rate, "1", "1"])))
    }
}

impl Limit for RedisRate {
    const NAME: &'static str = "redis_rate script";

    async fn take(&mut self, index: usize) -> Result<()> {
        self.1.take(index, &mut self.0).await
    }
}

/// What limitador 0.14 asks Redis for with its asynchronous storage: a look at the counter and its time to live, and then
/// the increment, each by a script, over redis-rs' connection manager. The crate itself cannot take part: it does not
/// compile without its storage on disk, which brings RocksDB.
const LOOK: &str = "return { redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1]) }";
const COUNT: &str = r"
local count = redis.call('INCRBY', KEYS[1], ARGV[2])
if count == tonumber(ARGV[2]) then
  redis.call('EXPIRE', KEYS[1], ARGV[1], 'NX')
  redis.call('SADD', KEYS[2], KEYS[1])
end
return count
";

#[derive(Clone)]
pub(super) struct Limitador {
    conn: ConnectionManager,
    look: Arc<Script>,
    count: Arc<Script>,
    keys: Arc<[String]>,
}

impl Limitador {
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let mut conn = open(url)?.get_connection_manager().await?;
        let (look, count) = (Script::new(LOOK), Script::new(COUNT));
        look.prepare_invoke().load_async(&mut conn).await?;
        count.prepare_invoke().load_async(&mut conn).await?;
        let keys =
            subjects().iter().map(|subject| format!("namespace:{{bench}},counter:{subject}")).collect();
        Ok(Self { conn, look: Arc::new(look), count: Arc::new(count), keys })
    }
}

impl Limit for Limitador {
    const NAME: &'static str = "limitador's calls";

    async fn take(&mut self, index: usize) -> Result<()> {
        let key = &self.keys[index];
        let (count, _): (Option<u64>, i64) = self.look.key(key).invoke_async(&mut self.conn).await?;
        ensure!(count.unwrap_or(0) < RATE * 60, "it is allowed");
        let mut pipeline = redis::pipe();
        pipeline
            .invoke_script(self.count.key(key).key("limits_of_namespace:{bench}").arg(60).arg(1))
            .ignore();
        pipeline.query_async::<()>(&mut self.conn).await?;
        Ok(())
    }
}
