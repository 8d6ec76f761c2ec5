//! Our limiter, and its script sent by hand: no limiter over the same connection can be quicker.

use std::future::Future;
use std::sync::Arc;

use anyhow::{Result, ensure};
use cenote::Conn;
use cenote_ratelimit::{Quota, RateLimiter, Source};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, Script, Value};

use super::{SUBJECTS, subject};
use crate::clients::redis_rs::open;

/// Per second; no run uses it up.
pub(super) const RATE: u64 = 1_000_000;
const OURS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/ratelimit/src/gcra.lua"));

/// A client that takes one token. Each task has a clone.
pub(super) trait Limit: Clone + Send + Sync + 'static {
    const NAME: &'static str;

    /// Takes one of the `index`th subject, and sees that it was allowed by Redis.
    fn take(&mut self, index: usize) -> impl Future<Output = Result<()>> + Send;
}

pub(super) fn subjects() -> Arc<[String]> {
    (0..SUBJECTS).map(subject).collect()
}

#[derive(Clone)]
pub(super) struct Cenote(RateLimiter, Arc<[String]>);

impl Cenote {
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let pool = cenote::Pool::builder().url(url).build()?;
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
pub(super) struct Prepared(Arc<[Cmd]>);

impl Prepared {
    pub(super) fn new(script: &str, prefix: &str, arguments: &[&str]) -> Self {
        let script = Script::new(script);
        let command = |subject: &String| {
            let mut cmd = redis::cmd("EVALSHA");
            cmd.arg(script.get_hash()).arg(1).arg(format!("{prefix}:{{{subject}}}")).arg(arguments);
            cmd
        };
        Self(subjects().iter().map(command).collect())
    }

    pub(super) async fn load(script: &str, conn: &mut impl ConnectionLike) -> Result<()> {
        conn.req_packed_command(redis::cmd("SCRIPT").arg("LOAD").arg(script)).await?;
        Ok(())
    }

    pub(super) async fn take(&self, index: usize, conn: &mut impl ConnectionLike) -> Result<()> {
        let Value::Array(reply) = conn.req_packed_command(&self.0[index]).await? else {
            anyhow::bail!("a script replies with an array");
        };
        ensure!(reply.contains(&Value::Int(1)), "it is allowed: {reply:?}");
        Ok(())
    }
}

/// What the limiter sends, for the same quota.
fn ours() -> Prepared {
    Prepared::new(OURS, "bench", &["", "1", "0", "0", "1", "1", "1", &RATE.to_string(), "1"])
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
    const NAME: &'static str = "cenote script, pool";

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
    const NAME: &'static str = "cenote script, redis-rs";

    async fn take(&mut self, index: usize) -> Result<()> {
        self.1.take(index, &mut self.0).await
    }
}
