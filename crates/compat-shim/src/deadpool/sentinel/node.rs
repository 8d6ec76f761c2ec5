//! Which server of a master's, and how to greet it.

use crate::deadpool::RedisConnectionInfo;

/// [`redis::sentinel::SentinelServerType`] for serde.
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub enum SentinelServerType {
    /// The master.
    #[default]
    Master,
    /// One of its replicas.
    Replica,
}

impl From<redis::sentinel::SentinelServerType> for SentinelServerType {
    fn from(kind: redis::sentinel::SentinelServerType) -> Self {
        match kind {
            redis::sentinel::SentinelServerType::Replica => Self::Replica,
            _ => Self::Master,
        }
    }
}

impl From<SentinelServerType> for redis::sentinel::SentinelServerType {
    fn from(kind: SentinelServerType) -> Self {
        match kind {
            SentinelServerType::Master => Self::Master,
            SentinelServerType::Replica => Self::Replica,
        }
    }
}

/// [`redis::TlsMode`] for serde.
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub enum TlsMode {
    /// Certificates are checked.
    #[default]
    Secure,
    /// They are not.
    Insecure,
}

impl From<redis::TlsMode> for TlsMode {
    fn from(mode: redis::TlsMode) -> Self {
        match mode {
            redis::TlsMode::Insecure => Self::Insecure,
            _ => Self::Secure,
        }
    }
}

impl From<TlsMode> for redis::TlsMode {
    fn from(mode: TlsMode) -> Self {
        match mode {
            TlsMode::Secure => Self::Secure,
            TlsMode::Insecure => Self::Insecure,
        }
    }
}

/// [`redis::sentinel::SentinelNodeConnectionInfo`] for serde.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub struct SentinelNodeConnectionInfo {
    /// Whether to use TLS.
    pub tls_mode: Option<TlsMode>,
    /// As whom, and which database.
    pub redis_connection_info: Option<RedisConnectionInfo>,
}

impl From<SentinelNodeConnectionInfo> for redis::sentinel::SentinelNodeConnectionInfo {
    fn from(info: SentinelNodeConnectionInfo) -> Self {
        let mut node = Self::default();
        if let Some(mode) = info.tls_mode {
            node = node.set_tls_mode(mode.into());
        }
        if let Some(settings) = info.redis_connection_info {
            node = node.set_redis_connection_info(settings.into());
        }
        node
    }
}
