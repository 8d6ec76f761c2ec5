//! A watcher's side: one entry for each job that is watched in this process, whoever watches it.
//!
//! `entry` is what is known of a job, merged by position, and who waits for news of it; `view` is what one watcher has
//! seen of it; `watch` is the stream; `reader` is the one task that listens, loads what it may have missed, and looks
//! for signs of life.

mod entry;
mod reader;
mod view;
mod wakers;
mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::job::Job;
use crate::shared::Shared;
use crate::snapshot::Liveness;

pub(crate) use entry::Entry;
pub(crate) use reader::read;
pub use watch::Watch;

#[derive(Default)]
pub(crate) struct Hub {
    entries: Mutex<HashMap<Arc<str>, Arc<Entry>>>,
    pub(crate) wake: Arc<Notify>,
    /// Some entry is to be subscribed to, or read.
    attention: AtomicBool,
    /// When the connection was last back after a loss.
    back: Mutex<Option<Instant>>,
}

impl Hub {
    /// The entry of this job, with one more watcher.
    pub(crate) fn enter(&self, id: &Arc<str>, shared: &Shared) -> Arc<Entry> {
        let mut entries = self.entries.lock();
        let entry = entries.entry(id.clone()).or_insert_with(|| Arc::new(Entry::new(id.clone(), shared)));
        entry.enter(shared.embedded);
        let entry = entry.clone();
        drop(entries);
        if entry.is_stale() {
            self.attend();
        }
        entry
    }

    /// Something is to be subscribed to, or read.
    pub(crate) fn attend(&self) {
        self.attention.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    fn came_back(&self) {
        *self.back.lock() = Some(Instant::now());
    }

    /// How long the connection has been there since its last loss, if there was one.
    fn back_for(&self) -> Option<Duration> {
        self.back.lock().map(|back| back.elapsed())
    }

    /// Whoever listened is no more: a watcher that is polled starts another.
    pub(crate) fn wake_all(&self) {
        self.all().iter().for_each(|entry| entry.wakers.wake());
    }

    pub(crate) fn all(&self) -> Vec<Arc<Entry>> {
        self.entries.lock().values().cloned().collect()
    }

    /// How many are watched, by how many watchers, and how many of them are stalled.
    pub(crate) fn count(&self) -> (u64, u64, u64) {
        let all = self.all();
        let (mut watchers, mut stalled) = (0, 0);
        for entry in &all {
            let known = entry.known();
            watchers += known.watchers as u64;
            stalled += u64::from(known.liveness == Liveness::Stalled && !known.has_ended());
        }
        (all.len() as u64, watchers, stalled)
    }

    /// Forgets those that nobody has watched for `linger`, and returns them.
    pub(crate) fn prune(&self, linger: Duration) -> Vec<Arc<Entry>> {
        let mut gone = Vec::new();
        self.entries.lock().retain(|_, entry| {
            let keep = !entry.is_deserted(linger);
            if !keep {
                gone.push(entry.clone());
            }
            keep
        });
        gone
    }

    /// A job of this process has got on: its watchers here need not wait for Redis.
    pub(crate) fn deliver(&self, job: &Job, degraded: bool) {
        let Some(entry) = self.entries.lock().get(&job.id).cloned() else { return };
        entry.take_local(job, degraded);
    }
}
