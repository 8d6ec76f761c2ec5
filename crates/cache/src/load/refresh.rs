//! Loading behind a value that is there: because it is stale, or soon will be.

use std::borrow::Borrow;
use std::future::Future;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::run::{Load, Why};
use super::{Boarded, Cx, Flights};
use crate::cache::{Inner, Key, shown};
use crate::clock::now_ms;
use crate::event::Event;
use crate::namespace::Version;
use crate::read::Entry;

/// A source that failed behind a stale value is left alone for so long, in ms.
const REST: u64 = 1_000;

impl<K: Key, V: Send + Sync + 'static> Inner<K, V> {
    /// Starts `loader` behind a value, if it is time.
    pub(super) fn refresh_if_due<Q, F, Fut, E>(
        self: &Arc<Self>,
        key: &Q,
        entry: &Entry<V>,
        version: Version,
        loader: F,
    ) where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + ?Sized,
        F: FnOnce(Cx<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<V>, E>> + Send + 'static,
        E: Send + Sync + 'static,
    {
        if entry.value.is_some() && self.is_due(entry) {
            self.refresh(&key.to_owned(), entry, version, loader);
        }
    }

    /// Starts `loader` behind `entry`, which is due, unless somebody did or the source is left alone.
    #[cold]
    fn refresh<F, Fut, E>(self: &Arc<Self>, key: &K, entry: &Entry<V>, version: Version, loader: F)
    where
        F: FnOnce(Cx<V>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<V>, E>> + Send + 'static,
        E: Send + Sync + 'static,
    {
        if self.shared.flights.is_flying(key) || self.shared.cooling.is_cool(key) {
            return;
        }
        let Ok(handle) = Handle::try_current() else { return };
        let name = self.name(key);
        let version = if version.is_known() { version } else { self.namespace.versions.known() };
        let place = self.namespace.epochs.place(&name);
        if let Boarded::Begun(ticket, _) = Flights::board(&self.shared, &self.namespace, key, place, version)
        {
            let stale = entry.value.clone();
            let (tier, cost) = (entry.tier, entry.cost);
            let (tags, why) = (Vec::new(), Why::Refresh);
            let load = Load { cache: self.clone(), name, ticket, stale, tags, tier, why, cost };
            handle.spawn(load.run(loader));
        }
    }

    fn is_due(&self, entry: &Entry<V>) -> bool {
        if entry.left == 0 {
            return true;
        }
        let Some(beta) = self.options.early else { return false };
        // XFetch: cost * beta * -ln(random) reaches the time that is left.
        f64::from(entry.cost) * beta * -fastrand::f64().max(f64::MIN_POSITIVE).ln() >= entry.left as f64
    }

    /// The source failed: it is left alone for a moment, and the stale value is served on.
    pub(super) fn refresh_failed(&self, key: &K, name: &[u8], how: &'static str) {
        self.tell(&Event::RefreshFailed { name: shown(name), how });
        self.rest(key);
    }

    /// The source is left alone for a moment.
    pub(super) fn rest(&self, key: &K) {
        self.shared.cooling.cool(key.clone(), now_ms() + REST);
    }

    pub(super) fn forgive(&self, key: &K) {
        self.shared.cooling.forgive(key);
    }
}
