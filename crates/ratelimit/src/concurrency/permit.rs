//! The right to be at something, for as long as it is held.

use std::fmt;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Instant;

use cenote_pool_core::Conn;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout_at;

use crate::decision::Source;

use super::Inner;
use super::remote::Slot;

/// A permit is renewed after this part of its lifetime, and what failed is tried again after a tenth.
const RENEWALS: u32 = 3;
const ATTEMPTS: u32 = 10;

/// One of the holders of a key, until it is dropped or [lost](Self::is_lost).
///
/// A task of the runtime in which it was acquired renews it. Dropped, it frees its place on a task of that runtime, without
/// waiting for it, from any thread; if that runtime has gone, or Redis is away, it is free when its lifetime is over. A
/// permit is not renewed while its runtime stands still, and the clock that says that it is lost is this machine's, so it
/// may be lost when the machine has slept and not know it.
#[must_use = "dropped, it lets the next one in"]
pub struct Permit {
    inner: Arc<Inner>,
    key: Box<[u8]>,
    source: Source,
    /// `None`: Redis does not know of it.
    held: Option<Held>,
}

struct Held {
    slot: Slot,
    ends: Arc<watch::Sender<Option<Instant>>>,
    runtime: Option<Handle>,
    renewal: Option<AbortHandle>,
    released: bool,
}

impl Permit {
    /// Taken in Redis not before `since`.
    pub(super) fn of_redis(inner: Arc<Inner>, slot: Slot, runtime: Option<Handle>, since: Instant) -> Self {
        // Counted whatever the share: there is one place less for those that Redis does not know of.
        let key = inner.take_out(slot.key.clone(), u64::MAX).unwrap_or_default();
        let ends = Arc::new(watch::Sender::new(Some(since + inner.lifetime)));
        let renewals = renew(inner.clone(), slot.clone(), ends.clone());
        let renewal = runtime.as_ref().map(|runtime| runtime.spawn(renewals).abort_handle());
        let held = Held { slot, ends, runtime, renewal, released: false };
        Self { inner, key, source: Source::Redis, held: Some(held) }
    }

    pub(super) fn without_redis(inner: Arc<Inner>, key: Box<[u8]>, source: Source) -> Self {
        Self { inner, key, source, held: None }
    }

    /// Who let it in: [`Source::Redis`], or, while Redis did not answer, [`Source::Fallback`] or [`Source::Open`].
    pub fn source(&self) -> Source {
        self.source
    }

    /// Whether its lifetime has passed without a renewal, or Redis does not know it any more: somebody else may have its
    /// place. Once lost it stays so. One that was let in while Redis did not answer is never lost.
    pub fn is_lost(&self) -> bool {
        let ends = self.held.as_ref().map(|held| *held.ends.borrow());
        ends.is_some_and(|ends| ends.is_none_or(|ends| ends <= Instant::now()))
    }

    /// Resolves when it is [lost](Self::is_lost), or was dropped. It borrows nothing, and needs the time of a runtime.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        let ends = self.held.as_ref().map(|held| held.ends.subscribe());
        async move {
            let Some(mut ends) = ends else { return pending().await };
            loop {
                let Some(end) = *ends.borrow_and_update() else { return };
                if end <= Instant::now() {
                    return;
                }
                if matches!(timeout_at(end.into(), ends.changed()).await, Ok(Err(_))) {
                    return;
                }
            }
        }
    }

    /// Frees its place, and returns when that is done or Redis did not answer.
    ///
    /// **Cancel safety.** Dropped before it is done, the place is freed as by dropping the permit.
    pub async fn release(mut self) {
        if let Some(held) = &mut self.held {
            held.stop();
            let conn = self.inner.pool.conn().with_timeout(self.inner.limit);
            held.released = held.slot.release(conn).await.is_ok();
        }
    }
}

/// Until it is lost.
async fn renew(inner: Arc<Inner>, slot: Slot, ends: Arc<watch::Sender<Option<Instant>>>) {
    let third = inner.lifetime / RENEWALS;
    let mut pause = third;
    loop {
        tokio::time::sleep(pause).await;
        let since = Instant::now();
        // Once lost it stays so, even if Redis has not noticed.
        if ends.borrow().is_none_or(|end| end <= since) {
            break;
        }
        match slot.renew(&inner.pool, third).await {
            Ok(true) => {
                let end = since + inner.lifetime;
                ends.send_modify(|ends| *ends = ends.filter(|ends| *ends > Instant::now()).map(|_| end));
                pause = third;
            }
            Ok(false) => {
                ends.send_replace(None);
                break;
            }
            Err(_) => {
                inner.counters.unrenewed.one();
                pause = inner.lifetime / ATTEMPTS;
            }
        }
    }
    inner.counters.lost.one();
    tracing::warn!(target: "cenote", limiter = inner.name, "a permit was lost: its renewals failed, or Redis has forgotten it");
}

impl Held {
    fn stop(&mut self) {
        if let Some(renewal) = self.renewal.take() {
            renewal.abort();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.inner.take_in(&self.key);
        let Some(mut held) = self.held.take() else { return };
        held.stop();
        if let (false, Some(runtime)) = (held.released, held.runtime) {
            let (conn, slot) = (self.inner.pool.conn(), held.slot);
            runtime.spawn(async move { slot.release(conn).await });
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("key", &String::from_utf8_lossy(&self.key))
            .field("source", &self.source)
            .field("is_lost", &self.is_lost())
            .finish_non_exhaustive()
    }
}

/// A slot that Redis was asked for. Dropped before it is settled whether it was taken, it is freed.
pub(super) struct Pending {
    freed: Option<(Slot, Conn)>,
    runtime: Option<Handle>,
}

impl Pending {
    pub(super) fn new(slot: Slot, conn: Conn, runtime: Option<Handle>) -> Self {
        Self { freed: Some((slot, conn)), runtime }
    }

    pub(super) fn settled(mut self) -> Option<Handle> {
        self.freed = None;
        self.runtime.take()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let (Some((slot, conn)), Some(runtime)) = (self.freed.take(), self.runtime.take()) {
            runtime.spawn(async move { slot.release(conn).await });
        }
    }
}
