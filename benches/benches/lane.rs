//! What does a lane's bookkeeping cost for one command, from its submission until its caller has the reply?
//!
//! The command is encoded, its slot filled, its caller woken, and the reply taken. What a lane has beside that (its
//! lock, its task, the socket, the codec, the clock) is left out: the replies are there already, and are numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use cenote::redis::{Cmd, Value};
use cenote_pool_core::bench::{Caller, Lane};
use criterion::{Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("lane, submit to wake");
    for in_flight in [1, 100] {
        let mut scene = Scene::new(in_flight);
        group.throughput(Throughput::Elements(in_flight as u64));
        group.bench_function(format!("{in_flight} in flight"), |bencher| {
            bencher.iter(|| scene.round());
        });
    }
    group.finish();
    criterion.final_summary();
}

struct Scene {
    lane: Lane,
    cmd: Cmd,
    callers: Vec<Caller>,
    replies: Vec<Value>,
    wakes: Arc<Wakes>,
    waker: Waker,
}

impl Scene {
    fn new(in_flight: usize) -> Self {
        let wakes = Arc::new(Wakes::default());
        Self {
            lane: Lane::open(),
            cmd: Cmd::get("user:12345"),
            callers: (0..in_flight).map(|_| Caller::default()).collect(),
            replies: Vec::new(),
            waker: Waker::from(wakes.clone()),
            wakes,
        }
    }

    /// Every caller submits, one batch goes out, all replies come back.
    fn round(&mut self) {
        for caller in &mut self.callers {
            self.lane.submit(&self.cmd, caller, &self.waker).unwrap();
        }
        assert!(!self.lane.take_output().is_empty());
        self.replies.extend((0..self.callers.len()).map(|number| Value::Int(number as i64)));
        self.lane.deliver(&mut self.replies).unwrap();
        assert_eq!(self.wakes.0.swap(0, Ordering::Relaxed), self.callers.len());
        let mut cx = Context::from_waker(&self.waker);
        for (number, caller) in self.callers.iter_mut().enumerate() {
            let reply = caller.poll(&mut cx);
            assert!(matches!(reply, Poll::Ready(Ok(Value::Int(own))) if own == number as i64), "{reply:?}");
        }
    }
}

/// Counts, where a task would be scheduled.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
