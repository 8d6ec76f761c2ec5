//! The names of bb8-redis 0.26, on the shared pool.
//!
//! bb8's own `Pool` stays: eager `build`, a time limit of 30 s, `min_idle`, lifetimes. Only the connections it keeps come
//! out of the shared pool's budget. When that is spent and somebody waits, the connection that was quiet for longest is
//! closed, unless it is inside `WATCH`, `MULTI`, a blocking command or a subscription: bb8 finds it closed at its next
//! checkout and asks for another.

use std::fmt;
use std::panic::Location;

use cenote_pool_core::Pool;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, IntoConnectionInfo, RedisError};

pub use ::bb8;
pub use redis;

use crate::origin::Origin;
use crate::report::Site;
use crate::stream;

const API: &str = "bb8_redis::RedisConnectionManager";

/// Makes bb8's connections, out of the shared pool's budget.
#[derive(Clone)]
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub struct RedisConnectionManager {
    origin: Origin,
    site: Site,
}

impl RedisConnectionManager {
    /// For this server, through the pool that is [`install`](crate::install)ed for it. Does no I/O.
    ///
    /// # Errors
    ///
    /// `info` is no connection parameters.
    #[track_caller]
    pub fn new<T: IntoConnectionInfo>(info: T) -> Result<Self, RedisError> {
        let site = Site::of(API, crate::origin::REPLACEMENT, Location::caller());
        Ok(Self { origin: Origin::of(info.into_connection_info()?), site })
    }

    /// For this very pool, with its user and database.
    #[track_caller]
    pub fn from_shared(pool: Pool) -> Self {
        let site = Site::of(API, crate::origin::REPLACEMENT, Location::caller());
        Self { origin: Origin::Shared(pool), site }
    }
}

impl ::bb8::ManageConnection for RedisConnectionManager {
    type Connection = MultiplexedConnection;
    type Error = RedisError;

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let (pool, info) = self.origin.pool()?;
        stream::connect(&pool, &info, AsyncConnectionConfig::new(), &self.site).await
    }

    async fn is_valid(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let pong: String = redis::cmd("PING").query_async(connection).await?;
        if pong != "PONG" {
            return Err((ErrorKind::Extension, "ping request").into());
        }
        Ok(())
    }

    /// Never; bb8 asks when a connection comes back.
    fn has_broken(&self, connection: &mut MultiplexedConnection) -> bool {
        self.site.count();
        stream::let_go(connection);
        false
    }
}

impl fmt::Debug for RedisConnectionManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConnectionManager").field("origin", &self.origin).finish()
    }
}
