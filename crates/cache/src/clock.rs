//! Time: of this machine, coarse and cheap, and of the server, as this process knows it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cenote_pool_core::redis::{self, Value};

/// What was learned is believed for so long, in ms: clocks drift apart slowly.
const BELIEVED: u64 = 60_000;
/// What a slow reply told, which may be wrong by half of the time that it took, is not believed for long.
const SLOW: u64 = 20;
const BARELY_BELIEVED: u64 = 1_000;

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
    /// When it is to be asked next, by our clock; 0 before the first time.
    due: AtomicU64,
}

impl ServerClock {
    /// The server must be asked for its time.
    pub(crate) fn is_due(&self) -> bool {
        now_ms() >= self.due.load(Ordering::Relaxed)
    }

    /// The reply to `TIME`, seconds and microseconds, which was asked for at `asked`.
    pub(crate) fn learn(&self, reply: &Value, asked: u64) {
        let Ok((seconds, micros)) = redis::from_redis_value_ref::<(u64, u64)>(reply) else { return };
        let server = seconds.saturating_mul(1000).saturating_add(micros / 1000);
        let now = now_ms();
        let took = now.saturating_sub(asked);
        let ours = asked.saturating_add(took / 2);
        let offset =
            i64::try_from(server).unwrap_or(i64::MAX).saturating_sub(i64::try_from(ours).unwrap_or(0));
        self.offset_ms.store(offset, Ordering::Relaxed);
        let believed = if took < SLOW { BELIEVED } else { BARELY_BELIEVED };
        self.due.store(now.saturating_add(believed), Ordering::Relaxed);
    }

    /// Milliseconds since the Unix epoch by the server's clock; by our own until it was asked.
    pub(crate) fn now(&self) -> u64 {
        if self.due.load(Ordering::Relaxed) == 0 {
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
        let time = Value::Array(vec![Value::BulkString(b"1000".into()), Value::BulkString(b"500000".into())]);
        clock.learn(&time, now_ms());
        assert!((1_000_500..1_010_500).contains(&clock.now()), "{}", clock.now());
        assert!(!clock.is_due());
        clock.learn(&Value::Array(vec![Value::Int(i64::MAX), Value::Int(0)]), now_ms());
        clock.learn(&Value::Okay, now_ms());
        let _ = clock.now();
    }

    #[test]
    fn of_a_slow_reply_the_middle_is_taken_and_it_is_asked_again_soon() {
        let clock = ServerClock::default();
        clock.learn(&Value::Array(vec![Value::Int(1000), Value::Int(0)]), now_ms() - 1_200);
        assert!((1_000_600..1_010_000).contains(&clock.now()), "{}", clock.now());
        let due = clock.due.load(Ordering::Relaxed) - now_ms();
        assert!(due <= BARELY_BELIEVED, "{due}");
    }
}
