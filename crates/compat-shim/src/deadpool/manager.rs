//! What makes and checks deadpool's connections.

use std::fmt;
use std::panic::Location;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use cenote_pool_core::Pool;
use deadpool::managed::{self, Metrics, RecycleError};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisError, RedisResult,
};

use crate::report::Site;
use crate::{bridge, stream};

const API: &str = "deadpool_redis::Pool";
const REPLACEMENT: &str = "cenote::Pool::conn(), or Pool::dedicated() for WATCH and blocking commands";

/// Makes deadpool's connections, out of the shared pool's budget.
pub struct Manager {
    from: From,
    connection_config: Option<AsyncConnectionConfig>,
    ping_number: AtomicUsize,
    site: Site,
}

enum From {
    Info(Box<ConnectionInfo>, OnceLock<Pool>),
    Shared(Pool),
}

impl Manager {
    /// For this server, through the pool that is [`install`](crate::install)ed for it. Does no I/O.
    ///
    /// # Errors
    ///
    /// `params` are no connection parameters.
    #[track_caller]
    pub fn new<T: IntoConnectionInfo>(params: T) -> RedisResult<Self> {
        let info = params.into_connection_info()?;
        Ok(Self::from(From::Info(Box::new(info), OnceLock::new()), None))
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
        let info = params.into_connection_info()?;
        Ok(Self::from(From::Info(Box::new(info), OnceLock::new()), Some(connection_config)))
    }

    /// For this very pool, with its user and database.
    #[track_caller]
    pub fn from_shared(pool: Pool) -> Self {
        Self::from(From::Shared(pool), None)
    }

    #[track_caller]
    fn from(from: From, connection_config: Option<AsyncConnectionConfig>) -> Self {
        let site = Site::of(API, REPLACEMENT, Location::caller());
        Self { from, connection_config, ping_number: AtomicUsize::new(0), site }
    }

    fn pool(&self) -> RedisResult<(Pool, RedisConnectionInfo)> {
        match &self.from {
            From::Shared(pool) => {
                let info = pool.connection_info().map(|info| info.redis_settings().clone());
                Ok((pool.clone(), info.unwrap_or_default()))
            }
            From::Info(info, known) => {
                // Looked for at the first connection, so that a pool may be installed after a static was built.
                let pool = match known.get() {
                    Some(pool) => pool.clone(),
                    None => {
                        let pool = bridge::pool_for(info)?;
                        known.get_or_init(|| pool).clone()
                    }
                };
                Ok((pool, info.redis_settings().clone()))
            }
        }
    }
}

impl managed::Manager for Manager {
    type Type = MultiplexedConnection;
    type Error = RedisError;

    async fn create(&self) -> Result<MultiplexedConnection, RedisError> {
        let (pool, info) = self.pool()?;
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
        let number = self.ping_number.fetch_add(1, Ordering::Relaxed).to_string();
        let mut check = redis::Pipeline::with_capacity(2);
        check.cmd("UNWATCH").ignore().cmd("PING").arg(&number);
        let (echo,): (String,) = check.query_async(connection).await?;
        if echo != number {
            return Err(RecycleError::message("Invalid PING response"));
        }
        self.site.count();
        Ok(())
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Manager");
        match &self.from {
            From::Info(info, _) => debug.field("address", &format_args!("{}", info.addr())),
            From::Shared(pool) => debug.field("pool", pool),
        };
        debug.field("ping_number", &self.ping_number).finish()
    }
}
