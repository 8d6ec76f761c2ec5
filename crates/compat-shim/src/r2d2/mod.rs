//! Redis for synchronous code, on the shared pool, with r2d2's own pool around it.
//!
//! redis-rs' own `ManageConnection` cannot be replaced from outside, so one line changes: the crate `redis` becomes the
//! module [`redis`], whose `Client` and `Connection` are these. r2d2 itself stays.
//!
//! ```no_run
//! use cenote_compat_shim::r2d2::redis; // the one line
//! use redis::Commands;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = redis::Client::open("redis://localhost:6379/0")?;
//! let pool = r2d2::Pool::builder().max_size(4).build(client)?;
//! let mut conn = pool.get()?;
//! let visits: i64 = conn.incr("visits", 1)?;
//! # Ok(()) }
//! ```
//!
//! **Threads.** The work is done by one thread of the shim's own, `cenote-sync`; the calling thread waits for it. That
//! is right on plain threads and in `spawn_blocking`. On a worker of a tokio runtime it holds up that worker, and on a
//! runtime with one thread the whole runtime, for as long as the call takes: that works, within the limits below, and
//! the log warns once. In async code use `cenote::Pool` itself.
//!
//! **Limits.** A connection: 5 s. A command: 30 s, or [`Connection::set_read_timeout`]; one that blocks has its own wait
//! besides, and no limit if it asks to wait for ever.
//!
//! Code that takes `&mut redis::Connection` compiles with the module's `Connection`; code in other crates that demands
//! redis-rs' own type cannot be served.

mod connection;
mod driver;
mod packed;

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use ::redis::{
    AsyncConnectionConfig, Cmd, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, RedisResult,
};
use cenote_pool_core::Pool as Shared;

pub use self::connection::Connection;
use crate::origin::Origin;
use crate::report::Site;
use crate::stream;

/// The names of the crate `redis`, with `Client` and `Connection` on the shared pool.
pub mod redis {
    pub use ::redis::*;

    pub use super::{Connection, Manager as Client};
}

/// r2d2's pool of these connections.
#[cfg_attr(
    feature = "deprecated",
    deprecated(since = "0.1.0", note = "use `cenote::Pool` and its `conn()` in async code")
)]
pub type Pool = ::r2d2::Pool<Manager>;
/// What r2d2's pool gives.
#[cfg_attr(
    feature = "deprecated",
    deprecated(since = "0.1.0", note = "use `cenote::Pool` and its `conn()` in async code")
)]
pub type PooledConnection = ::r2d2::PooledConnection<Manager>;

const API: &str = "r2d2 and redis::Client (synchronous)";
const REPLACEMENT: &str = "cenote::Pool::conn() in async code";
const CONNECT: Duration = Duration::from_secs(5);

/// Makes synchronous connections, out of the shared pool's budget. As `redis::Client` it has that one's constructor.
#[derive(Clone)]
#[cfg_attr(
    feature = "deprecated",
    deprecated(since = "0.1.0", note = "use `cenote::Pool` and its `conn()` in async code")
)]
pub struct Manager {
    origin: Origin,
    info: Option<ConnectionInfo>,
    site: Site,
}

impl Manager {
    /// For this server, through the pool that is [`install`](crate::install)ed for it. Does no I/O.
    ///
    /// # Errors
    ///
    /// `params` are no connection parameters.
    #[track_caller]
    pub fn open<T: IntoConnectionInfo>(params: T) -> RedisResult<Self> {
        let site = Site::of(API, REPLACEMENT, Location::caller());
        let info = params.into_connection_info()?;
        Ok(Self { origin: Origin::of(info.clone()), info: Some(info), site })
    }

    /// The same under r2d2's usual name.
    ///
    /// # Errors
    ///
    /// `params` are no connection parameters.
    #[track_caller]
    pub fn new<T: IntoConnectionInfo>(params: T) -> RedisResult<Self> {
        Self::open(params)
    }

    /// For this very pool, with its user and database.
    #[track_caller]
    pub fn from_shared(pool: Shared) -> Self {
        let site = Site::of(API, REPLACEMENT, Location::caller());
        Self { info: pool.connection_info(), origin: Origin::Shared(pool), site }
    }

    /// Connects, within 5 s.
    ///
    /// # Errors
    ///
    /// Redis cannot be reached, turns us away, or the shared pool has no place.
    pub fn get_connection(&self) -> RedisResult<Connection> {
        self.get_connection_with_timeout(CONNECT)
    }

    /// Connects, within `timeout`.
    ///
    /// # Errors
    ///
    /// Redis cannot be reached, turns us away, or the shared pool has no place.
    pub fn get_connection_with_timeout(&self, timeout: Duration) -> RedisResult<Connection> {
        self.site.count();
        let (pool, info) = self.origin.pool()?;
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(timeout)).set_response_timeout(None);
        let (db, site) = (info.db(), self.site.clone());
        // The connection's own limit comes first, as it knows the cause.
        let limit = timeout.saturating_add(Duration::from_secs(1));
        let inner =
            driver::run(Some(limit), async move { stream::connect(&pool, &info, config, &site).await })?;
        Ok(Connection::new(inner, db))
    }

    /// Where it connects to, and as whom.
    pub fn get_connection_info(&self) -> Option<&ConnectionInfo> {
        self.info.as_ref()
    }
}

impl ::r2d2::ManageConnection for Manager {
    type Connection = Connection;
    type Error = RedisError;

    fn connect(&self) -> Result<Connection, RedisError> {
        self.get_connection()
    }

    fn is_valid(&self, connection: &mut Connection) -> Result<(), RedisError> {
        let pong: String = Cmd::ping().query(connection)?;
        if pong != "PONG" {
            return Err((ErrorKind::UnexpectedReturnType, "ping request", pong).into());
        }
        Ok(())
    }

    /// r2d2 asks when a connection comes back.
    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.let_go();
        !::redis::ConnectionLike::is_open(connection)
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager").field("origin", &self.origin).finish()
    }
}
