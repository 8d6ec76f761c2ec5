//! What was observed of the server.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::dial::Greeting;

/// For the status.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) greeting: Mutex<Option<Greeting>>,
    /// How often that lock was given another identity than it had.
    pub(super) server_changes: AtomicU64,
    pub(crate) last_error: Mutex<Option<String>>,
    pub(crate) dials: AtomicU64,
    pub(crate) connected: AtomicU64,
    pub(crate) reconnects: AtomicU64,
    /// Calls on degradable connections, by who answered.
    pub(crate) by_redis: AtomicU64,
    pub(crate) by_fallback: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) latency_us: AtomicU64,
}

impl Seen {
    /// A moving average over whole batches, from writing one to its last reply.
    pub(crate) fn latency(&self) -> Option<Duration> {
        match self.latency_us.load(Ordering::Relaxed) {
            0 => None,
            us => Some(Duration::from_micros(us)),
        }
    }
}
