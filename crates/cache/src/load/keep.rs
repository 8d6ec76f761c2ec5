//! Storing what was loaded, unless something was written or removed meanwhile.

use std::time::Duration;

use cenote_pool_core::Conn;
use cenote_pool_core::redis::{self, RedisError};

use super::cx::Said;
use super::fence::{self, Fence};
use super::flight::Flight;
use crate::cache::{Inner, Key, shown};
use crate::error::Error;
use crate::event::Event;
use crate::namespace::{Names, Version};
use crate::write::{Encoded, Facts, set, tags_of};

/// Who keeps what is loaded.
pub(super) enum Keeper {
    /// Redis, behind one fence for each value.
    Redis(Conn, Vec<Fence>),
    /// Redis is away, and was perhaps waited for in vain just now: the fallback does.
    Fallback { waited: bool },
    /// For this reason.
    Nobody(String),
}

/// A fence that is removed each time it is taken, or for which there is no connection.
pub(super) const NO_FENCE: &str = "Redis gave it no fence";
const OVERTAKEN: &str = "it was written or removed meanwhile";

impl Keeper {
    /// The fences could not be asked for.
    pub(super) fn without(error: &RedisError) -> Self {
        let said = error.to_string();
        let error = cenote_pool_core::Error::from_redis(error);
        if error.is_some_and(|error| error.is_unavailable() || error.is_timeout()) {
            Self::Fallback { waited: true }
        } else {
            Self::Nobody(said)
        }
    }
}

/// What a load brought.
pub(super) struct Loaded<'a, V> {
    pub(super) name: &'a [u8],
    pub(super) flight: &'a Flight<V>,
    pub(super) value: Option<&'a V>,
    pub(super) said: &'a Said,
    pub(super) cost: Duration,
}

impl<K: Key, V: Send + Sync + 'static> Inner<K, V> {
    /// False if something is at fault that will be so the next time, too.
    pub(super) async fn keep(&self, keeper: Keeper, loads: &[Loaded<'_, V>]) -> bool {
        match keeper {
            Keeper::Redis(conn, fences) => self.commit(conn, &fences, loads).await,
            Keeper::Fallback { waited } => self.keep_locally(loads, waited),
            Keeper::Nobody(why) => {
                let is_fault = why != NO_FENCE;
                loads.iter().for_each(|load| self.not_stored(load.name, &why, is_fault));
                !is_fault
            }
        }
    }

    async fn commit(&self, mut conn: Conn, fences: &[Fence], loads: &[Loaded<'_, V>]) -> bool {
        let mut well = true;
        let mut encoded = Vec::with_capacity(loads.len());
        for (load, fence) in loads.iter().zip(fences) {
            let why = match (&fence.refusal, self.encode_load(load, load.flight.version())) {
                (None, Ok(bytes)) => {
                    encoded.push((load, fence, bytes));
                    continue;
                }
                (Some(why), _) => why.clone(),
                (None, Err(error)) => error.to_string(),
            };
            well = false;
            self.not_stored(load.name, &why, true);
            fence::release(&mut conn, load.name, fence).await;
        }
        if encoded.is_empty() {
            return well;
        }
        let commits: Vec<_> =
            encoded.iter().map(|(load, fence, bytes)| (load.name, *fence, bytes.as_ref())).collect();
        let answers = match fence::commit(&mut conn, &commits).await {
            Ok(answers) => answers,
            Err(error) => {
                // Whether it was stored is not known; that it is not stored late, the fence sees to.
                let is_away = matches!(Keeper::without(&error), Keeper::Fallback { .. });
                loads.iter().for_each(|load| self.not_stored(load.name, &error.to_string(), !is_away));
                return is_away && self.keep_locally(loads, true);
            }
        };
        for ((load, ..), answer) in encoded.iter().zip(answers) {
            match answer {
                Ok(true) => self.namespace.epochs.touch(self.namespace.epochs.place(load.name)),
                Ok(false) => self.not_stored(load.name, OVERTAKEN, false),
                Err(error) => {
                    well = false;
                    self.not_stored(load.name, &error.to_string(), true);
                }
            }
        }
        well
    }

    /// What the fallback keeps has no version, as no server knows of it.
    fn keep_locally(&self, loads: &[Loaded<'_, V>], waited: bool) -> bool {
        let namespace = &self.namespace;
        let mut well = true;
        for load in loads {
            let mut pipeline = redis::pipe();
            match self.encode_load(load, Version::NONE) {
                Ok(Some(encoded)) => set(&mut pipeline, load.name, &encoded),
                Ok(None) => {
                    pipeline.cmd("DEL").arg(load.name).arg(Names::fence(load.name));
                }
                Err(error) => {
                    well = false;
                    self.not_stored(load.name, &error.to_string(), true);
                    continue;
                }
            }
            let place = namespace.epochs.place(load.name);
            match namespace.keep_locally(&pipeline, (place, load.flight.since), waited) {
                Ok(true) => {}
                Ok(false) => self.not_stored(load.name, &format!("{OVERTAKEN}, or Redis came back"), false),
                Err(error) => self.not_stored(load.name, &error.to_string(), false),
            }
        }
        well
    }

    /// `None`: there is nothing, and that is not to be remembered.
    fn encode_load(&self, load: &Loaded<'_, V>, version: Version) -> Result<Option<Encoded>, Error> {
        if load.value.is_none() && self.options.negative.is_none() {
            return Ok(None);
        }
        let tags = tags_of(load.said.tags.iter().map(String::as_str))?;
        if !tags.is_empty() {
            self.refuse_raw("a cache with raw keys stores bare values, which have no tags")?;
        }
        let facts = Facts {
            ttl: load.said.ttl,
            cost_us: u32::try_from(load.cost.as_micros()).unwrap_or(u32::MAX),
            tags: &tags,
            version,
            serial: load.flight.since,
        };
        self.encode(load.value, &facts).map(Some)
    }

    fn not_stored(&self, name: &[u8], why: &str, is_fault: bool) {
        self.namespace.counters.not_stored.one();
        self.tell(&Event::NotStored { name: shown(name), why: why.to_owned(), is_fault });
    }
}
