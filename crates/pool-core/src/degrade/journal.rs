//! The outage journal: which keys were written or removed while Redis did not answer.
//!
//! Invariants, all under the one lock:
//! * A key is in the journal before the fallback is touched for it, in the same step. So whatever the fallback
//!   says about a key, Redis will be told to forget that key.
//! * `local` is true from the first such key until, in one step, nothing is pending, the fallback is emptied
//!   and reads go to Redis again. So no read can see Redis before its key was removed there, and no later
//!   outage can see this one's values.
//! * A lease names its holder by a number that only grows; a holder that lost it changes nothing any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::{Cmd, Value};
use tokio::sync::watch;

use super::ledger::Ledger;
use super::served::Keys;
use crate::dial::Identity;
use crate::error::{Error, Kind};
use crate::fallback::{Fallback, NotDegradable};
use crate::lane::Lane;
use crate::telemetry::Meters;

/// A lease is overdue this long after its holder should have acted.
const OVERDUE: Duration = Duration::from_millis(100);
/// A pass over at most so many keys is short enough to be waited for.
const SHORT: usize = 128;

pub(crate) struct Journal {
    /// A copy of what the lock holds, for the call path while all is well.
    local: AtomicBool,
    most_keys: usize,
    most_bytes: usize,
    epochs: watch::Sender<Epoch>,
    meters: Meters,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    local: bool,
    keys: Ledger,
    /// One for each lane.
    late: Vec<LateWrite>,
    /// Some could not be stopped: until then they may still come.
    again: Option<Instant>,
    /// What Redis was before this outage.
    before: Option<Identity>,
    lease: u64,
    due: Option<Instant>,
    /// Calls wait for the reopening instead of adding to what holds it up.
    closing: bool,
    /// Calls that would add much wait, so that the replay catches up.
    crowded: bool,
    announced: bool,
    replays: u64,
}

/// A write whose reply did not come: it may yet be executed, and must not be after its key was removed.
#[derive(Clone)]
pub(super) struct LateWrite {
    pub(super) lane: Arc<Lane>,
    pub(super) mark: u64,
    pub(super) since: Instant,
}

impl LateWrite {
    /// Everything that is in flight on the lane at this moment.
    pub(super) fn on(lane: Arc<Lane>) -> Self {
        Self { mark: lane.mark(), lane, since: Instant::now() }
    }
}

/// What the fallback answered.
pub(super) struct Ran {
    pub(super) values: Vec<Value>,
    /// With this call the fallback began to answer in place of Redis.
    pub(super) began: bool,
    /// Nobody is at the replay.
    pub(super) unattended: bool,
}

pub(super) enum Pass {
    Keys(Vec<Vec<u8>>),
    LateWrites,
    /// The lease went to another, or the journal is closed.
    Lost,
}

/// The end of an outage in which a degradable connection wrote: one for each, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Epoch {
    /// Counts from 1; 0 before the first.
    pub number: u64,
    /// Redis came back as another process or with another history: data may have been lost or rewound.
    pub server_changed: bool,
}

/// What the journal holds at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[non_exhaustive]
pub struct JournalStatus {
    /// Keys that Redis must still be told to forget.
    pub pending_keys: usize,
    /// Connections with a write that may yet be executed.
    pub late_writes: usize,
    /// The fallback answers degradable connections.
    pub local: bool,
    /// Ends of outages with writes that were announced.
    pub epoch: u64,
    /// How often the journal was emptied, and Redis read again.
    pub replays: u64,
}

/// The right, and the duty, to replay the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease(u64);

/// What a call would write, and why it does not ask Redis.
pub(super) struct Write<'a> {
    pub(super) keys: Keys,
    pub(super) late: Option<LateWrite>,
    pub(super) why: Why,
    /// What is journalled where the keys do not fit.
    pub(super) stand_in: Option<&'a [u8]>,
}

/// Why a call comes to the journal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Redis was asked in vain, or need not be: it is known to be away, or the call has waited long enough.
    Away,
    /// The fallback answers for Redis: unless that is over, or about to be.
    Local,
    /// Redis answered, but the fallback does for everybody else: unless that is over.
    Overtaken,
}

impl Journal {
    pub(crate) fn new(most_keys: usize, most_bytes: usize, meters: Meters) -> Self {
        Self {
            local: AtomicBool::new(false),
            most_keys,
            most_bytes,
            epochs: watch::Sender::new(Epoch::default()),
            meters,
            inner: Mutex::default(),
        }
    }

    /// The fallback answers, whether or not Redis would.
    pub(crate) fn is_local(&self) -> bool {
        self.local.load(Ordering::Acquire)
    }

    /// Journals the keys, then runs `batch` on the fallback, in one step. `None` if Redis is to be asked, now or
    /// in a moment: the journal was closed meanwhile, or is about to be.
    pub(super) fn run(
        &self,
        fallback: &dyn Fallback,
        batch: &[&Cmd],
        atomic: bool,
        write: Write<'_>,
        before: impl FnOnce() -> Option<Identity>,
    ) -> Result<Option<Ran>, Error> {
        let Write { keys, late, why, stand_in } = write;
        let mut inner = self.inner.lock();
        let writes = !keys.is_empty();
        let ask_redis = match why {
            Why::Away => false,
            Why::Local => !inner.local || (writes && inner.is_crowded(keys.len())),
            Why::Overtaken => !inner.local,
        };
        if ask_redis {
            return Ok(None);
        }
        // Whatever becomes of this call, its write may yet be executed.
        if let Some(late) = late {
            inner.add_late(late);
        }
        let added = if writes { self.admit(&mut inner, keys, stand_in)? } else { Keys::new() };
        let began = writes && !inner.local;
        if began {
            inner.local = true;
            inner.before = before();
            self.local.store(true, Ordering::Release);
        }
        let values = fallback
            .execute(batch, atomic)
            .inspect_err(|_| inner.keys.forget(&added))
            .map_err(|why| refused(&why))?;
        if values.iter().all(|value| matches!(value, Value::ServerError(_))) {
            // Nothing was changed, so nothing is to be removed.
            inner.keys.forget(&added);
        }
        self.tell(&inner);
        let unattended = inner.is_unattended(Instant::now());
        Ok(Some(Ran { values, began, unattended }))
    }

    /// Adds what is new, all or nothing; returns what was added. Where there is no room for it, the stand-in is added,
    /// for which there always is.
    fn admit(&self, inner: &mut Inner, keys: Keys, stand_in: Option<&[u8]>) -> Result<Keys, Error> {
        let mut new = inner.keys.new_among(keys);
        let (more_keys, more_bytes) = inner.keys.growth(&new);
        let (pending, bytes) = (inner.keys.len(), inner.keys.bytes());
        // A stand-in may have gone past the bounds: what adds nothing is not refused for that.
        let keys_fit = more_keys == 0 || pending + more_keys <= self.most_keys;
        let bytes_fit = more_bytes == 0 || bytes + more_bytes <= self.most_bytes;
        if !(keys_fit && bytes_fit) {
            let full = || {
                format!(
                    "overloaded: the outage journal is full ({pending} keys of {}, {bytes} bytes of {}), so a write to \
                     one more key cannot be remembered until Redis is back",
                    self.most_keys, self.most_bytes
                )
            };
            let stand_in = stand_in.ok_or_else(|| {
                self.meters.journal_refused();
                Error::not_sent(Kind::Overloaded, full())
            })?;
            new = inner.keys.new_among(vec![stand_in.to_vec()]);
        }
        for key in &new {
            inner.keys.add(key.clone());
        }
        Ok(new)
    }

    /// A write of ours may be executed late: the journal stays open until it cannot any more.
    pub(super) fn add_late(&self, late: LateWrite) {
        let mut inner = self.inner.lock();
        if inner.local {
            inner.add_late(late);
        }
    }

    pub(crate) fn status(&self) -> JournalStatus {
        let inner = self.inner.lock();
        JournalStatus {
            pending_keys: inner.keys.len(),
            late_writes: inner.late.len(),
            local: inner.local,
            epoch: self.epochs.borrow().number,
            replays: inner.replays,
        }
    }

    pub(crate) fn epochs(&self) -> watch::Receiver<Epoch> {
        self.epochs.subscribe()
    }

    /// Takes the lease if nobody has it, or its holder is overdue: its runtime may be parked, or gone.
    pub(super) fn take_lease(&self, now: Instant) -> Option<Lease> {
        let mut inner = self.inner.lock();
        if !inner.is_unattended(now) {
            return None;
        }
        inner.lease += 1;
        inner.due = Some(now);
        inner.closing = false;
        Some(Lease(inner.lease))
    }

    /// The holder goes on, and will act again within `limit`.
    pub(super) fn renew(&self, lease: Lease, limit: Duration) -> bool {
        let mut inner = self.inner.lock();
        let held = inner.lease == lease.0 && inner.local;
        if held {
            inner.due = Some(Instant::now() + limit);
        }
        held
    }

    /// The holder stops, for whatever reason: the next who calls takes over.
    pub(super) fn release(&self, lease: Lease) {
        let mut inner = self.inner.lock();
        if inner.lease == lease.0 {
            inner.due = None;
            inner.closing = false;
            inner.keys.return_pass();
        }
    }

    pub(super) fn late_writes(&self) -> Vec<LateWrite> {
        self.inner.lock().late.clone()
    }

    /// This can no longer be executed late. With `again`, nobody knows until then: the keys are removed once more.
    pub(super) fn settle(&self, settled: &LateWrite, again: Option<Instant>) {
        let mut inner = self.inner.lock();
        inner.late.retain(|late| !(Arc::ptr_eq(&late.lane, &settled.lane) && late.mark <= settled.mark));
        inner.again = inner.again.max(again);
    }

    /// Late writes may come until then.
    pub(super) fn wait_out(&self, until: Instant) {
        let mut inner = self.inner.lock();
        inner.again = inner.again.max(Some(until));
    }

    /// Late writes may come until then, and nothing stops them.
    pub(super) fn again(&self) -> Option<Instant> {
        self.inner.lock().again
    }

    /// What Redis was before this outage, as far as it was known.
    pub(super) fn before(&self) -> Option<Identity> {
        self.inner.lock().before.clone()
    }

    /// Tells, once for each outage, that it is over.
    pub(super) fn announce(&self, server_changed: bool) {
        if !std::mem::replace(&mut self.inner.lock().announced, true) {
            self.epochs.send_modify(|epoch| {
                *epoch = Epoch { number: epoch.number + 1, server_changed };
            });
        }
    }

    /// Takes all keys to remove them in Redis. With `last` calls that would add many more wait until it is over.
    pub(super) fn begin_pass(&self, lease: Lease, last: bool) -> Pass {
        let mut inner = self.inner.lock();
        if inner.lease != lease.0 || !inner.local {
            return Pass::Lost;
        }
        // A write that came late by now could be executed after its key was removed, and be settled before the
        // journal is closed.
        if !inner.late.is_empty() {
            return Pass::LateWrites;
        }
        inner.crowded = last;
        // Short enough to be waited for.
        inner.closing = last && inner.keys.waiting() <= SHORT;
        Pass::Keys(inner.keys.begin_pass())
    }

    /// Those of `done` are removed in Redis; the rest of the pass was not.
    pub(super) fn end_pass(&self, lease: Lease, done: Vec<Vec<u8>>, by: Option<Identity>) {
        let mut inner = self.inner.lock();
        if inner.lease != lease.0 {
            return;
        }
        inner.announced &= !inner.keys.again_if_changed(by.as_ref());
        self.meters.journal_removed(done.len());
        inner.keys.end_pass(done, by);
        self.tell(&inner);
        inner.closing = false;
    }

    /// If nothing is pending: empties the fallback and sends reads to Redis again, in one step.
    pub(super) fn try_reopen(&self, lease: Lease, fallback: &dyn Fallback, now: Option<&Identity>) -> bool {
        let mut inner = self.inner.lock();
        if inner.lease == lease.0 {
            inner.announced &= !inner.keys.again_if_changed(now);
        }
        let late = !inner.late.is_empty() || inner.again.is_some_and(|until| Instant::now() < until);
        let empty = inner.keys.len() == 0 && !late;
        if inner.lease != lease.0 || !empty {
            return false;
        }
        fallback.clear();
        *inner = Inner { lease: inner.lease, replays: inner.replays + 1, ..Inner::default() };
        self.tell(&inner);
        self.local.store(false, Ordering::Release);
        true
    }

    fn tell(&self, inner: &Inner) {
        self.meters.journalled(inner.keys.len(), inner.keys.bytes());
    }
}

impl Inner {
    /// Too many new keys would keep the replay from ever catching up.
    fn is_crowded(&self, more: usize) -> bool {
        self.closing || (self.crowded && self.keys.waiting() + more > SHORT)
    }

    fn is_unattended(&self, now: Instant) -> bool {
        self.local && self.due.is_none_or(|due| now >= due + OVERDUE)
    }

    fn add_late(&mut self, new: LateWrite) {
        match self.late.iter_mut().find(|late| Arc::ptr_eq(&late.lane, &new.lane)) {
            Some(late) => late.mark = late.mark.max(new.mark),
            None => self.late.push(new),
        }
    }
}

fn refused(refusal: &NotDegradable) -> Error {
    Error::not_sent(Kind::Refused, format!("not degradable: {refusal}"))
}
