//! A stand-in for the system that knows the subscriptions: slow enough that it is worth caching, and in this process
//! only. With several processes on one Redis it would be a database.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long it takes to answer.
const LATENCY: Duration = Duration::from_millis(25);
/// Subscriptions `sub_1` to this one exist.
const MOST: u32 = 10_000;
const PER_CUSTOMER: u32 = 4;

/// What a subscription is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Plan {
    Basic,
    Team,
    Business,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subscription {
    pub(crate) id: String,
    pub(crate) customer: String,
    pub(crate) plan: Plan,
    pub(crate) active: bool,
    /// Counts the changes.
    pub(crate) revision: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Billing(Mutex<HashMap<u32, Subscription>>);

impl Billing {
    fn changed(&self) -> MutexGuard<'_, HashMap<u32, Subscription>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As it was when the question arrived: others may change it while the answer is on its way.
    pub(crate) async fn find(&self, number: u32) -> Option<Subscription> {
        let found = of(&self.changed(), number);
        tokio::time::sleep(LATENCY).await;
        found
    }

    /// `None`: there is no such subscription.
    pub(crate) async fn change_plan(&self, number: u32, plan: Plan) -> Option<Subscription> {
        tokio::time::sleep(LATENCY).await;
        self.change(number, |subscription| subscription.plan = plan)
    }

    /// How many of the customer's subscriptions there are; none is active any more.
    pub(crate) async fn end_all(&self, customer: u32) -> usize {
        tokio::time::sleep(LATENCY).await;
        let last = customer.saturating_mul(PER_CUSTOMER);
        (last.saturating_sub(PER_CUSTOMER - 1)..=last)
            .filter_map(|number| self.change(number, |subscription| subscription.active = false))
            .count()
    }

    fn change(&self, number: u32, change: impl FnOnce(&mut Subscription)) -> Option<Subscription> {
        let mut changed = self.changed();
        let mut subscription = of(&changed, number)?;
        change(&mut subscription);
        subscription.revision += 1;
        changed.insert(number, subscription.clone());
        Some(subscription)
    }
}

/// What nobody has changed yet is as it always was.
fn of(changed: &HashMap<u32, Subscription>, number: u32) -> Option<Subscription> {
    if !(1..=MOST).contains(&number) {
        return None;
    }
    Some(changed.get(&number).cloned().unwrap_or_else(|| Subscription {
        id: format!("sub_{number}"),
        customer: format!("cus_{}", (number - 1) / PER_CUSTOMER + 1),
        plan: Plan::Basic,
        active: true,
        revision: 0,
    }))
}
