//! How a test is run: limits, seeds, and whether there is time for the long ones.

use std::env;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, Hasher};
use std::panic::Location;
use std::pin::pin;
use std::process;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// When a future that has run out of time is not even polled again, its thread is stuck, and after this much
/// more the process is ended.
const GRACE: Duration = Duration::from_secs(10);

/// Runs `future` and panics when it takes longer than `limit`.
///
/// The limit is one of real time, on any runtime or none: a paused clock does not shorten it, and a thread that
/// is blocked does not lift it (the process is aborted then, with a message).
#[track_caller]
pub fn within<F: Future>(limit: Duration, future: F) -> impl Future<Output = F::Output> {
    let caller = Location::caller();
    async move {
        let mut future = pin!(future);
        let alarm = Alarm::set(limit, caller);
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            assert!(!alarm.wake_at_ring(cx.waker()), "not done within {limit:?} ({caller})");
            Poll::Pending
        })
        .await
    }
}

/// Aborts the process, with a message, unless it is dropped in time: for tests that may block for ever.
#[derive(Debug)]
pub struct Watchdog {
    _disarm: Sender<()>,
}

impl Watchdog {
    /// Starts to watch the calling test.
    #[track_caller]
    pub fn new(limit: Duration) -> Self {
        let caller = Location::caller();
        let test = thread::current().name().unwrap_or("a thread").to_owned();
        Self { _disarm: after(limit, move || abort(&format!("{test} is stuck after {limit:?} ({caller})"))) }
    }
}

/// Polls until `condition` holds, and panics with `what` when it does not within `limit`.
#[track_caller]
pub fn eventually(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let give_up = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < give_up, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// [`eventually`] for conditions that take an await. It needs a tokio runtime with time enabled.
#[track_caller]
pub fn eventually_async<F: Future<Output = bool>>(
    limit: Duration,
    what: &str,
    mut condition: impl FnMut() -> F,
) -> impl Future<Output = ()> {
    let caller = Location::caller();
    async move {
        let give_up = Instant::now() + limit;
        while !condition().await {
            assert!(Instant::now() < give_up, "not within {limit:?}: {what} ({caller})");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// The seed of this run's random tests: `CENOTE_SEED` when it is set, otherwise another one in each process. It
/// is printed, and so shown with a test that fails.
pub fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    let seed = *SEED.get_or_init(|| match env::var("CENOTE_SEED") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("CENOTE_SEED={text} is not a whole number")),
        Err(_) => std::collections::hash_map::RandomState::new().build_hasher().finish(),
    });
    println!("CENOTE_SEED={seed}");
    seed
}

/// Whether the long tests are wanted: `CENOTE_LONG=1`, as `cargo xtask test --long` sets it.
pub fn is_long() -> bool {
    env::var("CENOTE_LONG").is_ok_and(|value| value == "1")
}

struct Alarm {
    state: Arc<Mutex<State>>,
    _disarm: Sender<()>,
}

#[derive(Default)]
struct State {
    rang: bool,
    waker: Option<Waker>,
}

impl Alarm {
    fn set(limit: Duration, caller: &'static Location<'static>) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let ringing = Arc::clone(&state);
        let disarm = after(limit, move || {
            let mut state = ringing.lock();
            state.rang = true;
            let waker = state.waker.take();
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
            thread::sleep(GRACE);
            // Still shared: the future was neither finished nor dropped.
            if Arc::strong_count(&ringing) > 1 {
                abort(&format!("blocked for {GRACE:?} beyond its {limit:?} ({caller})"));
            }
        });
        Self { state, _disarm: disarm }
    }

    /// Whether it has rung; if not, `waker` is woken when it does.
    fn wake_at_ring(&self, waker: &Waker) -> bool {
        let mut state = self.state.lock();
        if !state.rang {
            state.waker = Some(waker.clone());
        }
        state.rang
    }
}

/// Runs `action` after `delay` unless the result is dropped before.
fn after(delay: Duration, action: impl FnOnce() + Send + 'static) -> Sender<()> {
    let (disarm, disarmed) = mpsc::channel::<()>();
    thread::Builder::new()
        .name("watchdog".to_owned())
        .spawn(move || {
            if disarmed.recv_timeout(delay) == Err(RecvTimeoutError::Timeout) {
                action();
            }
        })
        .expect("a thread");
    disarm
}

/// An abort and not an exit: a lock held by the stuck thread could stop an exit, too.
fn abort(message: &str) -> ! {
    eprintln!("\n{message}");
    process::abort();
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn what_is_done_in_time_is_returned() {
        assert_eq!(block_on(within(Duration::from_secs(60), ready(7))), 7);
    }

    #[test]
    #[should_panic(expected = "not done within 20ms")]
    fn what_hangs_panics() {
        block_on(within(Duration::from_millis(20), pending::<()>()));
    }

    #[test]
    fn a_watchdog_dropped_in_time_does_nothing() {
        drop(Watchdog::new(Duration::from_millis(1)));
        let watchdog = Watchdog::new(Duration::from_secs(3600));
        drop(watchdog);
    }

    #[test]
    fn eventually_waits_for_the_condition() {
        let mut polls = 0;
        eventually(Duration::from_secs(60), "three polls", || {
            polls += 1;
            polls == 3
        });
        let polls = std::cell::Cell::new(0);
        let count = || {
            polls.set(polls.get() + 1);
            ready(polls.get() == 3)
        };
        block_on(eventually_async(Duration::from_secs(60), "three polls", count));
    }

    #[test]
    #[should_panic(expected = "not within 1ms: a miracle")]
    fn eventually_gives_up() {
        eventually(Duration::from_millis(1), "a miracle", || false);
    }

    #[test]
    fn a_process_has_one_seed() {
        assert_eq!(seed(), seed());
    }
}
