//! The limiter as users see it.

mod at_once;

use std::fmt::{self, Display};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cenote_pool_core::Pool;

use crate::builder::{RateLimiterBuilder, Resolver};
use crate::call::{Charge, Item, Items};
use crate::decision::Decision;
use crate::engine::Engine;
use crate::error::Error;
use crate::key::{self, text};
use crate::lease::Leases;
use crate::policy::Policy;
use crate::quota::{Quota, Rate};
use crate::reserve::Reservation;
use crate::stats::Stats;

use at_once::AtOnce;

/// Limits how often something may happen, by key, for all processes that share a Redis.
///
/// Clones are cheap and all mean the same limiter. All limiters of one name on one Redis share what is used. Keys are
/// whatever prints as text: a user's number, an address, a token.
///
/// **Limits.** A call waits for Redis for [`timeout`](RateLimiterBuilder::timeout) at most, and then, or at once while
/// Redis is away, the [outage policy](RateLimiterBuilder::on_outage) decides. So that Redis is away is no error.
///
/// **Cancel safety.** A call that is dropped may have been charged, and is not refunded.
#[derive(Clone)]
pub struct RateLimiter {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) engine: Arc<Engine>,
    pub(crate) prefix: String,
    pub(crate) policies: Vec<Policy>,
    resolver: Option<Box<Resolver>>,
    pub(crate) leases: Option<Leases>,
}

impl RateLimiter {
    /// Starts the settings of a limiter: its name is part of what Redis knows it by.
    pub fn builder(pool: &Pool, name: &str) -> RateLimiterBuilder {
        RateLimiterBuilder::new(pool, name)
    }

    pub(crate) fn new(
        engine: Engine,
        prefix: String,
        policies: Vec<Policy>,
        resolver: Option<Box<Resolver>>,
        leases: Option<Leases>,
    ) -> Self {
        Self { inner: Arc::new(Inner { engine: Arc::new(engine), prefix, policies, resolver, leases }) }
    }

    /// Takes one token of `key`, of each policy, or says why not.
    ///
    /// # Errors
    ///
    /// A quota of the [resolver](RateLimiterBuilder::resolver) that cannot be kept.
    pub async fn check(&self, key: &(impl Display + Sync + ?Sized)) -> Result<Decision, Error> {
        let asks = match self.look(key, 1) {
            AtOnce::Refused(refusal) => return Ok(self.refused(refusal)),
            AtOnce::Decided(decision) => return decision,
            AtOnce::Asks(asks) => asks,
        };
        asks.await
    }

    /// Takes `cost` tokens of `key`, of each policy, or none at all.
    ///
    /// # Errors
    ///
    /// [`InvalidCost`](crate::InvalidCost) when it is more than a policy ever lets through at once.
    pub async fn check_n(&self, key: &(impl Display + Sync + ?Sized), cost: u64) -> Result<Decision, Error> {
        let asks = match self.look(key, cost) {
            AtOnce::Refused(refusal) => return Ok(self.refused(refusal)),
            AtOnce::Decided(decision) => return decision,
            AtOnce::Asks(asks) => asks,
        };
        asks.await
    }

    /// As [`check`](Self::check), by this quota in place of the first policy's, and by no other.
    ///
    /// The key has one debt, whatever the quota: when that changes,
    /// [`on_quota_change`](RateLimiterBuilder::on_quota_change) says what becomes of it.
    ///
    /// # Errors
    ///
    /// The quota cannot be kept.
    pub async fn check_with(
        &self,
        key: &(impl Display + Sync + ?Sized),
        quota: &Quota,
    ) -> Result<Decision, Error> {
        let Some(policy) = self.inner.policies.first() else { return Err(none_called("default")) };
        let rate = quota.rate_of(self.inner.engine.name(), &policy.name)?;
        let items = [self.item(policy, rate, &text(key), 1)?];
        self.inner.engine.charge(&items).await
    }

    /// Takes all of these charges, or none of them. [`Decision::violated`] names the policies that refuse.
    ///
    /// ```no_run
    /// # async fn example(limiter: cenote_ratelimit::RateLimiter) -> Result<(), cenote_ratelimit::Error> {
    /// use cenote_ratelimit::Charge;
    ///
    /// let charges = [Charge::new("user", &42), Charge::new("tenant", "acme").cost(5)];
    /// let decision = limiter.check_all(&charges).await?;
    /// if !decision.allowed {
    ///     println!("{:?} refuse", decision.violated());
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// No charges, a policy that the limiter does not have, the same policy and subject twice, a cost or a quota that
    /// cannot be; and [`Error::CrossSlot`] when the server is a Redis Cluster that has the subjects in different slots.
    pub async fn check_all(&self, charges: &[Charge]) -> Result<Decision, Error> {
        let items = self.items_of(charges)?;
        self.inner.engine.charge(&items).await
    }

    /// What [`check`](Self::check) would answer now. Takes nothing: `remaining` is what is there.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub async fn peek(&self, key: &(impl Display + Sync + ?Sized)) -> Result<Decision, Error> {
        let items = self.items(&text(key), 1)?;
        self.inner.engine.peek(&items).await
    }

    /// Gives `cost` tokens back that `decision` took of `key`, where they were taken: less what has come back by itself
    /// since, so that never more is let through than the quota has.
    ///
    /// Nothing happens if the decision took nothing. If Redis does not answer it is not tried again. What was taken
    /// before a [`reset`](Self::reset) should not be given back after it.
    ///
    /// # Errors
    ///
    /// As [`check_n`](Self::check_n).
    pub async fn refund(
        &self,
        key: &(impl Display + Sync + ?Sized),
        cost: u64,
        decision: &Decision,
    ) -> Result<(), Error> {
        self.give_back(&self.items(&text(key), cost)?, decision).await;
        Ok(())
    }

    /// As [`refund`](Self::refund), of a [`check_all`](Self::check_all).
    ///
    /// # Errors
    ///
    /// As [`check_all`](Self::check_all).
    pub async fn refund_all(&self, charges: &[Charge], decision: &Decision) -> Result<(), Error> {
        self.give_back(&self.items_of(charges)?, decision).await;
        Ok(())
    }

    async fn give_back(&self, items: &[Item], decision: &Decision) {
        if let Some(receipt) = decision.receipt() {
            self.inner.engine.refund(items, receipt).await;
        }
    }

    /// Makes it as if nothing had been taken of `key`. Says whether Redis has done so.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub async fn reset(&self, key: &(impl Display + Sync + ?Sized)) -> Result<bool, Error> {
        let subject = text(key);
        let items = self.items(&subject, 0)?;
        if let Some(leases) = &self.inner.leases {
            leases.forget(&subject);
        }
        Ok(self.inner.engine.forget(&items).await)
    }

    /// Takes `cost` tokens of `key` for what is not known to cost so much; [`Reservation::settle`] says what it did.
    ///
    /// # Errors
    ///
    /// As [`check_n`](Self::check_n).
    pub async fn reserve(
        &self,
        key: &(impl Display + Sync + ?Sized),
        cost: u64,
    ) -> Result<Reservation, Error> {
        let items = self.items(&text(key), cost)?;
        let decision = self.inner.engine.charge(&items).await?;
        Ok(Reservation::new(self.clone(), items, decision))
    }

    /// Takes one token of `key` as soon as there is one. When that would be after `limit`, returns the refusal at once.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    ///
    /// **Cancel safety.** Dropped while it waits, it has taken nothing.
    pub async fn until_ready(
        &self,
        key: &(impl Display + Sync + ?Sized),
        limit: Duration,
    ) -> Result<Decision, Error> {
        let began = Instant::now();
        loop {
            let decision = self.check(key).await?;
            if decision.allowed || decision.retry_after > limit.saturating_sub(began.elapsed()) {
                return Ok(decision);
            }
            tokio::time::sleep(decision.retry_after).await;
        }
    }

    /// From now on the policy of this name has this quota, for all clones of this limiter in this process. What its keys
    /// have used is inherited as [`on_quota_change`](RateLimiterBuilder::on_quota_change) says; refusals that are remembered
    /// of the old quota no longer count, and leases of it end.
    ///
    /// Other processes keep theirs until they are told, too. A policy added by
    /// [`quota`](RateLimiterBuilder::quota) is called `default`. Where quotas differ by key, a
    /// [resolver](RateLimiterBuilder::resolver) does the same.
    ///
    /// ```no_run
    /// # fn example(limiter: cenote_ratelimit::RateLimiter) -> Result<(), cenote_ratelimit::Error> {
    /// use cenote_ratelimit::Quota;
    ///
    /// limiter.set_quota("default", Quota::per_second(20).burst(50))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// The quota cannot be kept, or there is no such policy. Then nothing has changed.
    pub fn set_quota(&self, policy: &str, quota: Quota) -> Result<(), Error> {
        let rate = quota.rate_of(self.inner.engine.name(), policy)?;
        let found = self.inner.policies.iter().find(|one| *one.name == *policy);
        found.ok_or_else(|| none_called(policy))?.change(rate);
        Ok(())
    }

    /// How many processes share the quota, as far as is known: as [`nodes`](RateLimiterBuilder::nodes) says, or as Redis
    /// counted them last; 1 before.
    pub fn nodes(&self) -> u64 {
        self.inner.engine.nodes.count()
    }

    /// What this limiter has done.
    pub fn stats(&self) -> Stats {
        let mut stats = self.inner.engine.stats();
        stats.leased_keys = self.inner.leases.as_ref().map_or(0, |leases| leases.len() as u64);
        stats
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    pub(crate) fn leases(&self) -> Option<&Leases> {
        self.inner.leases.as_ref()
    }

    pub(crate) fn policies(&self) -> &[Policy] {
        &self.inner.policies
    }

    /// The quotas of all policies, if a resolver is asked for them.
    pub(crate) fn resolved(&self, subject: &str) -> Result<Option<Vec<Rate>>, Error> {
        let all = || self.inner.policies.iter().map(|policy| self.rate(policy, subject)).collect();
        self.inner.resolver.is_some().then(all).transpose()
    }

    pub(crate) fn items(&self, subject: &str, cost: u64) -> Result<Items, Error> {
        let item = |policy: &Policy| {
            let rate = self.rate(policy, subject)?;
            self.item(policy, rate, subject, cost)
        };
        self.inner.policies.iter().map(item).collect()
    }

    fn items_of(&self, charges: &[Charge]) -> Result<Items, Error> {
        let mut items = Items::with_capacity(charges.len());
        for Charge { policy: name, subject, cost, quota } in charges {
            let policy = self.inner.policies.iter().find(|policy| *policy.name == **name);
            let policy = policy.ok_or_else(|| none_called(name))?;
            let rate = match quota {
                Some(quota) => quota.rate_of(self.inner.engine.name(), name)?,
                None => self.rate(policy, subject)?,
            };
            let item = self.item(policy, rate, subject, *cost)?;
            if items.iter().any(|other| other.key == item.key) {
                let why =
                    format!("two charges of one subject to policy {name:?}: make them one, of both costs");
                return Err(Error::Config(why));
            }
            items.push(item);
        }
        if items.is_empty() {
            return Err(Error::Config("no charges: give at least one".to_owned()));
        }
        Ok(items)
    }

    fn rate(&self, policy: &Policy, subject: &str) -> Result<Rate, Error> {
        let resolver = self.inner.resolver.as_ref();
        match resolver.and_then(|resolver| resolver(&policy.name, subject)) {
            Some(quota) => Ok(quota.rate_of(self.inner.engine.name(), &policy.name)?),
            None => Ok(policy.rate()),
        }
    }

    fn item(&self, policy: &Policy, rate: Rate, subject: &str, cost: u64) -> Result<Item, Error> {
        let key = key::key(&self.inner.prefix, subject, &policy.name);
        Ok(Item { policy: policy.name.clone(), key, rate, cost }.checked()?)
    }
}

fn none_called(name: &str) -> Error {
    Error::Config(format!("the limiter has no policy {name:?}: add it with .policy({name:?}, ..)"))
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("prefix", &self.inner.prefix)
            .field("policies", &self.inner.policies)
            .finish_non_exhaustive()
    }
}
