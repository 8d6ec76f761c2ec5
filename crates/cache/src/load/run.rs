//! One load, from its fence to its end.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cenote_pool_core::redis::{self, Value};
use cenote_pool_core::{Conn, Source};

use super::cx::Cx;
use super::fence::{self, Taken};
use super::flight::{Flight, Holder, Outcome, Ticket};
use super::keep::{Keeper, Loaded};
use super::limits::{End, within_limits};
use crate::cache::{Inner, Key};
use crate::lookup::Tier;
use crate::namespace::{Removals, Version};
use crate::read::{Entry, Reading};

/// Pauses between looks at whether another process is done.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LAST_LOOK: Duration = Duration::from_millis(50);
/// A fence that is removed each time it is taken is not to be had.
const ATTEMPTS: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Somebody waits for it.
    Missing,
    /// Somebody was served what is there already.
    Refresh,
}

pub(super) struct Load<K: Key, V> {
    pub(super) cache: Arc<Inner<K, V>>,
    pub(super) name: Vec<u8>,
    pub(super) ticket: Ticket<K, V>,
    pub(super) stale: Option<Arc<V>>,
    /// Who told its caller what there is.
    pub(super) tier: Tier,
    pub(super) why: Why,
}

impl<K: Key, V: Send + Sync + 'static> Load<K, V> {
    pub(super) async fn run<F, Fut, E>(self, loader: F)
    where
        F: FnOnce(Cx<V>) -> Fut,
        Fut: Future<Output = Result<Option<V>, E>>,
        E: Send + Sync + 'static,
    {
        let keeper = match self.keeper().await {
            Ok(keeper) => keeper,
            Err(outcome) => return self.ticket.end(outcome),
        };
        let namespace = &self.cache.namespace;
        namespace.counters.loads.one();
        let (cx, said) = Cx::new(self.stale.clone());
        let began = Instant::now();
        let end = within_limits(&self.cache.options, || self.ticket.slow(), || loader(cx)).await;
        let cost = began.elapsed();
        let outcome = match end {
            End::Loaded(value) => {
                let said = said.lock().clone();
                let value = match &self.stale {
                    Some(stale) if said.not_modified => Some(stale.clone()),
                    _ => value.map(Arc::new),
                };
                let load = Loaded {
                    name: &self.name,
                    flight: &self.ticket.flight,
                    value: value.as_deref(),
                    said: &said,
                    cost,
                };
                self.cache.keep(keeper, &[load]).await;
                self.cache.forgive(self.ticket.key());
                Outcome::Loaded(value)
            }
            failed => {
                namespace.counters.load_failures.one();
                if let Keeper::Redis(mut conn, fences) = keeper {
                    fence::release(&mut conn, &self.name, &fences[0]).await;
                }
                if self.why == Why::Refresh {
                    self.cache.refresh_failed(self.ticket.key(), &self.name, failed.how());
                }
                failed.outcome(|_| None)
            }
        };
        self.ticket.end(outcome);
    }

    /// Takes the fence. An `Err` is the end of the flight: somebody else has the value, or is about to.
    async fn keeper(&self) -> Result<Keeper, Outcome<V>> {
        let (namespace, options) = (&self.cache.namespace, &self.cache.options);
        let (began, patience) = (Instant::now(), options.wait.unwrap_or_default());
        let mut pause = FIRST_LOOK;
        let mut attempts = 0;
        loop {
            if namespace.is_local().unwrap_or(true) {
                return match self.cache.kept_locally(&self.name, &self.ticket).await {
                    Some(entry) if self.why == Why::Missing => Err(Outcome::Loaded(entry.value)),
                    _ => Ok(Keeper::Fallback { waited: false }),
                };
            }
            let Ok(mut conn) = namespace.strict() else { return Ok(Keeper::Nobody) };
            let Taken { fence, value, .. } = match self.take(namespace.after(self.tier, conn.clone())).await {
                Ok(Some(taken)) => taken,
                Ok(None) => return Ok(Keeper::Nobody),
                Err(keeper) => return Ok(keeper),
            };
            if self.why == Why::Missing
                && let Some(entry) = self.found(value).await
            {
                if let Some(fence) = &fence {
                    fence::release(&mut conn, &self.name, fence).await;
                }
                return Err(Outcome::Loaded(entry.value));
            }
            let Some(fence) = fence else {
                attempts += 1;
                if attempts < ATTEMPTS {
                    continue;
                }
                return Ok(Keeper::Nobody);
            };
            if fence.first {
                return Ok(Keeper::Redis(conn, vec![fence]));
            }
            match self.cache.shared.flights.holder(self.ticket.key(), &fence.token) {
                // A load of our own, overtaken by ours because of a change somewhere. It was no change of this key: its
                // fence stands. So what it brings is good for those who wait for ours.
                Holder::Flying(other) if self.why == Why::Missing && self.is_under_version_of(&other) => {
                    if let Outcome::Loaded(value) = self.ticket.follow(&other).await {
                        return Err(Outcome::Loaded(value));
                    }
                    continue;
                }
                // Nobody is at it any more.
                Holder::Ended => {}
                // Another process is at it already.
                _ if self.why == Why::Refresh => return Err(Outcome::Gone),
                _ if began.elapsed() < patience => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LAST_LOOK);
                    continue;
                }
                _ => {}
            }
            fence::extend(&mut conn, std::iter::once(&self.name), options.fence()).await;
            return Ok(Keeper::Redis(conn, vec![fence]));
        }
    }

    fn version(&self) -> Version {
        self.ticket.flight.version()
    }

    /// Nothing was cleared and no tag removed between the two.
    fn is_under_version_of(&self, other: &Flight<V>) -> bool {
        (self.version().is_known() || self.cache.is_raw()) && self.version() == other.version()
    }

    async fn take(&self, mut conn: Conn) -> Result<Option<Taken>, Keeper> {
        let namespace = &self.cache.namespace;
        let fences = [(self.name.as_slice(), self.ticket.flight.token.as_slice())];
        let taken = fence::take(&mut conn, &fences, self.cache.options.fence()).await;
        let taken = taken.map_err(|error| Keeper::without(&error))?.pop();
        if let Some(taken) = &taken {
            namespace.clock.learn(&taken.time);
        }
        // Redis was too slow for the caller, and is there all the same.
        if !self.cache.is_raw() && !self.version().is_known() {
            self.ticket.flight.learn_version(namespace.version().await);
        }
        Ok(taken)
    }

    /// What somebody else stored since this flight's caller found nothing.
    async fn found(&self, value: Value) -> Option<Entry<V>> {
        self.cache.judge_load(&self.name, value, Source::Redis, &self.ticket, None).await
    }
}

impl<K: Key, V: Send + Sync + 'static> Inner<K, V> {
    /// What another flight left in the fallback since this one's caller found nothing there.
    pub(super) async fn kept_locally(&self, name: &[u8], ticket: &Ticket<K, V>) -> Option<Entry<V>> {
        let answer = self.namespace.query(redis::cmd("GET").arg(name)).await.ok()?;
        self.judge_load(name, answer.value, answer.source, ticket, None).await
    }

    /// A value that makes a load unnecessary.
    pub(super) async fn judge_load(
        &self,
        name: &[u8],
        value: Value,
        source: Source,
        ticket: &Ticket<K, V>,
        removals: Option<&Removals>,
    ) -> Option<Entry<V>> {
        let Value::BulkString(bytes) = value else { return None };
        let flight = &ticket.flight;
        let reading = Reading { source, version: flight.version(), since: flight.since, removals };
        let entry = self.judge(name, &bytes, reading, ticket.key()).await?;
        (entry.left > 0).then_some(entry)
    }
}
