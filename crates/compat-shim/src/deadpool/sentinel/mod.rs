//! deadpool-redis' names for Redis Sentinel.
//!
//! Connections to the master come out of the pool that is installed for these sentinels, or of one of their own, which
//! follows the master. Those to a replica fail with an error of the kind
//! [`InvalidClientConfig`](redis::ErrorKind::InvalidClientConfig): the shared pool has none.

mod node;
mod service;

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::atomic::AtomicUsize;

use deadpool::managed;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Cmd, IntoConnectionInfo, Pipeline, RedisError, RedisFuture, RedisResult, Value,
};

pub use self::node::{SentinelNodeConnectionInfo, SentinelServerType, TlsMode};
use self::service::Service;
pub use super::ConfigError;
use super::{ConnectionAddr, ConnectionInfo, manager};
use crate::origin::REPLACEMENT;
use crate::report::Site;
use crate::stream;

pub use deadpool::managed::reexports::*;
pub use deadpool::managed::{BuildError, QueueMode};

/// deadpool's pool of connections to a master or its replicas.
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
    /// URLs of some sentinels.
    pub urls: Option<Vec<String>>,
    /// The same in parts.
    pub connections: Option<Vec<ConnectionInfo>>,
    /// Whom to connect to.
    #[cfg_attr(feature = "serde", serde(default))]
    pub server_type: SentinelServerType,
    /// The master's name. Default `mymaster`.
    #[cfg_attr(feature = "serde", serde(default = "default_master_name"))]
    pub master_name: String,
    /// How to greet the servers that the sentinels name.
    pub node_connection_info: Option<SentinelNodeConnectionInfo>,
    /// How many connections at most, and within which limits.
    pub pool: Option<PoolConfig>,
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
        let (name, node, kind) =
            (self.master_name.clone(), self.node_connection_info.clone(), self.server_type);
        let manager = match (&self.urls, &self.connections) {
            (Some(_), Some(_)) => return Err(ConfigError::UrlAndConnectionSpecified),
            (Some(urls), None) => Manager::new(urls.iter().map(String::as_str).collect(), name, node, kind)?,
            (None, connections) => {
                let connections = connections.clone().unwrap_or_else(|| vec![ConnectionInfo::default()]);
                Manager::new(connections, name, node, kind)?
            }
        };
        Ok(Pool::builder(manager).config(self.get_pool_config()))
    }

    /// The pool's part, or its defaults.
    #[must_use]
    pub fn get_pool_config(&self) -> PoolConfig {
        self.pool.unwrap_or_default()
    }

    /// For some sentinels' URLs.
    #[must_use]
    pub fn from_urls<T: Into<Vec<String>>>(
        urls: T,
        master_name: String,
        server_type: SentinelServerType,
    ) -> Self {
        Self { urls: Some(urls.into()), connections: None, server_type, master_name, ..Self::default() }
    }

    /// Sets how to greet the servers that the sentinels name.
    #[must_use]
    pub fn with_node_connection_info(
        mut self,
        node_connection_info: Option<SentinelNodeConnectionInfo>,
    ) -> Self {
        self.node_connection_info = node_connection_info;
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        let addr = ConnectionAddr::Tcp("127.0.0.1".to_owned(), 26379);
        Self {
            urls: None,
            connections: Some(vec![ConnectionInfo { addr, ..ConnectionInfo::default() }]),
            server_type: SentinelServerType::Master,
            master_name: default_master_name(),
            node_connection_info: None,
            pool: None,
        }
    }
}

fn default_master_name() -> String {
    "mymaster".to_owned()
}

/// Makes connections to a master, out of the shared pool's budget.
#[derive(Debug)]
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub struct Manager {
    service: Service,
    ping_number: AtomicUsize,
    site: Site,
}

impl Manager {
    /// Checks the parameters. Does no I/O.
    ///
    /// # Errors
    ///
    /// One of `params` is no connection parameters.
    #[track_caller]
    pub fn new<T: IntoConnectionInfo>(
        params: Vec<T>,
        service_name: String,
        node_connection_info: Option<SentinelNodeConnectionInfo>,
        server_type: SentinelServerType,
    ) -> RedisResult<Self> {
        let site = Site::of("deadpool_redis::sentinel::Pool", REPLACEMENT, Location::caller());
        let sentinels = params.into_iter().map(IntoConnectionInfo::into_connection_info);
        let sentinels = sentinels.collect::<RedisResult<Vec<_>>>()?;
        let service = Service::new(sentinels, service_name, node_connection_info, server_type);
        Ok(Self { service, ping_number: AtomicUsize::new(0), site })
    }
}

impl managed::Manager for Manager {
    type Type = MultiplexedConnection;
    type Error = RedisError;

    async fn create(&self) -> Result<MultiplexedConnection, RedisError> {
        let (pool, info) = self.service.pool()?;
        let connection = stream::connect(&pool, info, AsyncConnectionConfig::default(), &self.site).await?;
        self.site.count();
        Ok(connection)
    }

    async fn recycle(
        &self,
        connection: &mut MultiplexedConnection,
        _: &Metrics,
    ) -> managed::RecycleResult<RedisError> {
        manager::check(connection, &self.ping_number).await?;
        self.site.count();
        Ok(())
    }
}

/// What `get` gives.
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
    pub fn take(this: Self) -> MultiplexedConnection {
        Object::take(this.conn)
    }
}

impl From<Object> for Connection {
    fn from(conn: Object) -> Self {
        Self { conn }
    }
}

impl Deref for Connection {
    type Target = MultiplexedConnection;

    fn deref(&self) -> &MultiplexedConnection {
        &self.conn
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut MultiplexedConnection {
        &mut self.conn
    }
}

impl AsRef<MultiplexedConnection> for Connection {
    fn as_ref(&self) -> &MultiplexedConnection {
        &self.conn
    }
}

impl AsMut<MultiplexedConnection> for Connection {
    fn as_mut(&mut self) -> &mut MultiplexedConnection {
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
