//! A load under way, and all who wait for it.
//!
//! Invariant: a flight leaves the map before it tells its end, and tells it exactly once, also when its task is dropped
//! with its runtime. So whoever waits is woken, and whoever comes after finds the key free.

use std::any::Any;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::namespace::{Namespace, Place, Version};

const SHARDS: usize = 16;

pub(crate) struct Flights<K, V> {
    shards: [Mutex<HashMap<K, Arc<Flight<V>>>>; SHARDS],
    hasher: RandomState,
}

pub(crate) struct Flight<V> {
    /// When it began, in the sense of [`Epochs`](crate::namespace::Epochs), and under which version.
    pub(crate) since: u64,
    pub(crate) version: Version,
    stage: watch::Sender<Stage<V>>,
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
    pub(crate) async fn outcome(mut self) -> Option<Outcome<V>> {
        loop {
            match &*self.0.borrow_and_update() {
                Stage::Loading => {}
                Stage::Slow => return None,
                Stage::Over(outcome) => return Some(outcome.clone()),
            }
            if self.0.changed().await.is_err() {
                return Some(Outcome::Gone);
            }
        }
    }
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), hasher: RandomState::default() }
    }
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
    over: bool,
}

impl<K: Hash + Eq + Clone, V> Flights<K, V> {
    fn shard(&self, key: &K) -> &Mutex<HashMap<K, Arc<Flight<V>>>> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }

    /// Joins the flight of `key`, if what it will bring is not older than what the caller asks for: nothing was written
    /// or removed since it began, and it has the `version` that the caller saw. Otherwise begins one.
    pub(crate) fn board(
        shared: &Arc<crate::cache::Shared<K, V>>,
        namespace: &Namespace,
        key: &K,
        place: Place,
        version: Version,
    ) -> Boarded<K, V> {
        let mut map = shared.flights.shard(key).lock();
        if let Some(flight) = map.get(key)
            && flight.version == version
            && namespace.may_join(place, flight.since)
        {
            return Boarded::Joined(Waiting(flight.stage.subscribe()));
        }
        let (stage, waiting) = watch::channel(Stage::Loading);
        let flight = Arc::new(Flight { since: namespace.epochs.now(), version, stage });
        map.insert(key.clone(), flight.clone());
        let ticket = Ticket { flights: shared.clone(), key: key.clone(), flight, over: false };
        Boarded::Begun(ticket, Waiting(waiting))
    }

    /// Somebody loads it.
    pub(crate) fn is_flying(&self, key: &K) -> bool {
        self.shard(key).lock().contains_key(key)
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

    pub(crate) fn end(mut self, outcome: Outcome<V>) {
        self.land(outcome);
    }
}

impl<K: Hash + Eq, V> Ticket<K, V> {
    fn land(&mut self, outcome: Outcome<V>) {
        self.over = true;
        let flights = &self.flights.flights;
        let mut map = flights.shards[flights.hasher.hash_one(&self.key) as usize % SHARDS].lock();
        // Another may have begun meanwhile, after a removal.
        if map.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
            map.remove(&self.key);
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
