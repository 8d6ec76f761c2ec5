//! Writing and removing. Whatever changes what others may have is, or goes with, the removal of a key: so the pool's
//! outage journal can have it made up for, and tracking tells of it.

use std::borrow::Borrow;
use std::hash::Hash;

use cenote_pool_core::redis::aio::ConnectionLike;
use cenote_pool_core::redis::{self, Pipeline};

use crate::cache::{Cache, Inner, Key};
use crate::envelope::{self, Fields};
use crate::error::Error;
use crate::key::CacheKey;
use crate::lookup::Written;
use crate::namespace::{Names, PUT, Version, versions};

/// What is written beside the value itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts<'a> {
    /// In ms; the cache's own unless given.
    pub(crate) ttl: Option<u64>,
    pub(crate) cost_us: u32,
    pub(crate) tags: &'a [String],
    pub(crate) version: Version,
    pub(crate) serial: u64,
}

/// A value as Redis is to keep it.
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    /// In ms; `None`: for ever.
    pub(crate) kept: Option<u64>,
}

impl<K: Key, V: Send + Sync + 'static> Cache<K, V> {
    /// Stores a value, with the cache's ttl and no tags. A load of the same key that is under way is not stored.
    ///
    /// # Errors
    ///
    /// The value cannot be encoded; the pool is closed, or it was called outside a runtime; Redis refuses the write.
    ///
    /// **Cancel safety.** Dropped, it may have been done or not; this process then reads what Redis has.
    pub async fn put<Q>(&self, key: &Q, value: &V) -> Result<Written, Error>
    where
        K: Borrow<Q>,
        Q: CacheKey + Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.inner.put_all([(key, value)].into_iter(), &[]).await
    }

    /// As [`put`](Self::put), with tags by which it can be removed.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put); and refused on a cache with raw keys, or for more than 64 tags.
    pub async fn put_tagged<Q, T>(&self, key: &Q, value: &V, tags: &[T]) -> Result<Written, Error>
    where
        K: Borrow<Q>,
        Q: CacheKey + Hash + Eq + ToOwned<Owned = K> + ?Sized,
        T: AsRef<str>,
    {
        self.inner.refuse_raw("a cache with raw keys stores bare values, which have no tags")?;
        let tags = tags_of(tags.iter().map(AsRef::as_ref))?;
        self.inner.put_all([(key, value)].into_iter(), &tags).await
    }

    /// Stores several values in one round trip: each of them, or, after an error, perhaps some.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put). Nothing is sent if one value cannot be encoded.
    pub async fn put_many<'a>(
        &self,
        entries: impl IntoIterator<Item = (&'a K, &'a V)>,
    ) -> Result<Written, Error> {
        self.inner.put_all(entries.into_iter(), &[]).await
    }

    /// Removes a value. A load of the same key that is under way is not stored.
    ///
    /// # Errors
    ///
    /// The pool is closed, or it was called outside a runtime; Redis refuses it.
    ///
    /// **Cancel safety.** As [`put`](Self::put).
    pub async fn remove<Q>(&self, key: &Q) -> Result<Written, Error>
    where
        K: Borrow<Q>,
        Q: CacheKey + Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.inner.remove_names(vec![self.inner.name(key)]).await
    }

    /// Removes several values in one round trip.
    ///
    /// # Errors
    ///
    /// As [`remove`](Self::remove).
    pub async fn remove_many<'a>(&self, keys: impl IntoIterator<Item = &'a K>) -> Result<Written, Error> {
        self.inner.remove_names(keys.into_iter().map(|key| self.inner.name(key)).collect()).await
    }

    /// Removes every value that was stored with this tag, stale ones too, in one step whatever their number. Loads that
    /// are under way and turn out to have it are not kept.
    ///
    /// While Redis is away, it stands for [`clear`](Self::clear) when Redis is back.
    /// So does the removal of one tag more when 10,000 others were removed since the last `clear`: more are not remembered.
    ///
    /// # Errors
    ///
    /// As [`remove`](Self::remove); and refused on a cache with raw keys.
    pub async fn remove_tag(&self, tag: &str) -> Result<Written, Error> {
        let inner = &self.inner;
        inner.refuse_raw("a cache with raw keys stores bare values, which have no tags")?;
        check_tag(tag)?;
        let namespace = &inner.namespace;
        namespace.ready().await?;
        let place = namespace.tag_place(tag);
        namespace.touch_tag(place);
        if !namespace.is_local()? {
            let removal = versions::remove_tag(&namespace.names, tag);
            let answered = namespace.strict()?.req_packed_command(&removal).await;
            match answered {
                Ok(reply) if reply.clone().extract_error().is_ok() && !namespace.is_local()? => {
                    namespace.touch_tag(place);
                    return Ok(Written::Applied);
                }
                Ok(_) => {}
                Err(error) => {
                    let pool = cenote_pool_core::Error::from_redis(&error);
                    if let Some(error) = pool.filter(|error| error.is_closed() || error.is_config()) {
                        return Err(error.clone().into());
                    }
                }
            }
        }
        let written = inner.forget_version().await;
        namespace.touch_tag(place);
        written
    }

    /// Removes every value of the namespace and schema, stale ones too, in one step; loads that are under way are not
    /// kept. Redis gives their memory back as their times end.
    ///
    /// # Errors
    ///
    /// As [`remove`](Self::remove); and refused on a cache with raw keys, whose keys nobody but their user knows.
    pub async fn clear(&self) -> Result<Written, Error> {
        let inner = &self.inner;
        inner.refuse_raw("a cache with raw keys does not know its keys: remove them one by one")?;
        inner.namespace.ready().await?;
        inner.namespace.clear();
        let written = inner.forget_version().await;
        inner.namespace.clear();
        written
    }
}

impl<K: Key, V: Send + Sync + 'static> Inner<K, V> {
    async fn put_all<'a, Q>(
        &self,
        entries: impl Iterator<Item = (&'a Q, &'a V)>,
        tags: &[String],
    ) -> Result<Written, Error>
    where
        K: Borrow<Q>,
        Q: CacheKey + ToOwned<Owned = K> + ?Sized + 'a,
        V: 'a,
    {
        let namespace = &self.namespace;
        namespace.ready().await?;
        namespace.check_server();
        let version = if self.is_raw() || namespace.is_local()? {
            Version::NONE
        } else {
            // It says when it was put by the server's clock, and not by ours.
            namespace.learn_time().await;
            namespace.version().await
        };
        let mut names = Vec::new();
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        for (key, value) in entries {
            let name = self.name(key);
            let place = namespace.epochs.place(&name);
            namespace.touch(place);
            // What is read of it later is read after this touch.
            let serial = namespace.epochs.now() | PUT;
            let facts = Facts { tags, version, serial, ..Facts::default() };
            set(&mut pipeline, &name, &self.encode(Some(value), &facts)?);
            pipeline.cmd("DEL").arg(Names::fence(&name));
            names.push(name);
        }
        let pending = self.send(&pipeline, &names).await?;
        if !pending && !namespace.is_local()? {
            // Whoever read it before this answer may have what was there before.
            names.iter().for_each(|name| namespace.epochs.touch(namespace.epochs.place(name)));
        }
        Ok(Written::of(pending))
    }

    async fn remove_names(&self, names: Vec<Vec<u8>>) -> Result<Written, Error> {
        let namespace = &self.namespace;
        namespace.ready().await?;
        names.iter().for_each(|name| namespace.touch(namespace.epochs.place(name)));
        let mut plain = redis::cmd("DEL");
        let mut told = redis::pipe();
        told.atomic();
        for name in &names {
            // Redis tells nobody of the removal of nothing, but those who load the key are to hear of it.
            told.cmd("SET").arg(name).arg("");
            plain.arg(name).arg(Names::fence(name));
        }
        told.add_command(plain.clone());
        let mut alone = redis::pipe();
        alone.add_command(plain);
        let pending = match self.send(if self.is_raw() { &alone } else { &told }, &names).await {
            // A Redis that is full takes nothing and opens no transaction, and still removes.
            Err(error) if error.server_error().is_some() => self.send(&alone, &names).await?,
            sent => sent?,
        };
        names.iter().for_each(|name| namespace.touch(namespace.epochs.place(name)));
        Ok(Written::of(pending))
    }

    /// The namespace has no version any more: nothing of it is valid.
    async fn forget_version(&self) -> Result<Written, Error> {
        let names = &self.namespace.names;
        let mut pipeline = redis::pipe();
        // One command, which needs no transaction: a Redis that is full opens none.
        pipeline.cmd("DEL").arg(&names.versions).arg(&names.tags);
        Ok(Written::of(self.send(&pipeline, std::slice::from_ref(&names.versions)).await?))
    }

    /// Sends what writes or removes `names`; true if Redis is yet to hear of it.
    async fn send(&self, pipeline: &Pipeline, names: &[Vec<u8>]) -> Result<bool, Error> {
        if names.is_empty() {
            return Ok(false);
        }
        let namespace = &self.namespace;
        let answers = namespace.query_pipeline(pipeline).await?;
        for value in answers.values {
            value.extract_error()?;
        }
        if answers.pending {
            namespace.counters.pending.one();
        }
        let mut recorded = Vec::with_capacity(names.len() * 2);
        let fences: Vec<_> = names.iter().map(|name| Names::fence(name)).collect();
        if answers.pending {
            recorded.extend(names.iter().chain(&fences).map(Vec::as_slice));
        }
        namespace.record(answers.pending, &recorded).await?;
        Ok(answers.pending)
    }

    /// `None`: there is nothing.
    pub(crate) fn encode(&self, value: Option<&V>, facts: &Facts<'_>) -> Result<Encoded, Error> {
        let options = &self.options;
        let mut payload = Vec::new();
        if let Some(value) = value {
            self.codec.encode(value, &mut payload)?;
        }
        let ttl = match value {
            Some(_) => facts.ttl.unwrap_or(options.ttl),
            None => options.negative.unwrap_or(options.ttl),
        };
        let fresh = options.fresh(ttl);
        let kept = options.kept(fresh);
        if self.is_raw() {
            return Ok(Encoded { bytes: payload, kept });
        }
        let uncompressed_len = payload.len() as u64;
        let (compression, payload) = match options.compression.compress(&payload) {
            Some((algorithm, smaller)) => (algorithm.id(), smaller),
            None => (0, payload),
        };
        let fields = Fields {
            is_negative: value.is_none(),
            compression,
            born_ms: self.namespace.clock.now(),
            fresh_ms: fresh,
            cost_us: facts.cost_us,
            version: facts.version.bits(),
            serial: facts.serial,
            uncompressed_len,
        };
        let mut bytes = Vec::new();
        envelope::encode(&fields, facts.tags, &payload, &mut bytes)
            .map_err(|_| Error::refused(TOO_MANY_TAGS))?;
        Ok(Encoded { bytes, kept })
    }
}

/// `SET`, for as long as it is kept.
pub(crate) fn set(pipeline: &mut Pipeline, name: &[u8], encoded: &Encoded) {
    pipeline.cmd("SET").arg(name).arg(&encoded.bytes);
    if let Some(kept) = encoded.kept {
        pipeline.arg("PX").arg(kept);
    }
}

const MOST_TAGS: usize = envelope::MAX_TAGS;
const TOO_MANY_TAGS: &str = "a value has at most 64 tags";
const LONGEST_TAG: usize = 256;

fn check_tag(tag: &str) -> Result<(), Error> {
    if tag.is_empty() || tag.len() > LONGEST_TAG {
        return Err(Error::refused("a tag has 1 to 256 bytes"));
    }
    Ok(())
}

pub(crate) fn tags_of<'a>(tags: impl Iterator<Item = &'a str>) -> Result<Vec<String>, Error> {
    let mut all: Vec<String> = tags.map(str::to_owned).collect();
    all.sort_unstable();
    all.dedup();
    all.iter().try_for_each(|tag| check_tag(tag))?;
    if all.len() > MOST_TAGS {
        return Err(Error::refused(TOO_MANY_TAGS));
    }
    Ok(all)
}
