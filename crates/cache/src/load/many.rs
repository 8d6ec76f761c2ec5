//! Many keys at once: one round trip to look, one loader for all that is missing, one flight for each key.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use cenote_pool_core::Source;
use cenote_pool_core::redis::{Arg, Cmd, Value};
use foldhash::fast::RandomState;

use super::cx::Said;
use super::fence::{self, Fence};
use super::flight::{Outcome, Ticket};
use super::keep::{Keeper, Loaded, NO_FENCE};
use super::limits::{End, within_limits};
use super::{Boarded, Flights, Seen, current_runtime, settle};
use crate::cache::{Cache, Inner, Key, ROOM_OF_NAME};
use crate::clock::now_ms;
use crate::envelope;
use crate::error::{Error, LoadError};
use crate::lookup::Tier;
use crate::namespace::{Removals, Version};
use crate::read::{Entry, Reading, tier_of};

impl<K: Key, V: Send + Sync + 'static> Cache<K, V> {
    /// The values of `keys`, each once: those the cache has, and the rest from `loader`, which is given the keys that
    /// are missing and that nobody else is loading. A key that is not in what it returns has no value. Redis is asked
    /// once for all of them.
    ///
    /// The loader has no [`Cx`](crate::Cx): what it loads has the cache's ttl and no tags, so
    /// [`remove_tag`](Self::remove_tag) does not reach it.
    ///
    /// Stale values are served; they are loaded along with what is missing, or behind the call.
    ///
    /// # Errors
    ///
    /// What became of the loader, or of another's that this call waited for: [`LoadError`]; what else was loaded is
    /// stored all the same. Loads of other processes are not waited for, whatever
    /// [`wait_for_others`](crate::CacheBuilder::wait_for_others) says.
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
        let mut met = HashSet::with_capacity_and_hasher(keys.len(), RandomState::default());
        let now = now_ms();
        let l1 = inner.l1_at(now);
        for key in keys.iter().filter(|key| met.insert(*key)) {
            match l1.and_then(|l1| inner.hit(l1, key, now)) {
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
        let mut missing = Vec::new();
        let mut loader = Some(loader);
        let mut tickets = Vec::new();
        let mut waiting = Vec::new();
        for (key, entry) in asked.into_iter().zip(entries) {
            let fresh = entry.as_ref().is_some_and(|entry| entry.left > 0);
            let served = entry.and_then(|entry| entry.value);
            let stale = served.is_some() && !fresh;
            if let Some(value) = served {
                found.insert(key.clone(), value);
            }
            if stale && !inner.shared.flights.is_flying(key) && !inner.shared.cooling.is_cool(key) {
                if let Boarded::Begun(mut ticket, _) = inner.board(key, version) {
                    ticket.is_behind = true;
                    tickets.push(ticket);
                }
            } else if !stale && !fresh {
                missing.push(key);
            }
        }
        loop {
            for key in missing.drain(..) {
                match inner.board(key, version) {
                    Boarded::Joined(seat) => {
                        inner.namespace.counters.coalesced.one();
                        waiting.push((key, seat));
                    }
                    Boarded::Begun(ticket, seat) => {
                        tickets.push(ticket);
                        waiting.push((key, seat));
                    }
                }
            }
            if !tickets.is_empty()
                && let Some(loader) = loader.take()
            {
                current_runtime()?.spawn(inner.clone().load_many(std::mem::take(&mut tickets), tier, loader));
            }
            for (key, mut seat) in waiting.drain(..) {
                match settle(seat.outcome().await) {
                    Some(loaded) => found.extend(loaded?.map(|value| (key.clone(), value))),
                    // The flight of another came to nothing, or failed with an error of another type.
                    None if loader.is_some() => missing.push(key),
                    None => return Err(LoadError::Interrupted),
                }
            }
            if missing.is_empty() {
                break;
            }
        }
        Ok(found)
    }
}

impl<K: Key, V: Send + Sync + 'static> Inner<K, V> {
    fn board(&self, key: &K, version: Version) -> Boarded<K, V> {
        let place = self.namespace.epochs.place(&self.name(key));
        Flights::board(&self.shared, &self.namespace, key, place, version)
    }

    async fn read_many(&self, keys: &[&K]) -> Result<(Vec<Option<Entry<V>>>, Tier, Version), Error> {
        let namespace = &self.namespace;
        namespace.ready().await?;
        namespace.check_server();
        if self.shared.l1.is_some() {
            namespace.ensure_tracking();
        }
        let since = namespace.epochs.now();
        let mut cmd = Cmd::with_capacity(keys.len() + 2, (keys.len() + 1) * ROOM_OF_NAME);
        cmd.arg("MGET");
        let mut name = Vec::with_capacity(ROOM_OF_NAME);
        for key in keys {
            name.clear();
            self.write_name(*key, &mut name);
            cmd.arg(&name);
        }
        if !self.is_raw() {
            cmd.arg(&namespace.names.versions);
        }
        let answer = namespace.query(&cmd).await?;
        namespace.check_server();
        let Value::Array(mut values) = answer.value else {
            return Ok((keys.iter().map(|_| None).collect(), Tier::L2, Version::NONE));
        };
        let version = match values.len() > keys.len() {
            true => namespace.note_version(&values.pop().unwrap_or_default(), since),
            false => Version::NONE,
        };
        values.resize(keys.len(), Value::Nil);
        let tier = tier_of(answer.source);
        let removals = match tier {
            Tier::L2 => self.removals_among(values.iter(), version).await,
            _ => None,
        };
        let reading =
            Reading { source: answer.source, version, since, removals: removals.as_ref(), again: false };
        let moment = self.moment(answer.source).await;
        let mut hits = 0;
        let mut entries = Vec::with_capacity(keys.len());
        for ((key, name), value) in keys.iter().zip(arguments(&cmd)).zip(values) {
            let entry = match value {
                Value::BulkString(bytes) => {
                    // Of its tags all was asked that there is to ask.
                    self.weigh(name, &bytes, reading, moment, *key).ok().flatten()
                }
                _ => None,
            };
            match self.counter(entry.as_ref()) {
                counter if std::ptr::eq(counter, &namespace.counters.l2_hits) => hits += 1,
                counter => counter.one(),
            }
            entries.push(entry);
        }
        namespace.counters.l2_hits.add(hits);
        Ok((entries, tier, self.version_of(tier, version).await))
    }

    /// Asks once for all tags of those that were loaded before the last removal of a tag.
    async fn removals_among<'a>(
        &self,
        values: impl Iterator<Item = &'a Value>,
        version: Version,
    ) -> Option<Removals> {
        if version.removals() == 0 || self.is_raw() {
            return None;
        }
        let mut tags = std::collections::BTreeSet::new();
        for value in values {
            let Value::BulkString(bytes) = value else { continue };
            let Ok((header, _)) = envelope::decode(bytes) else { continue };
            let loaded = Version::from_bits(header.fields.version);
            if loaded.is_of(version) && loaded != version {
                tags.extend(header.tags.iter());
            }
        }
        if tags.is_empty() {
            return None;
        }
        let tags: Vec<&str> = tags.into_iter().collect();
        Some(self.namespace.removals(&tags).await)
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
        namespace.counters.refreshes.add(tickets.iter().filter(|ticket| ticket.is_behind).count());
        let began = Instant::now();
        let keys: Vec<K> = tickets.iter().map(|ticket| ticket.key().clone()).collect();
        let slow = || tickets.iter().for_each(Ticket::slow);
        let end = within_limits(&self.options, slow, || loader(keys)).await;
        namespace.counters.load_time.took(began.elapsed());
        let failed = match end {
            End::Loaded(loaded) => {
                self.land_many(tickets, keeper, loaded, began).await;
                return;
            }
            failed => failed,
        };
        namespace.counters.load_failures.one();
        if let Keeper::Redis(mut conn, fences) = keeper {
            for (ticket, fence) in tickets.iter().zip(&fences) {
                fence::release(&mut conn, &self.name(ticket.key()), fence).await;
            }
        }
        for ticket in tickets.iter().filter(|ticket| ticket.is_behind) {
            self.refresh_failed(ticket.key(), &self.name(ticket.key()), failed.how());
        }
        let outcome = failed.outcome(|_| None);
        for ticket in tickets {
            ticket.end(outcome.clone());
        }
    }

    /// Takes all fences. Those whose value is there by now are at their end.
    async fn fence_many(&self, tickets: Vec<Ticket<K, V>>, tier: Tier) -> (Vec<Ticket<K, V>>, Keeper) {
        let namespace = &self.namespace;
        let names: Vec<_> = tickets.iter().map(|ticket| self.name(ticket.key())).collect();
        let mut left = Vec::new();
        if namespace.is_local().unwrap_or(true) {
            for (ticket, name) in tickets.into_iter().zip(&names) {
                match self.kept_locally(name, &ticket).await {
                    Some(entry) => ticket.end(Outcome::Loaded(entry.value)),
                    None => left.push(ticket),
                }
            }
            return (left, Keeper::Fallback { waited: false });
        }
        let Ok(mut conn) = namespace.strict() else {
            return (tickets, Keeper::Nobody(NO_FENCE.to_owned()));
        };
        let mut brief = namespace.after(tier, conn.clone());
        let asked = tickets.iter().zip(&names);
        let asked: Vec<_> =
            asked.map(|(ticket, name)| (name.as_slice(), ticket.flight.token.as_slice())).collect();
        let taken = match fence::take(&mut brief, &asked, self.options.fence()).await {
            Ok(taken) => taken,
            Err(error) => return (tickets, Keeper::without(&error)),
        };
        let joined = taken
            .iter()
            .zip(&names)
            .filter(|(taken, _)| taken.fence.as_ref().is_some_and(|fence| !fence.first));
        fence::extend(&mut conn, joined.map(|(_, name)| name), self.options.fence()).await;
        let version = match self.is_raw() || tickets.iter().all(|ticket| ticket.flight.version().is_known()) {
            true => Version::NONE,
            false => namespace.version().await,
        };
        for ticket in tickets.iter().filter(|ticket| !ticket.flight.version().is_known()) {
            // Redis was too slow for the caller, and is there all the same.
            ticket.flight.learn_version(version);
        }
        // What one call found missing it saw under one version.
        let seen = tickets.first().map(|ticket| ticket.flight.version()).unwrap_or_default();
        let removals = self.removals_among(taken.iter().map(|taken| &taken.value), seen).await;
        let mut fences = Vec::new();
        for ((ticket, taken), name) in tickets.into_iter().zip(taken).zip(&names) {
            namespace.clock.learn(&taken.time, taken.asked);
            let found = self.judge_load(name, taken.value, Source::Redis, &ticket, removals.as_ref()).await;
            if let Some(entry) = found {
                if let Some(fence) = &taken.fence {
                    fence::release(&mut conn, name, fence).await;
                }
                ticket.end(Outcome::Loaded(entry.value));
                continue;
            }
            left.push(ticket);
            // Without one, whatever it commits is refused.
            let none = || Fence { refusal: taken.refusal, ..Fence::default() };
            fences.push(taken.fence.unwrap_or_else(none));
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
        let kept = self.keep(keeper, &loads).await;
        for (ticket, value) in tickets.into_iter().zip(values) {
            if kept || !ticket.is_behind {
                self.forgive(ticket.key());
            } else {
                self.rest(ticket.key());
            }
            ticket.end(Outcome::Loaded(value));
        }
    }
}

/// What follows the name of a command.
fn arguments(cmd: &Cmd) -> impl Iterator<Item = &[u8]> {
    cmd.args_iter().skip(1).map(|arg| match arg {
        Arg::Simple(bytes) => bytes,
        _ => &[],
    })
}
