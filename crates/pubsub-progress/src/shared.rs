//! What all of one pool and namespace share, and the two tasks that it has while it is used.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use cenote_pool_core::{Conn, Flush, Pool, State};
use tokio::runtime::Handle;

use crate::builder::Settings;
use crate::hub::{self, Hub};
use crate::job::{self, Workers};
use crate::remote::Names;
use crate::stats::Counters;

pub(crate) struct Shared {
    pub(crate) pool: Pool,
    pub(crate) settings: Settings,
    pub(crate) names: Names,
    /// There is no Redis, by choice: this process is all there is.
    pub(crate) embedded: bool,
    pub(crate) workers: Workers,
    pub(crate) hub: Hub,
    pub(crate) counters: Arc<Counters>,
    weak: Weak<Self>,
    driving: Arc<AtomicBool>,
    reading: Arc<AtomicBool>,
    /// The pool is closed: there is nothing to run any more.
    over: AtomicBool,
    /// So that the pool finds it for as long as this is used.
    _place: Arc<Place>,
}

/// What the pool keeps for each namespace and settings: filled once, by whoever comes first.
pub(crate) struct Place(parking_lot::Mutex<Weak<Shared>>);

impl Place {
    pub(crate) fn new() -> Self {
        Self(parking_lot::Mutex::new(Weak::new()))
    }

    pub(crate) fn get(self: &Arc<Self>, pool: &Pool, settings: Settings) -> Arc<Shared> {
        let mut place = self.0.lock();
        if let Some(shared) = place.upgrade() {
            return shared;
        }
        let shared = Arc::new_cyclic(|weak| Shared {
            pool: pool.clone(),
            names: Names::new(&settings.namespace),
            embedded: pool.state() == State::Embedded,
            workers: Workers::default(),
            hub: Hub::default(),
            counters: Arc::new(Counters::new(&settings.namespace)),
            weak: weak.clone(),
            driving: Arc::default(),
            reading: Arc::default(),
            over: AtomicBool::new(false),
            _place: self.clone(),
            settings,
        });
        *place = Arc::downgrade(&shared);
        if !shared.embedded {
            let flush: Weak<dyn Flush> = place.clone();
            pool.flush_before_close(flush);
        }
        shared
    }
}

impl Shared {
    pub(crate) fn conn(&self) -> Conn {
        self.pool.conn().with_timeout(self.settings.timeout)
    }

    /// The task that reports runs, in this runtime if in no other. So does the one that listens, as a worker can be
    /// asked to stop.
    pub(crate) fn ensure_driver(&self) {
        if !self.is_over() {
            spawn_once(&self.driving, &self.weak, || job::drive(self.weak.clone()));
        }
        self.ensure_reader();
    }

    pub(crate) fn ensure_reader(&self) {
        if !self.embedded && !self.is_over() {
            spawn_once(&self.reading, &self.weak, || hub::read(self.weak.clone()));
        }
    }
}

impl Shared {
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

impl Flush for Shared {
    fn flush(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move { job::flush(&self).await })
    }
}

fn spawn_once<F: Future<Output = ()> + Send + 'static>(
    running: &Arc<AtomicBool>,
    of: &Weak<Shared>,
    task: impl FnOnce() -> F,
) {
    if running.load(Ordering::Acquire) {
        return;
    }
    let Ok(handle) = Handle::try_current() else { return };
    if running.swap(true, Ordering::AcqRel) {
        return;
    }
    // Let go of when the task ends, however it does: with its runtime, too.
    let guard = Running { flag: running.clone(), of: of.clone() };
    let task = task();
    handle.spawn(async move {
        let _guard = guard;
        task.await;
    });
}

struct Running {
    flag: Arc<AtomicBool>,
    of: Weak<Shared>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.flag.store(false, Ordering::Release);
        if let Some(shared) = self.of.upgrade() {
            shared.hub.wake_all();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.workers.wake.notify_one();
        self.hub.wake.notify_one();
    }
}
