//! Debts of this process alone, for while Redis is away: the script's arithmetic at a share of each quota, in a table
//! that is bounded and forgets no debt.
//!
//! When the table is full of debts, new keys share one bucket for each policy, until that has no debt any more.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use crate::call::{Item, Mode};
use crate::decision::Verdict;
use crate::quota::Rate;

#[derive(Debug)]
pub(crate) struct Local {
    capacity: usize,
    nodes: u64,
    debts: HashMap<Arc<[u8]>, Debt>,
    /// Each key of `debts` once, by a time not after that at which its debt is gone.
    order: BinaryHeap<Reverse<(u64, Arc<[u8]>)>>,
    shared: HashMap<Arc<str>, Debt>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Debt {
    units: u128,
    /// When it was so much.
    at: u64,
    /// The units of a token.
    token: u128,
    /// When it is gone.
    gone: u64,
}

/// A quota's share.
struct Share {
    drain: u128,
    token: u128,
    limit: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Own,
    New,
    Shared,
}

impl Local {
    pub(crate) fn new(capacity: usize, nodes: u64) -> Self {
        Self { capacity, nodes, debts: HashMap::new(), order: BinaryHeap::new(), shared: HashMap::new() }
    }

    /// Keys in the table.
    pub(crate) fn len(&self) -> usize {
        self.debts.len()
    }

    /// One verdict for each item, by the clock of this process. And how many of them have no bucket of their own.
    pub(crate) fn call(&mut self, items: &[Item], mode: Mode, now: u64) -> (Vec<Verdict>, usize) {
        let mut verdicts = Vec::with_capacity(items.len());
        let mut changes: Vec<(&Item, Place, Debt)> = Vec::with_capacity(items.len());
        let mut room = 0;
        for item in items {
            let share = Share::of(&item.rate, self.nodes);
            let place = self.place(item, &mut room, now);
            // Two subjects may meet in the shared bucket.
            let before = changes.iter().rev().find(|(other, there, _)| {
                place == Place::Shared && *there == place && other.policy == item.policy
            });
            let debt = before.map_or_else(|| self.debt(item, place), |(.., debt)| *debt);
            let (verdict, after) = share.judge(debt.units_at(&share, now), item.cost, mode, now);
            verdicts.push(verdict);
            changes.push((item, place, after));
        }
        let all = verdicts.iter().all(|verdict| verdict.fits);
        let writes = match mode {
            Mode::Peek => false,
            Mode::Charge => all,
            Mode::Force | Mode::Refund(_) => true,
        };
        let strangers = changes.iter().filter(|(_, place, _)| *place == Place::Shared).count();
        if writes {
            changes.into_iter().for_each(|(item, place, debt)| self.write(item, place, debt));
        } else if mode == Mode::Charge {
            // Nothing was charged, so this is what is left.
            for (verdict, item) in verdicts.iter_mut().zip(items).filter(|(verdict, _)| verdict.fits) {
                let share = Share::of(&item.rate, self.nodes);
                let place = self.place(item, &mut 0, now);
                let units = self.debt(item, place).units_at(&share, now);
                (verdict.remaining, verdict.reset) = (share.remaining(units), share.time(units));
            }
        }
        (verdicts, strangers)
    }

    /// All is as if nothing had been taken; the bucket that several keys share is left alone.
    pub(crate) fn forget(&mut self, items: &[Item]) {
        for item in items {
            if let Some(debt) = self.debts.get_mut(&item.key[..]) {
                *debt = Debt::default();
            }
        }
    }

    /// `room`: how many places earlier items of the call are going to take.
    fn place(&mut self, item: &Item, room: &mut usize, now: u64) -> Place {
        if self.debts.contains_key(&item.key[..]) {
            return Place::Own;
        }
        if self.shared.get(&item.policy).is_none_or(|debt| debt.gone <= now) && self.has_room(*room + 1, now)
        {
            *room += 1;
            return Place::New;
        }
        Place::Shared
    }

    fn debt(&self, item: &Item, place: Place) -> Debt {
        let debt = match place {
            Place::Own => self.debts.get(&item.key[..]),
            Place::New => None,
            Place::Shared => self.shared.get(&item.policy),
        };
        debt.copied().unwrap_or_default()
    }

    fn write(&mut self, item: &Item, place: Place, debt: Debt) {
        match place {
            Place::Own => drop(self.debts.get_mut(&item.key[..]).map(|old| *old = debt)),
            Place::New if debt.units == 0 => {}
            Place::New => {
                let key: Arc<[u8]> = Arc::from(&item.key[..]);
                self.order.push(Reverse((debt.gone, key.clone())));
                self.debts.insert(key, debt);
            }
            Place::Shared => drop(self.shared.insert(item.policy.clone(), debt)),
        }
    }

    /// Drops keys without debt until so many more fit.
    fn has_room(&mut self, more: usize, now: u64) -> bool {
        while self.debts.len() + more > self.capacity {
            let Some(mut first) = self.order.peek_mut() else { return false };
            let Reverse((time, key)) = &mut *first;
            if *time > now {
                return false;
            }
            match self.debts.get(key) {
                // Charged since.
                Some(debt) if debt.gone > now => *time = debt.gone,
                _ => {
                    self.debts.remove(key);
                    drop(std::collections::binary_heap::PeekMut::pop(first));
                }
            }
        }
        true
    }
}

impl Debt {
    fn units_at(&self, share: &Share, now: u64) -> u128 {
        let units = match self.token {
            0 => 0,
            token if token == share.token => self.units,
            // Of another quota: the tokens used are kept.
            token => self.units.div_ceil(token) * share.token,
        };
        units.saturating_sub(u128::from(now.saturating_sub(self.at)) * share.drain)
    }
}

impl Share {
    fn of(rate: &Rate, nodes: u64) -> Self {
        Self {
            drain: rate.drain.into(),
            token: u128::from(rate.token) * u128::from(nodes),
            limit: (rate.burst / nodes).max(1),
        }
    }

    fn judge(&self, debt: u128, cost: u64, mode: Mode, now: u64) -> (Verdict, Debt) {
        let (cap, need) = (self.cap(), u128::from(cost) * self.token);
        // More than the share at once is let through if nothing else was, and then paid for in time.
        let most = cap.saturating_sub(need);
        let fits = debt <= most && (need <= cap || debt == 0);
        let after = match mode {
            Mode::Peek => debt,
            Mode::Charge if fits => debt + need,
            Mode::Charge => debt,
            Mode::Force => debt + need,
            Mode::Refund(charged) => {
                let drained = u128::from(now.saturating_sub(charged)) * self.drain;
                debt.saturating_sub(need.saturating_sub(drained))
            }
        };
        let verdict = Verdict {
            fits,
            limit: self.limit,
            remaining: self.remaining(after),
            retry: if fits { 0 } else { self.time(debt - most) },
            reset: self.time(after),
        };
        let gone = now.saturating_add(verdict.reset);
        (verdict, Debt { units: after, at: now, token: self.token, gone })
    }

    fn cap(&self) -> u128 {
        u128::from(self.limit) * self.token
    }

    fn remaining(&self, debt: u128) -> u64 {
        u64::try_from(self.cap().saturating_sub(debt) / self.token).unwrap_or(u64::MAX)
    }

    /// Until so much has drained.
    fn time(&self, units: u128) -> u64 {
        u64::try_from(units.div_ceil(self.drain)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests;
