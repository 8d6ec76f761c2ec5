//! Prepaid leases: a process takes many tokens of a key at once, and then lets calls through by itself.

mod ask;
mod back;
mod table;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::call::Item;
use crate::nodes::Nodes;
use crate::quota::Rate;

pub(crate) use table::Leftover;
use table::Table;

/// A refused key is left alone for no longer than this part of a lease's lifetime, unless its quota says so.
const PATIENCE: u64 = 10;

/// Takes tokens in advance, so that most checks need no round trip: see
/// [`RateLimiterBuilder::lease`](crate::RateLimiterBuilder::lease).
///
/// A process takes `L` tokens of a key in Redis, and then lets calls through by itself until they are spent or their
/// lifetime `E` is over. All are charged first, by the same script to the same keys, so processes with and without leases
/// share the quota, and in the long run nothing is let through beyond it.
///
/// **Bound.** Of `n` processes with leases, in any time `w`, a quota of rate `r` and burst `b` lets through at most
/// `b + r * w + min(n * L, r * E)`: what was charged before `w` began may be spent in it. (A machine that sleeps does
/// not count that time to `E`.)
///
/// **Sizes.** A process holds at most `L` tokens of a key at once, and at most half of its
/// [share](crate::RateLimiterBuilder::nodes) of the burst, so that none takes all. Calls that cost as much or more, and
/// [`check_with`](crate::RateLimiter::check_with), [`check_all`](crate::RateLimiter::check_all) and
/// [`reserve`](crate::RateLimiter::reserve), ask Redis as ever, and so does every call by a quota with a burst below four
/// times the nodes. Of several policies, all are charged as many.
///
/// **Waiting.** One call at a time asks for more of a key; those that come meanwhile wait for it, but after half of the
/// [timeout](crate::RateLimiterBuilder::timeout) ask for themselves alone.
///
/// **Near the limit** Redis is asked for less, down to the call's cost. When it has none to give, this process asks it
/// again once as many have come back as all processes lease, but after a tenth of `E` at the latest if there is one
/// token by then; `retry_after` says so. What others hold in leases is refused meanwhile.
///
/// **The end.** What is left is given back where it was charged, less what has come back by itself since: `max(0, k - r *
/// time since its charge)` of `k` tokens. So it is when a lease ends, when its quota is another, when more keys are
/// leased than [`keys`](Self::keys), and when the limiter is dropped within a runtime;
/// [`return_leases`](crate::RateLimiter::return_leases) waits for it. A process that dies gives nothing back.
///
/// ```
/// use std::time::Duration;
///
/// use cenote_ratelimit::Lease;
///
/// let _ = Lease::of(50).for_at_most(Duration::from_secs(5)).keys(10_000);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Lease {
    tokens: u64,
    lifetime: Duration,
    keys: usize,
}

impl Lease {
    /// So many tokens of a key at most.
    pub const fn of(tokens: u64) -> Self {
        Self { tokens, lifetime: Duration::from_secs(1), keys: 100_000 }
    }

    /// How long they may be spent. Default: a second.
    pub const fn for_at_most(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Of how many keys this process holds tokens at most; those unused for longest are given back first. Default
    /// 100,000.
    pub const fn keys(mut self, keys: usize) -> Self {
        self.keys = keys;
        self
    }

    pub(crate) fn problems(&self) -> Vec<String> {
        let zero = [
            (self.tokens == 0, "a lease must be of at least 1 token"),
            (self.lifetime.as_micros() == 0, "a lease's lifetime must be at least a microsecond"),
            (self.keys == 0, "keys of a lease must be at least 1"),
        ];
        zero.into_iter().filter(|(is, _)| *is).map(|(_, why)| why.to_owned()).collect()
    }
}

/// The leases of one limiter in this process.
#[derive(Debug)]
pub(crate) struct Leases {
    table: Table,
    tokens: u64,
    lifetime: u64,
    nodes: Arc<Nodes>,
    /// How long a call waits for Redis.
    limit: Duration,
    sweeper: Mutex<Option<JoinHandle<()>>>,
}

impl Leases {
    pub(crate) fn new(lease: &Lease, nodes: Arc<Nodes>, limit: Duration) -> Self {
        Self {
            table: Table::new(lease.keys),
            tokens: lease.tokens,
            lifetime: u64::try_from(lease.lifetime.as_micros()).unwrap_or(u64::MAX),
            nodes,
            limit,
            sweeper: Mutex::new(None),
        }
    }

    /// Keys with a lease.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// As if no lease of it had been taken; nothing is given back.
    pub(crate) fn forget(&self, subject: &str) {
        self.table.forget(subject);
    }

    /// How many tokens of these at once.
    fn most(&self, items: &[Item]) -> u64 {
        let nodes = self.nodes.count();
        let share = |item: &Item| item.rate.burst / nodes / 2;
        items.iter().map(share).min().unwrap_or(0).min(self.tokens)
    }

    /// In how many microseconds as much has come back as all processes lease.
    fn patience(&self, rate: &Rate, most: u64) -> u64 {
        let units = u128::from(self.nodes.count()) * u128::from(most) * u128::from(rate.token);
        let time = u64::try_from(units.div_ceil(rate.drain.into())).unwrap_or(u64::MAX);
        time.min(self.lifetime / PATIENCE)
    }
}
