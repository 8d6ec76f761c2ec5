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
//! | `deadpool` | `deadpool` | deadpool-redis 0.23; with `cluster`, `sentinel` and `serde` as there |
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bridge;
#[cfg(feature = "deadpool")]
pub mod deadpool;
mod report;
#[cfg(feature = "deadpool")]
mod stream;

pub use bridge::{install, pools};
pub use report::{Usage, report};
