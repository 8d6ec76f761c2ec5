//! The lane on a stream in memory: the test is the server, and decides byte by byte.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, Waker};
use std::time::{Duration, Instant};

use redis::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;

use super::handle::{Lane, Use};
use super::machine::Window;
use super::slot::{Answer, Reply, Spare};
use super::task::serve;
use crate::breaker::Lease;
use crate::budget::{Held, Tenant};
use crate::command::Payload;
use crate::config::PoolConfig;
use crate::dial::{Connection, Greeting};
use crate::error::{Error, Kind, Outcome};
use crate::pool::Context;

const LONG: Duration = Duration::from_secs(20);

/// For tests, which submit first and wait later.
impl Future for Reply {
    type Output = Result<Answer, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        Self::poll(&mut self, cx, &mut Spare::default())
    }
}

struct Bench {
    lane: Arc<Lane>,
    context: Arc<Context>,
    peer: DuplexStream,
    _driver: JoinHandle<Option<Lease>>,
}

/// A lane whose socket holds `pipe` bytes in each direction.
fn bench(config: PoolConfig, pipe: usize) -> Bench {
    let window = Window { commands: config.window_commands, bytes: config.window_bytes };
    let context = Arc::new(Context::nowhere(config));
    let lane = Lane::new(tokio::runtime::Handle::current().id(), Use::Shared, window);
    let (io, peer) = tokio::io::duplex(pipe);
    let permit = context.budget.try_acquire().expect("a fresh budget");
    let held = Held::new(context.budget.clone(), permit);
    let connection = Connection { io: Box::new(io), held, greeting: Greeting::default(), renewal: None };
    let driver = tokio::spawn({
        let (lane, context) = (lane.clone(), context.clone());
        async move { serve(&lane, &context, connection, &std::sync::Weak::new()).await }
    });
    Bench { lane, context, peer, _driver: driver }
}

fn submit(lane: &Lane, payload: Payload<'_>, deadline: Instant) -> Result<Reply, Error> {
    lane.submit(payload, Some(deadline), Instant::now(), Waker::noop(), &mut Spare::default())
}

impl Bench {
    fn echo(&self, payload: &str) -> Reply {
        self.echo_within(payload, LONG)
    }

    fn echo_within(&self, payload: &str, limit: Duration) -> Reply {
        let now = Instant::now();
        let mut cmd = redis::cmd("ECHO");
        cmd.arg(payload);
        submit(&self.lane, Payload::One(&cmd), now + limit).expect("the lane takes it")
    }

    /// Reads until the peer has seen `count` whole ECHO commands; returns their payloads and how many reads it
    /// took.
    async fn requests(&mut self, count: usize) -> (Vec<String>, usize) {
        let (mut bytes, mut reads) = (Vec::with_capacity(1 << 20), 0);
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let seen: Vec<String> = text
                .split("*2\r\n")
                .filter(|command| command.matches("\r\n").count() == 4)
                .map(|command| command.split("\r\n").nth(3).unwrap().to_owned())
                .collect();
            if seen.len() >= count {
                return (seen, reads);
            }
            reads += 1;
            assert!(self.peer.read_buf(&mut bytes).await.unwrap() > 0);
        }
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.peer.write_all(bytes.as_ref()).await.unwrap();
    }
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn text(answer: Result<Answer, Error>) -> String {
    match answer.unwrap() {
        Answer::One(Value::BulkString(bytes)) => String::from_utf8(bytes).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_call_dropped_in_the_middle_of_its_reply_shifts_nobody() {
    let mut bench = bench(PoolConfig::default(), 4096);
    let (first, second, third) = (bench.echo("first"), bench.echo("second"), bench.echo("third"));
    bench.requests(3).await;
    let replies = [bulk("first"), bulk("second"), bulk("third")].concat();
    let (half, rest) = replies.split_at(7);
    bench.send(half).await;
    tokio::task::yield_now().await;
    drop(first);
    bench.send(rest).await;
    assert_eq!(text(second.await), "second");
    assert_eq!(text(third.await), "third");
}

#[tokio::test]
async fn a_reply_that_comes_after_its_callers_limit_reaches_nobody() {
    let mut bench = bench(PoolConfig::default(), 4096);
    let late = bench.echo_within("late", Duration::from_millis(20));
    let patient = bench.echo("patient");
    bench.requests(2).await;
    let error = late.await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (Kind::Timeout, Outcome::MayHaveExecuted));
    bench.send([bulk("late"), bulk("patient")].concat()).await;
    assert_eq!(text(patient.await), "patient");
}

#[tokio::test]
async fn calls_of_all_ready_tasks_go_out_in_one_write() {
    let mut bench = bench(PoolConfig::default(), 1 << 20);
    let replies: Vec<_> = (0..500).map(|n| bench.echo(&n.to_string())).collect();
    let (seen, reads) = bench.requests(500).await;
    assert_eq!(seen, (0..500).map(|n| n.to_string()).collect::<Vec<_>>(), "in call order");
    assert_eq!(reads, 1);
    bench.send(seen.iter().map(|payload| bulk(payload)).collect::<String>()).await;
    for (n, reply) in replies.into_iter().enumerate() {
        assert_eq!(text(reply.await), n.to_string());
    }
}

#[tokio::test]
async fn beyond_the_window_callers_wait_in_order_within_their_limits() {
    let config = PoolConfig { window_commands: 2, ..PoolConfig::default() };
    let mut bench = bench(config, 4096);
    let (a, b) = (bench.echo("a"), bench.echo("b"));
    let hurried = bench.echo_within("hurried", Duration::from_millis(20));
    let given_up = bench.echo("given up");
    let patient = bench.echo("patient");
    assert_eq!(bench.requests(2).await.0, ["a", "b"]);
    let error = hurried.await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (Kind::Timeout, Outcome::NotSent), "{error}");
    drop(given_up);
    bench.send([bulk("a"), bulk("b")].concat()).await;
    assert_eq!((text(a.await), text(b.await)), ("a".to_owned(), "b".to_owned()));
    assert_eq!(bench.requests(1).await.0, ["patient"], "neither of the other two was ever sent");
    bench.send(bulk("patient")).await;
    assert_eq!(text(patient.await), "patient");
}

#[tokio::test]
async fn what_is_larger_than_the_window_goes_alone() {
    let config = PoolConfig { window_bytes: 100, ..PoolConfig::default() };
    let mut bench = bench(config, 4096);
    let small = bench.echo("small");
    let large = bench.echo(&"x".repeat(500));
    let after = bench.echo("after");
    for (expected, reply) in
        [("small".to_owned(), small), ("x".repeat(500), large), ("after".to_owned(), after)]
    {
        assert_eq!(bench.requests(1).await.0, [expected.as_str()]);
        bench.send(bulk(&expected)).await;
        assert_eq!(text(reply.await), expected);
    }
}

#[tokio::test]
async fn when_the_stream_ends_the_bytes_that_went_out_decide_each_outcome() {
    // The pipe takes 64 bytes: the first command whole, part of the second, nothing of the third.
    let mut bench = bench(PoolConfig::default(), 64);
    let whole = bench.echo("0123456789");
    let partly = bench.echo(&"y".repeat(100));
    let never = bench.echo("z");
    let mut arrived = [0; 40];
    bench.peer.read_exact(&mut arrived).await.unwrap();
    drop(bench.peer);
    let outcomes = [whole.await, partly.await, never.await].map(|answer| answer.unwrap_err().outcome());
    assert_eq!(outcomes, [Outcome::MayHaveExecuted, Outcome::NotSent, Outcome::NotSent]);
}

#[tokio::test]
async fn pushes_take_no_slot() {
    let mut bench = bench(PoolConfig::default(), 4096);
    let reply = bench.echo("mine");
    bench.requests(1).await;
    bench.send(format!(">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n{}", bulk("mine"))).await;
    assert_eq!(text(reply.await), "mine");
}

#[tokio::test]
async fn a_reply_nobody_asked_for_ends_the_lane() {
    let mut bench = bench(PoolConfig::default(), 4096);
    let reply = bench.echo("mine");
    bench.requests(1).await;
    bench.send([bulk("mine"), bulk("whose?")].concat()).await;
    assert_eq!(text(reply.await), "mine");
    bench._driver.await.unwrap();
    assert!(bench.lane.has_ended());
}

#[tokio::test]
async fn a_peer_that_owes_a_reply_and_is_silent_for_the_socket_timeout_is_given_up() {
    let config = PoolConfig { socket_timeout: Duration::from_millis(60), ..PoolConfig::default() };
    let bench = bench(config, 4096);
    let began = Instant::now();
    let error = bench.echo("anyone?").await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (Kind::Cut, Outcome::MayHaveExecuted), "{error}");
    assert!(began.elapsed() >= Duration::from_millis(60));
    assert!(bench.context.breaker.is_open(), "a silent peer opens the breaker");
}

#[tokio::test]
async fn an_idle_lane_asks_for_a_ping_and_its_reply_goes_to_nobody() {
    let config = PoolConfig { health_check_interval: Duration::from_millis(30), ..PoolConfig::default() };
    let mut bench = bench(config, 4096);
    let mut ping = [0; 14];
    bench.peer.read_exact(&mut ping).await.unwrap();
    assert_eq!(&ping, b"*1\r\n$4\r\nPING\r\n");
    let reply = bench.echo("mine");
    bench.send(format!("+PONG\r\n{}", bulk("mine"))).await;
    assert_eq!(text(reply.await), "mine");
}

#[tokio::test]
async fn a_draining_lane_finishes_what_is_in_flight_and_takes_no_more() {
    let mut bench = bench(PoolConfig::default(), 4096);
    let reply = bench.echo("last");
    bench.requests(1).await;
    bench.lane.drain();
    let now = Instant::now();
    let refused = submit(&bench.lane, Payload::One(&redis::cmd("PING")), now + LONG).unwrap_err();
    assert_eq!(refused.kind(), Kind::Moved);
    bench.send(bulk("last")).await;
    assert_eq!(text(reply.await), "last");
    bench._driver.await.unwrap();
    assert!(bench.lane.has_ended());
}

/// Fills a pipe of 64 bytes, has the peer read 40 and hang up; returns what the batch is told.
async fn outcome_of_a_batch_cut_short(pipeline: &redis::Pipeline) -> Outcome {
    let mut bench = bench(PoolConfig::default(), 64);
    let now = Instant::now();
    let reply = submit(&bench.lane, Payload::Batch(pipeline), now + LONG).unwrap();
    let mut arrived = [0; 40];
    bench.peer.read_exact(&mut arrived).await.unwrap();
    drop(bench.peer);
    reply.await.unwrap_err().outcome()
}

#[tokio::test]
async fn a_plain_pipeline_runs_with_its_first_command_and_an_atomic_one_with_its_exec() {
    let (short, long) = ("0123456789", "y".repeat(100));
    let mut first_is_whole = redis::pipe();
    first_is_whole.cmd("ECHO").arg(short).cmd("ECHO").arg(&long);
    assert_eq!(outcome_of_a_batch_cut_short(&first_is_whole).await, Outcome::MayHaveExecuted);
    let mut first_is_cut = redis::pipe();
    first_is_cut.cmd("ECHO").arg(&long).cmd("ECHO").arg(short);
    assert_eq!(outcome_of_a_batch_cut_short(&first_is_cut).await, Outcome::NotSent);
    let mut without_its_exec = first_is_whole.clone();
    without_its_exec.atomic();
    assert_eq!(outcome_of_a_batch_cut_short(&without_its_exec).await, Outcome::NotSent);
}

/// A peer that always has more to be read, as fast as it is asked, until it has sent one long reply.
struct Flood {
    left: Arc<std::sync::atomic::AtomicUsize>,
    begun: bool,
}

impl tokio::io::AsyncRead for Flood {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let left = self.left.load(std::sync::atomic::Ordering::SeqCst);
        if !std::mem::replace(&mut self.begun, true) {
            buf.put_slice(format!("${left}\r\n").as_bytes());
            return std::task::Poll::Ready(Ok(()));
        }
        if left == 0 {
            return std::task::Poll::Pending;
        }
        std::thread::sleep(Duration::from_micros(100));
        let count = left.min(1_000);
        buf.put_slice(&vec![b'x'; count]);
        self.left.store(left - count, std::sync::atomic::Ordering::SeqCst);
        std::task::Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for Flood {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn limits_are_kept_while_the_peer_has_ever_more_to_be_read() {
    let context = Arc::new(Context::nowhere(PoolConfig::default()));
    let lane = Lane::new(tokio::runtime::Handle::current().id(), Use::Shared, context.window());
    // Ten thousand reads of a tenth of a millisecond: a second at least.
    let left = Arc::new(std::sync::atomic::AtomicUsize::new(10_000_000));
    let now = Instant::now();
    let echo = redis::cmd("ECHO");
    let _long = submit(&lane, Payload::One(&echo), now + LONG).unwrap();
    let short = submit(&lane, Payload::One(&echo), now + Duration::from_millis(20)).unwrap();
    let held = Held::new(context.budget.clone(), context.budget.try_acquire().expect("a fresh budget"));
    let io = Box::new(Flood { left: left.clone(), begun: false });
    let connection = Connection { io, held, greeting: Greeting::default(), renewal: None };
    let driver = tokio::spawn({
        let (lane, context) = (lane.clone(), context.clone());
        async move { serve(&lane, &context, connection, &std::sync::Weak::new()).await }
    });
    let error = short.await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "{error}");
    let left = left.load(std::sync::atomic::Ordering::SeqCst);
    assert!(left > 5_000_000, "its time was up long before the long reply was there: {left} bytes were left");
    driver.abort();
}

/// A log that takes so long to say that Redis is away that Redis answers meanwhile.
struct SlowLog(Arc<Context>, Arc<std::sync::atomic::AtomicUsize>);

impl tracing::Subscriber for SlowLog {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        if *event.metadata().level() == tracing::Level::WARN {
            self.0.reply_seen(Instant::now());
            self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn the_state_does_not_stay_degraded_when_a_reply_came_while_the_outage_was_logged() {
    let context = Arc::new(Context::nowhere(PoolConfig::default()));
    let log = SlowLog(context.clone(), Arc::default());
    let warned = log.1.clone();
    let lost = Error::not_sent(Kind::Cut, "a connection was lost before it was ever answered");
    let lease = tracing::subscriber::with_default(log, || context.lane_lost(&lost, true));
    assert!(lease.is_some() && warned.load(std::sync::atomic::Ordering::SeqCst) == 1, "an outage was logged");
    assert!(!context.breaker.is_open());
    assert_eq!(*context.state.borrow(), crate::pool::State::Ready);
}
