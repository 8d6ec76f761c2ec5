//! Settings on their way to a cache.

use std::any::TypeId;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cenote_pool_core::Pool;

use crate::cache::{Cache, Inner, Key, Layout, Shared};
use crate::clock::millis;
use crate::codec::Codec;
use crate::compress::Compression;
use crate::error::Error;
use crate::event::{Event, Listener};
use crate::journal::JournalFile;
use crate::key;
use crate::l1::{self, L1};
use crate::load::{Cooling, Flights};
use crate::namespace::{Names, Namespace};
use crate::options::{OnDisconnect, Options};

const NO_FALLBACK: &str = "the pool has no fallback, which has the cache's values while Redis is away: add \
                           .fallback(FallbackLru::default()) to the pool's builder (feature fallback-lru)";
const OTHER_JOURNAL: &str = "another cache of this namespace and schema lives on this pool, with another journal_file or \
                             with none: give it to both";
const OTHER_L1: &str = "another cache of this namespace, schema and types lives on this pool, with another l1 or with \
                        none: give the same to both, or leave it out here";

const OTHER_VALUES: &str = "another cache of this namespace and schema lives on this pool, with values of another type: \
                            give one of the two another namespace, or another schema";

/// What the values of a namespace and schema are.
pub(crate) struct ValueType(TypeId);

/// Collects settings; [`build`](Self::build) checks them all. Times are exact to a millisecond.
#[must_use = "nothing is made before `build`"]
pub struct CacheBuilder<K, V> {
    pool: Pool,
    namespace: String,
    schema: u32,
    codec: Box<dyn Codec<V>>,
    layout: Layout<K>,
    l1: Option<(usize, usize)>,
    journal: Option<PathBuf>,
    listener: Option<Box<Listener>>,
    options: Options,
}

impl<K: Key, V: Send + Sync + 'static> CacheBuilder<K, V> {
    pub(crate) fn new(pool: &Pool, namespace: &str, codec: impl Codec<V>) -> Self {
        Self {
            pool: pool.clone(),
            namespace: namespace.to_owned(),
            schema: 1,
            codec: Box::new(codec),
            layout: Layout::Envelope,
            l1: None,
            journal: None,
            listener: None,
            options: Options {
                ttl: 300_000,
                jitter: 0.1,
                stale: 0,
                early: None,
                negative: None,
                soft: None,
                hard: Duration::from_secs(30),
                wait: None,
                l1_ttl: 60_000,
                on_disconnect: OnDisconnect::Flush,
                compression: Compression::default(),
            },
        }
    }

    /// How long a value is fresh. Default 5 minutes. [`Duration::MAX`]: for ever.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = millis(ttl);
        self
    }

    /// By how much of it the ttl of each value is shortened at random at most, so that what was stored together does
    /// not end together: 0 to 1. Default 0.1.
    pub fn jitter(mut self, share: f64) -> Self {
        self.options.jitter = share;
        self
    }

    /// How long after its ttl a value is served on, while one caller's loader runs behind it (stale-while-revalidate),
    /// and when that fails (stale-on-error). Default: not at all.
    pub fn stale(mut self, window: Duration) -> Self {
        self.options.stale = millis(window);
        self
    }

    /// Loads a value anew shortly before its ttl ends, the sooner the longer its load took, by chance: the XFetch
    /// algorithm of Vattani, Chierichetti and Lowenstein (Optimal Probabilistic Cache Stampede Prevention, 2015). 1 is
    /// their optimum, more is earlier. Default: not at all.
    pub fn early_refresh(mut self, beta: f64) -> Self {
        self.options.early = Some(beta);
        self
    }

    /// How long it is remembered that the loader found nothing. Default: not at all.
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.options.negative = Some(millis(ttl));
        self
    }

    /// How long a caller waits for a loader at most, counted from the loader's start; it goes on, and stores what it
    /// loads. Default: until the hard limit.
    pub fn soft_timeout(mut self, limit: Duration) -> Self {
        self.options.soft = Some(limit);
        self
    }

    /// When a loader is ended. Default 30 s.
    pub fn hard_timeout(mut self, limit: Duration) -> Self {
        self.options.hard = limit;
        self
    }

    /// Waits for so long at most when another process is loading the same key already, rather than loading it too.
    /// Default: does not wait.
    pub fn wait_for_others(mut self, limit: Duration) -> Self {
        self.options.wait = Some(limit);
        self
    }

    /// Keeps values in this process, too: so many at most, and so many bytes of them as they are encoded (with 160
    /// bytes for each on top). Needs a Redis that tells of changes (RESP3); where it does not, L1 stays empty.
    /// Default: none. It belongs to
    /// all caches of the same namespace, schema and types on this pool: `build` refuses another size than it has.
    pub fn l1(mut self, entries: usize, bytes: usize) -> Self {
        self.l1 = Some((entries, bytes));
        self
    }

    /// How long L1 keeps a value at most; never longer than it is fresh. Default 1 minute.
    pub fn l1_ttl(mut self, ttl: Duration) -> Self {
        self.options.l1_ttl = millis(ttl);
        self
    }

    /// What L1 does when it is no longer told of changes. Default: it answers nothing.
    pub fn on_disconnect(mut self, policy: OnDisconnect) -> Self {
        self.options.on_disconnect = policy;
        self
    }

    /// Another form for values. Default [`Json`](crate::Json).
    pub fn codec(mut self, codec: impl Codec<V>) -> Self {
        self.codec = Box::new(codec);
        self
    }

    /// Compresses values above a size. Default: none.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.options.compression = compression;
        self
    }

    /// The version of the values' form. It is part of every key, so processes of two versions do not read each other's
    /// values during a deployment. Default 1.
    pub fn schema(mut self, version: u32) -> Self {
        self.schema = version;
        self
    }

    /// Reads and writes the exact keys and bytes of existing code: `name` gives the key, and a value is what the codec
    /// makes of it and nothing else. Such a cache has no stale window, no early refresh, no negative ttl, no
    /// compression, no L1, no tags, and cannot be cleared. No key stands for all of its keys: once the pool's outage
    /// journal is full, its writes and removals fail (as overloaded) until Redis is back.
    pub fn raw_keys(mut self, name: impl Fn(&K) -> String + Send + Sync + 'static) -> Self {
        self.layout = Layout::Raw(Box::new(name));
        self
    }

    /// Keeps the names of what Redis is yet to be told to forget in this file, so that they are removed even if the
    /// process dies before Redis is back: at its next start, before the first answer. A path for this process alone.
    ///
    /// It survives the process, not the machine: nothing is forced onto the disk. Caches on one pool may share it.
    /// It belongs to all caches of the same namespace and schema on this pool: `build` refuses another. The file is read at the first
    /// use, and first written when something is pending: a wrong path shows then, not in [`build`](Self::build).
    pub fn journal_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.journal = Some(path.into());
        self
    }

    /// Is called with each [`Event`], at once and wherever it happens: it must not block.
    pub fn on_event(mut self, listener: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.listener = Some(Box::new(listener));
        self
    }

    /// Checks everything and makes the cache. No I/O happens, nothing is spawned, and no runtime is needed.
    ///
    /// # Errors
    ///
    /// [`is_config`](Error::is_config), with all that is wrong: the pool has no fallback, or a setting makes no sense.
    pub fn build(self) -> Result<Cache<K, V>, Error> {
        let problems = self.problems();
        if !problems.is_empty() {
            return Err(Error::config(format!("cache {:?}: {}", self.namespace, problems.join("; "))));
        }
        let Self { pool, schema, codec, layout, l1, journal, listener, options, namespace: title } = self;
        let wrong = |why: &str| Error::config(format!("cache {title:?}: {why}"));
        if pool.degradable().is_err_and(|error| error.is_config()) {
            return Err(wrong(NO_FALLBACK));
        }
        let journal =
            journal.map(|path| pool.companion(&path.to_string_lossy(), || JournalFile::new(path.clone())));
        let is_raw = matches!(layout, Layout::Raw(_));
        let whole = format!("{title}:{schema}:{}", if is_raw { "raw" } else { "" });
        let made = || Namespace::new(pool.clone(), Names::new(&title, schema), is_raw, journal.clone());
        let namespace = pool.companion(&whole, made);
        if journal.is_some_and(|journal| !namespace.has_journal(&journal)) {
            return Err(wrong(OTHER_JOURNAL));
        }
        let values = pool.companion(&whole, || ValueType(TypeId::of::<V>()));
        if values.0 != TypeId::of::<V>() && !is_raw {
            return Err(wrong(OTHER_VALUES));
        }
        let entries = l1.and_then(|(entries, bytes)| Some((NonZeroUsize::new(entries)?, bytes)));
        let shared = pool.companion(&whole, || Shared {
            l1: entries.map(|(entries, bytes)| L1::<K, V>::new(entries, bytes)),
            l1_room: l1,
            flights: Flights::default(),
            cooling: Cooling::default(),
            _values: values.clone(),
        });
        if l1.is_some() && l1 != shared.l1_room {
            return Err(wrong(OTHER_L1));
        }
        Ok(Cache { inner: Arc::new(Inner { namespace, shared, layout, codec, options, listener }) })
    }

    fn problems(&self) -> Vec<String> {
        let options = &self.options;
        let mut problems = Vec::new();
        let mut wrong = |is: bool, why: &str| {
            if is {
                problems.push(why.to_owned());
            }
        };
        wrong(options.ttl == 0, "ttl must be at least 1 ms");
        wrong(options.negative == Some(0), "negative_ttl must be at least 1 ms, or left out");
        wrong(options.hard.is_zero(), "hard_timeout must be more than 0");
        wrong(
            options.soft.is_some_and(|soft| soft > options.hard && !options.hard.is_zero()),
            "soft_timeout must not be more than hard_timeout (30 s unless set), which ends the loader",
        );
        wrong(options.l1_ttl == 0, "l1_ttl must be at least 1 ms");
        wrong(
            options.soft.is_some_and(|soft| soft.is_zero()),
            "soft_timeout must be more than 0, or left out",
        );
        wrong(!(0.0..=1.0).contains(&options.jitter), "jitter must be a share between 0 and 1");
        let beta = |beta: f64| !(beta > 0.0 && beta.is_finite());
        wrong(options.early.is_some_and(beta), "early_refresh must be more than 0: 1 is the usual value");
        wrong(
            self.l1.is_some_and(|(entries, bytes)| entries == 0 || bytes <= l1::OVERHEAD),
            "l1 needs room for at least one entry, which takes 160 bytes beside its value",
        );
        if matches!(self.layout, Layout::Raw(_)) {
            for (is_set, name) in [
                (options.stale > 0, "stale"),
                (options.early.is_some(), "early_refresh"),
                (options.negative.is_some(), "negative_ttl"),
                (self.l1.is_some(), "l1"),
                (self.schema != 1, "schema"),
                (options.compression != Compression::None, "compression"),
            ] {
                wrong(
                    is_set,
                    &format!("{name} needs more than the bare value of raw_keys: leave out one of the two"),
                );
            }
        }
        problems.extend(key::check_namespace(&self.namespace).err());
        problems
    }
}

impl<K, V> fmt::Debug for CacheBuilder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("namespace", &self.namespace)
            .field("schema", &self.schema)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
