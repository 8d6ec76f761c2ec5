//! What others ask Redis for: the script of redis_rate, and the calls of limitador's storage.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use cenote::Conn;
use redis::Script;
use redis::aio::ConnectionManager;
use serde::Serialize;

use super::clients::{Limit, Prepared, RATE, subjects};
use crate::clients::redis_rs::open;

/// GCRA in floating point with the arrival time in the key, as Go's redis_rate has it (`lua.go`, `allowN`), in our words.
const REDIS_RATE: &str = r"
redis.replicate_commands()
local key, burst, rate, period, cost = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local interval = period / rate
local increment, tolerance = interval * cost, interval * burst
local now = redis.call('TIME')
now = (now[1] - 1483228800) + (now[2] / 1000000)
local arrival = redis.call('GET', key)
if not arrival then arrival = now else arrival = tonumber(arrival) end
arrival = math.max(arrival, now)
local new = arrival + increment
local ahead = now - (new - tolerance)
local remaining = ahead / interval
if remaining < 0 then return { 0, 0, tostring(ahead * -1), tostring(arrival - now) } end
local reset = new - now
if reset > 0 then redis.call('SET', key, new, 'EX', math.ceil(reset)) end
return { cost, remaining, tostring(-1), tostring(reset) }
";

/// Over our pool, and with commands that were prepared: what differs is the script.
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
    const NAME: &'static str = "redis_rate's script";

    async fn take(&mut self, index: usize) -> Result<()> {
        self.1.take(index, &mut self.0).await
    }
}

/// `VALUES_AND_TTLS` of limitador 0.14.0, `storage/redis/scripts.rs`, in shape.
const LOOK: &str = r"
local reply = {}
for _, key in ipairs(KEYS) do
  table.insert(reply, redis.call('get', key))
  table.insert(reply, redis.call('pttl', key))
end
return reply
";
/// `SCRIPT_UPDATE_COUNTER` of it.
const COUNT: &str = r"
local count = redis.call('incrby', KEYS[1], ARGV[2])
if count == tonumber(ARGV[2]) then
  redis.call('expire', KEYS[1], ARGV[1])
  redis.call('sadd', KEYS[2], KEYS[1])
end
return count
";
const WINDOW: Duration = Duration::from_secs(60);

/// What it makes the names of keys of, as JSON.
#[derive(Clone, Serialize)]
struct Bound {
    namespace: &'static str,
    seconds: u64,
    conditions: BTreeSet<String>,
    variables: BTreeSet<String>,
}

#[derive(Serialize)]
struct Counter {
    limit: Bound,
    set_variables: BTreeMap<String, String>,
    remaining: Option<u64>,
    expires_in: Option<Duration>,
}

impl Counter {
    fn of(limit: &Bound, subject: &str) -> Self {
        let set_variables = [("user".to_owned(), subject.to_owned())].into();
        Self { limit: limit.clone(), set_variables, remaining: None, expires_in: None }
    }

    /// Its `key_for_counter`, of a limit without an id.
    fn key(&self) -> Result<String> {
        Ok(format!("namespace:{{{}}},counter:{}", self.limit.namespace, serde_json::to_string(self)?))
    }

    /// Its `key_for_counters_of_limit`.
    fn key_of_all(&self) -> Result<String> {
        let (namespace, limit) = (self.limit.namespace, serde_json::to_string(&self.limit)?);
        Ok(format!("namespace:{{{namespace}}},counters_of_limit:{limit}"))
    }
}

/// `check_and_update` of limitador's `AsyncRedisStorage`, over the same connection manager of redis-rs: first a look at the
/// counter, then, by itself, the increment, with names and scripts made anew in each call as it does. `LOADS`: whether the
/// look tells what is left and until when, as our decisions do (`load_counters`), or fetches the value alone. What comes
/// before, which is to find the limits of a request and to evaluate their conditions, is left out.
#[derive(Clone)]
pub(super) struct Limitador<const LOADS: bool> {
    conn: ConnectionManager,
    counters: Arc<[Counter]>,
}

impl<const LOADS: bool> Limitador<LOADS> {
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let mut conn = open(url)?.get_connection_manager().await?;
        for script in [LOOK, COUNT] {
            Script::new(script).prepare_invoke().load_async(&mut conn).await?;
        }
        let variables = ["user".to_owned()].into();
        let limit = Bound { namespace: "bench", seconds: WINDOW.as_secs(), conditions: [].into(), variables };
        Ok(Self { conn, counters: subjects().iter().map(|subject| Counter::of(&limit, subject)).collect() })
    }
}

impl<const LOADS: bool> Limit for Limitador<LOADS> {
    const NAME: &'static str = if LOADS { "limitador's calls" } else { "limitador's, value only" };

    async fn take(&mut self, index: usize) -> Result<()> {
        let counter = &self.counters[index];
        let key = counter.key()?;
        let value: Vec<Option<i64>> = if LOADS {
            Script::new(LOOK).key(&key).invoke_async(&mut self.conn).await?
        } else {
            redis::cmd("MGET").arg(&key).query_async(&mut self.conn).await?
        };
        let count = value.first().copied().flatten().unwrap_or(0);
        ensure!(u64::try_from(count)? < RATE * WINDOW.as_secs(), "it is allowed");
        let script = Script::new(COUNT);
        let mut pipeline = redis::pipe();
        let mut count = script.key(&key);
        count.key(counter.key_of_all()?).arg(WINDOW.as_secs()).arg(1);
        pipeline.invoke_script(&count).ignore();
        pipeline.query_async::<()>(&mut self.conn).await?;
        Ok(())
    }
}
