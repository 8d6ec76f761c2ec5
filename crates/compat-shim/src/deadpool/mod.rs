//! The names of deadpool-redis 0.23, on the shared pool.
//!
//! deadpool's own `Pool` stays, with its queue, its hooks and its time limits; only the connections it keeps come out of
//! the shared pool's budget. When that is spent and somebody waits, the connection that was quiet for longest is closed,
//! unless it is inside `WATCH`, `MULTI`, a blocking command or a subscription: deadpool finds it closed at its next
//! checkout and asks for another.

#[cfg(feature = "cluster")]
pub mod cluster;
mod config;
mod connection;
mod manager;
#[cfg(feature = "sentinel")]
pub mod sentinel;

use redis::RedisError;

pub use redis;

pub use self::config::{
    Config, ConfigError, ConnectionAddr, ConnectionInfo, ProtocolVersion, RedisConnectionInfo,
};
pub use self::connection::Connection;
pub use self::manager::Manager;

pub use deadpool::managed::reexports::*;
pub use deadpool::managed::{BuildError, QueueMode};

/// deadpool's pool of connections.
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub type Pool = deadpool::managed::Pool<Manager, Connection>;
/// deadpool's pool, held weakly.
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub type WeakPool = deadpool::managed::WeakPool<Manager, Connection>;
/// deadpool's builder of a [`Pool`].
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub type PoolBuilder = deadpool::managed::PoolBuilder<Manager, Connection>;
/// Why [`Config::create_pool`] failed.
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub type CreatePoolError = deadpool::managed::CreatePoolError<ConfigError>;
/// Why [`Pool::get`](deadpool::managed::Pool::get) failed.
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub type PoolError = deadpool::managed::PoolError<RedisError>;
/// What deadpool keeps for each connection.
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub type Object = deadpool::managed::Object<Manager>;
/// What deadpool calls when a connection is made or checked out.
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub type Hook = deadpool::managed::Hook<Manager>;
/// Why a [`Hook`] failed.
#[cfg_attr(
    feature = "deprecated",
    deprecated(
        since = "0.1.0",
        note = "use `cenote::Pool`: its `conn()`, or `dedicated()` for WATCH and blocking commands"
    )
)]
pub type HookError = deadpool::managed::HookError<RedisError>;
