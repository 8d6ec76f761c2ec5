//! Time that tests can drive.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the fallback reads the time that its entries live by. [`SystemClock`] is the default; tests pass one that
/// they move by hand.
///
/// Limits of calls are kept by the operating system's clock whatever is passed, so that a driven clock can never
/// make a call wait for ever.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// A reading that never goes back.
    fn now(&self) -> Instant;

    /// Time since the Unix epoch, for expiries given as dates.
    fn unix_time(&self) -> Duration;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn unix_time(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}
