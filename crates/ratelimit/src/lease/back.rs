//! What is not spent goes back, where it was charged.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::call::{Item, Items};
use crate::decision::Receipt;
use crate::engine::Engine;
use crate::key;
use crate::limiter::{Inner, RateLimiter};

use super::Leftover;

/// So many at once.
const ABREAST: usize = 64;
/// Ended leases are looked for so often in a lifetime.
const LOOKS: u32 = 4;
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(60);

impl RateLimiter {
    /// Gives back what this process holds in [leases](crate::Lease), and returns when that is done or Redis did not
    /// answer: for the end of a process. What is checked afterwards is leased anew.
    ///
    /// Nothing happens in a limiter without leases. What did not reach Redis is not tried again: it comes back by
    /// itself, in time.
    ///
    /// **Cancel safety.** Dropped before it is done, a part may have been given back.
    pub async fn return_leases(&self) {
        let Some(leases) = self.leases() else { return };
        let back = self.inner().worth_it(leases.table.drain());
        give_back(self.inner().engine.clone(), back).await;
    }

    /// On a task of this runtime.
    pub(super) fn give_back_soon(&self, leftovers: Vec<Leftover>) {
        self.inner().give_back_soon(leftovers);
    }

    /// Makes sure that somebody looks for leases that have ended.
    pub(super) fn sweep_from_now_on(&self) {
        let (Some(leases), Ok(runtime)) = (self.leases(), Handle::try_current()) else { return };
        let mut sweeper = leases.sweeper.lock();
        if sweeper.as_ref().is_none_or(tokio::task::JoinHandle::is_finished) {
            let every = Duration::from_micros(leases.lifetime) / LOOKS;
            *sweeper =
                Some(runtime.spawn(sweep(Arc::downgrade(self.inner()), every.clamp(SHORTEST, LONGEST))));
        }
    }
}

/// Until there is no limiter any more, or this runtime ends: then the next lease begins another.
async fn sweep(limiter: Weak<Inner>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(inner) = limiter.upgrade() else { return };
        let Some(leases) = &inner.leases else { return };
        let back = inner.worth_it(leases.table.sweep(inner.engine.now()));
        give_back(inner.engine.clone(), back).await;
    }
}

async fn give_back(engine: Arc<Engine>, all: Vec<(Items, Receipt)>) {
    let mut under_way = JoinSet::new();
    for (items, receipt) in all {
        if under_way.len() >= ABREAST {
            under_way.join_next().await;
        }
        let engine = engine.clone();
        under_way.spawn(async move { engine.refund(&items, receipt).await });
    }
    while under_way.join_next().await.is_some() {}
}

impl Inner {
    fn give_back_soon(&self, leftovers: Vec<Leftover>) {
        let back = self.worth_it(leftovers);
        if let (false, Ok(runtime)) = (back.is_empty(), Handle::try_current()) {
            runtime.spawn(give_back(self.engine.clone(), back));
        }
    }

    /// Of which something has not come back by itself.
    fn worth_it(&self, leftovers: Vec<Leftover>) -> Vec<(Items, Receipt)> {
        let now = self.engine.now();
        let one = |Leftover { subject, batch, rates }: Leftover| {
            let item = |(policy, rate): (&crate::policy::Policy, _)| Item {
                policy: policy.name.clone(),
                key: key::key(&self.prefix, &subject, &policy.name),
                rate,
                cost: batch.tokens,
            };
            let items: Items = self.policies.iter().zip(rates.iter().copied()).map(item).collect();
            let drained =
                |item: &Item| u128::from(now.saturating_sub(batch.since)) * u128::from(item.rate.drain);
            let owed = |item: &Item| u128::from(item.cost) * u128::from(item.rate.token) > drained(item);
            let receipt = Receipt { at: batch.charged, local: false };
            items.iter().any(owed).then_some((items, receipt))
        };
        leftovers.into_iter().filter_map(one).collect()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(leases) = &self.leases {
            self.give_back_soon(leases.table.drain());
        }
    }
}
