//! Many keys at once: one round trip to look, one loader for all that is missing, one flight for each key.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use cenote_pool_core::Source;
use cenote_pool_core::redis::{self, Value};

use super::cx::Said;
use super::fence;
use super::flight::{Outcome, Ticket};
use super::keep::{Keeper, Loaded};
use super::run::within_limits;
use super::{Boarded, Flights, Seen, current_runtime, settle};
use crate::cache::{Cache, Inner, Key};
use crate::error::{Error, LoadError};
use crate::lookup::Tier;
use crate::namespace::Version;
use crate::read::{Entry, tier_of};

impl<K: Key, V: Send + Sync + 'static> Cache<K, V> {
    /// The values of `keys`, each once: those the cache has, and the rest from `loader`, which is given the keys that
    /// are missing and that nobody else is loading. A key that is not in what it returns has no value. Redis is asked
    /// once for all of them.
    ///
    /// Stale values are served; they are loaded along with what is missing, or behind the call.
    ///
    /// # Errors
    ///
    /// What became of the loader, or of another's that this call waited for: [`LoadError`]. Loads of other processes
    /// are not waited for, whatever [`wait_for_others`](crate::CacheBuilder::wait_for_others) says.
    ///
    /// **Cancel safety.** Dropping it leaves the load under way.
    pub async fn get_or_load_many<F, Fut, E>(
        &self,
        keys: &[K],
        loader: F,
    ) -> Result<HashMap<K, Arc<V>>, LoadError<E>>
    where
        F: FnOnce(Vec<K>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<HashMap<K, V>, E>> + Send + 'static,
        E: Send + Sync + 'static,
    {
        let inner = &self.inner;
        let mut found = HashMap::with_capacity(keys.len());
        let mut asked: Vec<&K> = Vec::new();
        let mut met = std::collections::HashSet::with_capacity(keys.len());
        for key in keys.iter().filter(|key| met.insert(*key)) {
            match inner.look_in_l1(key) {
                Some(entry) => found.extend(entry.value.map(|value| (key.clone(), value))),
                None => asked.push(key),
            }
        }
        if asked.is_empty() {
            return Ok(found);
        }
        let (entries, tier, version) = inner.read_many(&asked).await.or_else(|error| {
            let nothing = Seen::<V>::unless_unusable(error)?;
            Ok((asked.iter().map(|_| None).collect(), nothing.tier, nothing.version))
        })?;
        let (mut waiting, mut tickets, mut missing) = (Vec::new(), Vec::new(), false);
        for (key, entry) in asked.into_iter().zip(entries) {
            let fresh = entry.as_ref().is_some_and(|entry| entry.left > 0);
            let served = entry.and_then(|entry| entry.value);
            let stale = served.is_some() && !fresh;
            found.extend(served.map(|value| (key.clone(), value)));
            if fresh || stale && (inner.shared.flights.is_flying(key) || inner.shared.cooling.is_cool(key)) {
                continue;
            }
            let place = inner.namespace.epochs.place(&inner.name(key));
            let seat = match Flights::board(&inner.shared, &inner.namespace, key, place, version) {
                Boarded::Joined(seat) => {
                    inner.namespace.counters.coalesced.one();
                    seat
                }
                Boarded::Begun(ticket, seat) => {
                    tickets.push(ticket);
                    seat
                }
            };
            if !stale {
                missing = true;
                waiting.push((key, seat));
            }
        }
        if !tickets.is_empty() {
            current_runtime()?.spawn(inner.clone().load_many(tickets, tier, loader));
        }
        if missing {
            for (key, seat) in waiting {
                let value = settle(seat.outcome().await).unwrap_or(Err(LoadError::Interrupted))?;
                found.extend(value.map(|value| (key.clone(), value)));
            }
        }
        Ok(found)
    }
}

impl<K: Key, V: Send + Sync + 'static> Inner<K, V> {
    async fn read_many(&self, keys: &[&K]) -> Result<(Vec<Option<Entry<V>>>, Tier, Version), Error> {
        let namespace = &self.namespace;
        namespace.ready().await?;
        namespace.check_server();
        if self.shared.l1.is_some() {
            namespace.ensure_tracking();
        }
        let since = namespace.epochs.now();
        let names: Vec<Vec<u8>> = keys.iter().map(|key| self.name(*key)).collect();
        let mut cmd = redis::cmd("MGET");
        cmd.arg(&names);
        if !self.is_raw() {
            cmd.arg(&namespace.names.versions);
        }
        let answer = namespace.query(&cmd).await?;
        namespace.check_server();
        let Value::Array(mut values) = answer.value else {
            return Ok((keys.iter().map(|_| None).collect(), Tier::L2, Version::NONE));
        };
        let version = match values.len() > names.len() {
            true => namespace.note_version(&values.pop().unwrap_or_default(), since),
            false => Version::NONE,
        };
        values.resize(names.len(), Value::Nil);
        let tier = tier_of(answer.source);
        let mut entries = Vec::with_capacity(names.len());
        for ((key, name), value) in keys.iter().zip(&names).zip(values) {
            let entry = match value {
                Value::BulkString(bytes) => {
                    self.judge(name, &bytes, answer.source, version, since, *key).await
                }
                _ => None,
            };
            let seen = Seen { entry, tier, version };
            self.count(&seen);
            entries.push(seen.entry);
        }
        Ok((entries, tier, self.version_of(tier, version).await))
    }

    async fn load_many<F, Fut, E>(self: Arc<Self>, tickets: Vec<Ticket<K, V>>, tier: Tier, loader: F)
    where
        F: FnOnce(Vec<K>) -> Fut,
        Fut: Future<Output = Result<HashMap<K, V>, E>>,
        E: Send + Sync + 'static,
    {
        let (tickets, keeper) = self.fence_many(tickets, tier).await;
        if tickets.is_empty() {
            return;
        }
        let namespace = &self.namespace;
        namespace.counters.loads.one();
        let began = Instant::now();
        let keys: Vec<K> = tickets.iter().map(|ticket| ticket.key().clone()).collect();
        let slow = || tickets.iter().for_each(Ticket::slow);
        let outcome = match within_limits(&self.options, slow, loader(keys)).await {
            Some(Ok(loaded)) => {
                self.land_many(tickets, keeper, loaded, began).await;
                return;
            }
            Some(Err(error)) => Outcome::Failed(Arc::new(error)),
            None => Outcome::TimedOut,
        };
        namespace.counters.load_failures.one();
        if let Keeper::Redis(mut conn, fences) = keeper {
            for (ticket, fence) in tickets.iter().zip(&fences) {
                fence::release(&mut conn, &self.name(ticket.key()), fence).await;
            }
        }
        for ticket in tickets {
            self.cool(ticket.key());
            ticket.end(outcome.clone());
        }
    }

    /// Takes all fences. Those whose value is there by now are at their end.
    async fn fence_many(&self, tickets: Vec<Ticket<K, V>>, tier: Tier) -> (Vec<Ticket<K, V>>, Keeper) {
        let namespace = &self.namespace;
        if namespace.is_local().unwrap_or(true) {
            return (tickets, Keeper::Fallback { waited: false });
        }
        let names: Vec<_> = tickets.iter().map(|ticket| self.name(ticket.key())).collect();
        let Ok(mut conn) = namespace.strict() else { return (tickets, Keeper::Nobody) };
        let mut asked = namespace.after(tier, conn.clone());
        let taken = match fence::take(&mut asked, &names, self.options.fence()).await {
            Ok(taken) => taken,
            Err(error) => return (tickets, Keeper::without(&error)),
        };
        let joined = taken
            .iter()
            .zip(&names)
            .filter(|(taken, _)| taken.fence.as_ref().is_some_and(|fence| !fence.first));
        fence::extend(&mut conn, joined.map(|(_, name)| name), self.options.fence()).await;
        let (mut left, mut fences) = (Vec::new(), Vec::new());
        for ((ticket, taken), name) in tickets.into_iter().zip(taken).zip(&names) {
            namespace.clock.learn(&taken.time);
            let flight = &ticket.flight;
            let entry = match taken.value {
                Value::BulkString(bytes) => {
                    self.judge(name, &bytes, Source::Redis, flight.version, flight.since, ticket.key()).await
                }
                _ => None,
            };
            if let Some(entry) = entry.filter(|entry| entry.left > 0) {
                if let Some(fence) = &taken.fence {
                    fence::release(&mut conn, name, fence).await;
                }
                ticket.end(Outcome::Loaded(entry.value));
                continue;
            }
            left.push(ticket);
            // Without one, whatever it commits is refused.
            fences.push(taken.fence.unwrap_or_default());
        }
        (left, Keeper::Redis(conn, fences))
    }

    async fn land_many(
        &self,
        tickets: Vec<Ticket<K, V>>,
        keeper: Keeper,
        mut loaded: HashMap<K, V>,
        began: Instant,
    ) {
        let cost = began.elapsed() / u32::try_from(tickets.len()).unwrap_or(u32::MAX).max(1);
        let names: Vec<_> = tickets.iter().map(|ticket| self.name(ticket.key())).collect();
        let values: Vec<_> = tickets.iter().map(|ticket| loaded.remove(ticket.key()).map(Arc::new)).collect();
        let said = Said::default();
        let loads: Vec<_> = tickets
            .iter()
            .zip(&names)
            .zip(&values)
            .map(|((ticket, name), value)| Loaded {
                name,
                flight: &ticket.flight,
                value: value.as_deref(),
                said: &said,
                cost,
            })
            .collect();
        self.keep(keeper, &loads).await;
        for (ticket, value) in tickets.into_iter().zip(values) {
            self.forgive(ticket.key());
            ticket.end(Outcome::Loaded(value));
        }
    }
}
