//! Time: of this machine, coarse and cheap, and of the server, as this process knows it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cenote_pool_core::redis::{self, Value};

/// What was learned is believed for so long: clocks drift apart slowly.
const BELIEVED: u64 = 60_000;

/// Milliseconds since some moment, never going back, exact to a few: an L1 hit cannot afford the exact clock.
pub(crate) fn now_ms() -> u64 {
    // Without the copy that `now` keeps for all threads, which they would take from each other.
    coarsetime::Instant::now_without_cache_update()
        .duration_since(coarsetime::Instant::from_ticks(0))
        .as_millis()
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The server's clock, by its distance from ours. Ages are measured by it, so that a machine whose own date is wrong
/// reads and writes the same ages as any other.
#[derive(Debug, Default)]
pub(crate) struct ServerClock {
    offset_ms: AtomicI64,
    /// When it was learned, by our clock; 0 before.
    learned: AtomicU64,
}

impl ServerClock {
    /// The server must be asked for its time.
    pub(crate) fn is_due(&self) -> bool {
        let learned = self.learned.load(Ordering::Relaxed);
        learned == 0 || now_ms().saturating_sub(learned) > BELIEVED
    }

    /// The reply to `TIME`: seconds and microseconds.
    pub(crate) fn learn(&self, reply: &Value) {
        let Ok((seconds, micros)) = redis::from_redis_value_ref::<(u64, u64)>(reply) else { return };
        let server = seconds.saturating_mul(1000).saturating_add(micros / 1000);
        let ours = now_ms();
        let offset =
            i64::try_from(server).unwrap_or(i64::MAX).saturating_sub(i64::try_from(ours).unwrap_or(0));
        self.offset_ms.store(offset, Ordering::Relaxed);
        self.learned.store(ours.max(1), Ordering::Relaxed);
    }

    /// Milliseconds since the Unix epoch by the server's clock; by our own until it was asked.
    pub(crate) fn now(&self) -> u64 {
        if self.learned.load(Ordering::Relaxed) == 0 {
            return millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        }
        now_ms().saturating_add_signed(self.offset_ms.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_follow_the_server_however_wrong_our_own_date_is() {
        let clock = ServerClock::default();
        assert!(clock.is_due());
        clock.learn(&Value::Array(vec![
            Value::BulkString(b"1000".into()),
            Value::BulkString(b"500000".into()),
        ]));
        assert!((1_000_500..1_010_500).contains(&clock.now()), "{}", clock.now());
        assert!(!clock.is_due());
        clock.learn(&Value::Array(vec![Value::Int(i64::MAX), Value::Int(0)]));
        clock.learn(&Value::Okay);
        let _ = clock.now();
    }
}
