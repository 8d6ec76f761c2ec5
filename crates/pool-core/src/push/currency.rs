//! Whether a subscriber has missed nothing, as one number that anybody may read at any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Whether a subscriber is told of everything; for the crate `cenote-cache`.
///
/// Odd: every subscription is in place on a live connection, as far as this process knows. Even: the connection was
/// lost, or the subscriber moves to another one, or belongs to none, or was closed or dropped. It only grows: by one
/// at every loss and at every return, and by two when events were dropped ([`Lagged`](crate::Event::Lagged)) or a
/// subscription was refused ([`Refused`](crate::Event::Refused)). It starts at 1, before anything is subscribed to.
///
/// It turns even before anything else follows from a loss, and odd before the [`Gap`](crate::Event::Gap) is queued. So
/// whoever handles such an event, reads the number, then forgets everything, and serves only while the present number
/// equals that odd one, never serves past a loss that it has not handled. The first number is to be read once the
/// subscriptions are acknowledged.
#[derive(Debug, Clone)]
pub struct Currency(Arc<AtomicU64>);

impl Currency {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1)))
    }

    /// The number at this moment: one atomic load, no lock.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Under the queue's lock, like all changes.
    pub(super) fn set_current(&self, current: bool) {
        if (self.get() % 2 == 1) != current {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Something was missed, and nothing else has changed.
    pub(super) fn skip(&self) {
        self.0.fetch_add(2, Ordering::AcqRel);
    }
}
