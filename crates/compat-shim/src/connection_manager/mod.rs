//! redis-rs' `ConnectionManager`, on the shared pool's shared connections.
//!
//! The module has all names of the crate `redis`, so that one line moves a file:
//!
//! ```
//! use cenote_compat_shim::connection_manager as redis;
//! use redis::AsyncCommands;
//! use redis::aio::ConnectionManager;
//!
//! async fn visits(mut manager: ConnectionManager) -> redis::RedisResult<i64> {
//!     manager.incr("visits", 1).await
//! }
//! ```
//!
//! `Client::get_connection_manager` makes the real one: write `ConnectionManager::new(client)` instead.

mod config;
mod manager;
mod push;

pub use redis::*;

/// `redis::aio`, with a [`ConnectionManager`](aio::ConnectionManager) on the shared pool.
pub mod aio {
    pub use redis::aio::*;

    pub use super::config::ConnectionManagerConfig;
    pub use super::manager::ConnectionManager;
}
