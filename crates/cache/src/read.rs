//! Reading: L1, then Redis, or the fallback in its place.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use cenote_pool_core::redis::{self, Value};
use cenote_pool_core::{Source, State};

use crate::cache::{Cache, Inner, Key, shown};
use crate::clock::now_ms;
use crate::compress;
use crate::envelope::{self, Corrupt, Fields, Header, Tags};
use crate::error::Error;
use crate::event::Event;
use crate::key::CacheKey;
use crate::l1::Known;
use crate::lookup::{Found, Lookup, Tier};
use crate::namespace::{Namespace, Removals, Version, is_redis};
use crate::options::OnDisconnect;

/// A version that changes at each attempt is not waited for.
const ATTEMPTS: usize = 3;

/// A value as it was found.
#[derive(Debug)]
pub(crate) struct Entry<V> {
    /// `None`: there is nothing.
    pub(crate) value: Option<Arc<V>>,
    pub(crate) tier: Tier,
    /// In ms; `left` is 0 once it is stale.
    pub(crate) age: u64,
    pub(crate) left: u64,
    pub(crate) cost: u32,
}

/// What a read found, and under which version.
#[derive(Debug)]
pub(crate) struct Seen<V> {
    pub(crate) entry: Option<Entry<V>>,
    pub(crate) tier: Tier,
    pub(crate) version: Version,
}

/// How bytes were read: from whom, under which version, since when, and what is known of tags.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) source: Source,
    pub(crate) version: Version,
    pub(crate) since: u64,
    pub(crate) removals: Option<&'a Removals>,
}

impl<V> Clone for Entry<V> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), ..*self }
    }
}

impl<K: Key, V: Send + Sync + 'static> Cache<K, V> {
    /// What is known of `key`. Loads nothing.
    ///
    /// # Errors
    ///
    /// The pool is closed, it was called outside a runtime, or Redis refuses to read the key. That Redis is away is no
    /// error: see [`Lookup::Miss`].
    ///
    /// **Cancel safety.** Dropping it changes nothing.
    pub async fn get<Q>(&self, key: &Q) -> Result<Lookup<V>, Error>
    where
        K: Borrow<Q>,
        Q: CacheKey + Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let inner = &self.inner;
        if let Some(entry) = inner.look_in_l1(key) {
            return Ok(entry.into_lookup());
        }
        let seen = inner.read(key, &inner.name(key)).await?;
        inner.count(&seen);
        Ok(match seen.entry {
            Some(entry) => entry.into_lookup(),
            None => Lookup::Miss { tier: seen.tier },
        })
    }
}

impl<V> Entry<V> {
    /// What a loader brought just now.
    pub(crate) fn loaded(value: Option<Arc<V>>) -> Self {
        Self { value, tier: Tier::Loader, age: 0, left: u64::MAX, cost: 0 }
    }

    pub(crate) fn into_lookup(self) -> Lookup<V> {
        let (tier, age) = (self.tier, Duration::from_millis(self.age));
        match self.value {
            None => Lookup::Absent { tier, age },
            Some(value) if self.left == 0 => Lookup::Stale(Found { value, tier, age }),
            Some(value) => Lookup::Hit(Found { value, tier, age }),
        }
    }
}

impl<K: Key, V: Send + Sync + 'static> Inner<K, V> {
    pub(crate) fn look_in_l1<Q>(&self, key: &Q) -> Option<Entry<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let l1 = self.shared.l1.as_ref()?;
        let now = now_ms();
        let namespace = &self.namespace;
        if !namespace.tracker.is_live(now) {
            let OnDisconnect::ServeFor(limit) = self.options.on_disconnect else { return None };
            let is_closed = || namespace.pool.state() == State::Closed;
            if !namespace.tracker.was_live(now, crate::clock::millis(limit)) || is_closed() {
                return None;
            }
        }
        let hit = l1.get(key, namespace, now)?;
        // Counted in L1.
        if hit.value.is_some() { &namespace.counters.l1_hits } else { &namespace.counters.absent_hits }
            .tell();
        let (age, left) = (now.saturating_sub(hit.born), hit.fresh.saturating_sub(now).max(1));
        Some(Entry { value: hit.value, tier: Tier::L1, age, left, cost: hit.cost })
    }

    pub(crate) fn count(&self, seen: &Seen<V>) {
        let counters = &self.namespace.counters;
        match &seen.entry {
            None => &counters.misses,
            Some(entry) if entry.value.is_none() => &counters.absent_hits,
            Some(entry) if entry.left == 0 => &counters.stale_hits,
            Some(entry) if entry.tier == Tier::Fallback => &counters.fallback_hits,
            Some(_) => &counters.l2_hits,
        }
        .one();
    }

    pub(crate) async fn read<Q>(&self, key: &Q, name: &[u8]) -> Result<Seen<V>, Error>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let namespace = &self.namespace;
        namespace.ready().await?;
        if self.shared.l1.is_some() {
            namespace.ensure_tracking();
        }
        for _ in 0..ATTEMPTS {
            namespace.check_server();
            let since = namespace.epochs.now();
            let known = namespace.known_version();
            let alone = self.is_raw() || known.is_known();
            // Room for all that it says, so that it is made at once.
            let mut cmd = redis::Cmd::with_capacity(3, 4 + name.len() + namespace.names.versions.len());
            cmd.arg(if alone { "GET" } else { "MGET" }).arg(name);
            if !alone {
                cmd.arg(&namespace.names.versions);
            }
            let answer = namespace.query(&cmd).await?;
            // Another server than the one that what is known was read from?
            namespace.check_server();
            let (value, version) = match answer.value {
                Value::Array(mut values) if !alone && values.len() == 2 => {
                    let version = namespace.note_version(&values[1], since);
                    (values.swap_remove(0), version)
                }
                value if self.is_raw() || namespace.epochs.holds(namespace.versions.place(), since) => {
                    (value, known)
                }
                // What was known is known no longer.
                _ if is_redis(answer.source) => continue,
                value => (value, Version::NONE),
            };
            let entry = match value {
                Value::BulkString(bytes) => {
                    let reading = Reading { source: answer.source, version, since, removals: None };
                    self.judge(name, &bytes, reading, key).await
                }
                _ => None,
            };
            return Ok(Seen { entry, tier: tier_of(answer.source), version });
        }
        Ok(Seen { entry: None, tier: Tier::L2, version: Version::NONE })
    }

    /// What these bytes are worth; keeps them in L1 if they are.
    pub(crate) async fn judge<Q>(
        &self,
        name: &[u8],
        bytes: &[u8],
        reading: Reading<'_>,
        key: &Q,
    ) -> Option<Entry<V>>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let namespace = &self.namespace;
        let Reading { source, version, since, removals } = reading;
        let tier = tier_of(source);
        if self.is_raw() {
            let value =
                self.codec.decode(bytes).map_err(|error| self.corrupt(name, &Corrupt::Codec(error))).ok()?;
            return Some(Entry { value: Some(Arc::new(value)), tier, age: 0, left: u64::MAX, cost: 0 });
        }
        let (Header { fields: header, tags }, payload) =
            envelope::decode(bytes).map_err(|why| self.corrupt(name, &why)).ok()?;
        let valid = match tier {
            Tier::Fallback => is_untouched(namespace, name, &header, &tags),
            _ => is_valid(namespace, &header, &tags, version, removals).await,
        };
        if !valid {
            return None;
        }
        if is_redis(source) {
            namespace.learn_time().await;
        }
        let age = namespace.clock.now().saturating_sub(header.born_ms);
        let left = header.fresh_ms.saturating_sub(age);
        // What is not there is not served stale.
        if header.is_negative && left == 0 {
            return None;
        }
        // Redis is about to let go of it, or would be if its clock had not been set back.
        if left == 0 && age >= header.fresh_ms.saturating_add(self.options.stale) {
            return None;
        }
        let value = match header.is_negative {
            true => None,
            false => {
                Some(Arc::new(self.decode(&header, payload).map_err(|why| self.corrupt(name, &why)).ok()?))
            }
        };
        let entry = Entry { value, tier, age, left, cost: header.cost_us / 1000 };
        if let Some(l1) = self.shared.l1.as_ref().filter(|_| is_redis(source) && left > 0) {
            let now = now_ms();
            let known = Known {
                value: entry.value.clone(),
                since,
                place: namespace.epochs.place(name),
                version,
                tagged: !tags.is_empty(),
                until: now.saturating_add(left.min(self.options.l1_ttl)),
                fresh: now.saturating_add(left),
                born: now.saturating_sub(age),
                cost: entry.cost,
                bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            };
            if namespace.tracker.is_live(now) {
                namespace.counters.l1_evictions.add(l1.insert(key.to_owned(), known));
            }
        }
        Some(entry)
    }

    fn decode(&self, header: &Fields, payload: &[u8]) -> Result<V, Corrupt> {
        if header.compression == 0 {
            return self.codec.decode(payload).map_err(Corrupt::Codec);
        }
        let whole = compress::decompress(header.compression, payload, header.uncompressed_len, u64::MAX)?;
        self.codec.decode(&whole).map_err(Corrupt::Codec)
    }

    fn corrupt(&self, name: &[u8], why: &Corrupt) {
        self.namespace.counters.corrupt.one();
        self.tell(&Event::Corrupt { name: shown(name), why });
    }
}

pub(crate) fn tier_of(source: Source) -> Tier {
    if is_redis(source) { Tier::L2 } else { Tier::Fallback }
}

/// Redis has it in this version: is it of this generation, and was none of its tags removed since its load began?
async fn is_valid(
    namespace: &Namespace,
    header: &Fields,
    tags: &Tags<'_>,
    version: Version,
    removals: Option<&Removals>,
) -> bool {
    let loaded = Version::from_bits(header.version);
    if !loaded.is_of(version) {
        return false;
    }
    // Nothing at all was removed since.
    if tags.is_empty() || loaded == version {
        return true;
    }
    if let Some(removals) = removals {
        return removals.vouch_for(loaded, tags.iter());
    }
    let asked: Vec<&str> = tags.iter().collect();
    namespace.removals(&asked).await.vouch_for(loaded, tags.iter())
}

/// The fallback has it: only this process can have changed what it says.
fn is_untouched(namespace: &Namespace, name: &[u8], header: &Fields, tags: &Tags<'_>) -> bool {
    namespace.is_true_locally(namespace.epochs.place(name), header.serial, tags.iter())
}
