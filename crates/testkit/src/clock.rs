//! A clock that moves only when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cenote_pool_core::Clock;

/// Time that stands still until [`advance`](Self::advance). Clones are the same clock.
///
/// The Unix time starts at a fixed date, so that a test sees the same dates in every run.
#[derive(Debug, Clone)]
pub struct ManualClock {
    start: Instant,
    nanos: Arc<AtomicU64>,
}

/// 2025-01-01T00:00:00Z.
const EPOCH: Duration = Duration::from_secs(1_735_689_600);

impl ManualClock {
    /// A clock at the start of its time.
    pub fn new() -> Self {
        Self { start: Instant::now(), nanos: Arc::default() }
    }

    /// Moves this clock and its clones forward.
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).expect("less than five centuries");
        self.nanos.fetch_add(nanos, Ordering::SeqCst);
    }

    /// How far it has been moved in all.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::SeqCst))
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.start + self.elapsed()
    }

    fn unix_time(&self) -> Duration {
        EPOCH + self.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_move_together_and_only_when_told() {
        let clock = ManualClock::new();
        let clone = clock.clone();
        let (now, unix) = (clock.now(), clock.unix_time());
        assert_eq!(clone.now(), now);
        clone.advance(Duration::from_millis(1500));
        assert_eq!(clock.now() - now, Duration::from_millis(1500));
        assert_eq!(clock.unix_time() - unix, Duration::from_millis(1500));
    }
}
