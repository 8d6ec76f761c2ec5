//! Configuration as deadpool-redis has it: plain structs that serde can fill.

use std::fmt;
use std::path::PathBuf;

use redis::{IntoConnectionInfo, RedisError, RedisResult};
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::{CreatePoolError, Manager, Pool, PoolBuilder, PoolConfig, Runtime};

/// How a [`Pool`] is made: from `url`, from `connection`, or by default for 127.0.0.1:6379.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(Deserialize, Serialize))]
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub struct Config {
    /// A URL as redis-rs reads it.
    pub url: Option<String>,
    /// The same in parts.
    pub connection: Option<ConnectionInfo>,
    /// How many connections at most (CPUs x 2 by default), and within which limits.
    pub pool: Option<PoolConfig>,
}

impl Config {
    /// Builds the pool. Does no I/O.
    ///
    /// # Errors
    ///
    /// Both `url` and `connection` are set, or the URL does not parse; or time limits are set and `runtime` is `None`.
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
    /// Both `url` and `connection` are set, or the URL does not parse.
    #[track_caller]
    pub fn builder(&self) -> Result<PoolBuilder, ConfigError> {
        let manager = match (&self.url, &self.connection) {
            (Some(_), Some(_)) => return Err(ConfigError::UrlAndConnectionSpecified),
            (Some(url), None) => Manager::new(url.as_str())?,
            (None, connection) => Manager::new(connection.clone().unwrap_or_default())?,
        };
        Ok(Pool::builder(manager).config(self.get_pool_config()))
    }

    /// The pool's part, or its defaults.
    #[must_use]
    pub fn get_pool_config(&self) -> PoolConfig {
        self.pool.unwrap_or_default()
    }

    /// For a URL such as `redis://127.0.0.1`.
    #[must_use]
    pub fn from_url<T: Into<String>>(url: T) -> Self {
        Self { url: Some(url.into()), connection: None, pool: None }
    }

    /// For connection parameters in parts.
    #[must_use]
    pub fn from_connection_info<T: Into<ConnectionInfo>>(connection_info: T) -> Self {
        Self { url: None, connection: Some(connection_info.into()), pool: None }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::from_connection_info(ConnectionInfo::default())
    }
}

/// [`redis::ConnectionAddr`] for serde.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(Deserialize, Serialize))]
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub enum ConnectionAddr {
    /// Host and port.
    Tcp(String, u16),
    /// Host and port with TLS (feature `tls`).
    TcpTls {
        /// The host's name.
        host: String,
        /// The port.
        port: u16,
        /// Whether any certificate will do: the shared pool refuses that.
        insecure: bool,
    },
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl Default for ConnectionAddr {
    fn default() -> Self {
        Self::Tcp("127.0.0.1".to_owned(), 6379)
    }
}

impl From<ConnectionAddr> for redis::ConnectionAddr {
    fn from(addr: ConnectionAddr) -> Self {
        match addr {
            ConnectionAddr::Tcp(host, port) => Self::Tcp(host, port),
            ConnectionAddr::TcpTls { host, port, insecure } => {
                Self::TcpTls { host, port, insecure, tls_params: None }
            }
            ConnectionAddr::Unix(path) => Self::Unix(path),
        }
    }
}

impl From<redis::ConnectionAddr> for ConnectionAddr {
    fn from(addr: redis::ConnectionAddr) -> Self {
        match addr {
            redis::ConnectionAddr::Tcp(host, port) => Self::Tcp(host, port),
            redis::ConnectionAddr::TcpTls { host, port, insecure, .. } => {
                Self::TcpTls { host, port, insecure }
            }
            redis::ConnectionAddr::Unix(path) => Self::Unix(path),
            // A kind that redis-rs may add: nobody is reached under this name, and the error shows it.
            other => Self::Tcp(other.to_string(), 0),
        }
    }
}

/// [`redis::ConnectionInfo`] for serde.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(Deserialize, Serialize))]
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub struct ConnectionInfo {
    /// Where the server is.
    pub addr: ConnectionAddr,
    /// As whom, and which database.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub redis: RedisConnectionInfo,
}

impl From<ConnectionInfo> for redis::ConnectionInfo {
    #[expect(clippy::expect_used, reason = "redis-rs takes every address as it is")]
    fn from(info: ConnectionInfo) -> Self {
        let parsed = redis::ConnectionAddr::from(info.addr).into_connection_info();
        parsed.expect("an address is connection parameters").set_redis_settings(info.redis.into())
    }
}

impl IntoConnectionInfo for ConnectionInfo {
    fn into_connection_info(self) -> RedisResult<redis::ConnectionInfo> {
        Ok(self.into())
    }
}

impl From<redis::ConnectionInfo> for ConnectionInfo {
    fn from(info: redis::ConnectionInfo) -> Self {
        Self { addr: info.addr().clone().into(), redis: info.redis_settings().clone().into() }
    }
}

/// [`redis::RedisConnectionInfo`] for serde.
#[derive(Clone, Default)]
#[cfg_attr(feature = "serde", derive(Deserialize, Serialize))]
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub struct RedisConnectionInfo {
    /// The database. Default 0.
    pub db: i64,
    /// The user's name.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<String>,
    /// Default RESP2.
    pub protocol: ProtocolVersion,
}

impl fmt::Debug for RedisConnectionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConnectionInfo")
            .field("db", &self.db)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("protocol", &self.protocol)
            .finish()
    }
}

/// [`redis::ProtocolVersion`] for serde.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(Deserialize, Serialize))]
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub enum ProtocolVersion {
    /// Version 2.
    #[default]
    RESP2,
    /// Version 3.
    RESP3,
}

impl From<RedisConnectionInfo> for redis::RedisConnectionInfo {
    fn from(info: RedisConnectionInfo) -> Self {
        let protocol = match info.protocol {
            ProtocolVersion::RESP2 => redis::ProtocolVersion::RESP2,
            ProtocolVersion::RESP3 => redis::ProtocolVersion::RESP3,
        };
        let mut settings = Self::default().set_db(info.db).set_protocol(protocol);
        if let Some(username) = info.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = info.password {
            settings = settings.set_password(password);
        }
        settings
    }
}

impl From<redis::RedisConnectionInfo> for RedisConnectionInfo {
    fn from(info: redis::RedisConnectionInfo) -> Self {
        let protocol = match info.protocol() {
            redis::ProtocolVersion::RESP3 => ProtocolVersion::RESP3,
            _ => ProtocolVersion::RESP2,
        };
        Self {
            db: info.db(),
            username: info.username().map(ToOwned::to_owned),
            password: info.password().map(ToOwned::to_owned),
            protocol,
        }
    }
}

/// What is wrong with a [`Config`].
#[derive(Debug)]
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub enum ConfigError {
    /// Only one of `url` and `connection` may be set.
    UrlAndConnectionSpecified,
    /// redis-rs cannot read the parameters.
    Redis(RedisError),
}

impl From<RedisError> for ConfigError {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UrlAndConnectionSpecified => {
                f.write_str("url and connection must not be specified at the same time.")
            }
            Self::Redis(error) => write!(f, "Redis: {error}"),
        }
    }
}

impl std::error::Error for ConfigError {}
