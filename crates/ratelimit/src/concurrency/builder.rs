//! Settings on their way to a limiter of holders.

use std::time::Duration;

use cenote_pool_core::{Pool, State};

use crate::builder::OnOutage;
use crate::error::Error;
use crate::key::check_name;

use super::{ConcurrencyLimiter, Inner};

const SHORTEST: Duration = Duration::from_millis(30);
const LONGEST: Duration = Duration::from_secs(86_400);

/// Collects settings; [`build`](Self::build) checks them all.
#[derive(Debug, Clone)]
#[must_use = "nothing is made before `build`"]
pub struct ConcurrencyLimiterBuilder {
    pub(super) pool: Pool,
    pub(super) name: String,
    pub(super) most: u64,
    pub(super) lifetime: Duration,
    pub(super) on_outage: OnOutage,
    pub(super) nodes: u64,
    pub(super) limit: Duration,
}

impl ConcurrencyLimiterBuilder {
    pub(super) fn new(pool: &Pool, name: &str, most: u64) -> Self {
        Self {
            pool: pool.clone(),
            name: name.to_owned(),
            most,
            lifetime: Duration::from_secs(30),
            on_outage: OnOutage::default(),
            nodes: 1,
            limit: Duration::from_millis(50),
        }
    }

    /// After this time a permit that was not renewed is free again: so long does a process that dies keep others out.
    /// Permits are renewed at a third of it. 30 ms to a day; default 30 s.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// What happens while Redis does not answer. Default: [`OnOutage::Fallback`], which is a process's share.
    pub fn on_outage(mut self, policy: OnOutage) -> Self {
        self.on_outage = policy;
        self
    }

    /// How many processes share the limit. While Redis does not answer, each hands out permits of a key while it has
    /// less than 1/n of them out, and one at least. Default 1, as nobody counts them: each hands out all.
    pub fn nodes(mut self, nodes: u64) -> Self {
        self.nodes = nodes;
        self
    }

    /// How long one look at Redis takes at most. After three in a row that waited in vain, Redis is left alone for a
    /// second, and then asked by one call. A day at most; default 50 ms.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Makes the limiter, without I/O.
    ///
    /// # Errors
    ///
    /// Settings that cannot be, each with what would be right.
    pub fn build(self) -> Result<ConcurrencyLimiter, Error> {
        let mut problems: Vec<String> = check_name("limiter", &self.name).err().into_iter().collect();
        let mut wrong = |is: bool, why: &str| {
            if is {
                problems.push(why.to_owned());
            }
        };
        wrong(self.most == 0, "at least 1 must be allowed to hold a key");
        wrong(self.nodes == 0, "nodes must be at least 1");
        wrong(self.limit.is_zero(), "timeout must be more than 0");
        wrong(self.limit > LONGEST, "timeout must be a day at most");
        wrong(!(SHORTEST..=LONGEST).contains(&self.lifetime), "lifetime must be 30 ms to a day");
        if !problems.is_empty() {
            return Err(Error::Config(format!("limiter {:?}: {}", self.name, problems.join("; "))));
        }
        let embedded = self.pool.state() == State::Embedded;
        Ok(ConcurrencyLimiter::new(Inner::new(self, embedded)))
    }
}
