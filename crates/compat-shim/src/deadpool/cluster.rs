//! deadpool-redis' names for Redis Cluster.
//!
//! They are here so that code and features resolve. The shared pool does not serve Cluster yet: every connection fails
//! with an error of the kind [`InvalidClientConfig`](redis::ErrorKind::InvalidClientConfig) that says so.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::Location;

use deadpool::managed;
use redis::aio::ConnectionLike;
use redis::{Cmd, IntoConnectionInfo, Pipeline, RedisError, RedisFuture, RedisResult, Value};

pub use redis::cluster::{ClusterClient, ClusterClientBuilder};
pub use redis::cluster_async::ClusterConnection;

pub use super::ConfigError;
use super::ConnectionInfo;
use crate::bridge::unsupported;
use crate::report::Site;

pub use deadpool::managed::reexports::*;
pub use deadpool::managed::{BuildError, QueueMode};

const WHY: &str = "Redis Cluster is not served by the shared pool yet";

/// deadpool's pool of connections to a cluster.
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub type Pool = managed::Pool<Manager, Connection>;
/// deadpool's pool, held weakly.
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub type WeakPool = managed::WeakPool<Manager, Connection>;
/// deadpool's builder of a [`Pool`].
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub type PoolBuilder = managed::PoolBuilder<Manager, Connection>;
/// Why [`Config::create_pool`] failed.
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub type CreatePoolError = managed::CreatePoolError<ConfigError>;
/// Why a checkout failed.
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub type PoolError = managed::PoolError<RedisError>;
/// What deadpool keeps for each connection.
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub type Object = managed::Object<Manager>;
/// What deadpool calls when a connection is made or checked out.
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub type Hook = managed::Hook<Manager>;
/// Why a [`Hook`] failed.
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub type HookError = managed::HookError<RedisError>;

/// How a [`Pool`] is made.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub struct Config {
    /// URLs of some nodes.
    pub urls: Option<Vec<String>>,
    /// The same in parts.
    pub connections: Option<Vec<ConnectionInfo>>,
    /// How many connections at most, and within which limits.
    pub pool: Option<PoolConfig>,
    /// Whether replicas may be read.
    #[cfg_attr(feature = "serde", serde(default))]
    pub read_from_replicas: bool,
}

impl Config {
    /// Builds the pool. Does no I/O.
    ///
    /// # Errors
    ///
    /// As those of the plain [`Config`](super::Config::create_pool).
    #[track_caller]
    #[cfg_attr(
        feature = "deprecated",
        deprecated(
            since = "0.1.0",
            note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
        )
    )]
    pub fn create_pool(&self, runtime: Option<Runtime>) -> Result<Pool, CreatePoolError> {
        let mut builder = self.builder().map_err(CreatePoolError::Config)?;
        if let Some(runtime) = runtime {
            builder = builder.runtime(runtime);
        }
        builder.build().map_err(CreatePoolError::Build)
    }

    /// Begins to build the pool.
    ///
    /// # Errors
    ///
    /// Both `urls` and `connections` are set, or a URL does not parse.
    #[track_caller]
    pub fn builder(&self) -> Result<PoolBuilder, ConfigError> {
        let manager = match (&self.urls, &self.connections) {
            (Some(_), Some(_)) => return Err(ConfigError::UrlAndConnectionSpecified),
            (Some(urls), None) => {
                Manager::new(urls.iter().map(String::as_str).collect(), self.read_from_replicas)?
            }
            (None, connections) => {
                let connections = connections.clone().unwrap_or_else(|| vec![ConnectionInfo::default()]);
                Manager::new(connections, self.read_from_replicas)?
            }
        };
        Ok(Pool::builder(manager).config(self.get_pool_config()))
    }

    /// The pool's part, or its defaults.
    #[must_use]
    pub fn get_pool_config(&self) -> PoolConfig {
        self.pool.unwrap_or_default()
    }

    /// For some nodes' URLs.
    #[must_use]
    pub fn from_urls<T: Into<Vec<String>>>(urls: T) -> Self {
        Self { urls: Some(urls.into()), connections: None, pool: None, read_from_replicas: false }
    }
}

impl Default for Config {
    fn default() -> Self {
        let connections = Some(vec![ConnectionInfo::default()]);
        Self { urls: None, connections, pool: None, read_from_replicas: false }
    }
}

/// Would make connections to a cluster.
#[derive(Debug)]
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub struct Manager {
    _site: Site,
}

impl Manager {
    /// Checks the parameters. Does no I/O.
    ///
    /// # Errors
    ///
    /// One of `params` is no connection parameters.
    #[track_caller]
    pub fn new<T: IntoConnectionInfo>(params: Vec<T>, _read_from_replicas: bool) -> RedisResult<Self> {
        let site = Site::of(
            "deadpool_redis::cluster::Pool",
            "cenote::Pool, once it serves Cluster",
            Location::caller(),
        );
        for param in params {
            param.into_connection_info()?;
        }
        Ok(Self { _site: site })
    }
}

impl managed::Manager for Manager {
    type Type = ClusterConnection;
    type Error = RedisError;

    async fn create(&self) -> Result<ClusterConnection, RedisError> {
        Err(unsupported(WHY))
    }

    async fn recycle(&self, _: &mut ClusterConnection, _: &Metrics) -> managed::RecycleResult<RedisError> {
        Err(unsupported(WHY).into())
    }
}

/// What `get` would give.
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub struct Connection {
    conn: Object,
}

impl Connection {
    /// Takes the connection out of its pool for good.
    #[must_use]
    pub fn take(this: Self) -> ClusterConnection {
        Object::take(this.conn)
    }

    /// The object's number.
    pub fn id(this: &Self) -> ObjectId {
        Object::id(&this.conn)
    }

    /// The object's age and use.
    pub fn metrics(this: &Self) -> &Metrics {
        Object::metrics(&this.conn)
    }
}

impl From<Object> for Connection {
    fn from(conn: Object) -> Self {
        Self { conn }
    }
}

impl Deref for Connection {
    type Target = ClusterConnection;

    fn deref(&self) -> &ClusterConnection {
        &self.conn
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut ClusterConnection {
        &mut self.conn
    }
}

impl AsRef<ClusterConnection> for Connection {
    fn as_ref(&self) -> &ClusterConnection {
        &self.conn
    }
}

impl AsMut<ClusterConnection> for Connection {
    fn as_mut(&mut self) -> &mut ClusterConnection {
        &mut self.conn
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        self.conn.req_packed_command(cmd)
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.conn.req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.conn.get_db()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
