//! The outage journal: which keys were written or removed while Redis did not answer.
//!
//! Invariants, all under the one lock:
//! * A key is in the journal before the fallback is touched for it, in the same step. So whatever the fallback
//!   says about a key, Redis will be told to forget that key.
//! * `local` is true from the first such key until, in one step, nothing is pending, the fallback is emptied
//!   and reads go to Redis again. So no read can see Redis before its key was removed there, and no later
//!   outage can see this one's values.
//! * A lease names its holder by a number that only grows; a holder that lost it changes nothing any more.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::{Cmd, Value};
use tokio::sync::watch;

use super::served::Keys;
use crate::dial::Identity;
use crate::error::{Error, Kind};
use crate::fallback::{Fallback, NotDegradable};
use crate::lane::Lane;

/// A lease is overdue this long after its holder should have acted.
const OVERDUE: Duration = Duration::from_millis(100);
/// Keys removed in one round trip.
pub(super) const CHUNK: usize = 128;

pub(crate) struct Journal {
    /// A copy of what the lock holds, for the call path while all is well.
    local: AtomicBool,
    most_keys: usize,
    most_bytes: usize,
    epochs: watch::Sender<Epoch>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    local: bool,
    keys: HashSet<Vec<u8>>,
    /// Those being removed in Redis right now.
    in_pass: HashSet<Vec<u8>>,
    bytes: usize,
    late: Vec<LateWrite>,
    /// What Redis was before this outage.
    before: Option<Identity>,
    lease: u64,
    due: Option<Instant>,
    /// Calls wait for the reopening instead of adding to what holds it up.
    closing: bool,
    replays: u64,
}

/// A write whose reply did not come: it may yet be executed, and must not be after its key was removed.
#[derive(Clone)]
pub(super) struct LateWrite {
    pub(super) lane: Arc<Lane>,
    pub(super) mark: u64,
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
pub(super) struct Write {
    pub(super) keys: Keys,
    pub(super) late: Option<LateWrite>,
    /// Redis was asked in vain, or need not be: it is known to be away.
    pub(super) away: bool,
}

impl Journal {
    pub(crate) fn new(most_keys: usize, most_bytes: usize) -> Self {
        Self {
            local: AtomicBool::new(false),
            most_keys,
            most_bytes,
            epochs: watch::Sender::new(Epoch::default()),
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
        write: Write,
        before: impl FnOnce() -> Option<Identity>,
    ) -> Result<Option<Vec<Value>>, Error> {
        let Write { keys, late, away } = write;
        let mut inner = self.inner.lock();
        if !away && (!inner.local || (inner.closing && !keys.is_empty())) {
            return Ok(None);
        }
        let writes = !keys.is_empty();
        let added = self.admit(&mut inner, keys)?;
        let values = match fallback.execute(batch, atomic) {
            Ok(values) => values,
            Err(refusal) => {
                inner.forget(&added);
                return Err(refused(&refusal));
            }
        };
        if writes {
            if !inner.local {
                inner.local = true;
                inner.before = before();
                self.local.store(true, Ordering::Release);
            }
            inner.late.extend(late);
        }
        Ok(Some(values))
    }

    /// Adds what is new, all or nothing; returns what was added.
    fn admit(&self, inner: &mut Inner, keys: Keys) -> Result<Keys, Error> {
        let mut new: Keys = keys.into_iter().filter(|key| !inner.keys.contains(key)).collect();
        new.sort_unstable();
        new.dedup();
        let bytes: usize = new.iter().map(Vec::len).sum();
        let count = inner.keys.len() + inner.in_pass.len() + new.len();
        if count > self.most_keys || inner.bytes + bytes > self.most_bytes {
            return Err(Error::not_sent(
                Kind::Overloaded,
                format!(
                    "overloaded: the outage journal is full ({} keys of {}, {} bytes of {}), so a write to one \
                     more key cannot be remembered until Redis is back",
                    inner.keys.len() + inner.in_pass.len(),
                    self.most_keys,
                    inner.bytes,
                    self.most_bytes
                ),
            ));
        }
        inner.bytes += bytes;
        inner.keys.extend(new.iter().cloned());
        Ok(new)
    }

    pub(crate) fn status(&self) -> JournalStatus {
        let inner = self.inner.lock();
        JournalStatus {
            pending_keys: inner.keys.union(&inner.in_pass).count(),
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
        if !inner.local || inner.due.is_some_and(|due| now < due + OVERDUE) {
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
            let unfinished: Vec<_> = inner.in_pass.drain().collect();
            inner.keys.extend(unfinished);
        }
    }

    pub(super) fn late_writes(&self) -> Vec<LateWrite> {
        self.inner.lock().late.clone()
    }

    /// These can no longer be executed late.
    pub(super) fn settle(&self, settled: &[LateWrite]) {
        let is_settled = |late: &LateWrite| {
            settled.iter().any(|other| Arc::ptr_eq(&late.lane, &other.lane) && late.mark == other.mark)
        };
        self.inner.lock().late.retain(|late| !is_settled(late));
    }

    /// What Redis was before this outage, as far as it was known.
    pub(super) fn before(&self) -> Option<Identity> {
        self.inner.lock().before.clone()
    }

    pub(super) fn announce(&self, server_changed: bool) {
        self.epochs.send_modify(|epoch| {
            *epoch = Epoch { number: epoch.number + 1, server_changed };
        });
    }

    /// Takes all keys to remove them in Redis. With `last` calls that would add more wait until it is over.
    pub(super) fn begin_pass(&self, lease: Lease, last: bool) -> Option<Vec<Vec<u8>>> {
        let mut inner = self.inner.lock();
        if inner.lease != lease.0 {
            return None;
        }
        // Short enough to be waited for.
        inner.closing = last && inner.keys.len() <= CHUNK;
        let keys: Vec<_> = inner.keys.drain().collect();
        inner.in_pass.extend(keys.iter().cloned());
        Some(inner.in_pass.iter().cloned().collect())
    }

    /// Those of `done` are removed in Redis; the rest of the pass was not.
    pub(super) fn end_pass(&self, lease: Lease, done: &[Vec<u8>]) {
        let mut inner = self.inner.lock();
        if inner.lease != lease.0 {
            return;
        }
        for key in done {
            inner.in_pass.remove(key);
        }
        let unfinished: Vec<_> = inner.in_pass.drain().collect();
        inner.keys.extend(unfinished);
        inner.bytes = inner.keys.iter().map(Vec::len).sum();
        inner.closing = false;
    }

    /// If nothing is pending: empties the fallback and sends reads to Redis again, in one step.
    pub(super) fn try_reopen(&self, lease: Lease, fallback: &dyn Fallback) -> bool {
        let mut inner = self.inner.lock();
        let empty = inner.keys.is_empty() && inner.in_pass.is_empty() && inner.late.is_empty();
        if inner.lease != lease.0 || !empty {
            return false;
        }
        fallback.clear();
        *inner = Inner { lease: inner.lease, replays: inner.replays + 1, ..Inner::default() };
        self.local.store(false, Ordering::Release);
        true
    }
}

impl Inner {
    fn forget(&mut self, added: &[Vec<u8>]) {
        for key in added {
            self.keys.remove(key);
            self.bytes -= key.len();
        }
    }
}

fn refused(refusal: &NotDegradable) -> Error {
    Error::not_sent(Kind::Refused, format!("not degradable: {refusal}"))
}
