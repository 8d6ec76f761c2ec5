//! One load, from its fence to its end.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cenote_pool_core::Source;
use cenote_pool_core::redis::{self, Value};

use super::cx::Cx;
use super::fence::{self, Taken};
use super::flight::{Outcome, Ticket};
use super::keep::{Keeper, Loaded};
use crate::cache::{Inner, Key, shown};
use crate::event::Event;
use crate::lookup::Tier;
use crate::options::Options;
use crate::read::Entry;

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
        let loaded = within_limits(&self.cache.options, || self.ticket.slow(), loader(cx)).await;
        let cost = began.elapsed();
        let outcome = match loaded {
            Some(Ok(value)) => {
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
                    let how = if failed.is_some() { "failed" } else { "timed out" };
                    self.cache.tell(&Event::RefreshFailed { name: shown(&self.name), how });
                    self.cache.cool(self.ticket.key());
                }
                match failed {
                    Some(Err(error)) => Outcome::Failed(Arc::new(error)),
                    _ => Outcome::TimedOut,
                }
            }
        };
        self.ticket.end(outcome);
    }

    /// Takes the fence. An `Err` is the end of the flight: somebody else has the value, or is about to.
    async fn keeper(&self) -> Result<Keeper, Outcome<V>> {
        let (namespace, options) = (&self.cache.namespace, &self.cache.options);
        let give_up = Instant::now() + options.wait.unwrap_or_default();
        let mut pause = FIRST_LOOK;
        let mut attempts = 0;
        loop {
            if namespace.is_local().unwrap_or(true) {
                return match self.found_locally().await {
                    Some(entry) => Err(Outcome::Loaded(entry.value)),
                    None => Ok(Keeper::Fallback { waited: false }),
                };
            }
            let Ok(mut conn) = namespace.strict() else { return Ok(Keeper::Nobody) };
            let names = std::slice::from_ref(&self.name);
            let mut asked = namespace.after(self.tier, conn.clone());
            let mut taken = match fence::take(&mut asked, names, options.fence()).await {
                Ok(taken) => taken,
                Err(error) => return Ok(Keeper::without(&error)),
            };
            let Some(Taken { fence, value, time }) = taken.pop() else { return Ok(Keeper::Nobody) };
            namespace.clock.learn(&time);
            if let Some(entry) = self.found(value, Source::Redis).await {
                if let Some(fence) = &fence {
                    fence::release(&mut conn, &self.name, fence).await;
                }
                return Err(Outcome::Loaded(entry.value));
            }
            attempts += 1;
            match fence {
                Some(fence) if fence.first => return Ok(Keeper::Redis(conn, vec![fence])),
                // Another process is at it already.
                Some(_) if self.why == Why::Refresh => return Err(Outcome::Gone),
                Some(_) if Instant::now() < give_up => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LAST_LOOK);
                }
                Some(fence) => {
                    fence::extend(&mut conn, names.iter(), options.fence()).await;
                    return Ok(Keeper::Redis(conn, vec![fence]));
                }
                None if attempts < ATTEMPTS => {}
                None => return Ok(Keeper::Nobody),
            }
        }
    }

    async fn found_locally(&self) -> Option<Entry<V>> {
        let answer = self.cache.namespace.query(redis::cmd("GET").arg(&self.name)).await.ok()?;
        self.found(answer.value, answer.source).await
    }

    /// What was stored since this flight's caller found nothing, by somebody who was done meanwhile.
    async fn found(&self, value: Value, source: Source) -> Option<Entry<V>> {
        let Value::BulkString(bytes) = value else { return None };
        if self.why == Why::Refresh {
            return None;
        }
        let flight = &self.ticket.flight;
        let key = self.ticket.key();
        let entry = self.cache.judge(&self.name, &bytes, source, flight.version, flight.since, key).await?;
        (entry.left > 0).then_some(entry)
    }
}

/// `None` past the hard limit; calls `slow` past the soft one.
pub(super) async fn within_limits<T>(
    options: &Options,
    slow: impl Fn(),
    loading: impl Future<Output = T>,
) -> Option<T> {
    let mut loading = pin!(loading);
    let mut left = options.hard;
    if let Some(soft) = options.soft.filter(|soft| *soft < options.hard) {
        if let Ok(loaded) = tokio::time::timeout(soft, &mut loading).await {
            return Some(loaded);
        }
        slow();
        left -= soft;
    }
    tokio::time::timeout(left, loading).await.ok()
}
