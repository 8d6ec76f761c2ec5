//! Reading: L1, then Redis, or the fallback in its place.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use cenote_pool_core::redis::{self, Value};
use cenote_pool_core::{Source, State};

use crate::cache::{Cache, Inner, Key, shown};
use crate::clock::{millis, now_ms};
use crate::compress;
use crate::envelope::{self, Corrupt, Fields, Header, Tags};
use crate::error::Error;
use crate::event::Event;
use crate::key::CacheKey;
use crate::l1::{Known, L1};
use crate::lookup::{Found, Lookup, Tier};
use crate::namespace::{Namespace, Removals, Version, is_redis};
use crate::options::OnDisconnect;
use crate::stats::Counter;

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
    /// Just after its caller did: what cannot be read was told of.
    pub(crate) again: bool,
}

/// When something is read: by our clock and the server's, in ms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    now: u64,
    server: u64,
    /// What Redis answers may be kept in L1.
    l1_is_live: bool,
}

/// When these tags were removed has to be asked first.
#[derive(Debug)]
pub(crate) struct Unasked<'b>(Tags<'b>);

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
        let now = now_ms();
        self.hit(self.l1_at(now)?, key, now)
    }

    /// L1, if it may answer.
    pub(crate) fn l1_at(&self, now: u64) -> Option<&L1<K, V>> {
        let l1 = self.shared.l1.as_ref()?;
        let tracker = &self.namespace.tracker;
        if !tracker.is_live(now) {
            let OnDisconnect::ServeFor(limit) = self.options.on_disconnect else { return None };
            let is_closed = || self.namespace.pool.state() == State::Closed;
            if !tracker.was_live(now, millis(limit)) || is_closed() {
                return None;
            }
        }
        Some(l1)
    }

    pub(crate) fn hit<Q>(&self, l1: &L1<K, V>, key: &Q, now: u64) -> Option<Entry<V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let namespace = &self.namespace;
        let hit = l1.get(key, namespace, now)?;
        // Counted in L1.
        if hit.value.is_some() { &namespace.counters.l1_hits } else { &namespace.counters.absent_hits }
            .tell(1);
        let (age, left) = (now.wrapping_sub(hit.born), hit.fresh.saturating_sub(now).max(1));
        Some(Entry { value: hit.value, tier: Tier::L1, age, left, cost: hit.cost })
    }

    pub(crate) fn count(&self, seen: &Seen<V>) {
        self.counter(seen.entry.as_ref()).one();
    }

    /// What a read that found this counts as.
    pub(crate) fn counter(&self, entry: Option<&Entry<V>>) -> &Counter {
        let counters = &self.namespace.counters;
        match entry {
            None => &counters.misses,
            Some(entry) if entry.value.is_none() => &counters.absent_hits,
            Some(entry) if entry.left == 0 => &counters.stale_hits,
            Some(entry) if entry.tier == Tier::Fallback => &counters.fallback_hits,
            Some(_) => &counters.l2_hits,
        }
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
                    let reading =
                        Reading { source: answer.source, version, since, removals: None, again: false };
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
        let moment = self.moment(reading.source).await;
        match self.weigh(name, bytes, reading, moment, key) {
            Ok(entry) => entry,
            Err(Unasked(tags)) => {
                let tags: Vec<_> = tags.iter().collect();
                let removals = self.namespace.removals(&tags).await;
                let reading = Reading { removals: Some(&removals), ..reading };
                self.weigh(name, bytes, reading, moment, key).ok().flatten()
            }
        }
    }

    /// The present, for values from `source`.
    pub(crate) async fn moment(&self, source: Source) -> Moment {
        if is_redis(source) && !self.is_raw() {
            self.namespace.learn_time().await;
        }
        let now = now_ms();
        let l1_is_live = is_redis(source) && self.namespace.tracker.is_live(now);
        Moment { now, server: self.namespace.clock.now(), l1_is_live }
    }

    /// As [`judge`](Self::judge), with all that is known.
    pub(crate) fn weigh<'b, Q>(
        &self,
        name: &[u8],
        bytes: &'b [u8],
        reading: Reading<'_>,
        moment: Moment,
        key: &Q,
    ) -> Result<Option<Entry<V>>, Unasked<'b>>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + ?Sized,
    {
        let namespace = &self.namespace;
        let tier = tier_of(reading.source);
        if self.is_raw() {
            let value = self.codec.decode(bytes).map_err(Corrupt::Codec);
            let value = value.map_err(|why| self.corrupt(name, &why, reading)).ok();
            return Ok(value.map(|value| Entry {
                value: Some(Arc::new(value)),
                tier,
                age: 0,
                left: u64::MAX,
                cost: 0,
            }));
        }
        let (Header { fields: header, tags }, payload) = match envelope::decode(bytes) {
            Ok(opened) => opened,
            Err(why) => {
                self.corrupt(name, &why, reading);
                return Ok(None);
            }
        };
        let valid = match tier {
            Tier::Fallback => is_untouched(namespace, name, &header, &tags),
            _ => is_valid(&header, tags, reading)?,
        };
        let age = moment.server.saturating_sub(header.born_ms);
        let left = header.fresh_ms.saturating_sub(age);
        // What is not there is not served stale; and what is past that Redis is about to let go of, or would be if its
        // clock had not been set back.
        let kept = if header.is_negative { 0 } else { self.options.stale };
        if !valid || left == 0 && age >= header.fresh_ms.saturating_add(kept) {
            return Ok(None);
        }
        let value = match header.is_negative {
            true => None,
            false => match self.decode(&header, payload) {
                Ok(value) => Some(Arc::new(value)),
                Err(why) => {
                    self.corrupt(name, &why, reading);
                    return Ok(None);
                }
            },
        };
        let entry = Entry { value, tier, age, left, cost: header.cost_us / 1000 };
        if let Some(l1) = self.shared.l1.as_ref().filter(|_| moment.l1_is_live && left > 0) {
            let kept = left.min(self.options.l1_ttl);
            let unpacked = header.uncompressed_len.max(payload.len() as u64);
            let whole = unpacked.saturating_add((bytes.len() - payload.len()) as u64);
            let known = Known {
                value: entry.value.clone(),
                since: reading.since,
                place: namespace.epochs.place(name),
                version: reading.version,
                tagged: !tags.is_empty(),
                born: moment.now.wrapping_sub(age),
                until: moment.now.saturating_add(kept),
                beyond: u32::try_from(left - kept).unwrap_or(u32::MAX),
                cost: entry.cost,
                bytes: u32::try_from(whole).unwrap_or(u32::MAX),
            };
            namespace.counters.l1_evictions.tell(l1.insert(key.to_owned(), known, moment.now));
        }
        Ok(Some(entry))
    }

    fn decode(&self, header: &Fields, payload: &[u8]) -> Result<V, Corrupt> {
        if header.compression == 0 {
            return self.codec.decode(payload).map_err(Corrupt::Codec);
        }
        let whole = compress::decompress(header.compression, payload, header.uncompressed_len, u64::MAX)?;
        self.codec.decode(&whole).map_err(Corrupt::Codec)
    }

    fn corrupt(&self, name: &[u8], why: &Corrupt, reading: Reading<'_>) {
        if reading.again {
            return;
        }
        self.namespace.counters.corrupt.one();
        self.tell(&Event::Corrupt { name: shown(name), why });
    }
}

pub(crate) fn tier_of(source: Source) -> Tier {
    if is_redis(source) { Tier::L2 } else { Tier::Fallback }
}

/// Redis has it in this version: is it of this generation, and was none of its tags removed since its load began?
fn is_valid<'b>(header: &Fields, tags: Tags<'b>, reading: Reading<'_>) -> Result<bool, Unasked<'b>> {
    let loaded = Version::from_bits(header.version);
    if !loaded.is_of(reading.version) {
        return Ok(false);
    }
    // Nothing at all was removed since.
    if tags.is_empty() || loaded == reading.version {
        return Ok(true);
    }
    let removals = reading.removals.ok_or(Unasked(tags))?;
    Ok(removals.vouch_for(loaded, tags.iter()))
}

/// The fallback has it: only this process can have changed what it says.
fn is_untouched(namespace: &Namespace, name: &[u8], header: &Fields, tags: &Tags<'_>) -> bool {
    namespace.is_true_locally(namespace.epochs.place(name), header.serial, tags.iter())
}
