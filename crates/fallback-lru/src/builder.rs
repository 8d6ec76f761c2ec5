//! How large a store is, and into how many parts it is divided.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use cenote_pool_core::{Clock, SystemClock};

use crate::FallbackLru;
use crate::store::{ENTRY_OVERHEAD, Store};

const DEFAULT_CAPACITY: usize = 10_000;
/// Up to here one shard is enough, and the order of eviction is exact.
const ONE_SHARD_UP_TO: usize = 16_384;
/// Fewer entries in a shard would cost hits.
const LEAST_PER_SHARD: usize = 32;

/// Configures a [`FallbackLru`]; see [`FallbackLru::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    capacity: usize,
    max_bytes: usize,
    shards: Option<usize>,
    clock: Arc<dyn Clock>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self { capacity: DEFAULT_CAPACITY, max_bytes: usize::MAX, shards: None, clock: Arc::new(SystemClock) }
    }

    /// How many entries at most. 10,000 unless given.
    pub fn capacity(mut self, entries: usize) -> Self {
        self.capacity = entries;
        self
    }

    /// How many bytes at most: keys, values and [`FallbackLru::ENTRY_OVERHEAD`] for each entry. Unbounded
    /// unless given. Each shard has its equal part, and no entry can be larger than that part.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Into how many shards, a power of two. Up to 16,384 entries the default is one, which makes eviction
    /// exact over the whole store; above, it is four or more per processor, and exact within each.
    ///
    /// With few processors more shards gain little. Measured with 10,000 entries and two threads on two processors that
    /// do nothing else: where every read hits, eight shards are no faster than one; where a quarter of the reads miss
    /// and insert, they are about a tenth faster.
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// Where the time is read; expiries are dates by its [`unix_time`](Clock::unix_time).
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The store, empty. It allocates as it fills.
    ///
    /// # Errors
    ///
    /// [`BuildError`] for a size of zero, a number of shards that is no power of two or larger than the
    /// capacity, and a bound on bytes in which a shard could not hold one entry.
    pub fn build(self) -> Result<FallbackLru, BuildError> {
        let capacity = NonZeroUsize::new(self.capacity).ok_or(BuildError::NoCapacity)?;
        let shards = match self.shards {
            Some(shards) => checked_shards(shards, self.capacity)?,
            None => default_shards(self.capacity),
        };
        let least = ENTRY_OVERHEAD.saturating_mul(shards.get());
        if self.max_bytes < least {
            return Err(BuildError::TooFewBytes { max_bytes: self.max_bytes, least });
        }
        Ok(FallbackLru::from_store(Store::new(capacity, self.max_bytes, shards, self.clock)))
    }

    /// The store with its default capacity or another, which no other setting can contradict.
    pub(crate) fn infallible(self, capacity: Option<NonZeroUsize>) -> FallbackLru {
        let capacity = capacity.or(NonZeroUsize::new(DEFAULT_CAPACITY)).unwrap_or(NonZeroUsize::MIN);
        let shards = default_shards(capacity.get());
        FallbackLru::from_store(Store::new(capacity, usize::MAX, shards, self.clock))
    }
}

fn checked_shards(shards: usize, capacity: usize) -> Result<NonZeroUsize, BuildError> {
    let checked = NonZeroUsize::new(shards).ok_or(BuildError::NoShards)?;
    if !shards.is_power_of_two() {
        return Err(BuildError::ShardsNotPowerOfTwo { shards });
    }
    if shards > capacity {
        return Err(BuildError::MoreShardsThanEntries { shards, capacity });
    }
    Ok(checked)
}

fn default_shards(capacity: usize) -> NonZeroUsize {
    if capacity <= ONE_SHARD_UP_TO {
        return NonZeroUsize::MIN;
    }
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let shards = (4 * processors).next_power_of_two().min(1 << (capacity / LEAST_PER_SHARD).ilog2());
    NonZeroUsize::new(shards).unwrap_or(NonZeroUsize::MIN)
}

/// Why a store could not be built.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// The capacity is zero.
    NoCapacity,
    /// The number of shards is zero.
    NoShards,
    /// The number of shards is no power of two.
    ShardsNotPowerOfTwo {
        /// What was given.
        shards: usize,
    },
    /// Some shard could not hold an entry.
    MoreShardsThanEntries {
        /// What was given.
        shards: usize,
        /// What was given, or the default.
        capacity: usize,
    },
    /// No entry would fit.
    TooFewBytes {
        /// What was given.
        max_bytes: usize,
        /// What the smallest entry takes, in every shard.
        least: usize,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCapacity => write!(f, "capacity is 0: it must be at least 1"),
            Self::NoShards => write!(f, "shards is 0: it must be a power of two, 1 for exact eviction"),
            Self::ShardsNotPowerOfTwo { shards } => {
                write!(f, "shards is {shards}: it must be a power of two, 1 for exact eviction")
            }
            Self::MoreShardsThanEntries { shards, capacity } => {
                write!(f, "shards is {shards}: it must be at most the capacity, {capacity}")
            }
            Self::TooFewBytes { max_bytes, least } => {
                write!(f, "max_bytes is {max_bytes}: it must be at least {least}, or no entry would fit")
            }
        }
    }
}

impl std::error::Error for BuildError {}
