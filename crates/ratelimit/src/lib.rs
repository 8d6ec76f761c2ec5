//! An exact rate limiter in one round trip, governed through an outage.
//!
//! ```no_run
//! # async fn example(pool: cenote_pool_core::Pool) -> Result<(), Box<dyn std::error::Error>> {
//! use cenote_ratelimit::{Quota, RateLimiter};
//!
//! // No I/O yet. 60 a minute, of which 10 may come at once.
//! let search =
//!     RateLimiter::builder(&pool, "search").quota(Quota::per_minute(60).burst(10)).build()?;
//!
//! let decision = search.check("user:42").await?;
//! if !decision.allowed {
//!     println!("{} refuses; come again in {:?}", decision.policy, decision.retry_after);
//! }
//! # Ok(()) }
//! ```
//!
//! # What it promises
//!
//! - **Exact.** The generic cell rate algorithm in whole numbers, by the server's clock, in one script: a microsecond
//!   early is refused, on time is allowed. In any time `w` a quota of rate `r` and burst `b` lets through `b + r * w` at
//!   most.
//! - **All or nothing.** Of several quotas all are charged or none. A refusal changes nothing. What is given back is
//!   never more than is still owed.
//! - **Brief.** A call waits for Redis for 50 ms at most. After three that waited in vain Redis is left alone for a
//!   second, and asked again by one call. The pool's own breaker hears nothing of it, and nothing is sent twice.
//! - **Governed through an outage.** Each process decides at its share of the quota, and
//!   [`Decision::source`] says so. Processes that still reach Redis spend the full quota beside the shares: with `N`
//!   nodes, `n` of them cut off, at most `(b + r * w) + n * (max(1, b / N) + r * w / N)`, and a call that costs more
//!   than the share, which is let through when nothing else was, adds its cost less the share. A share begins with its part
//!   of what Redis said was left, so that a Redis that comes and goes gives no burst anew. Or all is allowed, or refused:
//!   [`OnOutage`].
//! - **Bounded.** Neither the table for outages nor that of recent refusals grows with the number of keys, and no debt
//!   is forgotten: what does not fit shares a bucket. Keys in Redis expire when nothing is owed.
//! - **In advance**, if you like: with a [`Lease`] most checks need no round trip, and in any time `w` at most
//!   `b + r * w + min(n * L, r * E)` are let through by `n` processes that take `L` tokens at once for a time `E`.
//! - **At once.** A [`ConcurrencyLimiter`] lets so many hold a key, over all processes, and forgets those that die.
//!
//! # What it does not
//!
//! - What other processes took since Redis last answered here is not known in an outage.
//! - A refund by another process ends a local refusal up to a second later.
//! - A charge whose reply was late may have been counted by Redis, too.
//!
//! Features, of which none is on: `metrics`, and `tower`, a layer for HTTP services: the module `tower`.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod blocks;
mod breaker;
mod builder;
mod call;
mod concurrency;
mod counter;
mod decision;
mod engine;
mod error;
mod key;
mod lease;
mod limiter;
mod local;
mod nodes;
mod policy;
mod quota;
mod remote;
mod reserve;
mod seeds;
mod stats;
mod subject;
mod together;
#[cfg(feature = "tower")]
pub mod tower;

pub use builder::{OnOutage, OnQuotaChange, RateLimiterBuilder};
pub use call::Charge;
pub use concurrency::{
    AcquireError, ConcurrencyLimiter, ConcurrencyLimiterBuilder, ConcurrencyStats, Permit,
};
pub use decision::{Decision, Source};
pub use error::{Error, InvalidCost};
pub use lease::Lease;
pub use limiter::RateLimiter;
pub use quota::{InvalidQuota, Quota};
pub use reserve::Reservation;
pub use stats::Stats;
