//! What a limiter answers.

#[cfg(feature = "tower")]
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::call::Item;
use crate::quota::Rate;

/// Who decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// Redis, which all processes share.
    Redis,
    /// This process, at its share of the quota, because Redis did not answer in time.
    Fallback,
    /// This process, of tokens that it took of Redis before: see [`Lease`](crate::Lease).
    Lease,
    /// This process, because Redis had refused the same and it is too early to ask again.
    BlockedLocally,
    /// [`OnOutage::Open`](crate::OnOutage::Open): Redis did not answer in time.
    Open,
    /// [`OnOutage::Closed`](crate::OnOutage::Closed): Redis did not answer in time.
    Closed,
}

/// A decision, with what headers tell of it. Of several policies it describes the one that refuses for longest, or, if
/// all allow, the one with the least remaining.
#[derive(Clone)]
#[non_exhaustive]
pub struct Decision {
    /// May the call go on?
    pub allowed: bool,
    /// The most that the policy lets through at once, by whoever decided.
    pub limit: u64,
    /// What is left of that after this call.
    pub remaining: u64,
    /// After this time the same call is allowed, if nobody else takes it before. Zero if it is allowed now. It is never
    /// too early.
    pub retry_after: Duration,
    /// After this time all is as if nothing had been taken.
    pub reset_after: Duration,
    /// The policy that this describes.
    pub policy: Arc<str>,
    /// Who decided.
    pub source: Source,
    /// It would have been refused, and is allowed because the limiter is in shadow mode.
    pub shadow: bool,
    violated: Violated,
    receipt: Option<Receipt>,
    #[cfg(feature = "tower")]
    told: All,
}

/// Which policies refuse.
#[derive(Debug, Clone)]
enum Violated {
    None,
    /// The one that the decision describes.
    Described,
    Several(Box<[Arc<str>]>),
}

/// One policy of a call, for the headers that tell of it.
#[cfg(feature = "tower")]
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) policy: Arc<str>,
    pub(crate) rate: Rate,
    /// `None`: nobody asked.
    pub(crate) verdict: Option<Verdict>,
}

/// The policies of a call, in its order.
#[cfg(feature = "tower")]
#[derive(Clone)]
enum All {
    /// The one that the decision describes: without asking the allocator.
    One(Rate),
    Several(Arc<[Told]>),
}

#[cfg(feature = "tower")]
impl Told {
    fn of((item, verdict): (&Item, &Option<Verdict>)) -> Self {
        Self { policy: item.policy.clone(), rate: item.rate, verdict: *verdict }
    }
}

/// When a charge was made, by the clock of whoever decided, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Receipt {
    pub(crate) at: u64,
    pub(crate) local: bool,
}

/// What became of one item. Times in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) fits: bool,
    pub(crate) limit: u64,
    pub(crate) remaining: u64,
    pub(crate) retry: u64,
    pub(crate) reset: u64,
}

impl fmt::Debug for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decision")
            .field("allowed", &self.allowed)
            .field("limit", &self.limit)
            .field("remaining", &self.remaining)
            .field("retry_after", &self.retry_after)
            .field("reset_after", &self.reset_after)
            .field("policy", &self.policy)
            .field("source", &self.source)
            .field("shadow", &self.shadow)
            .field("violated", &self.violated())
            .finish_non_exhaustive()
    }
}

impl Decision {
    /// The policies that refuse, in the order of the call; in shadow mode those that would. Blocked locally, those
    /// that are known to.
    pub fn violated(&self) -> &[Arc<str>] {
        match &self.violated {
            Violated::None => &[],
            Violated::Described => std::slice::from_ref(&self.policy),
            Violated::Several(all) => all,
        }
    }

    /// From memory: what is known to refuse is refused, and of the rest nothing is known.
    pub(crate) fn blocked(items: &[Item], verdicts: &[Option<Verdict>]) -> Self {
        let known =
            items.iter().zip(verdicts).filter_map(|(item, verdict)| Some((item.clone(), (*verdict)?)));
        let (refusing, why): (Vec<Item>, Vec<Verdict>) = known.unzip();
        Self {
            #[cfg(feature = "tower")]
            told: All::Several(items.iter().zip(verdicts).map(Told::of).collect()),
            ..Self::new(&refusing, &why, Source::BlockedLocally, None)
        }
    }

    /// From one verdict for each item. `at` is when it was made.
    pub(crate) fn new(items: &[Item], verdicts: &[Verdict], source: Source, at: Option<u64>) -> Self {
        let refused = || both(items, verdicts).filter(|(_, verdict)| !verdict.fits);
        let violated = match refused().count() {
            0 => Violated::None,
            1 => Violated::Described,
            _ => Violated::Several(refused().map(|(item, _)| item.policy.clone()).collect()),
        };
        let allowed = matches!(violated, Violated::None);
        let described = if allowed {
            both(items, verdicts).min_by_key(|(_, verdict)| verdict.remaining)
        } else {
            refused().reduce(|longest, next| if next.1.retry > longest.1.retry { next } else { longest })
        };
        let local = source == Source::Fallback;
        let receipt = at.filter(|_| allowed).map(|at| Receipt { at, local });
        let (policy, verdict) = described.map_or_else(
            || (Arc::from(""), Verdict { fits: true, limit: 0, remaining: 0, retry: 0, reset: 0 }),
            |(item, verdict)| (item.policy.clone(), *verdict),
        );
        Self {
            allowed,
            limit: verdict.limit,
            remaining: verdict.remaining,
            retry_after: Duration::from_micros(verdict.retry),
            reset_after: Duration::from_micros(verdict.reset),
            policy,
            source,
            shadow: false,
            violated,
            receipt,
            #[cfg(feature = "tower")]
            told: match items {
                [item] => All::One(item.rate),
                _ => All::Several(
                    both(items, verdicts).map(|(item, verdict)| Told::of((item, &Some(*verdict)))).collect(),
                ),
            },
        }
    }

    /// All policies of the call, in its order, known or not; of a lease the one that has the least left.
    #[cfg(feature = "tower")]
    pub(crate) fn told(&self) -> Cow<'_, [Told]> {
        let rate = match &self.told {
            All::Several(told) => return Cow::Borrowed(told),
            All::One(rate) => *rate,
        };
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let verdict = Verdict {
            fits: self.violated().is_empty(),
            limit: self.limit,
            remaining: self.remaining,
            retry: micros(self.retry_after),
            reset: micros(self.reset_after),
        };
        Cow::Owned(vec![Told { policy: self.policy.clone(), rate, verdict: Some(verdict) }])
    }

    /// Of tokens that were charged before.
    #[cfg_attr(not(feature = "tower"), expect(unused_variables, reason = "the rate is for headers"))]
    pub(crate) fn let_through(
        (policy, rate): (Arc<str>, Rate),
        verdict: Verdict,
        source: Source,
        receipt: Receipt,
    ) -> Self {
        Self {
            allowed: true,
            limit: verdict.limit,
            remaining: verdict.remaining,
            retry_after: Duration::ZERO,
            reset_after: Duration::from_micros(verdict.reset),
            #[cfg(feature = "tower")]
            told: All::One(rate),
            policy,
            source,
            shadow: false,
            violated: Violated::None,
            receipt: Some(receipt),
        }
    }

    /// Of a policy that refused the same a moment ago.
    #[cfg_attr(not(feature = "tower"), expect(unused_variables, reason = "the rate is for headers"))]
    #[inline]
    pub(crate) fn refused_before((policy, rate): (Arc<str>, Rate), verdict: Verdict) -> Self {
        Self {
            allowed: false,
            limit: verdict.limit,
            remaining: verdict.remaining,
            retry_after: Duration::from_micros(verdict.retry),
            reset_after: Duration::from_micros(verdict.reset),
            #[cfg(feature = "tower")]
            told: All::One(rate),
            policy,
            source: Source::BlockedLocally,
            shadow: false,
            violated: Violated::Described,
            receipt: None,
        }
    }

    /// `None` if there is nothing to give back.
    pub(crate) fn receipt(&self) -> Option<Receipt> {
        self.receipt
    }

    pub(crate) fn in_shadow(mut self) -> Self {
        self.shadow = !self.allowed;
        self.allowed = true;
        self
    }
}

fn both<'a>(items: &'a [Item], verdicts: &'a [Verdict]) -> impl Iterator<Item = (&'a Item, &'a Verdict)> {
    items.iter().zip(verdicts)
}
