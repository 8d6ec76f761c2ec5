//! What the tests of the limiter share.
#![allow(dead_code, reason = "each test file takes what it needs")]

pub(crate) mod model;
pub(crate) mod process;

use std::time::Duration;

use cenote_pool_core::Pool;
use cenote_ratelimit::{Decision, Quota, RateLimiter, RateLimiterBuilder};

pub(crate) const SOON: Duration = Duration::from_secs(10);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn pool(url: impl Into<String>) -> Pool {
    Pool::builder().url(url).build().unwrap()
}

/// For tests in which Redis is there, however busy the machine is.
pub(crate) fn patient(pool: &Pool, name: &str) -> RateLimiterBuilder {
    RateLimiter::builder(pool, name).timeout(SOON)
}

/// The only one, so that nobody is counted: what is in Redis is its keys'.
pub(crate) fn limiter(pool: &Pool, name: &str, quota: Quota) -> RateLimiter {
    patient(pool, name).quota(quota).nodes(1).build().unwrap()
}

/// What a decision says, in microseconds.
pub(crate) fn said(decision: &Decision) -> (bool, u64, u128, u128) {
    let Decision { allowed, remaining, retry_after, reset_after, .. } = decision;
    (*allowed, *remaining, retry_after.as_micros(), reset_after.as_micros())
}
