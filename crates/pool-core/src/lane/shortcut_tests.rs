//! A lane whose driver is the test: what a caller writes itself, and what it leaves to the driver.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::Value;

use super::handle::{Lane, Use, fill};
use super::machine::{Filled, Window};
use super::shortcut::Shortcut;
use super::slot::{Answer, Reply, Spare};
use crate::command::Payload;
use crate::error::{Error, Kind, Outcome};
use crate::transport::{Farewell, Socket};

const LIMIT: Duration = Duration::from_secs(5);
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// Takes so many bytes, and remembers them.
struct Fake {
    takes: AtomicUsize,
    closed: AtomicBool,
    seen: Mutex<Vec<u8>>,
}

impl Socket for Fake {
    fn finish(&self) {}
    fn abort(&self) {}

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match bytes.len().min(self.takes.load(Ordering::Relaxed)) {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => {
                self.seen.lock().extend_from_slice(&bytes[..count]);
                Ok(count)
            }
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn peer_closed(&self) -> bool {
        false
    }
}

#[derive(Default)]
struct Driver(AtomicBool);

impl Wake for Driver {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Bench {
    lane: Arc<Lane>,
    socket: Arc<Fake>,
    driver: Arc<Driver>,
    now: Instant,
}

impl Bench {
    /// A lane that a single caller has used: its driver sleeps, with the timer set for that call's limit.
    fn new() -> Self {
        let now = Instant::now();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let window = Window { commands: 10_000, bytes: 1 << 20 };
        let lane = Lane::new(runtime.handle().id(), Use::Shared, window);
        let takes = AtomicUsize::new(usize::MAX);
        let socket = Arc::new(Fake { takes, closed: AtomicBool::new(false), seen: Mutex::default() });
        let mut state = lane.state().lock();
        state.machine.open(now);
        state.shortcut = Some(Shortcut::new(socket.clone(), LIMIT, now));
        drop(state);
        let bench = Self { lane, socket, driver: Arc::default(), now };
        let first = bench.ping().expect("the lane takes it");
        bench.drive();
        bench.answer(1);
        assert!(answered(first));
        bench.rest(Some(now + LIMIT));
        bench
    }

    fn ping(&self) -> Result<Reply, Error> {
        self.ping_within(LIMIT)
    }

    fn ping_within(&self, limit: Duration) -> Result<Reply, Error> {
        let (cmd, spare) = (redis::cmd("PING"), &mut Spare::default());
        self.lane.submit(Payload::One(&cmd), Some(self.now + limit), self.now, Waker::noop(), spare)
    }

    /// What the driver writes when it runs.
    fn drive(&self) -> Vec<u8> {
        let mut output = Vec::new();
        let mut state = self.lane.state().lock();
        let asked = state.machine.take_output(&mut output);
        if !output.is_empty() {
            let calls = state.machine.mark();
            state.pace.sent(asked, calls, self.now);
        }
        output
    }

    fn answer(&self, count: usize) {
        let mut values = vec![Value::Okay; count];
        let mut filled = Filled::new();
        let mut state = self.lane.state().lock();
        let delivered = state.machine.deliver(&mut values, &mut filled, self.now).expect("they are due");
        state.pace.came(delivered.replies, self.now);
        drop(state);
        fill(&mut filled);
    }

    fn rest(&self, alarm: Option<Instant>) {
        self.driver.0.store(false, Ordering::Relaxed);
        let mut state = self.lane.state().lock();
        state.driver = Some(self.driver.clone().into());
        state.stuck = false;
        state.shortcut.as_mut().expect("it is open").rest(alarm, self.now);
    }

    fn wrote_itself(&self) -> bool {
        let wrote = self.socket.seen.lock().ends_with(PING);
        assert_ne!(wrote, self.driver.0.load(Ordering::Relaxed), "either the caller or the driver");
        wrote
    }
}

fn poll(mut reply: Reply) -> Poll<Result<Answer, Error>> {
    reply.poll(&mut Context::from_waker(Waker::noop()), &mut Spare::default())
}

fn answered(reply: Reply) -> bool {
    matches!(poll(reply), Poll::Ready(Ok(Answer::One(Value::Okay))))
}

#[test]
fn a_caller_alone_writes_itself_time_and_again() {
    let bench = Bench::new();
    for _ in 0..3 {
        bench.socket.seen.lock().clear();
        let reply = bench.ping().unwrap();
        assert!(bench.wrote_itself());
        assert_eq!(bench.drive(), b"", "nothing is left to write");
        bench.answer(1);
        assert!(answered(reply));
        bench.rest(Some(bench.now));
    }
}

#[test]
fn who_comes_second_leaves_it_to_the_driver_and_overtakes_nobody() {
    let bench = Bench::new();
    let first = bench.ping().unwrap();
    assert!(bench.wrote_itself());
    let second = bench.ping().unwrap();
    assert!(bench.driver.0.load(Ordering::Relaxed));
    assert_eq!(*bench.socket.seen.lock(), PING, "only the first");
    assert_eq!(bench.drive(), PING);
    bench.answer(1);
    assert!(answered(first) && poll(second).is_pending());
}

#[test]
fn where_callers_are_many_the_driver_writes_them_as_one_batch() {
    let bench = Bench::new();
    let pair = (bench.ping().unwrap(), bench.ping().unwrap(), bench.ping().unwrap());
    assert_eq!(bench.drive(), PING.repeat(2));
    bench.answer(3);
    bench.rest(Some(bench.now));
    bench.socket.seen.lock().clear();
    let _next = bench.ping().unwrap();
    assert!(!bench.wrote_itself());
    drop(pair);
}

#[test]
fn a_pipeline_is_one_call_and_a_large_one_is_left_to_the_driver() {
    for (commands, itself) in [(10, true), (2_000, false)] {
        let bench = Bench::new();
        let mut pipeline = redis::pipe();
        for _ in 0..commands {
            pipeline.cmd("PING");
        }
        let (payload, spare) = (Payload::Batch(&pipeline), &mut Spare::default());
        let limit = Some(bench.now + LIMIT);
        let _reply = bench.lane.submit(payload, limit, bench.now, Waker::noop(), spare).unwrap();
        assert_eq!(bench.wrote_itself(), itself, "{commands} commands");
        assert_eq!(bench.drive().is_empty(), itself);
        bench.answer(commands);
        bench.rest(Some(bench.now));
        bench.socket.seen.lock().clear();
        let _next = bench.ping().unwrap();
        assert!(bench.wrote_itself(), "whoever called was alone");
    }
}

#[test]
fn a_limit_that_the_timer_would_miss_is_left_to_the_driver() {
    let bench = Bench::new();
    let _short = bench.ping_within(LIMIT / 2).unwrap();
    assert!(!bench.wrote_itself());
    let bench = Bench::new();
    bench.rest(None);
    let _any = bench.ping().unwrap();
    assert!(!bench.wrote_itself());
}

#[test]
fn a_driver_that_is_awake_or_has_half_written_something_writes_it() {
    let bench = Bench::new();
    bench.lane.state().lock().driver = None;
    let _reply = bench.ping().unwrap();
    assert_eq!(bench.drive(), PING);
    let bench = Bench::new();
    bench.lane.state().lock().stuck = true;
    let _reply = bench.ping().unwrap();
    assert!(!bench.wrote_itself());
}

#[test]
fn on_a_connection_that_was_closed_in_a_pause_nothing_is_written() {
    let mut bench = Bench::new();
    bench.socket.closed.store(true, Ordering::Relaxed);
    bench.now += Duration::from_millis(1);
    let _reply = bench.ping().unwrap();
    assert!(!bench.wrote_itself());
}

#[test]
fn the_driver_writes_what_the_socket_did_not_take() {
    let bench = Bench::new();
    bench.socket.takes.store(5, Ordering::Relaxed);
    let reply = bench.ping().unwrap();
    assert_eq!(*bench.socket.seen.lock(), PING[..5]);
    assert!(bench.driver.0.load(Ordering::Relaxed));
    assert_eq!(bench.drive(), PING[5..]);
    bench.answer(1);
    assert!(answered(reply));
}

#[test]
fn a_lost_connection_tells_whether_what_the_caller_wrote_may_have_run() {
    let outcome = |takes: usize, by_driver: Option<u64>| {
        let bench = Bench::new();
        bench.socket.takes.store(takes, Ordering::Relaxed);
        let reply = bench.ping().unwrap();
        let cause = Error::not_sent(Kind::Cut, "lost");
        bench.lane.end_after(&cause, Farewell::Abort, by_driver);
        let Poll::Ready(Err(error)) = poll(reply) else { panic!("the lane has ended") };
        error.outcome()
    };
    let first = Some(PING.len() as u64);
    assert_eq!(outcome(usize::MAX, first), Outcome::MayHaveExecuted);
    assert_eq!(outcome(5, first), Outcome::NotSent, "half a command runs nowhere");
    assert_eq!(outcome(usize::MAX, None), Outcome::MayHaveExecuted);
    assert_eq!(outcome(5, None), Outcome::NotSent);
}

#[test]
fn the_end_of_a_lane_lets_go_of_its_socket() {
    let bench = Bench::new();
    assert_eq!(Arc::strong_count(&bench.socket), 2);
    bench.lane.end(&Error::not_sent(Kind::Cut, "lost"), Farewell::Abort);
    assert_eq!(Arc::strong_count(&bench.socket), 1);
}
