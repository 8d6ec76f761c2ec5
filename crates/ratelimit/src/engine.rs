//! Who decides: what was refused before, Redis, or the outage policy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use cenote_pool_core::redis::RedisError;
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::blocks::{Asked, Blocks};
use crate::breaker::Breaker;
use crate::builder::{OnOutage, RateLimiterBuilder};
use crate::call::{Item, Mode};
use crate::decision::{Decision, Receipt, Source, Verdict};
use crate::error::Error;
use crate::local::{Here, Local};
use crate::nodes::Nodes;
use crate::remote::{Remote, is_apart};
use crate::seeds::Seeds;
use crate::stats::{Counters, Stats};

/// How long a call that is refused for want of Redis should wait, unless it is known when Redis is asked again.
const CLOSED_US: u64 = 1_000_000;

#[derive(Debug)]
pub(crate) struct Engine {
    name: String,
    remote: Arc<Remote>,
    local: Mutex<Local>,
    /// What Redis last said, if anybody will want to know.
    seeds: Option<Seeds>,
    pub(crate) blocks: Blocks,
    breaker: Breaker,
    on_outage: OnOutage,
    shadow: bool,
    embedded: bool,
    counters: Counters,
    /// A failure was told of, and no call has succeeded since.
    told: AtomicBool,
    began: Instant,
    pub(crate) nodes: Arc<Nodes>,
    injected: Option<Arc<AtomicU64>>,
}

/// What a look at recent refusals found.
pub(crate) enum Looked {
    Refused(Decision),
    /// Redis is to be asked.
    Unknown(SmallVec<[Asked; 1]>),
}

impl Engine {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn new(builder: RateLimiterBuilder, nodes: Arc<Nodes>, embedded: bool) -> Self {
        let seeded = !embedded && builder.on_outage == OnOutage::Fallback;
        Self {
            seeds: seeded.then(|| Seeds::new(builder.fallback_keys)),
            remote: Arc::new(Remote::new(&builder.pool, builder.limit, builder.on_quota_change)),
            local: Mutex::new(Local::new(builder.fallback_keys, builder.on_quota_change)),
            blocks: Blocks::new(builder.block_keys),
            breaker: Breaker::default(),
            on_outage: builder.on_outage,
            shadow: builder.shadow,
            embedded,
            counters: Counters::new(&builder.name),
            told: AtomicBool::new(false),
            began: Instant::now(),
            nodes,
            injected: builder.now,
            name: builder.name,
        }
    }

    pub(crate) async fn charge(&self, items: &[Item]) -> Result<Decision, Error> {
        match self.blocked(items) {
            Looked::Unknown(asked) => self.charge_unblocked(items, asked).await,
            Looked::Refused(decision) => Ok(self.told(decision)),
        }
    }

    /// Of what was looked for among recent refusals.
    pub(crate) async fn charge_unblocked(
        &self,
        items: &[Item],
        asked: SmallVec<[Asked; 1]>,
    ) -> Result<Decision, Error> {
        let decision = match self.ask(items, Mode::Charge).await? {
            Some((at, verdicts)) => {
                let refused = |verdict: &Verdict| !verdict.fits;
                if verdicts.iter().any(refused) {
                    let now = self.now();
                    for ((item, verdict), asked) in items.iter().zip(&verdicts).zip(asked) {
                        if refused(verdict) {
                            self.blocks.keep(item, verdict, asked, now);
                        }
                    }
                }
                Decision::new(items, &verdicts, Source::Redis, Some(at))
            }
            None => self.without_redis(items, Mode::Charge),
        };
        Ok(self.told(decision))
    }

    /// What a charge would find, which is not counted among the decisions.
    pub(crate) async fn peek(&self, items: &[Item]) -> Result<Decision, Error> {
        Ok(match self.ask(items, Mode::Peek).await? {
            Some((_, verdicts)) => Decision::new(items, &verdicts, Source::Redis, None),
            None => self.without_redis(items, Mode::Peek),
        })
    }

    /// Gives back what was charged then, where it was charged.
    pub(crate) async fn refund(&self, items: &[Item], receipt: Receipt) {
        self.amend(items, Mode::Refund(receipt.at), receipt).await;
        self.blocks.drop_all(items);
    }

    /// Charges more, where the first part was charged, whatever is left.
    pub(crate) async fn force(&self, items: &[Item], receipt: Receipt) {
        self.amend(items, Mode::Force, receipt).await;
    }

    async fn amend(&self, items: &[Item], mode: Mode, receipt: Receipt) {
        if receipt.local {
            self.local.lock().call(items, mode, self.here());
        } else if !matches!(self.ask(items, mode).await, Ok(Some(_))) {
            self.counters.unsettled.one();
        }
    }

    /// Whether Redis has done it.
    pub(crate) async fn forget(&self, items: &[Item]) -> bool {
        self.local.lock().forget(items);
        self.forget_seeds(items);
        let done = match self.embedded {
            true => true,
            false => self.noted(self.remote.forget(items).await).is_some(),
        };
        self.blocks.drop_all(items);
        // What was on its way is of before.
        self.forget_seeds(items);
        done
    }

    fn forget_seeds(&self, items: &[Item]) {
        if let Some(seeds) = &self.seeds {
            seeds.forget(items);
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.counters.stats();
        stats.fallback_keys = self.local.lock().len() as u64;
        stats.blocked_keys = self.blocks.len() as u64;
        stats
    }

    pub(crate) fn blocked(&self, items: &[Item]) -> Looked {
        let now = self.now();
        let mut asked = SmallVec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match self.blocks.find(item, now) {
                Ok(one) => asked.push(one),
                Err(verdict) if items.len() == 1 => {
                    return Looked::Refused(Decision::new(items, &[verdict], Source::BlockedLocally, None));
                }
                Err(verdict) => {
                    let later = items[index + 1..].iter().map(|item| self.blocks.find(item, now).err());
                    let before = std::iter::repeat_n(None, index);
                    let known: Vec<_> = before.chain([Some(verdict)]).chain(later).collect();
                    return Looked::Refused(Decision::blocked(items, &known));
                }
            }
        }
        Looked::Unknown(asked)
    }

    /// `None`: Redis did not answer, or is not to be asked now. An error: it cannot judge these at once.
    pub(crate) async fn ask(&self, items: &[Item], mode: Mode) -> Result<Option<(u64, Vec<Verdict>)>, Error> {
        if self.embedded || !self.breaker.admit(self.now()) {
            return Ok(None);
        }
        let now = self.injected.as_ref().map(|now| now.load(Ordering::SeqCst));
        let reply = self.remote.call(items, mode, now).await;
        if reply.as_ref().is_err_and(is_apart) {
            self.answered();
            let policies = items.iter().map(|item| item.policy.to_string()).collect();
            return Err(Error::CrossSlot { policies });
        }
        let answer = self.noted(reply);
        if let (Some(seeds), Some((decided, verdicts))) = (&self.seeds, &answer) {
            seeds.note(items, verdicts, *decided, self.now());
        }
        Ok(answer)
    }

    fn answered(&self) {
        let over = self.breaker.answered();
        // Read first: most calls need not write to what all threads share.
        let told = self.told.load(Ordering::Relaxed) && self.told.swap(false, Ordering::Relaxed);
        if told || over {
            tracing::info!(target: "cenote", limiter = self.name, "Redis answers the limiter again");
        }
        self.nodes.seen(self.now());
    }

    fn noted<T>(&self, result: Result<T, RedisError>) -> Option<T> {
        let error = match result {
            Ok(answer) => {
                self.answered();
                return Some(answer);
            }
            Err(error) => error,
        };
        // What the pool knows at once costs nobody any time, and one key that is wrong says nothing of the others.
        if cenote_pool_core::Error::from_redis(&error).is_some_and(cenote_pool_core::Error::is_timeout) {
            self.counters.misses.one();
            if self.breaker.missed(self.now()) {
                self.counters.pauses.one();
            }
        } else {
            self.counters.failures.one();
        }
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "cenote",
                limiter = self.name,
                %error,
                "Redis does not answer the limiter: {:?} decides",
                self.on_outage
            );
        }
        None
    }

    pub(crate) fn without_redis(&self, items: &[Item], mode: Mode) -> Decision {
        let now = self.now();
        let all = |fits: bool, retry: u64| -> Vec<Verdict> {
            let of = |item: &Item| {
                let (limit, remaining) = (item.rate.burst, if fits { item.rate.burst } else { 0 });
                Verdict { fits, limit, remaining, retry, reset: retry }
            };
            items.iter().map(of).collect()
        };
        match self.on_outage {
            OnOutage::Fallback => {
                let here = self.here();
                let (verdicts, strangers) = self.local.lock().call(items, mode, here);
                self.counters.overflows.add(strangers);
                Decision::new(items, &verdicts, Source::Fallback, (mode == Mode::Charge).then_some(here.now))
            }
            OnOutage::Open => Decision::new(items, &all(true, 0), Source::Open, None),
            OnOutage::Closed => {
                let pause = match self.breaker.pause(now) {
                    0 => CLOSED_US,
                    pause => pause,
                };
                Decision::new(items, &all(false, pause), Source::Closed, None)
            }
        }
    }

    #[inline]
    pub(crate) fn told(&self, decision: Decision) -> Decision {
        let counters = &self.counters;
        match (decision.source, decision.allowed) {
            (Source::Redis, true) => &counters.redis_allowed,
            (Source::Redis, false) => &counters.redis_refused,
            (Source::Fallback, true) => &counters.fallback_allowed,
            (Source::Fallback, false) => &counters.fallback_refused,
            (Source::Lease, _) => &counters.leased,
            (Source::BlockedLocally, _) => &counters.blocked_locally,
            (Source::Open, _) => &counters.open,
            (Source::Closed, _) => &counters.closed,
        }
        .one();
        if !self.shadow {
            return decision;
        }
        let decision = decision.in_shadow();
        counters.shadowed.add(usize::from(decision.shadow));
        decision
    }

    /// As [`told`](Self::told), of what is not moved for it.
    #[inline]
    pub(crate) fn refused_locally(&self, decision: &mut Decision) {
        self.counters.blocked_locally.one();
        if self.shadow {
            (decision.allowed, decision.shadow) = (true, true);
            self.counters.shadowed.one();
        }
    }

    fn here(&self) -> Here<'_> {
        Here { now: self.now(), nodes: self.nodes.count(), seeds: self.seeds.as_ref() }
    }

    /// Microseconds of this process.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        // Without Redis a test's time is this process's.
        if let Some(now) = self.injected.as_ref().filter(|_| self.embedded) {
            return now.load(Ordering::SeqCst);
        }
        let elapsed = self.began.elapsed();
        elapsed.as_secs() * 1_000_000 + u64::from(elapsed.subsec_micros())
    }
}
