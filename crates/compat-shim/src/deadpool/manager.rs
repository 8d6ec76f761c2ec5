//! What makes and checks deadpool's connections.

use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicUsize, Ordering};

use cenote_pool_core::Pool;
use deadpool::managed::{self, Metrics, RecycleError};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, IntoConnectionInfo, RedisError, RedisResult};

use crate::origin::{Origin, REPLACEMENT};
use crate::report::Site;
use crate::stream;

const API: &str = "deadpool_redis::Pool";

/// Makes deadpool's connections, out of the shared pool's budget.
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub struct Manager {
    origin: Origin,
    connection_config: Option<AsyncConnectionConfig>,
    ping_number: AtomicUsize,
    site: Site,
}

impl Manager {
    /// For this server, through the pool that is [`install`](crate::install)ed for it. Does no I/O.
    ///
    /// # Errors
    ///
    /// `params` are no connection parameters.
    #[track_caller]
    pub fn new<T: IntoConnectionInfo>(params: T) -> RedisResult<Self> {
        Ok(Self::from(Origin::of(params.into_connection_info()?), None))
    }

    /// The same with time limits and the like of its own. Its resolver is not used: the shared pool dials.
    ///
    /// # Errors
    ///
    /// `params` are no connection parameters.
    #[track_caller]
    pub fn new_with_config<T: IntoConnectionInfo>(
        params: T,
        connection_config: AsyncConnectionConfig,
    ) -> RedisResult<Self> {
        Ok(Self::from(Origin::of(params.into_connection_info()?), Some(connection_config)))
    }

    /// For this very pool, with its user and database.
    #[track_caller]
    pub fn from_shared(pool: Pool) -> Self {
        Self::from(Origin::Shared(pool), None)
    }

    /// The same with time limits and the like of its own.
    #[track_caller]
    pub fn from_shared_with_config(pool: Pool, connection_config: AsyncConnectionConfig) -> Self {
        Self::from(Origin::Shared(pool), Some(connection_config))
    }

    #[track_caller]
    fn from(origin: Origin, connection_config: Option<AsyncConnectionConfig>) -> Self {
        let site = Site::of(API, REPLACEMENT, Location::caller());
        Self { origin, connection_config, ping_number: AtomicUsize::new(0), site }
    }
}

impl managed::Manager for Manager {
    type Type = MultiplexedConnection;
    type Error = RedisError;

    async fn create(&self) -> Result<MultiplexedConnection, RedisError> {
        let (pool, info) = self.origin.pool()?;
        let config = self.connection_config.clone().unwrap_or_default();
        let connection = stream::connect(&pool, &info, config, &self.site).await?;
        self.site.count();
        Ok(connection)
    }

    async fn recycle(
        &self,
        connection: &mut MultiplexedConnection,
        _: &Metrics,
    ) -> managed::RecycleResult<RedisError> {
        check(connection, &self.ping_number).await?;
        self.site.count();
        Ok(())
    }
}

/// Whether it can be handed out again.
pub(super) async fn check(
    connection: &mut MultiplexedConnection,
    number: &AtomicUsize,
) -> managed::RecycleResult<RedisError> {
    let number = number.fetch_add(1, Ordering::Relaxed).to_string();
    let mut check = redis::Pipeline::with_capacity(2);
    check.cmd("UNWATCH").ignore().cmd("PING").arg(&number);
    let (echo,): (String,) = check.query_async(connection).await?;
    if echo != number {
        return Err(RecycleError::message("Invalid PING response"));
    }
    Ok(())
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager")
            .field("origin", &self.origin)
            .field("ping_number", &self.ping_number)
            .finish()
    }
}
