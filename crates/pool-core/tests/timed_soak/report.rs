//! What happened: counts, the longest times, the faults, and what was wrong.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cenote_pool_core::{Error, Outcome, Source};
use parking_lot::Mutex;
use redis::RedisError;

#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    not_sent: AtomicU64,
    perhaps: AtomicU64,
    cancelled: AtomicU64,
    by_fallback: AtomicU64,
    written: AtomicU64,
}

pub(crate) struct Report {
    began: Instant,
    counts: Counts,
    longest: Mutex<Longest>,
    faults: Mutex<Vec<String>>,
    wrong: Mutex<Vec<String>>,
}

#[derive(Default)]
struct Longest {
    back: Duration,
    at_rest: Duration,
    beyond_limit: Duration,
    what: String,
}

impl Report {
    pub(crate) fn new() -> Self {
        let (faults, wrong) = Default::default();
        Self { began: Instant::now(), counts: Counts::default(), longest: Mutex::default(), faults, wrong }
    }

    pub(crate) fn fault(&self, what: &str) {
        self.faults.lock().push(format!("{:8.3} s  {what}", self.began.elapsed().as_secs_f64()));
    }

    pub(crate) fn expect(&self, is_right: bool, what: impl FnOnce() -> String) {
        if !is_right {
            let line = format!("{:8.3} s  {}", self.began.elapsed().as_secs_f64(), what());
            self.wrong.lock().push(line);
        }
    }

    pub(crate) fn answered(&self) {
        self.counts.answered.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn answered_by(&self, source: Source) {
        let local = source == Source::Fallback;
        let counter = if local { &self.counts.by_fallback } else { &self.counts.answered };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn cancelled(&self) {
        self.counts.cancelled.fetch_add(1, Ordering::Relaxed);
    }

    /// So many writes were held against the server.
    pub(crate) fn verified(&self, writes: usize) {
        self.counts.written.fetch_add(writes as u64, Ordering::Relaxed);
    }

    /// What an error of a strict call says of its command. In a runtime that lives, on a pool that is open, with
    /// commands that the server takes, there are two reasons only.
    pub(crate) fn failed(&self, error: &RedisError) -> Outcome {
        let Some(ours) = Error::from_redis(error) else {
            self.expect(false, || format!("the server answered: {error}"));
            return Outcome::Answered;
        };
        self.expect(ours.is_unavailable() || ours.is_timeout(), || format!("an odd error: {ours:?}"));
        let outcome = ours.outcome();
        let counter = match outcome {
            Outcome::NotSent => &self.counts.not_sent,
            _ => &self.counts.perhaps,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        outcome
    }

    /// Awaits a call and keeps in mind how far it went beyond its limit.
    pub(crate) async fn timed<F: Future>(&self, limit: Duration, what: &str, call: F) -> F::Output {
        let began = Instant::now();
        let output = call.await;
        let beyond = began.elapsed().saturating_sub(limit);
        if beyond > self.longest.lock().beyond_limit {
            let at = self.began.elapsed().as_secs_f64();
            let what = format!("{what}, limit {limit:?}, ended at {at:.3} s");
            let mut longest = self.longest.lock();
            (longest.beyond_limit, longest.what) = (beyond, what);
        }
        output
    }

    pub(crate) fn was_at_rest_after(&self, took: Duration) {
        let mut longest = self.longest.lock();
        longest.at_rest = longest.at_rest.max(took);
    }

    pub(crate) fn was_back_after(&self, took: Duration, limit: Duration) {
        let mut longest = self.longest.lock();
        longest.back = longest.back.max(took);
        drop(longest);
        self.expect(took <= limit, || format!("back only after {took:?}"));
    }

    /// Panics when something was wrong.
    pub(crate) fn check(&self) {
        let wrong = self.wrong.lock();
        let first = wrong.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
        assert!(wrong.is_empty(), "{} wrong, first of all\n{first}", wrong.len());
    }

    pub(crate) fn faults(&self) -> String {
        self.faults.lock().join("\n")
    }

    pub(crate) fn assert_limits_were_kept(&self, overshoot: Duration) {
        let longest = self.longest.lock();
        assert!(
            longest.beyond_limit <= overshoot,
            "{:?} beyond its limit: {}",
            longest.beyond_limit,
            longest.what,
        );
    }

    pub(crate) fn totals(&self, seed: u64) -> String {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (counts, longest) = (&self.counts, self.longest.lock());
        format!(
            "seed {seed}: {} faults; {} calls answered, {} by the fallback, {} not sent, {} perhaps executed, \
             {} cancelled; {} writes verified; {:?} beyond a limit at most ({}); back within {:?}, at rest within {:?}",
            self.faults.lock().len(),
            count(&counts.answered),
            count(&counts.by_fallback),
            count(&counts.not_sent),
            count(&counts.perhaps),
            count(&counts.cancelled),
            count(&counts.written),
            longest.beyond_limit,
            longest.what,
            longest.back,
            longest.at_rest,
        )
    }
}
