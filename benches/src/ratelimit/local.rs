//! `ratelimit-local`: decisions that need no Redis, by one thread and by as many as there are cores.

use std::num::{NonZero, NonZeroU32};
use std::thread;

use anyhow::{Result, ensure};
use cenote::FallbackLru;
use cenote_ratelimit::{RateLimiter, Source};
use governor::DefaultKeyedRateLimiter;
use tokio::runtime::{Handle, Runtime};

use super::{SUBJECTS, subject};
use crate::lru::rounds::{self, Contender, Round, timed};
use crate::lru::trace::{Key, Pattern};
use crate::report::Row;

pub(super) fn rows(runtime: &Runtime, url: &str, quick: bool) -> Result<Vec<Row>> {
    let (rounds, decisions) = if quick { (7, 20_000) } else { (15, 200_000) };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let mut thread_counts = vec![1, cores];
    thread_counts.dedup();
    let contenders: [Box<dyn Contender>; 2] =
        [Box::new(runtime.block_on(Refused::connect(url, runtime.handle()))?), Box::new(Governor::new()?)];
    let mut rows = Vec::new();
    for threads in thread_counts {
        eprintln!("ratelimit-local, threads: {threads}");
        let traces: Vec<_> = (0..threads).map(|stream| trace(decisions, stream)).collect();
        rows.extend(rounds::compete("ratelimit-local", &contenders, &traces, rounds));
    }
    for row in &mut rows {
        ensure!(row.hit_ratio == Some(1.0), "{} needed Redis", row.client);
        row.hit_ratio = None;
    }
    Ok(rows)
}

/// Keys of which each is one of the subjects.
fn trace(len: usize, stream: usize) -> Vec<Key> {
    let within = |key: Key| -> Key {
        let number = key[5..].iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
        let mut bytes = [0; 11];
        bytes.copy_from_slice(subject(number % SUBJECTS).as_bytes());
        bytes
    };
    Pattern::Hot.trace(len, stream).into_iter().map(within).collect()
}

fn text(key: &Key) -> &str {
    std::str::from_utf8(key).unwrap_or_default()
}

/// Keys that Redis has refused for long.
struct Refused(RateLimiter, Handle);

impl Refused {
    async fn connect(url: &str, runtime: &Handle) -> Result<Self> {
        let pool = cenote::Pool::builder().url(url).fallback(FallbackLru::default()).build()?;
        pool.start().await?;
        let quota = cenote_ratelimit::Quota::per_day(1);
        Ok(Self(RateLimiter::builder(&pool, "blocked").quota(quota).build()?, runtime.clone()))
    }
}

impl Contender for Refused {
    fn name(&self) -> &'static str {
        "cenote"
    }

    fn round(&self, traces: &[Vec<Key>]) -> Round {
        // What is refused is remembered for a second at most.
        self.1.block_on(async {
            for index in 0..SUBJECTS {
                for _ in 0..2 {
                    let _ = self.0.check(&subject(index)).await;
                }
            }
        });
        timed(traces, |trace| {
            self.1.block_on(async {
                let mut blocked = 0;
                for key in trace {
                    let decision = self.0.check(text(key)).await;
                    blocked += usize::from(decision.is_ok_and(|it| it.source == Source::BlockedLocally));
                }
                blocked
            })
        })
    }
}

struct Governor(DefaultKeyedRateLimiter<String>);

impl Governor {
    fn new() -> Result<Self> {
        let rate = NonZeroU32::new(1_000_000).unwrap_or(NonZeroU32::MIN);
        Ok(Self(DefaultKeyedRateLimiter::keyed(governor::Quota::per_second(rate))))
    }
}

impl Contender for Governor {
    fn name(&self) -> &'static str {
        "governor"
    }

    fn round(&self, traces: &[Vec<Key>]) -> Round {
        timed(traces, |trace| {
            trace.iter().filter(|key| self.0.check_key(&text(key).to_owned()).is_ok()).count()
        })
    }
}
