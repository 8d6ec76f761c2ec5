//! One load, from its fence to its end.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use super::cx::Cx;
use super::fence;
use super::flight::{Outcome, Ticket};
use super::keep::{Keeper, Loaded};
use super::limits::{End, within_limits};
use crate::cache::{Inner, Key};
use crate::lookup::Tier;

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
    /// What is there already, and its tags.
    pub(super) stale: Option<Arc<V>>,
    pub(super) tags: Vec<String>,
    /// Who told its caller what there is.
    pub(super) tier: Tier,
    pub(super) why: Why,
    /// What the last load took, in ms.
    pub(super) cost: u32,
}

impl<K: Key, V: Send + Sync + 'static> Load<K, V> {
    pub(super) async fn run<F, Fut, E>(mut self, loader: F)
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
        if self.why == Why::Refresh {
            namespace.counters.refreshes.one();
        }
        let (cx, said) = Cx::new(self.stale.clone());
        let began = Instant::now();
        let end = within_limits(&self.cache.options, || self.ticket.slow(), || loader(cx)).await;
        let cost = began.elapsed();
        namespace.counters.load_time.took(cost);
        let outcome = match end {
            End::Loaded(value) => {
                let mut said = said.lock().clone();
                let value = match self.stale.take() {
                    Some(stale) if said.not_modified => {
                        said.tags.append(&mut self.tags);
                        Some(stale)
                    }
                    _ => value.map(Arc::new),
                };
                let load = Loaded {
                    name: &self.name,
                    flight: &self.ticket.flight,
                    value: value.as_deref(),
                    said: &said,
                    cost,
                };
                let kept = self.cache.keep(keeper, &[load]).await;
                if kept || self.why == Why::Missing {
                    self.cache.forgive(self.ticket.key());
                } else {
                    // The next reader of the stale value would load it again for nothing.
                    self.cache.rest(self.ticket.key());
                }
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
}
