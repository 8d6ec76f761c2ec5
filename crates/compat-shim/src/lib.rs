//! Old Redis clients on the one shared pool, so that a service can move one call site at a time.
//!
//! ```no_run
//! # #[cfg(feature = "deadpool")]
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use cenote_compat_shim::deadpool as deadpool_redis; // or, with no change of source, the patch crate
//! use cenote_pool_core::Pool;
//!
//! let pool = Pool::builder().url("redis://localhost:6379/0").max_connections(20).build()?;
//! cenote_compat_shim::install(pool.clone()).map_err(|_| "installed twice")?;
//!
//! let config = deadpool_redis::Config::from_url("redis://localhost:6379/0"); // as it was
//! let old = config.create_pool(Some(deadpool_redis::Runtime::Tokio1))?;
//! let mut conn = old.get().await?; // out of the same 20 connections
//! redis::cmd("PING").exec_async(&mut conn).await?;
//! # Ok(()) }
//! # #[cfg(not(feature = "deadpool"))] fn main() {}
//! ```
//!
//! | feature | module | in place of |
//! |---|---|---|
//! | `bb8` | `bb8` | bb8-redis 0.26 |
//! | `connection-manager` | `connection_manager` | `redis::aio::ConnectionManager` |
//! | `deadpool` | `deadpool` | deadpool-redis 0.23; with `cluster`, `sentinel` and `serde` as there |
//! | `globals` | `globals` | a Redis client in a static |
//! | `r2d2` | `r2d2` | r2d2 with the synchronous `redis::Client` |
//! | `tls` | | `rediss://`, for every module |
//! | `deprecated` | | adds a compiler warning to every use, which names what replaces it |
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
#![cfg_attr(feature = "deprecated", allow(deprecated, reason = "the shim is made of what it deprecates"))]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "bb8")]
pub mod bb8;
#[cfg_attr(
    not(all(feature = "bb8", feature = "connection-manager", feature = "deadpool", feature = "r2d2")),
    allow(dead_code, reason = "each module uses its part")
)]
mod bridge;
#[cfg(feature = "connection-manager")]
pub mod connection_manager;
#[cfg(feature = "deadpool")]
pub mod deadpool;
#[cfg(feature = "globals")]
pub mod globals;
#[cfg(any(feature = "deadpool", feature = "bb8", feature = "r2d2"))]
#[cfg_attr(
    not(all(feature = "bb8", feature = "connection-manager", feature = "deadpool", feature = "r2d2")),
    allow(dead_code, reason = "each module uses its part")
)]
mod origin;
pub mod patch;
#[cfg(feature = "r2d2")]
pub mod r2d2;
#[cfg_attr(
    not(all(feature = "bb8", feature = "connection-manager", feature = "deadpool", feature = "r2d2")),
    allow(dead_code, reason = "each module uses its part")
)]
mod report;
#[cfg(any(feature = "deadpool", feature = "bb8", feature = "r2d2"))]
mod stream;

pub use bridge::{install, pools};
pub use report::{Usage, report};
