//! Who keeps what a load brings: Redis behind a fence, or the fallback; and whether the load is needed at all.

use std::time::{Duration, Instant};

use cenote_pool_core::redis::{self, Value};
use cenote_pool_core::{Conn, Source};

use super::fence::{self, Taken};
use super::flight::{Flight, Holder, Outcome, Ticket};
use super::keep::{Keeper, NO_FENCE};
use super::run::{Load, Why};
use crate::cache::{Inner, Key};
use crate::envelope;
use crate::namespace::{Removals, Version};
use crate::read::{Entry, Reading};

/// Pauses between looks at whether another process is done.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LAST_LOOK: Duration = Duration::from_millis(50);
/// A process that loads behind a value that is there is taken for dead no sooner, in ms.
const LEAST_PATIENCE: u64 = 1_000;
/// A fence that is removed each time it is taken is not to be had.
const ATTEMPTS: usize = 3;

impl<K: Key, V: Send + Sync + 'static> Load<K, V> {
    /// Takes the fence. An `Err` is the end of the flight: somebody else has the value, or is about to.
    pub(super) async fn keeper(&mut self) -> Result<Keeper, Outcome<V>> {
        let cache = self.cache.clone();
        let (namespace, options) = (&cache.namespace, &cache.options);
        let (began, patience) = (Instant::now(), options.wait.unwrap_or_default());
        let mut pause = FIRST_LOOK;
        let (mut attempts, mut looked_again) = (0, false);
        loop {
            if namespace.is_local().unwrap_or(true) {
                if self.why == Why::Refresh {
                    let answer = namespace.query(redis::cmd("GET").arg(&self.name)).await;
                    let there = answer.map(|answer| (answer.value, answer.source));
                    self.see(there.unwrap_or((Value::Nil, Source::Redis))).await;
                } else if let Some(entry) = self.cache.kept_locally(&self.name, &self.ticket).await {
                    return Err(Outcome::Loaded(entry.value));
                }
                return Ok(Keeper::Fallback { waited: false });
            }
            let Ok(mut conn) = namespace.strict() else { return Ok(Keeper::Nobody(NO_FENCE.to_owned())) };
            let Taken { fence, value, refusal, .. } =
                match self.take(namespace.after(self.tier, conn.clone())).await {
                    Ok(Some(taken)) => taken,
                    Ok(None) => return Ok(Keeper::Nobody(NO_FENCE.to_owned())),
                    Err(keeper) => return Ok(keeper),
                };
            if self.why == Why::Refresh {
                self.see((value, Source::Redis)).await;
            } else if let Some(entry) = self.found(value).await {
                if let Some(fence) = &fence {
                    fence::release(&mut conn, &self.name, fence).await;
                }
                return Err(Outcome::Loaded(entry.value));
            }
            let Some(fence) = fence else {
                attempts += 1;
                match refusal {
                    Some(refusal) => return Ok(Keeper::Nobody(refusal)),
                    None if attempts < ATTEMPTS => continue,
                    None => return Ok(Keeper::Nobody(NO_FENCE.to_owned())),
                }
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
                // It has ended since: what it brought may be there by now.
                Holder::Ended if !looked_again => {
                    looked_again = true;
                    continue;
                }
                // Nobody is at it any more.
                Holder::Ended => {}
                // Another process is at it already, unless it has died.
                _ if self.why == Why::Refresh && !self.is_abandoned(&mut conn).await => {
                    return Err(Outcome::Gone);
                }
                _ if self.why == Why::Missing && began.elapsed() < patience => {
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

    /// Whoever took the fence takes longer than the last load behind a value that is there, and longer than that may be.
    async fn is_abandoned(&self, conn: &mut Conn) -> bool {
        let stood = fence::stood(conn, &self.name, self.cache.options.fence()).await;
        stood > LEAST_PATIENCE + 2 * u64::from(self.cost)
    }

    /// What is there now, behind the fence, and with which tags: whoever says that it is as good as new says so of this,
    /// and not of what its caller was served.
    async fn see(&mut self, (value, source): (Value, Source)) {
        (self.stale, self.tags) = (None, Vec::new());
        let Value::BulkString(bytes) = value else { return };
        let Some(entry) = self.cache.judge_bytes(&self.name, &bytes, source, &self.ticket, None).await else {
            return;
        };
        self.stale = entry.value;
        if let Ok((header, _)) = envelope::decode(&bytes) {
            self.tags = header.tags.iter().map(str::to_owned).collect();
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
            namespace.clock.learn(&taken.time, taken.asked);
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
        let entry = self.judge_bytes(name, &bytes, source, ticket, removals).await?;
        (entry.left > 0).then_some(entry)
    }

    async fn judge_bytes(
        &self,
        name: &[u8],
        bytes: &[u8],
        source: Source,
        ticket: &Ticket<K, V>,
        removals: Option<&Removals>,
    ) -> Option<Entry<V>> {
        let flight = &ticket.flight;
        let reading =
            Reading { source, version: flight.version(), since: flight.since, removals, again: true };
        self.judge(name, bytes, reading, ticket.key()).await
    }
}
