//! A check by a limiter with leases: from what this process holds, or by asking Redis for more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::blocks::Asked;
use crate::call::{Item, Items, Mode};
use crate::decision::{Decision, Receipt, Source, Verdict};
use crate::engine::{Engine, Looked};
use crate::error::Error;
use crate::limiter::RateLimiter;
use crate::policy::Policy;
use crate::quota::Rate;

use super::Leases;
use super::table::{Asking, Batch, Begun, Leftover, NO_RATE, Taken, Told};

/// Who has waited for others has less time than Redis has for an answer. Where it has as much, the answer's own limit comes
/// first: the breaker counts those.
const GRACE: Duration = Duration::from_millis(5);

/// What one call wants.
struct Want<'a> {
    leases: &'a Leases,
    items: &'a [Item],
    cost: u64,
    /// Tokens that may be held at once.
    most: u64,
    give_up: Instant,
}

/// What came of asking Redis.
enum Outcome {
    Decided(Decision),
    Unanswered,
    Again,
}

impl RateLimiter {
    /// After [`spend`](Self::spend) found too little.
    pub(crate) async fn check_leased(
        &self,
        leases: &Leases,
        subject: String,
        cost: u64,
    ) -> Result<Decision, Error> {
        let items = self.items(&subject, cost)?;
        let most = leases.most(&items);
        if cost == 0 || cost >= most {
            return self.engine().charge(&items).await;
        }
        let want = Want { leases, items: &items, cost, most, give_up: Instant::now() + leases.limit };
        let mut leftovers = Vec::new();
        let decision = self.lease(&want, &subject, &mut leftovers).await;
        self.give_back_soon(leftovers);
        decision
    }

    /// `None`: what is held does not do.
    pub(crate) fn spend(&self, leases: &Leases, subject: &str, cost: u64) -> Result<Option<Decision>, Error> {
        if cost == 0 {
            return Ok(None);
        }
        let engine = self.engine();
        let now = engine.now();
        // Whatever a resolver does, it does not do it under a lock.
        let rates = self.resolved(subject)?;
        let same = |held: &[Rate]| match &rates {
            Some(rates) => held == &rates[..],
            None => self.policies().iter().map(Policy::rate).eq(held.iter().copied()),
        };
        let taken = leases.table.take(subject, cost, now, same);
        let Some(taken) = taken else { return Ok(None) };
        // Who spends what it holds may not ask Redis for long, and is to be counted all the same.
        engine.nodes.seen(now);
        Ok(Some(engine.told(taken.decision(Source::Lease, now))))
    }

    async fn lease(
        &self,
        want: &Want<'_>,
        subject: &str,
        leftovers: &mut Vec<Leftover>,
    ) -> Result<Decision, Error> {
        let engine = self.engine();
        let rates: Arc<[Rate]> = want.items.iter().map(|item| item.rate).collect();
        // After half of its time a call asks for itself, so that it is not the length of a queue that decides.
        let patience = want.give_up - want.leases.limit / 2;
        while Instant::now() < patience {
            let asked = match engine.blocked(want.items) {
                Looked::Unknown(asked) => asked,
                Looked::Refused(refusal) => return Ok(engine.told(refusal)),
            };
            let now = engine.now();
            let soon = now.saturating_add(u64::try_from(want.leases.limit.as_micros()).unwrap_or(u64::MAX));
            let begun = want.leases.table.begin(subject, want.cost, (now, soon), &rates, leftovers);
            let outcome = match begun {
                Begun::Taken(taken) => Outcome::Decided(taken.decision(Source::Lease, now)),
                Begun::Wait(mut others) => {
                    match tokio::time::timeout_at(patience.into(), others.changed()).await {
                        Ok(Ok(())) => Outcome::Unanswered,
                        Ok(Err(_)) => Outcome::Again,
                        Err(_) => break,
                    }
                }
                Begun::Ask(asking) => {
                    let outcome = self.ask(want, asking, &asked, leftovers).await;
                    self.sweep_from_now_on();
                    outcome
                }
                Begun::Full => break,
            };
            match outcome {
                Outcome::Decided(decision) => return Ok(engine.told(decision)),
                Outcome::Unanswered => {
                    return Ok(engine.told(engine.without_redis(want.items, Mode::Charge)));
                }
                Outcome::Again => {}
            }
        }
        match tokio::time::timeout_at((want.give_up + GRACE).into(), engine.charge(want.items)).await {
            Ok(decision) => decision,
            Err(_) => Ok(engine.told(engine.without_redis(want.items, Mode::Charge))),
        }
    }

    /// Asks for as much as may be held, then for what Redis said that there is, then for what the call needs.
    async fn ask(
        &self,
        want: &Want<'_>,
        asking: Asking<'_>,
        asked: &[Asked],
        leftovers: &mut Vec<Leftover>,
    ) -> Outcome {
        let engine = self.engine();
        let (all, need) = (want.most - asking.rest(), want.cost - asking.rest());
        let mut tokens = all;
        loop {
            let since = engine.now();
            let items: Items = want.items.iter().map(|item| Item { cost: tokens, ..item.clone() }).collect();
            let give_up = (want.give_up + GRACE).into();
            let answer = tokio::time::timeout_at(give_up, engine.ask(&items, Mode::Charge)).await;
            let Some((charged, verdicts)) = answer.ok().and_then(Result::ok).flatten() else {
                asking.unanswered();
                return Outcome::Unanswered;
            };
            let now = engine.now();
            let room = verdicts.iter().map(|verdict| verdict.remaining).min().unwrap_or(0);
            if verdicts.iter().all(|verdict| verdict.fits) {
                // Less than all it had, if others were quicker twice: then there is more to be asked for.
                if tokens < all && verdicts.iter().any(|verdict| verdict.remaining == 0) {
                    want.rest_a_while(&verdicts, asked, now, engine);
                }
                let until = since.saturating_add(want.leases.lifetime);
                let fresh = Batch { tokens, since, until, charged };
                let told = Told::of(want.items, &verdicts, now);
                let taken = asking.granted(fresh, told, want.cost, now, leftovers);
                return taken
                    .map_or(Outcome::Again, |taken| Outcome::Decided(taken.decision(Source::Redis, now)));
            }
            if room < need {
                let verdicts = want.refused(&verdicts, tokens, need);
                for ((item, verdict), asked) in want.items.iter().zip(&verdicts).zip(asked) {
                    if !verdict.fits {
                        engine.blocks.keep(item, verdict, *asked, now);
                    }
                }
                // Not before: whoever waits looks there next.
                drop(asking);
                return Outcome::Decided(Decision::new(want.items, &verdicts, Source::Redis, None));
            }
            tokens = if tokens == all { room.min(all - 1).max(need) } else { need };
        }
    }
}

impl Want<'_> {
    /// What Redis says of `need` tokens, having refused `tokens`; and nobody is to come again before it is worth it.
    fn refused(&self, verdicts: &[Verdict], tokens: u64, need: u64) -> Vec<Verdict> {
        let one = |(item, verdict): (&Item, &Verdict)| {
            let fits = verdict.fits || verdict.remaining >= need;
            // By so much at least the fewer are there earlier.
            let earlier =
                u128::from(tokens - need) * u128::from(item.rate.token) / u128::from(item.rate.drain);
            let retry = verdict.retry.saturating_sub(u64::try_from(earlier).unwrap_or(u64::MAX));
            let retry = if fits { 0 } else { retry.max(self.leases.patience(&item.rate, self.most)) };
            Verdict { fits, retry, ..*verdict }
        };
        self.items.iter().zip(verdicts).map(one).collect()
    }

    /// Redis gave all it had: when that is spent, it is not asked before more than a little has come back.
    fn rest_a_while(&self, verdicts: &[Verdict], asked: &[Asked], now: u64, engine: &Engine) {
        let all = self.items.iter().zip(verdicts).zip(asked);
        let Some(((item, verdict), asked)) = all.min_by_key(|((_, verdict), _)| verdict.remaining) else {
            return;
        };
        let token = item.rate.token.div_ceil(item.rate.drain);
        let retry = token.max(self.leases.patience(&item.rate, self.most));
        let refusal = Verdict { fits: false, remaining: 0, retry, ..*verdict };
        engine.blocks.keep(&Item { cost: 1, ..item.clone() }, &refusal, *asked, now);
    }
}

impl Told {
    fn of(items: &[Item], verdicts: &[Verdict], now: u64) -> Self {
        let least = items.iter().zip(verdicts).min_by_key(|(_, verdict)| verdict.remaining);
        // The name is a copy: threads that spend tokens of different keys do not meet at it.
        let (policy, rate, limit, remaining, reset) = least.map_or_else(
            || (Arc::from(""), NO_RATE, 0, 0, 0),
            |(item, verdict)| {
                (Arc::from(&*item.policy), item.rate, verdict.limit, verdict.remaining, verdict.reset)
            },
        );
        Self { policy, rate, limit, remaining, reset: now.saturating_add(reset) }
    }
}

impl Taken {
    fn decision(self, source: Source, now: u64) -> Decision {
        let Self { told: Told { policy, rate, limit, remaining, reset }, charged, left } = self;
        let reset = reset.saturating_sub(now);
        let verdict = Verdict { fits: true, limit, remaining: remaining + left, retry: 0, reset };
        Decision::let_through((policy, rate), verdict, source, Receipt { at: charged, local: false })
    }
}
