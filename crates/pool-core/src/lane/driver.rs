//! The lane's I/O: writes batches, reads replies and keeps the timer, one poll at a time.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context as TaskContext, Poll};
use std::time::Instant;

use redis::Value;
use tokio::io::ReadBuf;
use tokio::runtime::Handle;

use super::handle::{Lane, Use, fill};
use super::login::Login;
use super::machine::{Filled, Phase};
use super::shortcut::IDLE;
use crate::codec::{Decoder, Limits, ProtocolError};
use crate::credentials::Renewal;
use crate::pool::{Context, Proof, Shared};
use crate::timer::Timer;
use crate::transport::{Io, Socket};

const READ_BUFFER: usize = 64 << 10;
/// Reads in a row before writes and time limits have their turn.
const READS: usize = 16;
/// An output buffer that grew past this is not kept.
const KEEP: usize = 1 << 20;

/// Why a driver stopped.
pub(super) enum End {
    PeerClosed,
    Io(io::Error),
    Protocol(ProtocolError),
    Silent,
    Drained,
    /// Somebody else ended the lane.
    Outside,
}

pub(super) struct Driver<'a> {
    lane: &'a Lane,
    context: &'a Arc<Context>,
    io: Box<dyn Io>,
    socket: Option<Arc<dyn Socket>>,
    decoder: Decoder,
    buffer: Vec<u8>,
    values: Vec<Value>,
    filled: Filled,
    output: Vec<u8>,
    sent: usize,
    /// Bytes that the socket took.
    pub(super) written: u64,
    /// Whoever is ready to run has been let run since there was output: one write carries all of it.
    gathered: bool,
    last_byte: Instant,
    /// Set by the first reply.
    proof: Option<Proof>,
    login: Option<Login>,
    /// When it is to be replaced.
    old_at: Option<Instant>,
    home: &'a Weak<Shared>,
    timer: Timer,
}

enum Next {
    Write,
    /// Let others append first; this task is scheduled already.
    Yield,
    Rest,
    End(End),
}

impl<'a> Driver<'a> {
    pub(super) fn new(
        lane: &'a Lane,
        context: &'a Arc<Context>,
        io: Box<dyn Io>,
        socket: Option<Arc<dyn Socket>>,
        renewal: Option<Renewal>,
        home: &'a Weak<Shared>,
    ) -> Self {
        let limits = Limits { bulk: context.config.max_reply_bytes, ..Limits::default() };
        Self {
            lane,
            context,
            io,
            socket,
            decoder: Decoder::new(limits),
            buffer: vec![0; READ_BUFFER],
            values: Vec::new(),
            filled: Filled::new(),
            output: Vec::new(),
            sent: 0,
            written: 0,
            gathered: false,
            last_byte: Instant::now(),
            proof: None,
            login: renewal.map(Login::new),
            old_at: lane.old_at(),
            home,
            timer: Timer::default(),
        }
    }

    /// Runs until there is nothing to do, or the lane has ended.
    pub(super) fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<End> {
        // Reading comes first: a connection that was closed while idle is found before anything is written
        // to it, so that what waits for it counts as not sent.
        if let Poll::Ready(end) = self.read(cx) {
            return Poll::Ready(end);
        }
        if let Some(login) = &mut self.login {
            login.poll(self.lane, cx);
        }
        loop {
            let stuck = match self.write(cx) {
                Ok(written) => written.is_pending(),
                Err(end) => return Poll::Ready(end),
            };
            let next = if stuck { Next::Rest } else { self.next(cx) };
            match next {
                Next::Write => {}
                Next::Yield => return Poll::Pending,
                Next::End(end) => return Poll::Ready(end),
                Next::Rest => match self.rest(cx) {
                    Poll::Ready(Some(end)) => return Poll::Ready(end),
                    Poll::Ready(None) => {}
                    Poll::Pending => return Poll::Pending,
                },
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
            // What came whole before a protocol error is still delivered.
            let decoded = self.decoder.feed(buffer.filled(), &mut self.values);
            if let Err(error) = self.deliver(self.last_byte).and(decoded) {
                return Poll::Ready(End::Protocol(error));
            }
        }
        // There may be more; but whoever wants to write, and whoever's time is up, comes first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn deliver(&mut self, now: Instant) -> Result<(), ProtocolError> {
        if self.values.is_empty() {
            return Ok(());
        }
        let mut state = self.lane.state().lock();
        let delivered = state.machine.deliver(&mut self.values, &mut self.filled, now);
        let round_trip =
            delivered.as_ref().ok().and_then(|delivered| state.pace.came(delivered.replies, now));
        let waits = state.machine.take_waits();
        drop(state);
        waits.into_iter().flatten().for_each(|waited| self.context.meters.queue_waited(waited));
        fill(&mut self.filled);
        self.values.clear();
        let delivered = delivered?;
        if delivered.replies > 0 {
            self.proof.get_or_insert_with(|| self.context.prove());
            self.context.reply_seen(now);
        }
        if let Some(took) = round_trip {
            self.context.observe_latency(took);
        }
        if delivered.rebuild && self.context.may_rebuild(now) {
            self.lane.give_way();
            self.context.disown(self.lane.greeting());
        }
        Ok(())
    }

    fn write(&mut self, cx: &mut TaskContext<'_>) -> Result<Poll<()>, End> {
        while self.sent < self.output.len() {
            match Pin::new(&mut *self.io).poll_write(cx, &self.output[self.sent..]) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Ok(0)) => return Err(End::PeerClosed),
                Poll::Ready(Ok(count)) => {
                    self.sent += count;
                    self.written += count as u64;
                }
                Poll::Ready(Err(error)) => return Err(End::Io(error)),
            }
        }
        self.output.clear();
        self.output.shrink_to(KEEP);
        self.sent = 0;
        Ok(Poll::Ready(()))
    }

    fn next(&mut self, cx: &mut TaskContext<'_>) -> Next {
        let mut state = self.lane.state().lock();
        if !state.machine.asked.is_empty() && !matches!(state.machine.phase(), Phase::Ended(_)) {
            let checked_out = state.checked_out;
            state.machine.take_asked(checked_out, Instant::now(), &mut self.filled);
            if !self.filled.is_empty() {
                drop(state);
                fill(&mut self.filled);
                return Next::Write;
            }
        }
        if !state.machine.has_output() {
            return Next::Rest;
        }
        if matches!(state.machine.phase(), Phase::Ended(_)) {
            return Next::End(End::Outside);
        }
        let alone = state.pace.is_single() && state.machine.in_flight() == 1;
        if !alone && !self.gathered {
            self.gathered = true;
            cx.waker().wake_by_ref();
            return Next::Yield;
        }
        self.gathered = false;
        if state.pace.is_quiet() && self.closed_while_idle() {
            return Next::End(End::PeerClosed);
        }
        let asked = state.machine.take_output(&mut self.output);
        let calls = state.machine.mark();
        state.pace.sent(asked, calls, Instant::now());
        Next::Write
    }

    /// The runtime may not have looked at the socket since the server closed it. Asking the kernel before the
    /// first write after a pause lets that write count as not sent, and so be sent elsewhere.
    fn closed_while_idle(&self) -> bool {
        self.last_byte.elapsed() >= IDLE && self.socket.as_ref().is_some_and(|socket| socket.is_closed())
    }

    /// Another lane takes its place, or, if it was exclusive, the next who wants one.
    fn grow_old(&mut self, now: Instant) {
        if self.lane.usage() == Use::Exclusive {
            let mut state = self.lane.state().lock();
            if state.machine.is_idle() && !state.checked_out {
                state.machine.drain(&mut self.filled);
            }
            return;
        }
        // If that does not come to pass it is tried again.
        self.old_at = Some(now + self.context.config.connect_timeout);
        if let (Some(shared), Ok(handle)) = (self.home.upgrade(), Handle::try_current()) {
            shared.sets.succeed(&shared, &handle, self.lane);
        }
    }

    /// Nothing to do until a caller, the peer or the clock says so. `Ready(None)` asks for another look.
    fn rest(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<End>> {
        loop {
            let mut state = self.lane.state().lock();
            let stuck = !self.output.is_empty();
            match state.machine.phase() {
                Phase::Ended(_) => return Poll::Ready(Some(End::Outside)),
                Phase::Draining => {
                    state.notice_drain();
                    if state.machine.is_idle() && !stuck {
                        return Poll::Ready(Some(End::Drained));
                    }
                }
                Phase::Connecting | Phase::Open => {}
            }
            if (state.machine.has_output() || !state.machine.asked.is_empty()) && !stuck {
                return Poll::Ready(None);
            }
            state.driver = Some(cx.waker().clone());
            state.stuck = stuck;
            let config = &self.context.config;
            // A connection that a caller holds is that caller's: no PING may come between its commands, and
            // its blocking commands make the server rightly silent.
            let (silent, ping) = if state.checked_out {
                (None, None)
            } else {
                let idle = state.machine.is_idle();
                let silent = state.machine.silent_at(self.last_byte, config.socket_timeout);
                (silent, idle.then(|| self.last_byte + config.health_check_interval))
            };
            let deadline = state.machine.next_deadline();
            // An exclusive one ends only while it rests: until then its age is no reason to look again.
            let resting = self.lane.usage() == Use::Shared || state.machine.is_idle();
            let old = self.old_at.filter(|_| !state.checked_out && resting);
            let next = [silent, ping, deadline, old].into_iter().flatten().min();
            // Where nothing is due the timer is not looked at, whatever it was once set for.
            let alarm = next.and(self.timer.set_for());
            if let Some(shortcut) = &mut state.shortcut {
                shortcut.rest(alarm, self.last_byte);
            }
            drop(state);
            if self.timer.poll(next, cx).is_pending() {
                if next.and(self.timer.set_for()) == alarm {
                    return Poll::Pending;
                }
                // It was moved, and callers must go by what it is set for now.
                continue;
            }
            let now = Instant::now();
            if silent.is_some_and(|at| at <= now) {
                return Poll::Ready(Some(End::Silent));
            }
            if old.is_some_and(|at| at <= now) {
                self.grow_old(now);
            }
            let mut state = self.lane.state().lock();
            if ping.is_some_and(|at| at <= now) && state.machine.is_idle() && !state.checked_out {
                state.machine.ping(None, now);
            }
            state.machine.expire(now, &mut self.filled);
            drop(state);
            fill(&mut self.filled);
        }
    }
}
