//! Settings on their way to a limiter.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use cenote_pool_core::{Pool, State};

use crate::engine::Engine;
use crate::error::Error;
use crate::key::{self, check_name};
use crate::lease::{Lease, Leases};
use crate::limiter::RateLimiter;
use crate::nodes::Nodes;
use crate::policy::Policy;
use crate::quota::Quota;

/// Nobody waits for longer, and times that are added up must not overflow.
const LONGEST: Duration = Duration::from_secs(86_400);

pub(crate) type Resolver = dyn Fn(&str, &str) -> Option<Quota> + Send + Sync;

/// What a limiter does while Redis does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnOutage {
    /// Each process decides by itself, at its [share](RateLimiterBuilder::nodes) of the quota.
    #[default]
    Fallback,
    /// All is allowed.
    Open,
    /// All is refused.
    Closed,
}

/// What becomes of what a key has used when its quota changes: by [`set_quota`](RateLimiter::set_quota), by the
/// [resolver](RateLimiterBuilder::resolver), by a quota of one call, or by a new version of the program.
///
/// A quota is another if its rate or its burst is. The change takes place where the key was charged last: what came back
/// since then came at the new rate. Nothing is written before a charge by the new quota is taken.
///
/// In a table's bucket that several keys share while Redis is away, tokens used always stay used. A refund counts by the
/// quota of its own call, whichever it was that was charged by; with [`Reset`](Self::Reset), what was charged by another quota
/// than the key has now is forgotten already, and is not given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnQuotaChange {
    /// The tokens used stay used: 3 of 10 become 3 of 100. A part of a token counts as one.
    #[default]
    KeepUsed,
    /// The key starts anew, with all of its burst. **Processes that differ about a quota start it anew by turns**, and let
    /// through a burst each time: not for deploys in which two versions run side by side.
    Reset,
    /// The used part of the burst stays used: 3 of 10 become 30 of 100.
    Proportional,
}

/// Collects settings; [`build`](Self::build) checks them all.
#[must_use = "nothing is made before `build`"]
pub struct RateLimiterBuilder {
    pub(crate) pool: Pool,
    pub(crate) name: String,
    policies: Vec<(String, Quota)>,
    pub(crate) resolver: Option<Box<Resolver>>,
    pub(crate) on_outage: OnOutage,
    pub(crate) on_quota_change: OnQuotaChange,
    nodes: Option<u64>,
    count_every: Duration,
    pub(crate) limit: Duration,
    pub(crate) fallback_keys: usize,
    pub(crate) block_keys: usize,
    pub(crate) shadow: bool,
    lease: Option<Lease>,
    pub(crate) now: Option<Arc<AtomicU64>>,
}

impl RateLimiterBuilder {
    pub(crate) fn new(pool: &Pool, name: &str) -> Self {
        Self {
            pool: pool.clone(),
            name: name.to_owned(),
            policies: Vec::new(),
            resolver: None,
            on_outage: OnOutage::default(),
            on_quota_change: OnQuotaChange::default(),
            nodes: None,
            count_every: Duration::from_secs(5),
            limit: Duration::from_millis(50),
            fallback_keys: 100_000,
            block_keys: 10_000,
            shadow: false,
            lease: None,
            now: None,
        }
    }

    /// The quota of a limiter that has one policy; its name is `default`.
    pub fn quota(self, quota: Quota) -> Self {
        self.policy("default", quota)
    }

    /// Adds a policy by a name of its own. A call must satisfy all policies of its limiter, and is charged to all or
    /// to none of them.
    pub fn policy(mut self, name: &str, quota: Quota) -> Self {
        self.policies.push((name.to_owned(), quota));
        self
    }

    /// Asked at each call, with the policy's name and the key, for a quota in place of the policy's. It must be quick.
    ///
    /// When a key's quota changes, [`on_quota_change`](Self::on_quota_change) says what becomes of what it has used. One that
    /// is not valid fails the call.
    pub fn resolver(
        mut self,
        resolver: impl Fn(&str, &str) -> Option<Quota> + Send + Sync + 'static,
    ) -> Self {
        self.resolver = Some(Box::new(resolver));
        self
    }

    /// What happens while Redis does not answer. Default: [`OnOutage::Fallback`].
    pub fn on_outage(mut self, policy: OnOutage) -> Self {
        self.on_outage = policy;
        self
    }

    /// What becomes of what a key has used when its quota changes. Default: [`OnQuotaChange::KeepUsed`].
    pub fn on_quota_change(mut self, change: OnQuotaChange) -> Self {
        self.on_quota_change = change;
        self
    }

    /// How many processes share the quota. While Redis does not answer, each lets through 1/n of the rate, and 1/n of
    /// the burst at once, but at least one.
    ///
    /// Default: as many as Redis has counted. Each limiter that is used tells Redis so every 5 s, on a task beside the call
    /// at hand, and is forgotten 15 s after it last did. The last count that was heard holds through an outage; before the
    /// first it is 1. Processes that are cut off one long after another hear of ever fewer: say how many there are where
    /// the bound must hold then, too.
    pub fn nodes(mut self, nodes: u64) -> Self {
        self.nodes = Some(nodes);
        self
    }

    /// How long a call waits for Redis. After three calls in a row that waited in vain, Redis is left alone for a
    /// second, and then asked by one call. A day at most; default 50 ms.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// For how many keys this process keeps a bucket while Redis does not answer. Beyond that, new keys share one
    /// bucket for each policy. For as many keys it remembers what Redis said last, which is what their buckets begin with.
    /// Default 100,000.
    pub fn fallback_keys(mut self, keys: usize) -> Self {
        self.fallback_keys = keys;
        self
    }

    /// For how many keys at most it is remembered that Redis refused them; 0 is none. What another process gives back
    /// is noticed up to a second later. Default 10,000.
    pub fn block_keys(mut self, keys: usize) -> Self {
        self.block_keys = keys;
        self
    }

    /// Takes tokens in advance, so that most calls of [`check`](RateLimiter::check), [`check_n`](RateLimiter::check_n) and
    /// [`until_ready`](RateLimiter::until_ready) need no round trip: [`Lease`] tells at which price. Default: none.
    pub fn lease(mut self, lease: Lease) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Decides and charges as ever, and allows what would be refused; [`Decision::shadow`](crate::Decision::shadow)
    /// says so. Default: no.
    pub fn shadow(mut self, on: bool) -> Self {
        self.shadow = on;
        self
    }

    /// For tests: how often processes are counted.
    #[doc(hidden)]
    pub fn count_nodes_every(mut self, every: Duration) -> Self {
        self.count_every = every;
        self
    }

    /// For tests: microseconds in place of the server's time.
    #[doc(hidden)]
    pub fn injected_time(mut self, now: Arc<AtomicU64>) -> Self {
        self.now = Some(now);
        self
    }

    /// Makes the limiter, without I/O.
    ///
    /// # Errors
    ///
    /// Settings that cannot be, each with what would be right.
    pub fn build(mut self) -> Result<RateLimiter, Error> {
        let problems = self.problems();
        if !problems.is_empty() {
            return Err(Error::Config(format!("limiter {:?}: {}", self.name, problems.join("; "))));
        }
        let mut policies = Vec::with_capacity(self.policies.len());
        for (name, quota) in std::mem::take(&mut self.policies) {
            policies.push(Policy::new(&name, quota.rate_of(&self.name, &name)?));
        }
        let embedded = self.pool.state() == State::Embedded;
        let (prefix, resolver) = (key::prefix(&self.name), self.resolver.take());
        // Without Redis there is nobody to lease from.
        let lease = self.lease.filter(|_| !embedded);
        let nodes = Arc::new(Nodes::new(&self.pool, &self.name, &prefix, self.nodes, self.count_every));
        let leases = lease.map(|lease| Leases::new(&lease, nodes.clone(), self.limit));
        Ok(RateLimiter::new(Engine::new(self, nodes, embedded), prefix, policies, resolver, leases))
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        problems.extend(check_name("limiter", &self.name).err());
        problems.extend(self.lease.iter().flat_map(Lease::problems));
        for (index, (name, _)) in self.policies.iter().enumerate() {
            problems.extend(check_name("policy", name).err());
            if self.policies[..index].iter().any(|(other, _)| other == name) {
                problems.push(format!("two policies are called {name:?}: give one another name"));
            }
        }
        let mut wrong = |is: bool, why: &str| {
            if is {
                problems.push(why.to_owned());
            }
        };
        wrong(self.policies.is_empty(), "it has no quota: add one with .quota(..) or .policy(..)");
        wrong(self.nodes == Some(0), "nodes must be at least 1");
        wrong(self.limit.is_zero(), "timeout must be more than 0");
        wrong(self.limit > LONGEST, "timeout must be a day at most");
        problems
    }
}

impl fmt::Debug for RateLimiterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiterBuilder")
            .field("name", &self.name)
            .field("policies", &self.policies)
            .field("on_outage", &self.on_outage)
            .finish_non_exhaustive()
    }
}
