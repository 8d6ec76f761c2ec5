//! What a call asks for: charges, as users name them, and items, as the script counts them.

use std::fmt::Display;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::error::InvalidCost;
use crate::key::Key;
use crate::quota::{Quota, Rate};

/// One charge of a [`check_all`](crate::RateLimiter::check_all): so much, to a subject, by a policy of the limiter.
#[derive(Debug, Clone)]
#[must_use]
pub struct Charge {
    pub(crate) policy: String,
    pub(crate) subject: String,
    pub(crate) cost: u64,
    pub(crate) quota: Option<Quota>,
}

impl Charge {
    /// One token.
    pub fn new(policy: impl Into<String>, subject: &(impl Display + ?Sized)) -> Self {
        Self { policy: policy.into(), subject: subject.to_string(), cost: 1, quota: None }
    }

    /// So many tokens.
    pub const fn cost(mut self, cost: u64) -> Self {
        self.cost = cost;
        self
    }

    /// By this quota in place of the policy's own.
    pub const fn quota(mut self, quota: Quota) -> Self {
        self.quota = Some(quota);
        self
    }
}

/// Of most calls there is one.
pub(crate) type Items = SmallVec<[Item; 1]>;

#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) policy: Arc<str>,
    pub(crate) key: Key,
    pub(crate) rate: Rate,
    pub(crate) cost: u64,
}

impl Item {
    /// The subject, as it is in the key: what stands between the first brace, as no name has one, and the policy.
    pub(crate) fn tag(&self) -> &[u8] {
        let start = self.key.iter().position(|byte| *byte == b'{').map_or(0, |at| at + 1);
        self.key.get(start..self.key.len().saturating_sub(self.policy.len() + 2)).unwrap_or_default()
    }

    /// With a cost that can be allowed at all.
    pub(crate) fn checked(self) -> Result<Self, InvalidCost> {
        if self.cost <= self.rate.burst {
            return Ok(self);
        }
        Err(InvalidCost { policy: self.policy.to_string(), cost: self.cost, burst: self.rate.burst })
    }
}

/// What is to be done with items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nothing: only look.
    Peek,
    /// All of them or none.
    Charge,
    /// All of them, into debt beyond the burst if need be.
    Force,
    /// Give back what has not drained since the charge, which was made then.
    Refund(u64),
}
