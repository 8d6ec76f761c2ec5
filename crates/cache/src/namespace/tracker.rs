//! Whether L1 may answer: Redis tells this process of every change under the namespace, and a task takes note of it.
//!
//! Invariant: L1 answers only while the subscription's number is the one at which the task last forgot everything
//! (`seen`), and while that task runs (`beat`). A loss changes that number before anything else follows from it; so
//! between a loss and the moment in which everything was forgotten L1 does not answer, unless its policy says so. A task
//! that runs again after it stood still forgets everything, too: what Redis told meanwhile is yet to be heard.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use cenote_pool_core::{Currency, Event, Invalidation, Pool, State, Subscriber};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::Namespace;
use crate::clock::now_ms;

const BEAT: Duration = Duration::from_millis(100);
/// A task that has not run for so long (in ms) runs nowhere: its runtime is parked, and what Redis tells is not heard.
const STILL: u64 = 500;

pub(crate) struct Tracker {
    currency: Currency,
    /// The subscription's number when everything was last forgotten; 0 before the first time.
    seen: AtomicU64,
    /// When the task last ran, and when it last found every change told; by our clock.
    beat: AtomicU64,
    lived: AtomicU64,
    /// Redis does not track (RESP2), or there is none.
    refused: AtomicBool,
    /// While no task has it, and whether that is so: asked at each read, which must not take a lock for it.
    subscriber: Mutex<Option<Subscriber>>,
    is_idle: AtomicBool,
}

impl Tracker {
    pub(super) fn new(pool: &Pool) -> Self {
        let subscriber = pool.subscriber();
        Self {
            currency: subscriber.currency(),
            seen: AtomicU64::new(0),
            beat: AtomicU64::new(0),
            lived: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            subscriber: Mutex::new(Some(subscriber)),
            is_idle: AtomicBool::new(true),
        }
    }

    /// Every change reaches us.
    pub(crate) fn is_live(&self, now: u64) -> bool {
        self.is_current() && !self.stood_still(now)
    }

    /// Every change reached us until less than `limit` milliseconds ago.
    pub(crate) fn was_live(&self, now: u64, limit: u64) -> bool {
        let lived = self.lived.load(Ordering::Acquire);
        lived != 0 && now.saturating_sub(lived) < limit
    }

    fn stood_still(&self, now: u64) -> bool {
        now.saturating_sub(self.beat.load(Ordering::Acquire)) >= STILL
    }

    fn is_current(&self) -> bool {
        let seen = self.seen.load(Ordering::Acquire);
        seen % 2 == 1 && self.currency.get() == seen
    }

    /// Starts the task in this runtime, unless another has what it needs.
    pub(super) fn ensure(&self, namespace: &Arc<Namespace>) {
        if !self.is_idle.load(Ordering::Acquire) || self.refused.load(Ordering::Relaxed) {
            return;
        }
        let Ok(handle) = Handle::try_current() else { return };
        let mut idle = self.subscriber.lock();
        let Some(subscriber) = idle.take() else { return };
        self.is_idle.store(false, Ordering::Release);
        drop(idle);
        let task = Task { namespace: Arc::downgrade(namespace), subscriber: Some(subscriber) };
        handle.spawn(task.run());
    }
}

struct Task {
    namespace: Weak<Namespace>,
    subscriber: Option<Subscriber>,
}

impl Task {
    async fn run(mut self) {
        let (mut subscribed, mut warned) = (false, false);
        loop {
            let Some(namespace) = self.namespace.upgrade() else { return };
            let Some(subscriber) = &mut self.subscriber else { return };
            namespace.beat();
            if !subscribed {
                let prefix = namespace.names.prefix.clone();
                // A cache that everybody has let go of must not be kept by its own task.
                drop(namespace);
                let tracked = subscriber.track(prefix).await;
                let Some(namespace) = self.namespace.upgrade() else { return };
                match tracked {
                    Ok(()) => {
                        subscribed = true;
                        namespace.begin_anew();
                    }
                    Err(error) if error.is_refused() => {
                        namespace.tracker.refused.store(true, Ordering::Relaxed);
                        // Without any Redis there is nothing to be told, and nothing to mend.
                        if namespace.pool.state() == State::Embedded {
                            return;
                        }
                        tracing::warn!(
                            target: "cenote",
                            cache = namespace.names.title,
                            %error,
                            "L1 stays empty: Redis does not tell of changes"
                        );
                        return;
                    }
                    Err(error) if error.is_closed() => return,
                    Err(error) => {
                        if error.server_error().is_some() && !std::mem::replace(&mut warned, true) {
                            tracing::warn!(
                                target: "cenote",
                                cache = namespace.names.title,
                                %error,
                                "L1 stays empty until Redis allows to be told of changes"
                            );
                        }
                        drop(namespace);
                        tokio::time::sleep(BEAT).await;
                    }
                }
                continue;
            }
            drop(namespace);
            let Ok(event) = tokio::time::timeout(BEAT, subscriber.next()).await else { continue };
            let Some(namespace) = self.namespace.upgrade() else { return };
            match event {
                Some(Event::Invalidated(Invalidation::Keys(keys))) => {
                    keys.iter().for_each(|key| namespace.touch_name(key));
                    namespace.counters.invalidations.add(keys.len());
                }
                Some(Event::Refused(_)) => subscribed = false,
                Some(Event::Closed) | None => return,
                // A gap, a lag, everything: whatever was missed is covered.
                Some(_) => namespace.begin_anew(),
            }
        }
    }
}

impl Namespace {
    fn begin_anew(&self) {
        let number = self.tracker.currency.get();
        self.touch_all();
        self.tracker.seen.store(number, Ordering::Release);
        self.tracker.beat(now_ms());
    }

    fn beat(&self) {
        let now = now_ms();
        if self.tracker.stood_still(now) {
            self.touch_all();
        }
        self.tracker.beat(now);
    }
}

impl Tracker {
    fn beat(&self, now: u64) {
        self.beat.store(now, Ordering::Release);
        if self.is_current() {
            self.lived.store(now, Ordering::Release);
        }
    }
}

/// The subscriber goes back, however the task ends: with its runtime, too. The next call starts another.
impl Drop for Task {
    fn drop(&mut self) {
        if let Some(namespace) = self.namespace.upgrade() {
            let tracker = &namespace.tracker;
            let mut idle = tracker.subscriber.lock();
            *idle = self.subscriber.take();
            tracker.is_idle.store(true, Ordering::Release);
        }
    }
}

impl fmt::Debug for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracker").field("live", &self.is_live(now_ms())).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Names;
    use super::*;

    #[test]
    fn a_task_that_stood_still_forgets_everything_before_l1_answers_again() {
        let pool = Pool::builder().url("redis://127.0.0.1:1").build().unwrap();
        let namespace = Namespace::new(pool, Names::new("t", 1), false, None);
        namespace.begin_anew();
        let (since, place) = (namespace.epochs.now(), namespace.epochs.place(b"t:1:{1}"));
        namespace.beat();
        let tracker = &namespace.tracker;
        assert!(tracker.is_live(now_ms()) && namespace.epochs.holds(place, since));
        assert!(!tracker.is_live(now_ms() + STILL));
        tracker.beat.store(now_ms() - STILL, Ordering::Release);
        assert!(!tracker.is_live(now_ms()));
        namespace.beat();
        assert!(tracker.is_live(now_ms()) && !namespace.epochs.holds(place, since));
    }
}
