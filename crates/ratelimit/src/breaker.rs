//! The limiter's own breaker, for its own short limit: after three misses in a row it decides locally for a second, then
//! one call asks Redis again. The pool's breaker hears nothing of it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

const MISSES: u32 = 3;
const PAUSE_US: u64 = 1_000_000;

#[derive(Debug, Default)]
pub(crate) struct Breaker {
    misses: AtomicU32,
    /// When the next call may ask Redis; 0 while all may.
    until: AtomicU64,
}

impl Breaker {
    /// May this call ask Redis? Of those that come when the pause is over, one may, and then nobody for another pause.
    pub(crate) fn admit(&self, now: u64) -> bool {
        let until = self.until.load(Ordering::Acquire);
        until == 0
            || (now >= until
                && self
                    .until
                    .compare_exchange(until, now + PAUSE_US, Ordering::AcqRel, Ordering::Acquire)
                    .is_ok())
    }

    /// Redis answered in time. Whether that ended a pause.
    pub(crate) fn answered(&self) -> bool {
        if self.misses.load(Ordering::Relaxed) == 0 && self.until.load(Ordering::Relaxed) == 0 {
            return false;
        }
        self.misses.store(0, Ordering::Relaxed);
        self.until.swap(0, Ordering::AcqRel) != 0
    }

    /// Redis did not answer in time. Whether that began a pause.
    pub(crate) fn missed(&self, now: u64) -> bool {
        let misses = self.misses.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        misses >= MISSES
            && self.until.compare_exchange(0, now + PAUSE_US, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Microseconds until Redis is asked again.
    pub(crate) fn pause(&self, now: u64) -> u64 {
        self.until.load(Ordering::Relaxed).saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_misses_in_a_row_begin_a_pause_and_one_call_ends_it() {
        let breaker = Breaker::default();
        assert!(!breaker.missed(0) && !breaker.missed(0) && !breaker.answered());
        assert!(!breaker.missed(5) && !breaker.missed(5) && breaker.admit(5));
        assert!(breaker.missed(5) && !breaker.admit(5) && !breaker.admit(1_000_004));
        assert_eq!(breaker.pause(1_000_000), 5);
        assert!(breaker.admit(1_000_005), "one probe");
        assert!(!breaker.admit(1_000_006) && !breaker.admit(2_000_004), "and nobody else");
        assert!(breaker.admit(2_000_005) && breaker.answered() && breaker.admit(2_000_006));
    }
}
