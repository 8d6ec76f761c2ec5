//! What others ask Redis for: the script of redis_rate, and the calls of limitador's storage.

use std::sync::Arc;

use anyhow::{Result, ensure};
use cenote::Conn;
use redis::Script;
use redis::aio::ConnectionManager;

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
const WINDOW_SECONDS: u64 = 60;
const LIMIT: &str = r#"{"namespace":"bench","seconds":60,"conditions":[],"variables":["user"]}"#;

/// The calls of limitador's `AsyncRedisStorage::check_and_update`, over the same connection manager of redis-rs: first a
/// look at the counter, then, by itself, the increment. `LOADS`: whether the look tells what is left and until when, as our
/// decisions do (`load_counters`), or fetches the value alone.
#[derive(Clone)]
pub(super) struct Limitador<const LOADS: bool> {
    conn: ConnectionManager,
    /// Keys as its `key_for_counter` spells them for a limit without an id.
    keys: Arc<[String]>,
    counters: String,
}

impl<const LOADS: bool> Limitador<LOADS> {
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let mut conn = open(url)?.get_connection_manager().await?;
        for script in [LOOK, COUNT] {
            Script::new(script).prepare_invoke().load_async(&mut conn).await?;
        }
        let key = |subject: &String| {
            format!(
                r#"namespace:{{bench}},counter:{{"limit":{LIMIT},"set_variables":{{"user":"{subject}"}},"remaining":null,"expires_in":null}}"#
            )
        };
        let keys = subjects().iter().map(key).collect();
        Ok(Self { conn, keys, counters: format!("namespace:{{bench}},counters_of_limit:{LIMIT}") })
    }
}

impl<const LOADS: bool> Limit for Limitador<LOADS> {
    const NAME: &'static str = if LOADS { "limitador's calls" } else { "limitador's, value only" };

    async fn take(&mut self, index: usize) -> Result<()> {
        let key = &self.keys[index];
        // It makes both scripts, and so their hashes, anew in each call.
        let value: Vec<Option<i64>> = if LOADS {
            Script::new(LOOK).key(key).invoke_async(&mut self.conn).await?
        } else {
            redis::cmd("MGET").arg(key).query_async(&mut self.conn).await?
        };
        let count = value.first().copied().flatten().unwrap_or(0);
        ensure!(u64::try_from(count)? < RATE * WINDOW_SECONDS, "it is allowed");
        let script = Script::new(COUNT);
        let mut pipeline = redis::pipe();
        pipeline.invoke_script(script.key(key).key(&self.counters).arg(WINDOW_SECONDS).arg(1)).ignore();
        pipeline.query_async::<()>(&mut self.conn).await?;
        Ok(())
    }
}
