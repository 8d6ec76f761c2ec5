//! What this process knows of a call by itself, before it asks Redis.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;

use super::{Inner, RateLimiter};
use crate::blocks::{Name, ROOM};
use crate::decision::{Decision, Verdict};
use crate::engine::Looked;
use crate::error::Error;
use crate::key;
use crate::policy::Policy;
use crate::quota::Rate;
use crate::subject::Subject;

/// A policy that refused the same a moment ago.
pub(super) type Refusal<'a> = (&'a Policy, Rate, Verdict);

/// A call, once this process has looked at what it knows.
pub(super) enum AtOnce<'a> {
    Refused(Refusal<'a>),
    Decided(Result<Decision, Error>),
    Asks(Pin<Box<dyn Future<Output = Result<Decision, Error>> + Send + 'a>>),
}

impl RateLimiter {
    /// No part of the call's own future, into which all that it has would be moved.
    #[inline]
    pub(super) fn look(&self, key: &(impl Display + ?Sized), cost: u64) -> AtOnce<'_> {
        // Refusals come in floods. The clock first: nothing of what follows until it is compared waits for it.
        let now = self.remembers().then(|| self.inner.engine.now());
        let mut subject = Subject::new();
        subject.take(key);
        match now.and_then(|now| self.refused_before(&mut subject, cost, now)) {
            Some(refusal) => AtOnce::Refused(refusal),
            None => {
                let other = self.at_once(subject.as_str(), cost);
                other.unwrap_or_else(|error| AtOnce::Decided(Err(error)))
            }
        }
    }

    /// What this process knows by itself, or a call that asks Redis: boxed, as most calls of a lease, and of keys that were
    /// refused, need no room for one.
    fn at_once(&self, subject: &str, cost: u64) -> Result<AtOnce<'_>, Error> {
        if let Some(leases) = &self.inner.leases {
            return Ok(match self.spend(leases, subject, cost)? {
                Some(decision) => AtOnce::Decided(Ok(decision)),
                None => AtOnce::Asks(Box::pin(self.check_leased(leases, subject.to_owned(), cost))),
            });
        }
        let engine = &self.inner.engine;
        let items = self.items(subject, cost)?;
        Ok(match engine.blocked(&items) {
            Looked::Refused(decision) => AtOnce::Decided(Ok(engine.told(decision))),
            Looked::Unknown(asked) => {
                AtOnce::Asks(Box::pin(async move { engine.charge_unblocked(&items, asked).await }))
            }
        })
    }

    /// Whether refusals of calls by key are remembered for the one policy that most limiters have. A resolver is asked once in
    /// a call, so not for that.
    #[inline]
    fn remembers(&self) -> bool {
        let Inner { engine, policies, resolver, leases, .. } = &*self.inner;
        resolver.is_none() && leases.is_none() && policies.len() == 1 && engine.blocks.in_use()
    }

    /// A look at them, before a call is made of it.
    #[inline]
    fn refused_before(&self, subject: &mut Subject, cost: u64, now: u64) -> Option<Refusal<'_>> {
        let Inner { engine, policies, .. } = &*self.inner;
        let policy = policies.first()?;
        let rate = policy.rate();
        if cost > rate.burst || !key::is_plain(subject.as_bytes()) {
            return None;
        }
        let mut room;
        let name = match subject.name(&policy.name) {
            Some(name) => name,
            None => {
                room = [0; ROOM];
                Name::of(&mut room, subject.as_bytes(), &policy.name)
            }
        };
        let verdict = engine.blocks.look(&name, &rate, cost, now).err()?;
        Some((policy, rate, verdict))
    }

    /// Made where it goes: of a decision that is moved about each move waits for the last.
    #[inline]
    pub(super) fn refused(&self, (policy, rate, verdict): Refusal<'_>) -> Decision {
        let mut decision = Decision::refused_before((policy.copy_of_name(), rate), verdict);
        self.inner.engine.refused_locally(&mut decision);
        decision
    }
}
