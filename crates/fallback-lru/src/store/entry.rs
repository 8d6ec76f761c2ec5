//! What is stored under a key: a value and perhaps a date on which it ends.

use std::num::NonZero;

use super::data::Data;

/// Bytes that an entry is charged beside its key and its value: 32 for itself, 8 for its links, and what the table, the
/// deadlines and the allocator take.
pub(crate) const ENTRY_OVERHEAD: usize = 128;

/// Half a cache line, and never across two.
#[derive(Debug, Default)]
#[repr(align(32))]
pub(crate) struct Entry {
    pub(crate) data: Data,
    /// Without a date none. It is in the future when it is stored, so never zero.
    expires_at: Option<NonZero<i64>>,
}

impl Entry {
    pub(crate) fn new(data: Data, expires_at: Option<i64>) -> Self {
        let mut entry = Self { data, expires_at: None };
        entry.set_expires_at(expires_at);
        entry
    }

    /// Milliseconds since the Unix epoch; the entry is still there in that very millisecond, as in Redis.
    pub(crate) fn expires_at(&self) -> Option<i64> {
        self.expires_at.map(NonZero::get)
    }

    pub(crate) fn set_expires_at(&mut self, at: Option<i64>) {
        self.expires_at = at.map(|at| NonZero::new(at).unwrap_or(NonZero::<i64>::MIN));
    }

    #[inline]
    pub(crate) fn expired(&self, now: &Now<'_>) -> bool {
        self.expires_at.is_some_and(|at| now.ms() > at.get())
    }
}

/// The time of one command, read at most once and only when an expiry has to be judged.
#[derive(Debug)]
pub(crate) struct Now<'a> {
    clock: &'a dyn cenote_pool_core::Clock,
    ms: std::cell::OnceCell<i64>,
}

impl<'a> Now<'a> {
    pub(crate) fn new(clock: &'a dyn cenote_pool_core::Clock) -> Self {
        Self { clock, ms: std::cell::OnceCell::new() }
    }

    pub(crate) fn ms(&self) -> i64 {
        *self.ms.get_or_init(|| i64::try_from(self.clock.unix_time().as_millis()).unwrap_or(i64::MAX))
    }

    pub(crate) fn unix_time(&self) -> std::time::Duration {
        self.clock.unix_time()
    }
}
