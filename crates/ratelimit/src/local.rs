//! Debts of this process alone, for while Redis is away: the script's arithmetic at a share of each quota, in a table
//! that is bounded and forgets no debt.
//!
//! A key that Redis has spoken of begins with what it owed then, scaled to the share, so that an outage gives no burst anew.
//! When the table is full of debts, new keys share one bucket for each policy, until that has no debt any more.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use crate::builder::OnQuotaChange;
use crate::call::{Item, Mode};
use crate::decision::Verdict;
use crate::quota::Rate;
use crate::seeds::{Seed, Seeds};

#[derive(Debug)]
pub(crate) struct Local {
    capacity: usize,
    change: OnQuotaChange,
    debts: HashMap<Arc<[u8]>, Debt>,
    /// Each key of `debts` once, by a time not after that at which its debt is gone.
    order: BinaryHeap<Reverse<(u64, Arc<[u8]>)>>,
    shared: HashMap<Arc<str>, Debt>,
    /// The latest time of a call. Callers read the clock before it is their turn, and one after another may be earlier:
    /// if a debt were written down for then, what has drained since would drain again.
    latest: u64,
}

/// When a call is, by the clock of this process, how many processes share its quotas, and what is known of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Here<'a> {
    pub(crate) now: u64,
    pub(crate) nodes: u64,
    /// What Redis last said.
    pub(crate) seeds: Option<&'a Seeds>,
}

#[derive(Debug, Clone, Copy)]
struct Debt {
    units: u128,
    /// When it was so much.
    at: u64,
    of: Share,
    /// When it is gone.
    gone: u64,
}

/// A quota's share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Share {
    rate: Rate,
    nodes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Own,
    New,
    Shared,
}

/// What a call makes of one item.
struct Change<'a> {
    item: &'a Item,
    place: Place,
    writes: bool,
    after: Debt,
}

impl Local {
    pub(crate) fn new(capacity: usize, change: OnQuotaChange) -> Self {
        Self {
            capacity,
            change,
            debts: HashMap::new(),
            order: BinaryHeap::new(),
            shared: HashMap::new(),
            latest: 0,
        }
    }

    /// Keys in the table.
    pub(crate) fn len(&self) -> usize {
        self.debts.len()
    }

    /// One verdict for each item. And how many of them have no bucket of their own.
    pub(crate) fn call(&mut self, items: &[Item], mode: Mode, here: Here<'_>) -> (Vec<Verdict>, usize) {
        self.latest = self.latest.max(here.now);
        let now = self.latest;
        let here = Here { now, ..here };
        let mut verdicts = Vec::with_capacity(items.len());
        let mut changes: Vec<Change> = Vec::with_capacity(items.len());
        let mut room = 0;
        for item in items {
            let (rate, cost) = self.amended(item, mode);
            let share = Share { rate, nodes: here.nodes };
            let place = self.place(item, &mut room, now);
            // Two subjects may meet in the shared bucket.
            let before = changes.iter().rev().find(|other| {
                place == Place::Shared && other.place == place && other.item.policy == item.policy
            });
            let units = before.map_or_else(
                || self.units(item, place, &share, here),
                |other| other.after.units_at(&share, OnQuotaChange::KeepUsed, now),
            );
            let (verdict, writes, after) = share.judge(units, cost, mode, now);
            verdicts.push(verdict);
            changes.push(Change { item, place, writes, after });
        }
        let all = verdicts.iter().all(|verdict| verdict.fits);
        let writes = match mode {
            Mode::Peek => false,
            Mode::Charge => all,
            Mode::Force | Mode::Refund(_) => true,
        };
        let strangers = changes.iter().filter(|change| change.place == Place::Shared).count();
        if writes {
            changes.into_iter().filter(|change| change.writes).for_each(|change| self.write(change));
        } else if mode == Mode::Charge {
            // Nothing was charged, so this is what is left.
            for (verdict, item) in verdicts.iter_mut().zip(items).filter(|(verdict, _)| verdict.fits) {
                let share = Share { rate: item.rate, nodes: here.nodes };
                let place = self.place(item, &mut 0, now);
                let units = self.units(item, place, &share, here);
                (verdict.remaining, verdict.reset) = (share.remaining(units), share.time(units));
            }
        }
        (verdicts, strangers)
    }

    /// All is as if nothing had been taken; the bucket that several keys share is left alone.
    pub(crate) fn forget(&mut self, items: &[Item]) {
        for item in items {
            if let Some(debt) = self.debts.get_mut(&item.key[..]) {
                (debt.units, debt.gone) = (0, 0);
            }
        }
    }

    /// By which quota, and how much. Where nothing is kept of another quota, what is amended late was charged by one that is
    /// no more: a refund gives nothing back, and more that is charged is owed by the other.
    fn amended(&self, item: &Item, mode: Mode) -> (Rate, u64) {
        let debt = self.debts.get(&item.key[..]).filter(|debt| debt.units > 0 && debt.of.rate != item.rate);
        match (mode, debt) {
            (Mode::Refund(_), Some(debt)) if self.change == OnQuotaChange::Reset => (debt.of.rate, 0),
            (Mode::Force, Some(debt)) if self.change == OnQuotaChange::Reset => (debt.of.rate, item.cost),
            _ => (item.rate, item.cost),
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

    /// What is owed there now, by this share.
    fn units(&self, item: &Item, place: Place, share: &Share, here: Here<'_>) -> u128 {
        let (debt, change) = match place {
            Place::Own => (self.debts.get(&item.key[..]), self.change),
            Place::New => (None, self.change),
            // Keys may have quotas of their own, and none ends or swells the debt of another.
            Place::Shared => (self.shared.get(&item.policy), OnQuotaChange::KeepUsed),
        };
        let owed = debt.map_or(0, |debt| debt.units_at(share, change, here.now));
        // A stranger's seed would be everybody's debt.
        let seeds = here.seeds.filter(|_| place != Place::Shared);
        let seed = seeds.and_then(|seeds| seeds.find(&item.key)).map(|seed| Debt::of(seed, share.nodes));
        owed.max(seed.map_or(0, |seed| seed.units_at(share, change, here.now)))
    }

    fn write(&mut self, Change { item, place, after: debt, .. }: Change<'_>) {
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
    /// What is owed in Redis, scaled to a share: the same part of it is left, and drains in the same time.
    fn of(seed: Seed, nodes: u64) -> Self {
        let share = Share { rate: seed.rate, nodes };
        let owed = u128::from(seed.reset).saturating_mul(share.drain());
        let part = u128::from(share.limit()) * u128::from(nodes);
        let units = owed.saturating_mul(part).div_ceil(seed.rate.burst.into());
        Self { units, at: seed.at, of: share, gone: 0 }
    }

    fn units_at(&self, share: &Share, change: OnQuotaChange, now: u64) -> u128 {
        let change = if self.of.rate == share.rate { OnQuotaChange::KeepUsed } else { change };
        let units = match change {
            OnQuotaChange::KeepUsed if self.of.token() == share.token() => self.units,
            OnQuotaChange::KeepUsed => self.units.div_ceil(self.of.token()).saturating_mul(share.token()),
            OnQuotaChange::Reset => 0,
            OnQuotaChange::Proportional => self.units.saturating_mul(share.cap()).div_ceil(self.of.cap()),
        };
        units.saturating_sub(u128::from(now.saturating_sub(self.at)) * share.drain())
    }
}

impl Share {
    /// What it says, whether that changes anything, and what is owed then.
    fn judge(self, debt: u128, cost: u64, mode: Mode, now: u64) -> (Verdict, bool, Debt) {
        let cap = self.cap();
        let mut need = u128::from(cost) * self.token();
        if let Mode::Refund(charged) = mode {
            need = need.saturating_sub(u128::from(now.saturating_sub(charged)) * self.drain());
        }
        // More than the share at once is let through if nothing else was, and then paid for in time.
        let most = cap.saturating_sub(need);
        let fits = debt <= most && (need <= cap || debt == 0);
        let after = match mode {
            Mode::Peek => debt,
            Mode::Charge if fits => debt + need,
            Mode::Charge => debt,
            Mode::Force => debt + need,
            Mode::Refund(_) => debt.saturating_sub(need),
        };
        let verdict = Verdict {
            fits,
            limit: self.limit(),
            remaining: self.remaining(after),
            retry: if fits { 0 } else { self.time(debt - most) },
            reset: self.time(after),
        };
        let gone = now.saturating_add(verdict.reset);
        (verdict, need > 0, Debt { units: after, at: now, of: self, gone })
    }

    fn drain(&self) -> u128 {
        self.rate.drain.into()
    }

    fn token(&self) -> u128 {
        u128::from(self.rate.token) * u128::from(self.nodes)
    }

    fn limit(&self) -> u64 {
        (self.rate.burst / self.nodes).max(1)
    }

    fn cap(&self) -> u128 {
        u128::from(self.limit()) * self.token()
    }

    fn remaining(&self, debt: u128) -> u64 {
        u64::try_from(self.cap().saturating_sub(debt) / self.token()).unwrap_or(u64::MAX)
    }

    /// Until so much has drained.
    fn time(&self, units: u128) -> u64 {
        u64::try_from(units.div_ceil(self.drain())).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests;
