//! What this process holds of each key, in shards that are locked for moments only.

use std::hash::BuildHasher;
use std::sync::Arc;

use lru::{DefaultHasher, LruCache};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use crate::quota::Rate;

const SHARDS: usize = 64;

#[derive(Debug)]
pub(super) struct Table {
    shards: Box<[Mutex<Shard>]>,
    /// Keys in each shard at most.
    room: usize,
    hasher: DefaultHasher,
}

#[derive(Debug)]
struct Shard {
    leases: LruCache<Box<str>, Entry>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    batch: Batch,
    /// Of each policy.
    rates: Arc<[Rate]>,
    told: Told,
    /// Somebody asks Redis for more, and has taken out what was left.
    asking: Option<(u64, watch::Receiver<bool>)>,
}

/// Tokens that were charged together. Times are microseconds of this process, but for `charged`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Batch {
    pub(super) tokens: u64,
    /// Before they were charged.
    pub(super) since: u64,
    pub(super) until: u64,
    /// By the server's time.
    pub(super) charged: u64,
}

/// Of no policy at all.
pub(super) const NO_RATE: Rate = Rate { drain: 1, token: 1, burst: 0 };

/// What Redis said of the policy that has the least left.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) policy: Arc<str>,
    pub(super) rate: Rate,
    pub(super) limit: u64,
    pub(super) remaining: u64,
    /// When all comes back, in microseconds of this process.
    pub(super) reset: u64,
}

/// Tokens that will not be spent.
#[derive(Debug)]
pub(crate) struct Leftover {
    pub(super) subject: Box<str>,
    pub(super) batch: Batch,
    pub(super) rates: Arc<[Rate]>,
}

/// A call that was let through.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) told: Told,
    pub(super) charged: u64,
    pub(super) left: u64,
}

#[derive(Debug)]
pub(super) enum Begun<'a> {
    Taken(Taken),
    /// Somebody else asks. The value says that Redis did not answer; an end without one, that it is worth another look.
    Wait(watch::Receiver<bool>),
    Ask(Asking<'a>),
    /// No room for another key.
    Full,
}

impl Table {
    pub(super) fn new(keys: usize) -> Self {
        let shards = SHARDS.min(keys).max(1);
        let shard = || Mutex::new(Shard { leases: LruCache::unbounded(), next: 0 });
        Self {
            shards: (0..shards).map(|_| shard()).collect(),
            room: (keys / shards).max(1),
            hasher: DefaultHasher::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().leases.len()).sum()
    }

    /// Spends tokens, if there are enough, and by these quotas.
    pub(super) fn take(
        &self,
        subject: &str,
        cost: u64,
        now: u64,
        same: impl FnOnce(&[Rate]) -> bool,
    ) -> Option<Taken> {
        let mut shard = self.shard(subject);
        let entry = shard.leases.get_mut(subject)?;
        if same(&entry.rates) { entry.take(cost, now) } else { None }
    }

    /// As [`take`](Self::take), or makes this caller the one who asks Redis for more of the key, or one who waits.
    ///
    /// What is left of a lease that ends before `soon` is of no use.
    pub(super) fn begin(
        &self,
        subject: &str,
        cost: u64,
        (now, soon): (u64, u64),
        rates: &Arc<[Rate]>,
        leftovers: &mut Vec<Leftover>,
    ) -> Begun<'_> {
        let mut guard = self.shard(subject);
        let shard = &mut *guard;
        if !shard.leases.contains(subject) {
            if shard.leases.len() >= self.room {
                // A key that is asked for stays, or two could ask for it, and this process would hold too much.
                if shard.leases.peek_lru().is_some_and(|(_, oldest)| oldest.asking.is_some()) {
                    return Begun::Full;
                }
                let oldest = shard.leases.pop_lru();
                leftovers.extend(oldest.and_then(|(subject, entry)| entry.into_leftover(subject)));
            }
            shard.leases.put(subject.into(), Entry::empty(rates));
        }
        let Some(entry) = shard.leases.get_mut(subject) else { return Begun::Full };
        let same = entry.rates == *rates;
        if same && let Some(taken) = entry.take(cost, now) {
            return Begun::Taken(taken);
        }
        if let Some((_, outcome)) = &entry.asking {
            return Begun::Wait(outcome.clone());
        }
        if !same || entry.batch.until <= soon {
            let old = std::mem::replace(entry, Entry::empty(rates));
            leftovers.extend(old.into_leftover(subject.into()));
        }
        let (tell, outcome) = watch::channel(false);
        let (number, rest) = (shard.next, std::mem::take(&mut entry.batch));
        entry.asking = Some((number, outcome));
        shard.next += 1;
        drop(guard);
        Begun::Ask(Asking { table: self, subject: subject.into(), number, rest, tell })
    }

    pub(super) fn forget(&self, subject: &str) {
        self.shard(subject).leases.pop(subject);
    }

    /// Takes out what has ended.
    pub(super) fn sweep(&self, now: u64) -> Vec<Leftover> {
        self.take_out(|batch| batch.until <= now)
    }

    /// Takes out all.
    pub(super) fn drain(&self) -> Vec<Leftover> {
        self.take_out(|_| true)
    }

    fn take_out(&self, which: impl Fn(&Batch) -> bool) -> Vec<Leftover> {
        let mut leftovers = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock();
            let ended =
                shard.leases.iter().filter(|(_, entry)| entry.asking.is_none() && which(&entry.batch));
            let ended: Vec<_> = ended.map(|(subject, _)| subject.clone()).collect();
            for subject in ended {
                let entry = shard.leases.pop(&subject);
                leftovers.extend(entry.and_then(|entry| entry.into_leftover(subject)));
            }
        }
        leftovers
    }

    fn shard(&self, subject: &str) -> MutexGuard<'_, Shard> {
        let index = self.hasher.hash_one(subject) as usize % self.shards.len();
        self.shards[index].lock()
    }
}

impl Entry {
    fn empty(rates: &Arc<[Rate]>) -> Self {
        let told = Told { policy: Arc::from(""), rate: NO_RATE, limit: 0, remaining: 0, reset: 0 };
        Self { batch: Batch::default(), rates: rates.clone(), told, asking: None }
    }

    fn take(&mut self, cost: u64, now: u64) -> Option<Taken> {
        if now >= self.batch.until {
            return None;
        }
        self.batch.tokens = self.batch.tokens.checked_sub(cost)?;
        Some(self.taken())
    }

    fn taken(&self) -> Taken {
        Taken { told: self.told.clone(), charged: self.batch.charged, left: self.batch.tokens }
    }

    fn into_leftover(self, subject: Box<str>) -> Option<Leftover> {
        let Self { batch, rates, .. } = self;
        (batch.tokens > 0).then_some(Leftover { subject, batch, rates })
    }
}

/// The right to ask Redis for tokens of a key. Dropped, it puts back what was left, and lets the next caller ask.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    table: &'a Table,
    subject: Box<str>,
    number: u64,
    rest: Batch,
    tell: watch::Sender<bool>,
}

impl Asking<'_> {
    /// Tokens that are held already: fewer than the call costs.
    pub(super) fn rest(&self) -> u64 {
        self.rest.tokens
    }

    /// Redis did not answer: those who wait need not ask, too.
    pub(super) fn unanswered(self) {
        self.tell.send_replace(true);
    }

    /// Spends `cost` of what Redis gave and of the rest, and keeps what is left. `None`: it is less than the cost, since
    /// the rest has ended meanwhile.
    pub(super) fn granted(
        mut self,
        fresh: Batch,
        told: Told,
        cost: u64,
        now: u64,
        leftovers: &mut Vec<Leftover>,
    ) -> Option<Taken> {
        let rest = std::mem::take(&mut self.rest);
        let mut batch = fresh;
        let mut ended = None;
        if rest.tokens > 0 && rest.until > now {
            // Both end together, at the earlier time: so neither lasts too long.
            batch = Batch { tokens: rest.tokens + fresh.tokens, ..rest };
        } else if rest.tokens > 0 {
            ended = Some(rest);
        }
        let left = batch.tokens.checked_sub(cost);
        batch.tokens = left.unwrap_or(batch.tokens);
        let taken = left.map(|left| Taken { told: told.clone(), charged: batch.charged, left });
        let mut shard = self.table.shard(&self.subject);
        // If the key was reset meanwhile the rest is gone with what was before.
        if let Some(entry) = self.entry(&mut shard) {
            entry.asking = None;
            (entry.batch, entry.told) = (batch, told);
            let (subject, rates) = (&self.subject, &entry.rates);
            leftovers.extend(ended.map(|batch| Leftover {
                subject: subject.clone(),
                batch,
                rates: rates.clone(),
            }));
        }
        taken
    }

    /// While it is this one's turn.
    fn entry<'s>(&self, shard: &'s mut Shard) -> Option<&'s mut Entry> {
        let entry = shard.leases.get_mut(&*self.subject)?;
        entry.asking.as_ref().is_some_and(|(number, _)| *number == self.number).then_some(entry)
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut shard = self.table.shard(&self.subject);
        if let Some(entry) = self.entry(&mut shard) {
            entry.asking = None;
            entry.batch = self.rest;
        }
    }
}
