//! Charges whose real cost is known later.

use std::fmt;

use crate::call::Items;
use crate::decision::Decision;
use crate::limiter::RateLimiter;

/// Tokens taken for what may cost more or less: see [`RateLimiter::reserve`].
///
/// Dropped without [`settle`](Self::settle), it gives all back, on a task of the runtime it is dropped in; outside of one
/// they come back by themselves, in time.
#[must_use = "dropped, it gives back what it took"]
pub struct Reservation {
    limiter: RateLimiter,
    items: Items,
    decision: Decision,
}

impl Reservation {
    pub(crate) fn new(limiter: RateLimiter, items: Items, decision: Decision) -> Self {
        Self { limiter, items, decision }
    }

    /// Whether it was allowed, and what is left. One that was refused has taken nothing.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Gives back what was reserved beyond `actual`, less what came back by itself since; or takes what is missing,
    /// into debt beyond the burst if need be: then the next ones wait for longer.
    ///
    /// If Redis does not answer it is not tried again: [`Stats::unsettled`](crate::Stats::unsettled) counts it. One that
    /// was refused, or taken while nobody counted, has nothing to settle.
    ///
    /// **Cancel safety.** Dropped before it is done, it may have been settled.
    pub async fn settle(mut self, actual: u64) {
        let mut items = std::mem::take(&mut self.items);
        let Some(receipt) = self.decision.receipt() else { return };
        let engine = self.limiter.engine();
        let reserved = items.first().map_or(0, |item| item.cost);
        for item in &mut items {
            item.cost = reserved.abs_diff(actual).min(item.rate.most());
        }
        match actual.cmp(&reserved) {
            std::cmp::Ordering::Less => engine.refund(&items, receipt).await,
            std::cmp::Ordering::Equal => {}
            std::cmp::Ordering::Greater => engine.force(&items, receipt).await,
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("decision", &self.decision).finish_non_exhaustive()
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let items = std::mem::take(&mut self.items);
        let Some(receipt) = self.decision.receipt().filter(|_| !items.is_empty()) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let limiter = self.limiter.clone();
            runtime.spawn(async move { limiter.engine().refund(&items, receipt).await });
        }
    }
}
