//! Decisions that need no Redis, by one thread and by as many as there are cores: `ratelimit-blocked` are refusals,
//! `ratelimit-lease` tokens that this process holds.

use std::num::{NonZero, NonZeroU32};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use cenote_ratelimit::{Lease, RateLimiter, Source};
use governor::DefaultKeyedRateLimiter;
use tokio::runtime::{Handle, Runtime};

use super::{SUBJECTS, subject};
use crate::lru::rounds::{self, Contender, Round, timed};
use crate::lru::trace::{Key, Pattern};
use crate::report::Row;

pub(super) fn rows(runtime: &Runtime, url: &str, quick: bool) -> Result<Vec<Row>> {
    let (rounds, decisions) = if quick { (7, 20_000) } else { (15, 200_000) };
    let refusing: [Box<dyn Contender>; 2] =
        [Box::new(runtime.block_on(Ours::refusing(url, runtime.handle()))?), Box::new(Governor::refusing())];
    let allowing: [Box<dyn Contender>; 2] =
        [Box::new(runtime.block_on(Ours::leasing(url, runtime.handle()))?), Box::new(Governor::allowing()?)];
    let mut rows = Vec::new();
    for (bench, contenders) in [("ratelimit-blocked", refusing), ("ratelimit-lease", allowing)] {
        for threads in thread_counts() {
            eprintln!("{bench}, threads: {threads}");
            let traces: Vec<_> = (0..threads).map(|stream| trace(decisions, stream)).collect();
            rows.extend(rounds::compete(bench, &contenders, &traces, rounds));
        }
    }
    for row in &mut rows {
        ensure!(row.hit_ratio == Some(1.0), "{}: {} decided otherwise", row.bench, row.client);
        row.hit_ratio = None;
    }
    Ok(rows)
}

fn thread_counts() -> Vec<usize> {
    let mut counts = vec![1, thread::available_parallelism().map_or(1, NonZero::get)];
    counts.dedup();
    counts
}

/// Keys of which each is one of the subjects.
fn trace(len: usize, stream: usize) -> Vec<Key> {
    let within = |key: Key| -> Key {
        let number = key[5..].iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
        key_of(number % SUBJECTS)
    };
    Pattern::Hot.trace(len, stream).into_iter().map(within).collect()
}

fn key_of(index: usize) -> Key {
    let mut bytes = [0; 11];
    bytes.copy_from_slice(subject(index).as_bytes());
    bytes
}

fn text(key: &Key) -> &str {
    std::str::from_utf8(key).unwrap_or_default()
}

/// Our limiter, and who is to decide each call.
struct Ours {
    pool: cenote::Pool,
    limiter: RateLimiter,
    source: Source,
    runtime: Handle,
}

impl Ours {
    /// Keys that Redis has refused for long.
    async fn refusing(url: &str, runtime: &Handle) -> Result<Self> {
        let pool = cenote::Pool::builder().url(url).build()?;
        pool.start().await?;
        let limiter = refusing(&pool)?;
        Ok(Self { pool, limiter, source: Source::BlockedLocally, runtime: runtime.clone() })
    }

    /// Keys of which this process holds more tokens than a run spends.
    async fn leasing(url: &str, runtime: &Handle) -> Result<Self> {
        let pool = cenote::Pool::builder().url(url).build()?;
        pool.start().await?;
        let limiter = RateLimiter::builder(&pool, "leased")
            .quota(cenote_ratelimit::Quota::per_second(1_000_000).burst(4_000_000))
            .lease(Lease::of(1_000_000).for_at_most(Duration::from_secs(600)))
            .timeout(Duration::from_secs(5))
            .build()?;
        Ok(Self { pool, limiter, source: Source::Lease, runtime: runtime.clone() })
    }
}

impl Contender for Ours {
    fn name(&self) -> &'static str {
        "cenote"
    }

    fn round(&self, traces: &[Vec<Key>]) -> Round {
        // A refusal is remembered for a second: each round begins with a limiter that remembers none, and so lasts less.
        let fresh = (self.source == Source::BlockedLocally).then(|| refusing(&self.pool).ok()).flatten();
        let limiter = fresh.as_ref().unwrap_or(&self.limiter);
        self.runtime.block_on(async {
            for index in 0..SUBJECTS {
                for _ in 0..2 {
                    let _ = limiter.check(&subject(index)).await;
                }
            }
        });
        timed(traces, |trace| {
            self.runtime.block_on(async {
                let mut expected = 0;
                for key in trace {
                    let decision = limiter.check(text(key)).await;
                    expected += usize::from(decision.is_ok_and(|decision| decision.source == self.source));
                }
                expected
            })
        })
    }
}

fn refusing(pool: &cenote::Pool) -> Result<RateLimiter> {
    Ok(RateLimiter::builder(pool, "blocked").quota(cenote_ratelimit::Quota::per_day(1)).build()?)
}

/// With keys of a fixed size, which it need not allocate to look for them; and what its answer is to be.
struct Governor {
    limiter: DefaultKeyedRateLimiter<Key>,
    allows: bool,
}

impl Governor {
    fn refusing() -> Self {
        let limiter = DefaultKeyedRateLimiter::keyed(governor::Quota::per_hour(NonZeroU32::MIN));
        for index in 0..SUBJECTS {
            let _ = limiter.check_key(&key_of(index));
        }
        Self { limiter, allows: false }
    }

    fn allowing() -> Result<Self> {
        let rate = NonZeroU32::try_from(1_000_000)?;
        let limiter = DefaultKeyedRateLimiter::keyed(governor::Quota::per_second(rate));
        Ok(Self { limiter, allows: true })
    }
}

impl Contender for Governor {
    fn name(&self) -> &'static str {
        "governor"
    }

    fn round(&self, traces: &[Vec<Key>]) -> Round {
        timed(traces, |trace| {
            trace.iter().filter(|key| self.limiter.check_key(key).is_ok() == self.allows).count()
        })
    }
}
