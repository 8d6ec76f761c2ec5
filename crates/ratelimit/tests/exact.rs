//! Every answer, of the real server and of the table for outages, against exact fractions, at times that the test makes up.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cenote_fallback_lru::FallbackLru;
use cenote_pool_core::Pool;
use cenote_ratelimit::{Charge, Decision, OnQuotaChange, Quota, RateLimiter, Source};
use cenote_testkit::{Server, is_long, seed};
use common::model::{Model, Rule, Said};
use common::{patient, pool, said};

const START: u64 = 1_764_000_000_000_000;
const POLICIES: [&str; 3] = ["a", "b", "c"];
/// What the model is asked: key, rule and cost.
type Asked = Vec<(String, Rule, u64)>;
/// What the checks were, for the test to know that it has seen all.
type Seen = BTreeMap<&'static str, usize>;

fn quota(rule: Rule) -> Quota {
    Quota::new(rule.count, Duration::from_micros(rule.period_us)).burst(rule.burst)
}

fn any_rule(rng: &mut fastrand::Rng) -> Rule {
    let (count, period_us) = match rng.u8(..8) {
        0 => (10, 1_000_000),
        1 => (30, 1_000_000),
        2 => (7, 60_000_000),
        3 => (1_000_000, 86_400_000_000),
        4 => (5_000_000, 3_600_000_000),
        5 => (100_000, 2_592_000_000_000),
        6 => (rng.u64(1..50), rng.u64(1..100_000)),
        _ => (rng.u64(1..5), rng.u64(1..100_000_000)),
    };
    Rule { count, period_us, burst: rng.u64(1..12) }
}

struct Run {
    limiter: RateLimiter,
    now: Arc<AtomicU64>,
    model: Model,
    rng: fastrand::Rng,
    rules: [Rule; 3],
    charged: Vec<(Vec<Charge>, Asked, u64, Decision)>,
    seen: Seen,
    source: Source,
}

impl Run {
    fn new(pool: &Pool, source: Source, change: OnQuotaChange, rng: fastrand::Rng) -> Self {
        let now = Arc::new(AtomicU64::new(START));
        let builder = patient(pool, &format!("exact-{change:?}")).injected_time(now.clone());
        let mut builder = builder.block_keys(0).on_quota_change(change);
        for (name, rule) in POLICIES.into_iter().zip(FIXED) {
            builder = builder.policy(name, quota(rule));
        }
        let limiter = builder.build().unwrap();
        let model = Model { change, ..Model::default() };
        Self { limiter, now, model, rng, rules: FIXED, charged: Vec::new(), seen: Seen::new(), source }
    }

    async fn go(mut self, steps: usize) {
        for _ in 0..steps {
            self.pass();
            self.step().await;
        }
        println!("{:?}, {} of another quota", self.seen, self.model.inherited);
        assert_eq!(self.seen.len(), 9, "{:?}", self.seen);
        assert!(self.seen.values().all(|count| *count >= steps / 500), "{:?}", self.seen);
        assert!(self.model.inherited >= steps / 10, "{}", self.model.inherited);
        let stats = self.limiter.stats();
        assert_eq!((stats.misses, stats.failures, stats.unsettled, stats.overflows), (0, 0, 0, 0));
    }

    async fn step(&mut self) {
        match self.rng.u8(..20) {
            0..=9 => self.check().await,
            10..=13 => self.early_and_on_time().await,
            14..=15 => self.peek().await,
            16..=17 => self.refund().await,
            18 => self.reserve().await,
            _ => {
                let index = self.rng.usize(..3);
                self.rules[index] = if self.rng.bool() { FIXED[index] } else { any_rule(&mut self.rng) };
                self.see("quota changed");
            }
        }
        if self.charged.len() > 50 {
            self.charged.remove(0);
        }
    }

    fn now(&self) -> u64 {
        self.now.load(Ordering::SeqCst)
    }

    fn see(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// One to three policies, each with a subject and a cost, as the limiter and as the model take them.
    fn ask(&mut self) -> (Vec<Charge>, Asked) {
        let count = self.rng.usize(1..=3);
        let mut order = [0, 1, 2];
        self.rng.shuffle(&mut order);
        order[..count]
            .iter()
            .map(|&index| {
                let (policy, rule) = (POLICIES[index], self.rules[index]);
                let subject = self.rng.u8(..3);
                let cost = if self.rng.u8(..20) == 0 { 0 } else { self.rng.u64(1..=rule.burst) };
                let cost = if self.rng.bool() { cost.min(1) } else { cost };
                let charge = Charge::new(policy, &subject).cost(cost).quota(quota(rule));
                (charge, (format!("{policy}{subject}"), rule, cost))
            })
            .unzip()
    }

    async fn check(&mut self) {
        let (charges, asked) = self.ask();
        self.check_these(charges, asked).await;
    }

    async fn check_these(&mut self, charges: Vec<Charge>, asked: Asked) -> Decision {
        let now = self.now();
        let decision = self.limiter.check_all(&charges).await.unwrap();
        let expected = self.model.check(&asked, now.into(), true);
        self.compare(&decision, &asked, &expected);
        self.see(if decision.allowed { "allowed" } else { "refused" });
        if asked.len() > 1 && decision.violated().len() == 1 {
            self.see("refused by one of several");
        }
        if decision.allowed {
            self.charged.push((charges, asked, now, decision.clone()));
        }
        decision
    }

    fn compare(&self, decision: &Decision, asked: &[(String, Rule, u64)], expected: &[Said]) {
        assert_eq!(decision.source, self.source);
        let what = || format!("{asked:?} at {}: {expected:?}, but {decision:?}", self.now());
        let violated: Vec<&str> = asked
            .iter()
            .zip(expected)
            .filter(|(_, said)| !said.fits)
            .map(|((key, ..), _)| &key[..1])
            .collect();
        assert_eq!(
            decision.violated().iter().map(|policy| &**policy).collect::<Vec<_>>(),
            violated,
            "{}",
            what()
        );
        assert_eq!(decision.allowed, violated.is_empty(), "{}", what());
        // Of several it describes one: the least remaining, or the longest wait.
        let described = if decision.allowed {
            expected.iter().min_by_key(|said| said.remaining).unwrap()
        } else {
            let refused = expected.iter().filter(|said| !said.fits);
            refused.reduce(|longest, next| if next.retry > longest.retry { next } else { longest }).unwrap()
        };
        let (_, remaining, retry, reset) = said(decision);
        let got = (i128::from(remaining), retry as i128, reset as i128);
        assert_eq!(got, (described.remaining, described.retry, described.reset), "{}", what());
    }

    /// A refused call is refused a microsecond before its time, and allowed on it, if nobody else comes.
    async fn early_and_on_time(&mut self) {
        let (charges, asked) = self.ask();
        let decision = self.check_these(charges.clone(), asked.clone()).await;
        let retry = decision.retry_after.as_micros() as u64;
        if decision.allowed || retry > 1 << 45 {
            return;
        }
        let on_time = self.now() + retry;
        self.now.store(on_time - 1, Ordering::SeqCst);
        assert!(!self.check_these(charges.clone(), asked.clone()).await.allowed, "a microsecond early");
        self.now.store(on_time, Ordering::SeqCst);
        assert!(self.check_these(charges, asked).await.allowed, "on time");
        self.see("early and on time");
    }

    async fn peek(&mut self) {
        let subject = self.rng.u8(..3);
        let decision = self.limiter.peek(&subject).await.unwrap();
        let of = |index: usize| (format!("{}{subject}", POLICIES[index]), FIXED[index], 1);
        let asked: Vec<_> = (0..3).map(of).collect();
        let expected = self.model.check(&asked, self.now().into(), false);
        self.compare(&decision, &asked, &expected);
        self.see("peeked");
    }

    async fn refund(&mut self) {
        if self.charged.is_empty() {
            return;
        }
        let index = self.rng.usize(..self.charged.len());
        let (charges, asked, at, decision) = self.charged.swap_remove(index);
        self.limiter.refund_all(&charges, &decision).await.unwrap();
        let now = self.now();
        for (key, rule, cost) in asked {
            self.model.refund(&key, rule, cost, at.into(), now.into());
        }
        self.see("refunded");
    }

    /// With the limiter's own rules, as a reservation has.
    async fn reserve(&mut self) {
        let (subject, cost, actual) = (self.rng.u8(..3), self.rng.u64(1..=2), self.rng.u64(..8));
        let at = self.now();
        let reservation = self.limiter.reserve(&subject, cost).await.unwrap();
        let of = |index: usize| (format!("{}{subject}", POLICIES[index]), FIXED[index], cost);
        let asked: Vec<_> = (0..3).map(of).collect();
        let expected = self.model.check(&asked, at.into(), true);
        self.compare(reservation.decision(), &asked, &expected);
        let allowed = reservation.decision().allowed;
        self.pass();
        let now = self.now();
        reservation.settle(actual).await;
        if !allowed {
            return;
        }
        for (key, rule, _) in asked {
            if actual > cost {
                self.model.force(&key, rule, actual - cost, now.into());
            } else if actual < cost {
                self.model.refund(&key, rule, cost - actual, at.into(), now.into());
            }
        }
        self.see(if actual > cost { "settled for more" } else { "settled" });
    }

    /// Mostly a little time, sometimes much or none, and seldom a step back.
    fn pass(&mut self) {
        let by = match self.rng.u8(..10) {
            0..=2 => 0,
            3..=6 => self.rng.u64(..200_000),
            7 => self.rng.u64(..5_000_000),
            8 => self.rng.u64(..3_600_000_000),
            // The clock of a process never does.
            _ if self.source == Source::Fallback => 0,
            _ => {
                let now = self.now() - self.rng.u64(..2_000_000);
                self.now.store(now, Ordering::SeqCst);
                return;
            }
        };
        self.now.fetch_add(by, Ordering::SeqCst);
    }
}

/// The limiter's own.
const FIXED: [Rule; 3] = [
    Rule { count: 10, period_us: 1_000_000, burst: 10 },
    Rule { count: 7, period_us: 60_000_000, burst: 5 },
    Rule { count: 1_000_000, period_us: 86_400_000_000, burst: 1_000_000 },
];

const CHANGES: [OnQuotaChange; 3] =
    [OnQuotaChange::KeepUsed, OnQuotaChange::Reset, OnQuotaChange::Proportional];

#[tokio::test]
async fn every_answer_equals_that_of_exact_fractions_whatever_a_changed_quota_inherits() {
    let server = Server::start();
    let pool = pool(server.url());
    let mut rng = fastrand::Rng::with_seed(seed());
    let steps = if is_long() { 100_000 } else { 3_000 };
    for change in CHANGES {
        Run::new(&pool, Source::Redis, change, rng.fork()).go(steps).await;
    }
}

#[tokio::test]
async fn so_does_every_answer_without_redis() {
    let pool = Pool::embedded(FallbackLru::default());
    let mut rng = fastrand::Rng::with_seed(seed());
    let steps = if is_long() { 1_000_000 } else { 20_000 };
    for change in CHANGES {
        Run::new(&pool, Source::Fallback, change, rng.fork()).go(steps).await;
    }
}
