//! Where an actor works: its pool, the runtime of its calls, and the record of what it heard.

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cenote_pool_core::Pool;
use parking_lot::{Mutex, RwLock};
use tokio::runtime::Handle;

use crate::{Call, Class, Heard, Kind};

/// By now a call that has begun has been sent.
const SENT_AFTER: Duration = Duration::from_millis(20);

pub(crate) struct Seat {
    place: RwLock<(Pool, Handle)>,
    calls: Mutex<Vec<Call>>,
    ids: AtomicU64,
    last_written: AtomicU64,
    under_way: UnderWay,
    writes: UnderWay,
    stopped: AtomicBool,
    /// Between two calls of a task. The load is light, so that times are those of the pool.
    pause: Duration,
    /// The fault destroys data: what was written may be gone.
    pub(crate) forgets: bool,
    /// How many events may wait for a subscriber.
    pub(crate) queue: usize,
    lazy: AtomicBool,
}

impl Seat {
    pub(crate) fn new(place: (Pool, Handle), pause: Duration, forgets: bool, queue: usize) -> Self {
        Self {
            place: RwLock::new(place),
            calls: Mutex::default(),
            ids: AtomicU64::new(0),
            last_written: AtomicU64::new(0),
            under_way: UnderWay::default(),
            writes: UnderWay::default(),
            stopped: AtomicBool::new(false),
            pause,
            forgets,
            queue,
            lazy: AtomicBool::new(false),
        }
    }

    pub(crate) fn pool(&self) -> Pool {
        self.place.read().0.clone()
    }

    pub(crate) fn use_pool(&self, pool: Pool) {
        self.place.write().0 = pool;
    }

    /// Calls are made in this runtime from now on; the actor's own tasks stay where they are.
    pub(crate) fn use_runtime(&self, runtime: &Handle) {
        self.place.write().1 = runtime.clone();
    }

    pub(crate) fn new_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The last write that Redis took; 0 before the first.
    pub(crate) fn last_written(&self) -> u64 {
        self.last_written.load(Ordering::Acquire)
    }

    /// Makes one call and records what was heard.
    pub(crate) async fn call(
        &self,
        kind: Kind,
        id: u64,
        limit: Duration,
        call: impl Future<Output = Heard>,
    ) -> Class {
        let began = Instant::now();
        self.under_way.begin(began);
        if kind == Kind::Write {
            self.writes.begin(began);
        }
        let runtime = self.place.read().1.clone();
        let (class, fate) = in_runtime(runtime, call).await;
        self.under_way.end();
        if kind == Kind::Write {
            self.writes.end();
        }
        let took = began.elapsed();
        if kind == Kind::Write && class == Class::Answered {
            self.last_written.fetch_max(id, Ordering::Release);
        }
        self.calls.lock().push(Call { kind, id, began, took, limit, class, fate });
        class
    }

    /// How many calls have waited for their reply for a while.
    pub(crate) fn stuck(&self) -> usize {
        self.under_way.stuck()
    }

    pub(crate) fn stuck_writes(&self) -> usize {
        self.writes.stuck()
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().clone()
    }

    /// Subscribers read nothing for a while.
    pub(crate) fn set_lazy(&self, lazy: bool) {
        self.lazy.store(lazy, Ordering::Release);
    }

    pub(crate) fn is_lazy(&self) -> bool {
        self.lazy.load(Ordering::Acquire)
    }

    /// Nothing more is called, and nothing is under way.
    pub(crate) fn is_over(&self) -> bool {
        self.has_stopped() && self.under_way.0.lock().0 == 0
    }

    fn has_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// Waits a little; false once there is nothing more to do.
    pub(crate) async fn goes_on(&self) -> bool {
        tokio::time::sleep(self.pause).await;
        !self.has_stopped()
    }
}

/// Calls that have begun and not ended.
#[derive(Default)]
struct UnderWay(Mutex<(usize, Option<Instant>)>);

impl UnderWay {
    fn begin(&self, now: Instant) {
        let mut state = self.0.lock();
        *state = (state.0 + 1, Some(now));
    }

    fn end(&self) {
        self.0.lock().0 -= 1;
    }

    /// The last of them has long been on its way to the server.
    fn stuck(&self) -> usize {
        let (count, last) = *self.0.lock();
        if last.is_some_and(|last| last.elapsed() > SENT_AFTER) { count } else { 0 }
    }
}

/// Drives `future` here, as a task of `runtime` would: the pool takes it for one of that runtime's calls.
async fn in_runtime<F: Future>(runtime: Handle, future: F) -> F::Output {
    let mut future = Box::pin(future);
    poll_fn(move |cx| {
        let _entered = runtime.enter();
        future.as_mut().poll(cx)
    })
    .await
}
