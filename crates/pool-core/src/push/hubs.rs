//! All subscribers of a pool, and a hub for each runtime in which some are.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::{self, Handle};

use super::hub::Hub;
use super::queue::{Queue, Wakes};
use super::task::launch;
use crate::budget::Tenant;
use crate::error::Error;
use crate::pool::Shared;
use crate::transport::Farewell;

#[derive(Default)]
pub(crate) struct Hubs {
    map: Mutex<HashMap<runtime::Id, Arc<Hub>>>,
    /// Where the pool's end is told.
    queues: Mutex<HashMap<u64, Weak<Queue>>>,
    last: AtomicU64,
    barred: Mutex<HashMap<runtime::Id, (Instant, Error)>>,
}

const BARRED: Duration = Duration::from_secs(1);

impl Hubs {
    /// The hub of the runtime of `handle`, made if need be.
    pub(super) fn pick(&self, shared: &Arc<Shared>, handle: &Handle, at: &'static Location) -> Arc<Hub> {
        let mut map = self.map.lock();
        if let Some(hub) = map.get(&handle.id()).filter(|hub| !hub.has_ended()) {
            return hub.clone();
        }
        map.retain(|_, hub| !hub.has_ended());
        let hub = Hub::new(handle.id());
        map.insert(handle.id(), hub.clone());
        drop(map);
        let tenant: Arc<dyn Tenant> = hub.clone();
        shared.context.budget.register(Arc::downgrade(&tenant));
        launch(handle, hub.clone(), shared, at);
        hub
    }

    /// Remembers a subscriber, to tell it when the pool is closed.
    pub(super) fn enter(&self, queue: &Arc<Queue>) -> u64 {
        let id = self.last.fetch_add(1, Ordering::Relaxed);
        self.queues.lock().insert(id, Arc::downgrade(queue));
        id
    }

    pub(super) fn exit(&self, id: u64) {
        self.queues.lock().remove(&id);
    }

    /// Nobody needs them, and somebody waits for their places.
    pub(crate) fn end_deserted(&self) {
        for hub in self.all().iter().filter(|hub| hub.leave_if_deserted()) {
            self.forget(hub);
        }
    }

    /// A hub panicked, as one does in a runtime without drivers: the next would do the same.
    pub(super) fn bar(&self, runtime: runtime::Id, why: &Error) {
        self.barred.lock().insert(runtime, (Instant::now() + BARRED, why.clone()));
    }

    /// Why a runtime is barred. An id may be used again by a runtime that has drivers, so none is for long.
    pub(super) fn barred(&self, runtime: runtime::Id) -> Option<Error> {
        let mut barred = self.barred.lock();
        let now = Instant::now();
        barred.retain(|_, (until, _)| *until > now);
        barred.get(&runtime).map(|(_, why)| why.clone())
    }

    /// The hub's task is over.
    pub(super) fn forget(&self, hub: &Hub) {
        self.map.lock().retain(|_, held| !std::ptr::eq(Arc::as_ptr(held), hub));
    }

    pub(crate) fn subscribers(&self) -> usize {
        self.queues.lock().len()
    }

    pub(crate) fn subscriptions(&self) -> usize {
        self.all().iter().map(|hub| hub.subscriptions()).sum()
    }

    /// Push connections that have their place.
    pub(crate) fn connections(&self) -> usize {
        self.all().iter().filter(|hub| hub.has_place()).count()
    }

    fn all(&self) -> Vec<Arc<Hub>> {
        self.map.lock().values().cloned().collect()
    }

    /// The pool is closed: every subscriber is told so.
    pub(crate) fn end_all(&self, cause: &Error) {
        let queues: Vec<_> = self.queues.lock().values().filter_map(Weak::upgrade).collect();
        let mut wakes = Wakes::new();
        queues.iter().for_each(|queue| queue.close(&mut wakes));
        wakes.into_iter().for_each(Waker::wake);
        for hub in self.all() {
            hub.end(cause, Farewell::Finish);
        }
    }
}

type Location = std::panic::Location<'static>;
