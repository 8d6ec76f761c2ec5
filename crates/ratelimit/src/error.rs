//! Why a call on a limiter failed. That Redis is away is no failure: the outage policy decides then.

use thiserror::Error;

use crate::quota::InvalidQuota;

/// Why a limiter was not built, or could not decide.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The call asks for more at once than its policy ever lets through.
    #[error(transparent)]
    Cost(#[from] InvalidCost),
    /// A quota cannot be kept exactly.
    #[error(transparent)]
    Quota(#[from] InvalidQuota),
    /// The subjects of the call are in different slots of a Redis Cluster. Nothing was charged.
    #[error(
        "the charges to {policies:?} are of subjects in different slots of a Redis Cluster, which cannot charge all or \
         none of them. Nothing was charged: check one subject in each call"
    )]
    #[non_exhaustive]
    CrossSlot {
        /// The policies of the call.
        policies: Vec<String>,
    },
    /// The settings, or the policies of a call, are at fault.
    #[error("{0}")]
    Config(String),
}

/// More at once than a policy ever lets through: waiting would not help.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("a cost of {cost} is more than policy {policy:?} lets through at once, which is {burst}")]
#[non_exhaustive]
pub struct InvalidCost {
    /// The policy.
    pub policy: String,
    /// What the call asked for.
    pub cost: u64,
    /// The most that it may ask for.
    pub burst: u64,
}
