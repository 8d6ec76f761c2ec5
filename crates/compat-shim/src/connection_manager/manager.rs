//! One handle for everybody, as redis-rs has it.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::Arc;

use cenote_pool_core::{Conn, Error, Pool};
use redis::aio::ConnectionLike;
use redis::{Client, Cmd, ErrorKind, Pipeline, RedisFuture, RedisResult, ToRedisArgs, Value};

use super::config::ConnectionManagerConfig;
use super::push::Pushes;
use crate::bridge;
use crate::report::Site;

const API: &str = "redis::aio::ConnectionManager";
const REPLACEMENT: &str = "cenote::Pool::conn()";

/// redis-rs' manager: cheap to clone, for any number of tasks, reconnects by itself.
///
/// It is a [`Conn`](cenote_pool_core::Conn) of the shared pool. Commands that block go to an exclusive connection of the
/// pool, each for itself; what changes a connection (`WATCH`, `SELECT`) is refused, as others would suffer it.
#[derive(Clone)]
#[cfg_attr(feature = "deprecated", deprecated(since = "0.1.0", note = "use `cenote::Pool` and its `conn()`"))]
pub struct ConnectionManager {
    conn: Conn,
    pool: Pool,
    db: i64,
    pushes: Option<Arc<Pushes>>,
    site: Site,
}

impl ConnectionManager {
    /// Connects, within 1 s.
    ///
    /// # Errors
    ///
    /// Redis cannot be reached, or turns us away.
    #[track_caller]
    pub fn new(client: Client) -> impl Future<Output = RedisResult<Self>> + Send {
        Self::connect(client, ConnectionManagerConfig::new(), Location::caller())
    }

    /// Connects, within the configured limit.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); or the configuration cannot be.
    #[track_caller]
    pub fn new_with_config(
        client: Client,
        config: ConnectionManagerConfig,
    ) -> impl Future<Output = RedisResult<Self>> + Send {
        Self::connect(client, config, Location::caller())
    }

    /// Connects at the first command.
    ///
    /// # Errors
    ///
    /// The configuration cannot be.
    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "the signature is redis-rs'")]
    pub fn new_lazy_with_config(client: Client, config: ConnectionManagerConfig) -> RedisResult<Self> {
        Self::assemble(&client, &config, Location::caller())
    }

    /// For this very pool.
    #[track_caller]
    pub fn from_shared(pool: Pool) -> Self {
        let db = pool.connection_info().map_or(0, |info| info.redis_settings().db());
        let site = Site::of(API, REPLACEMENT, Location::caller());
        Self { conn: pool.conn(), pool, db, pushes: None, site }
    }

    async fn connect(
        client: Client,
        config: ConnectionManagerConfig,
        at: &'static Location<'static>,
    ) -> RedisResult<Self> {
        let manager = Self::assemble(&client, &config, at)?;
        let mut first = manager.pool.conn();
        if let Some(limit) = config.connection_timeout() {
            first = first.with_timeout(limit);
        }
        redis::cmd("PING").exec_async(&mut first).await?;
        Ok(manager)
    }

    fn assemble(
        client: &Client,
        config: &ConnectionManagerConfig,
        at: &'static Location<'static>,
    ) -> RedisResult<Self> {
        if config.automatic_resubscription() && config.push_sender.is_none() {
            let why =
                "Cannot set resubscribe_automatically without setting a push sender to receive messages.";
            return Err((ErrorKind::Client, why).into());
        }
        let info = client.get_connection_info();
        let pool = bridge::pool_as(info)?;
        let mut conn = pool.conn();
        if let Some(limit) = config.response_timeout() {
            conn = conn.with_timeout(limit);
        }
        let pushes = config.push_sender.clone().map(|sender| Arc::new(Pushes::new(pool.clone(), sender)));
        let site = Site::of(API, REPLACEMENT, at);
        Ok(Self { conn, pool, db: info.redis_settings().db(), pushes, site })
    }

    /// Sends a command.
    ///
    /// # Errors
    ///
    /// What the server says, or why it was not asked.
    pub async fn send_packed_command(&mut self, cmd: &Cmd) -> RedisResult<Value> {
        self.site.count();
        let answer = self.conn.req_packed_command(cmd).await;
        match &answer {
            // One that blocks would hold up everybody else on a shared connection.
            Err(error) if blocks(cmd) && Error::from_redis(error).is_some_and(Error::is_refused) => {
                self.pool.dedicated().await?.req_packed_command(cmd).await
            }
            _ => answer,
        }
    }

    /// Sends commands as one pipeline.
    ///
    /// # Errors
    ///
    /// What the server says, or why it was not asked.
    pub async fn send_packed_commands(
        &mut self,
        cmd: &Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        self.site.count();
        self.conn.req_packed_commands(cmd, offset, count).await
    }

    /// Subscribes to channels; what is published goes to the push sender.
    ///
    /// # Errors
    ///
    /// There is no push sender; or Redis is away, or refuses.
    pub async fn subscribe(&mut self, channel_name: impl ToRedisArgs) -> RedisResult<()> {
        self.pushes()?.subscribe(channel_name.to_redis_args(), false).await
    }

    /// Ends subscriptions to channels.
    ///
    /// # Errors
    ///
    /// There is no push sender.
    pub async fn unsubscribe(&mut self, channel_name: impl ToRedisArgs) -> RedisResult<()> {
        self.pushes()?.unsubscribe(&channel_name.to_redis_args(), false);
        Ok(())
    }

    /// Subscribes to patterns; what is published goes to the push sender.
    ///
    /// # Errors
    ///
    /// There is no push sender; or Redis is away, or refuses.
    pub async fn psubscribe(&mut self, channel_pattern: impl ToRedisArgs) -> RedisResult<()> {
        self.pushes()?.subscribe(channel_pattern.to_redis_args(), true).await
    }

    /// Ends subscriptions to patterns.
    ///
    /// # Errors
    ///
    /// There is no push sender.
    pub async fn punsubscribe(&mut self, channel_pattern: impl ToRedisArgs) -> RedisResult<()> {
        self.pushes()?.unsubscribe(&channel_pattern.to_redis_args(), true);
        Ok(())
    }

    fn pushes(&self) -> RedisResult<&Arc<Pushes>> {
        self.site.count();
        let why = "a subscription needs set_push_sender in the configuration of the manager";
        self.pushes.as_ref().ok_or_else(|| (ErrorKind::Client, why).into())
    }
}

fn blocks(cmd: &Cmd) -> bool {
    let Some(redis::Arg::Simple(name)) = cmd.args_iter().next() else { return false };
    let blocking: [&[u8]; 10] = [
        b"BLPOP",
        b"BRPOP",
        b"BLMOVE",
        b"BRPOPLPUSH",
        b"BZPOPMIN",
        b"BZPOPMAX",
        b"BLMPOP",
        b"BZMPOP",
        b"XREAD",
        b"XREADGROUP",
    ];
    blocking.iter().any(|known| name.eq_ignore_ascii_case(known))
}

impl ConnectionLike for ConnectionManager {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.send_packed_command(cmd))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(self.send_packed_commands(pipeline, offset, count))
    }

    fn get_db(&self) -> i64 {
        self.db
    }
}

impl fmt::Debug for ConnectionManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionManager").field("pool", &self.pool).finish_non_exhaustive()
    }
}
