//! One shared, lazily connected Redis pool with an explicit lifecycle.
//!
//! ```no_run
//! use cenote_pool_core::Pool;
//! use redis::AsyncCommands;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::builder().url("redis://localhost:6379/0").build()?; // no I/O, no runtime needed
//! pool.start().await?; // optional: connect now
//!
//! let mut conn = pool.conn(); // cheap, Clone, implements redis::aio::ConnectionLike
//! let visits: i64 = conn.incr("visits", 1).await?;
//!
//! pool.close().await; // refuses new work, drains, then cuts
//! # Ok(()) }
//! ```
//!
//! Features, of which none is on: `tls` (`rediss://` URLs) and `metrics` (for the recorder that is there when a pool is
//! built). Spans of calls go through `tracing` in any case, at `DEBUG` with the target `cenote::command`.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod answer;
// With the feature `__bench`, which is no part of the API.
#[cfg(feature = "__bench")]
#[doc(hidden)]
pub mod bench;
mod breaker;
mod brief;
mod budget;
pub mod clock;
mod codec;
mod command;
mod config;
mod conn;
mod credentials;
mod dedicated;
mod degrade;
mod dial;
mod error;
mod fallback;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod lane;
mod panics;
mod pool;
mod push;
mod sentinel;
mod telemetry;
mod timer;
mod transport;
mod turn;

/// For an implementation of [`CredentialsProvider`].
pub use async_trait::async_trait;
pub use clock::{Clock, SystemClock};
pub use config::{ConfigError, PoolConfig, Problem};
pub use conn::Conn;
pub use credentials::{Credentials, CredentialsError, CredentialsProvider, RotatingCredentials};
pub use dedicated::Dedicated;
#[doc(hidden)]
pub use dedicated::{DedicatedIo, RawPlace};
pub use degrade::{Answer, Answers, DegradableConn, Epoch, JournalStatus, Source};
#[doc(hidden)]
pub use dial::{Place, Steps};
pub use error::{Error, Outcome};
pub use fallback::{Fallback, NotDegradable};
#[doc(hidden)]
pub use pool::Flush;
pub use pool::{CloseReport, Health, Pool, PoolBuilder, State, Status};
#[doc(hidden)]
pub use push::Currency;
pub use push::{Event, Invalidation, Message, Refusal, Subscriber, SubscriptionKind};
pub use redis;
