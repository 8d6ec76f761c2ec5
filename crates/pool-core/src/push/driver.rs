//! The push connection's I/O: reads what comes, writes what is wanted, keeps the time, one poll at a time.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Instant;

use redis::Value;
use tokio::io::ReadBuf;
use tokio::sync::watch;

use super::fault::Fault;
use super::hub::Hub;
use super::machine::Protocol;
use super::probe::{Probe, Verdict};
use super::queue::Wakes;
use super::task::LINGER;
use crate::codec::{Decoder, Limits, ProtocolError};
use crate::credentials::Renewal;
use crate::error::Error;
use crate::pool::{Context, Proof, Shared, State};
use crate::timer::Timer;
use crate::transport::Io;

const READ_BUFFER: usize = 64 << 10;
/// Reads in a row before writes and time limits have their turn.
const READS: usize = 16;

/// Why a driver stopped.
pub(super) enum End {
    PeerClosed,
    Io(io::Error),
    Protocol(ProtocolError),
    /// The server would not take a subscription back right now.
    Refused(Error),
    Silent,
    /// Redis takes messages and this connection does not deliver them.
    Deaf,
    /// Nobody subscribes to anything.
    Deserted,
    /// Somebody else ended the hub.
    Outside,
}

type Change = Pin<Box<dyn Future<Output = watch::Receiver<State>> + Send>>;

pub(super) struct Driver<'a> {
    hub: &'a Hub,
    context: &'a Arc<Context>,
    io: Box<dyn Io>,
    decoder: Decoder,
    buffer: Vec<u8>,
    values: Vec<Value>,
    wakes: Wakes,
    output: Vec<u8>,
    sent: usize,
    last_byte: Instant,
    replies: u64,
    messages: u64,
    proof: Option<Proof>,
    renewal: Option<Renewal>,
    probe: Probe,
    /// The next change of the pool's state.
    change: Change,
    timer: Timer,
}

impl<'a> Driver<'a> {
    pub(super) fn new(
        hub: &'a Hub,
        context: &'a Arc<Context>,
        home: Weak<Shared>,
        io: Box<dyn Io>,
        protocol: Protocol,
        renewal: Option<Renewal>,
    ) -> Self {
        let limits = Limits { bulk: context.config.max_reply_bytes, ..Limits::default() };
        let probe = Probe::new(home, context.config.health_check_interval, context.breaker.probe_limit());
        hub.state().lock().machine.opened(protocol, &probe.topic);
        Self {
            hub,
            context,
            io,
            decoder: Decoder::new(limits),
            buffer: vec![0; READ_BUFFER],
            values: Vec::new(),
            wakes: Wakes::new(),
            output: Vec::new(),
            sent: 0,
            last_byte: Instant::now(),
            replies: 0,
            messages: 0,
            proof: None,
            // In RESP2 nothing but subscribing is allowed to who has subscribed.
            renewal: renewal.filter(|_| protocol == Protocol::Resp3),
            probe,
            change: next_change(context.state.subscribe()),
            timer: Timer::default(),
        }
    }

    /// Gives the connection up. True if the server ever replied on it.
    pub(super) fn close(self) -> bool {
        self.replies > 0
    }

    pub(super) fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<End> {
        if let Poll::Ready(end) = self.read(cx) {
            return Poll::Ready(end);
        }
        self.watch_the_pool(cx);
        self.renew(cx);
        loop {
            let stuck = match self.write(cx) {
                Ok(written) => written.is_pending(),
                Err(end) => return Poll::Ready(end),
            };
            let now = Instant::now();
            let next = match self.probe.poll(now, self.last_byte, cx) {
                Verdict::At(next) => next,
                Verdict::Deaf => return Poll::Ready(End::Deaf),
            };
            let mut state = self.hub.state().lock();
            if state.ended {
                return Poll::Ready(End::Outside);
            }
            if self.probe.is_due(now) {
                state.machine.ping();
                self.probe.begin(state.machine.has(&self.probe.topic), now);
                continue;
            }
            if !stuck {
                state.machine.next_command(now, &mut self.output, &mut self.wakes);
            }
            let has_output = !stuck && !self.output.is_empty();
            state.driver = Some(cx.waker().clone());
            let silent = state.machine.due_since().map(|since| since.max(self.last_byte));
            let silent = silent.map(|since| since + self.context.config.socket_timeout);
            let deserted = state.deserted.map(|since| since + LINGER);
            drop(state);
            self.wakes.drain(..).for_each(Waker::wake);
            if has_output {
                continue;
            }
            let next = [silent, deserted, Some(next)].into_iter().flatten().min();
            if self.timer.poll(next, cx).is_pending() {
                return Poll::Pending;
            }
            if silent.is_some_and(|at| at <= Instant::now()) {
                return Poll::Ready(End::Silent);
            }
            if self.hub.end_if_deserted(LINGER) {
                return Poll::Ready(End::Deserted);
            }
        }
    }

    fn read(&mut self, cx: &mut TaskContext<'_>) -> Poll<End> {
        for _ in 0..READS {
            let mut buffer = ReadBuf::new(&mut self.buffer);
            match Pin::new(&mut *self.io).poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(End::Io(error)),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Poll::Ready(End::PeerClosed),
                Poll::Ready(Ok(())) => {}
            }
            self.last_byte = Instant::now();
            let decoded = self.decoder.feed(buffer.filled(), &mut self.values);
            if let Err(end) = self.deliver() {
                return Poll::Ready(end);
            }
            if let Err(error) = decoded {
                return Poll::Ready(End::Protocol(error));
            }
        }
        // There may be more; but whoever wants to write, and whoever's time is up, comes first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Hands out what has come whole.
    fn deliver(&mut self) -> Result<(), End> {
        let mut state = self.hub.state().lock();
        let had_members = !state.machine.topics.is_empty();
        let mut accepted = Ok(());
        for value in self.values.drain(..) {
            accepted = accepted.and_then(|()| state.machine.accept(value, &mut self.wakes));
        }
        state.note_desertion(had_members);
        let (replies, messages) = (state.machine.replies, state.machine.messages);
        drop(state);
        self.wakes.drain(..).for_each(Waker::wake);
        if std::mem::replace(&mut self.replies, replies) != replies {
            self.proof.get_or_insert_with(|| self.context.prove());
            self.context.reply_seen(self.last_byte);
        }
        if std::mem::replace(&mut self.messages, messages) != messages {
            self.probe.heard(self.last_byte);
        }
        accepted.map_err(|fault| match fault {
            Fault::Protocol(error) => End::Protocol(error),
            Fault::Refused(error) => End::Refused(error),
        })
    }

    fn write(&mut self, cx: &mut TaskContext<'_>) -> Result<Poll<()>, End> {
        while self.sent < self.output.len() {
            match Pin::new(&mut *self.io).poll_write(cx, &self.output[self.sent..]) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(0)) => return Err(End::PeerClosed),
                Poll::Ready(Ok(count)) => self.sent += count,
                Poll::Ready(Err(error)) => return Err(End::Io(error)),
            }
        }
        self.output.clear();
        self.sent = 0;
        Ok(Poll::Ready(()))
    }

    /// Logs in anew, if that is due.
    fn renew(&mut self, cx: &mut TaskContext<'_>) {
        let Some(renewal) = &mut self.renewal else { return };
        let answer = self.hub.state().lock().machine.take_login();
        if let Some(answer) = answer {
            renewal.answered(answer);
        }
        if let Poll::Ready(auth) = renewal.poll(cx) {
            self.hub.state().lock().machine.log_in(&auth);
            renewal.sent();
        }
    }

    /// An outage is a reason to ask whether this connection lives, and its end is one to ask whether it survived:
    /// it would not tell.
    fn watch_the_pool(&mut self, cx: &mut TaskContext<'_>) {
        while let Poll::Ready(states) = self.change.as_mut().poll(cx) {
            self.probe.hasten(Instant::now());
            self.change = next_change(states);
        }
    }
}

/// However it ends, also when the runtime drops it: subscribers fall behind first, and then the socket goes.
impl Drop for Driver<'_> {
    fn drop(&mut self) {
        self.hub.state().lock().machine.lost();
    }
}

/// The pool's context, which this task holds, keeps the sender: the wait never fails.
fn next_change(mut states: watch::Receiver<State>) -> Change {
    Box::pin(async move {
        let _ = states.changed().await;
        states
    })
}
