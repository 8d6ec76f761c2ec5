//! What all handles of one pool share, and what dies with the last of them.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use tokio::runtime::Handle;

use crate::breaker::probe;
use crate::dedicated::Bench;
use crate::degrade::{Journal, ensure_replay};
use crate::dial::Connection;
use crate::error::{Error, Kind};
use crate::fallback::Fallback;
use crate::lane::{Lane, Sets, Use};
use crate::pool::Context;
use crate::push::{Hubs, Local};
use crate::transport::Farewell;

use super::companions::Companions;
use super::flush::Flushes;

pub(crate) struct Shared {
    pub(crate) context: Arc<Context>,
    pub(crate) sets: Sets,
    pub(crate) bench: Bench,
    pub(crate) hubs: Hubs,
    /// Pub/sub of an embedded pool.
    pub(crate) local: Local,
    pub(crate) journal: Journal,
    pub(crate) fallback: Option<Arc<dyn Fallback>>,
    /// The fallback answers everything: there is no Redis.
    pub(crate) embedded: bool,
    pub(crate) next_conn: AtomicUsize,
    pub(crate) closing: super::close::Closing,
    pub(crate) companions: Companions,
    pub(crate) flushes: Flushes,
}

impl Shared {
    /// May a call go on? If Redis is away the answer is no, at once; and if nobody is looking for it, because
    /// the task that should runs nowhere, this call's runtime takes that over.
    pub(crate) fn admit(self: &Arc<Self>, handle: &Handle) -> Result<(), Error> {
        if self.flushes.is_under_way() {
            return Err(Error::closed());
        }
        self.admit_last_words(handle)
    }

    /// As [`admit`](Self::admit), and still while a pool that is closed tells what it has to tell.
    pub(crate) fn admit_last_words(self: &Arc<Self>, handle: &Handle) -> Result<(), Error> {
        if self.journal.is_local() {
            ensure_replay(self, handle);
        }
        let breaker = &self.context.breaker;
        if breaker.is_open()
            && let Some(lease) = breaker.take_over(Instant::now())
        {
            handle.spawn(probe(lease, self.context.clone(), Arc::downgrade(self)));
        }
        breaker.admit()
    }

    /// Redis is back: what was journalled is replayed, by this runtime if by no other.
    pub(crate) fn replay_journal(self: &Arc<Self>) {
        if let Ok(handle) = Handle::try_current() {
            ensure_replay(self, &handle);
        }
    }

    pub(crate) fn adopt(self: &Arc<Self>, connection: Connection) {
        if let Ok(handle) = Handle::try_current()
            && !self.context.breaker.is_shut()
        {
            self.sets.adopt(self, &handle, connection);
        }
    }

    /// A lane's task is over: its place in the set, or among the exclusive ones, is free.
    pub(crate) fn forget(&self, lane: &Lane) {
        match lane.usage() {
            Use::Shared => self.sets.forget(lane),
            Use::Exclusive => self.bench.forget(lane),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let cause = Error::not_sent(Kind::Closed, "the last handle of the pool was dropped");
        self.context.shut();
        self.sets.end_all(&cause, Farewell::Finish);
        self.hubs.end_all(&cause);
        self.bench.end_all(&cause);
    }
}

pub(crate) fn current_runtime() -> Result<Handle, Error> {
    Handle::try_current().map_err(|_| {
        Error::not_sent(Kind::Config, "called outside a tokio runtime: call it from async code run by tokio")
    })
}
