//! How long to wait before Redis is tried again.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// An outage older than this may be tried for at the longer interval.
const LONG_OUTAGE: Duration = Duration::from_secs(5);

/// Doubling windows, each drawn from its upper half: spread enough that many processes do not dial together,
/// and never so long that a server's return goes unseen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) min: Duration,
    pub(crate) max: Duration,
    pub(crate) max_long: Duration,
    window: Duration,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration, max_long: Duration) -> Self {
        Self { min, max, max_long, window: min }
    }

    /// The next pause; the one after it is longer.
    pub(crate) fn next(&mut self, outage: Duration) -> Duration {
        let cap = if outage < LONG_OUTAGE { self.max } else { self.max_long };
        let window = self.window.min(cap);
        self.window = (window * 2).min(cap.max(self.min));
        let half = window / 2;
        half + half.mul_f64(unit_random())
    }

    pub(crate) fn reset(&mut self) {
        self.window = self.min;
    }
}

/// Up to `most`.
pub(crate) fn jitter(most: Duration) -> Duration {
    most.mul_f64(unit_random())
}

/// From 0 to 1, from the randomness the standard library seeds its maps with.
fn unit_random() -> f64 {
    (RandomState::new().build_hasher().finish() >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn default() -> Backoff {
        Backoff::new(Duration::from_millis(50), Duration::from_millis(240), Duration::from_millis(900))
    }

    #[test]
    fn pauses_double_from_50_ms_and_stay_in_the_upper_half_of_their_window() {
        let mut backoff = default();
        for window in [50, 100, 200, 240, 240, 240] {
            let pause = backoff.next(Duration::ZERO).as_millis();
            assert!((window / 2..=window).contains(&pause), "{pause} ms in a window of {window} ms");
        }
    }

    #[test]
    fn an_old_outage_is_tried_less_often_and_a_reply_starts_afresh() {
        let mut backoff = default();
        let pauses: Vec<_> = (0..12).map(|_| backoff.next(Duration::from_secs(6))).collect();
        assert!(pauses[11] >= Duration::from_millis(450) && pauses[11] <= Duration::from_millis(900));
        backoff.reset();
        assert!(backoff.next(Duration::ZERO) <= Duration::from_millis(50));
    }

    #[test]
    fn two_seconds_of_failures_are_fewer_than_twenty_dials() {
        for _ in 0..1000 {
            let (mut backoff, mut elapsed, mut dials) = (default(), Duration::ZERO, 1);
            while elapsed < Duration::from_secs(2) {
                elapsed += backoff.next(elapsed);
                dials += 1;
            }
            assert!(dials < 20, "{dials} dials");
        }
    }
}
