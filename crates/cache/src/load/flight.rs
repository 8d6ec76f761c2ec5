//! A load under way, and all who wait for it.
//!
//! Invariant: a flight leaves the map before it tells its end, and tells it exactly once, also when its task is dropped
//! with its runtime. So whoever waits is woken, and whoever comes after finds the key free.

use std::any::Any;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::namespace::{Namespace, Place, Version};

const SHARDS: usize = 16;

pub(crate) struct Flights<K, V> {
    shards: [Mutex<HashMap<K, OfKey<V>>>; SHARDS],
    hasher: RandomState,
    /// What the tokens of all flights of this process and namespace begin with.
    ours: [u8; 16],
}

/// The flights of one key.
struct OfKey<V> {
    /// The one to join, and those before it that something overtook.
    latest: Option<Arc<Flight<V>>>,
    overtaken: Vec<Arc<Flight<V>>>,
}

pub(crate) struct Flight<V> {
    /// When it began, in the sense of [`Epochs`](crate::namespace::Epochs).
    pub(crate) since: u64,
    /// That of its fence, if it is the first to take it.
    pub(crate) token: Vec<u8>,
    version: AtomicU64,
    stage: watch::Sender<Stage<V>>,
}

impl<V> Flight<V> {
    /// Under which version it began.
    pub(crate) fn version(&self) -> Version {
        Version::from_bits(self.version.load(Ordering::Acquire))
    }

    /// For one that knew none, before its loader begins.
    pub(crate) fn learn_version(&self, version: Version) {
        self.version.store(version.bits(), Ordering::Release);
    }
}

#[derive(Debug)]
pub(crate) enum Stage<V> {
    Loading,
    /// Past the soft limit: nobody waits any more.
    Slow,
    Over(Outcome<V>),
}

#[derive(Debug)]
pub(crate) enum Outcome<V> {
    Loaded(Option<Arc<V>>),
    /// The loader's error, of whatever type.
    Failed(Arc<dyn Any + Send + Sync>),
    TimedOut,
    Panicked,
    /// Its runtime has ended, or it found that it was not needed.
    Gone,
}

impl<V> Clone for Outcome<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Loaded(value) => Self::Loaded(value.clone()),
            Self::Failed(error) => Self::Failed(error.clone()),
            Self::TimedOut => Self::TimedOut,
            Self::Panicked => Self::Panicked,
            Self::Gone => Self::Gone,
        }
    }
}

/// A place among those who wait.
pub(crate) struct Waiting<V>(watch::Receiver<Stage<V>>);

impl<V> Waiting<V> {
    /// The end; `None` if it is past its soft limit.
    pub(crate) async fn outcome(&mut self) -> Option<Outcome<V>> {
        match self.0.wait_for(|stage| !matches!(stage, Stage::Loading)).await.as_deref() {
            Ok(Stage::Over(outcome)) => Some(outcome.clone()),
            Ok(_) => None,
            Err(_) => Some(Outcome::Gone),
        }
    }

    /// The end, however late.
    async fn end(&mut self) -> Outcome<V> {
        match self.0.wait_for(|stage| matches!(stage, Stage::Over(_))).await.as_deref() {
            Ok(Stage::Over(outcome)) => outcome.clone(),
            _ => Outcome::Gone,
        }
    }
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        let mut ours = [0; 16];
        ours.copy_from_slice(&hex(fastrand::u64(..)));
        Self { shards: std::array::from_fn(|_| Mutex::default()), hasher: RandomState::default(), ours }
    }
}

fn hex(number: u64) -> Vec<u8> {
    format!("{number:016x}").into_bytes()
}

/// Whose fence it is that was met.
pub(crate) enum Holder<V> {
    /// That of a flight of ours, which is under way.
    Flying(Arc<Flight<V>>),
    /// That of a flight of ours which ended without giving it back, or is just about to.
    Ended,
    Elsewhere,
}

/// A flight that was joined, or one that is to be begun.
pub(crate) enum Boarded<K: Hash + Eq, V> {
    Joined(Waiting<V>),
    Begun(Ticket<K, V>, Waiting<V>),
}

/// The duty to bring a flight to its end. Dropped without, it is [`Gone`](Outcome::Gone), or it panicked.
pub(crate) struct Ticket<K: Hash + Eq, V> {
    flights: Arc<crate::cache::Shared<K, V>>,
    key: K,
    pub(crate) flight: Arc<Flight<V>>,
    /// There is a stale value, which its caller was served.
    pub(crate) is_behind: bool,
    over: bool,
}

impl<K: Hash + Eq + Clone, V> Flights<K, V> {
    fn shard(&self, key: &K) -> &Mutex<HashMap<K, OfKey<V>>> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }

    /// Joins the flight of `key`, if what it will bring is not older than what the caller asks for: nothing was written
    /// or removed since it began, and it has the `version` that the caller saw, if it saw one. Otherwise begins one.
    pub(crate) fn board(
        shared: &Arc<crate::cache::Shared<K, V>>,
        namespace: &Namespace,
        key: &K,
        place: Place,
        version: Version,
    ) -> Boarded<K, V> {
        let mut map = shared.flights.shard(key).lock();
        let latest = map.get(key).and_then(|flights| flights.latest.as_ref());
        if let Some(flight) = latest
            && (flight.version() == version || !version.is_known())
            && namespace.may_join(place, flight.since)
        {
            return Boarded::Joined(Waiting(flight.stage.subscribe()));
        }
        let (stage, waiting) = watch::channel(Stage::Loading);
        let flight = Arc::new(Flight {
            since: namespace.epochs.now(),
            token: [shared.flights.ours.as_slice(), &hex(fastrand::u64(..))].concat(),
            version: AtomicU64::new(version.bits()),
            stage,
        });
        let flights = map.entry(key.clone()).or_insert_with(|| OfKey { latest: None, overtaken: Vec::new() });
        flights.overtaken.extend(flights.latest.replace(flight.clone()));
        drop(map);
        let ticket =
            Ticket { flights: shared.clone(), key: key.clone(), flight, is_behind: false, over: false };
        Boarded::Begun(ticket, Waiting(waiting))
    }

    /// Somebody loads it.
    pub(crate) fn is_flying(&self, key: &K) -> bool {
        self.shard(key).lock().get(key).is_some_and(|flights| flights.latest.is_some())
    }

    /// Who took the fence of `key` with this token.
    pub(crate) fn holder(&self, key: &K, token: &[u8]) -> Holder<V> {
        if !token.starts_with(&self.ours) {
            return Holder::Elsewhere;
        }
        let map = self.shard(key).lock();
        let mut flights = map.get(key).into_iter().flat_map(|of| of.latest.iter().chain(&of.overtaken));
        flights
            .find(|flight| flight.token == token)
            .map_or(Holder::Ended, |flight| Holder::Flying(flight.clone()))
    }
}

impl<K: Hash + Eq + Clone, V> Ticket<K, V> {
    pub(crate) fn key(&self) -> &K {
        &self.key
    }

    /// The soft limit has passed.
    pub(crate) fn slow(&self) {
        self.flight.stage.send_replace(Stage::Slow);
    }

    /// Waits for the end of another flight, as those who wait for this one do.
    pub(crate) async fn follow(&self, other: &Flight<V>) -> Outcome<V> {
        let mut waiting = Waiting(other.stage.subscribe());
        match waiting.outcome().await {
            Some(outcome) => outcome,
            None => {
                self.slow();
                waiting.end().await
            }
        }
    }

    pub(crate) fn end(mut self, outcome: Outcome<V>) {
        self.land(outcome);
    }
}

impl<K: Hash + Eq, V> Ticket<K, V> {
    fn land(&mut self, outcome: Outcome<V>) {
        self.over = true;
        let flights = &self.flights.flights;
        let mut map = flights.shards[flights.hasher.hash_one(&self.key) as usize % SHARDS].lock();
        if let Some(of) = map.get_mut(&self.key) {
            // Another may have begun meanwhile, after a removal.
            let is_this = |flight: &Arc<Flight<V>>| Arc::ptr_eq(flight, &self.flight);
            of.latest.take_if(|flight| is_this(flight));
            of.overtaken.retain(|flight| !is_this(flight));
            if of.latest.is_none() && of.overtaken.is_empty() {
                map.remove(&self.key);
            }
        }
        drop(map);
        self.flight.stage.send_replace(Stage::Over(outcome));
    }
}

impl<K: Hash + Eq, V> Drop for Ticket<K, V> {
    fn drop(&mut self) {
        if !self.over {
            self.land(if std::thread::panicking() { Outcome::Panicked } else { Outcome::Gone });
        }
    }
}
