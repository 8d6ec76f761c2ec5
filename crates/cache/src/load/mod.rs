//! Loading what the cache has not: one loader for all who ask, on a task of its own, behind a fence.

mod cooling;
mod cx;
mod fence;
mod flight;
mod keep;
mod keeper;
mod limits;
mod many;
mod refresh;
mod run;

use std::any::Any;
use std::borrow::Borrow;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::cache::{Cache, Inner, Key};
use crate::error::{Error, LoadError, outside_runtime};
use crate::key::CacheKey;
use crate::lookup::{Lookup, Tier};
use crate::namespace::Version;
use crate::read::Entry;

pub(crate) use cooling::Cooling;
pub use cx::Cx;
pub(crate) use flight::{Boarded, Flights, Outcome};

use run::{Load, Why};

impl<K: Key, V: Send + Sync + 'static> Cache<K, V> {
    /// The value of `key`: from the cache, or else from `loader`, which then runs once for all who ask meanwhile. `None`
    /// is what the loader found out: that there is nothing.
    ///
    /// The loader runs on a task of its own: it goes on when its caller is cancelled, and stores what it loads. A caller
    /// for whom there is a stale value has that at once, and its loader runs behind it. What was written or removed
    /// since a load began is never undone by it.
    ///
    /// # Errors
    ///
    /// What became of the loader ([`LoadError`]); the key is free afterwards, and the next caller runs its own. That
    /// Redis is away is no error: the loader runs, and what it loads is kept in the fallback meanwhile.
    ///
    /// **Cancel safety.** Dropping it leaves the load under way.
    pub async fn get_or_load<Q, F, Fut, E>(&self, key: &Q, loader: F) -> Result<Option<Arc<V>>, LoadError<E>>
    where
        K: Borrow<Q>,
        Q: CacheKey + Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce(Cx<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<V>, E>> + Send + 'static,
        E: Send + Sync + 'static,
    {
        let inner = &self.inner;
        if let Some(entry) = inner.look_in_l1(key) {
            inner.refresh_if_due(key, &entry, Version::NONE, loader);
            return Ok(entry.value);
        }
        Ok(inner.find_or_load(key, loader).await?.value)
    }

    /// As [`get_or_load`](Self::get_or_load), and tells where the value comes from and how old it is. What was loaded
    /// just now comes from [`Tier::Loader`]; it is never a [`Miss`](Lookup::Miss).
    ///
    /// # Errors
    ///
    /// As [`get_or_load`](Self::get_or_load).
    ///
    /// **Cancel safety.** As [`get_or_load`](Self::get_or_load).
    pub async fn lookup_or_load<Q, F, Fut, E>(&self, key: &Q, loader: F) -> Result<Lookup<V>, LoadError<E>>
    where
        K: Borrow<Q>,
        Q: CacheKey + Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce(Cx<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<V>, E>> + Send + 'static,
        E: Send + Sync + 'static,
    {
        let inner = &self.inner;
        if let Some(entry) = inner.look_in_l1(key) {
            inner.refresh_if_due(key, &entry, Version::NONE, loader);
            return Ok(entry.into_lookup());
        }
        Ok(inner.find_or_load(key, loader).await?.into_lookup())
    }
}

type Seen<V> = crate::read::Seen<V>;

impl<V> Seen<V> {
    /// What Redis refuses to read is loaded; without a pool nothing is.
    fn unless_unusable<E>(error: Error) -> Result<Self, LoadError<E>> {
        if error.is_closed() || error.is_config() || error.pool().is_none() {
            return Err(LoadError::Unavailable(error));
        }
        Ok(Self { entry: None, tier: Tier::L2, version: Version::NONE })
    }
}

impl<K: Key, V: Send + Sync + 'static> Inner<K, V> {
    /// Beyond L1.
    async fn find_or_load<Q, F, Fut, E>(
        self: &Arc<Self>,
        key: &Q,
        loader: F,
    ) -> Result<Entry<V>, LoadError<E>>
    where
        K: Borrow<Q>,
        Q: CacheKey + Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: FnOnce(Cx<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<V>, E>> + Send + 'static,
        E: Send + Sync + 'static,
    {
        let name = self.name(key);
        let seen = self.read(key, &name).await.or_else(Seen::unless_unusable)?;
        self.count(&seen);
        let version = self.version_of(seen.tier, seen.version).await;
        if let Some(entry) = seen.entry {
            self.refresh_if_due(key, &entry, version, loader);
            return Ok(entry);
        }
        self.fly(key.to_owned(), seen.tier, version, loader).await.map(Entry::loaded)
    }

    /// The version under which a load is to begin.
    async fn version_of(&self, tier: Tier, version: Version) -> Version {
        if version.is_known() || tier == Tier::Fallback || self.is_raw() {
            version
        } else {
            self.namespace.version().await
        }
    }

    /// Waits for the flight of `key`, or begins it.
    async fn fly<F, Fut, E>(
        self: &Arc<Self>,
        key: K,
        tier: Tier,
        version: Version,
        loader: F,
    ) -> Result<Option<Arc<V>>, LoadError<E>>
    where
        F: FnOnce(Cx<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<V>, E>> + Send + 'static,
        E: Send + Sync + 'static,
    {
        let name = self.name(&key);
        let place = self.namespace.epochs.place(&name);
        loop {
            match Flights::board(&self.shared, &self.namespace, &key, place, version) {
                Boarded::Begun(ticket, mut waiting) => {
                    let handle = current_runtime()?;
                    let (stale, tags, why) = (None, Vec::new(), Why::Missing);
                    let load = Load { cache: self.clone(), name, ticket, stale, tags, tier, why, cost: 0 };
                    handle.spawn(load.run(loader));
                    return settle(waiting.outcome().await).unwrap_or(Err(LoadError::Interrupted));
                }
                Boarded::Joined(mut waiting) => {
                    self.namespace.counters.coalesced.one();
                    // A flight that came to nothing, or failed with an error of another type, is no answer: ours may be
                    // the next.
                    if let Some(result) = settle(waiting.outcome().await) {
                        return result;
                    }
                }
            }
        }
    }
}

/// What a caller is told; `None` if it must see for itself.
fn settle<V, E: Send + Sync + 'static>(
    outcome: Option<Outcome<V>>,
) -> Option<Result<Option<Arc<V>>, LoadError<E>>> {
    // Past the soft limit.
    let Some(outcome) = outcome else { return Some(Err(LoadError::StillLoading)) };
    Some(match outcome {
        Outcome::Loaded(value) => Ok(value),
        Outcome::Failed(error) => Err(LoadError::Loader(downcast(error)?)),
        Outcome::TimedOut => Err(LoadError::Timeout),
        Outcome::Panicked => Err(LoadError::Panicked),
        Outcome::Gone => return None,
    })
}

fn downcast<E: Send + Sync + 'static>(error: Arc<dyn Any + Send + Sync>) -> Option<Arc<E>> {
    error.downcast().ok()
}

fn current_runtime<E>() -> Result<Handle, LoadError<E>> {
    Handle::try_current().map_err(|_| LoadError::Unavailable(outside_runtime()))
}
