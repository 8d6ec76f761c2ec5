//! What the benches measure and nobody else may name: thin wrappers, which only pass on.

use std::fmt::Display;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use redis::{Cmd, Pipeline, Value};

use crate::codec::Limits;
use crate::command::Payload;
use crate::config::{PoolConfig, Problem, Target};
use crate::error::Error;
use crate::lane::{Answer, Filled, Machine, Reply, Spare, Window};

/// Appends the bytes of a command to `out`.
pub fn encode(cmd: &Cmd, out: &mut Vec<u8>) {
    Payload::One(cmd).encode(out);
}

/// Appends the bytes of a pipeline or a transaction to `out`.
pub fn encode_batch(pipeline: &Pipeline, out: &mut Vec<u8>) {
    Payload::Batch(pipeline).encode(out);
}

/// Reads where a URL leads.
///
/// # Errors
///
/// It leads nowhere.
pub fn parse_url(url: &str) -> Result<impl Display, Problem> {
    Target::parse(url)
}

/// The decoder of a connection, with the limits that it has by default.
#[derive(Debug)]
pub struct Decoder(crate::codec::Decoder);

impl Decoder {
    /// Consumes `piece` and appends every reply it completes to `out`.
    ///
    /// # Errors
    ///
    /// It is not what a Redis server sends.
    pub fn feed(&mut self, piece: &[u8], out: &mut Vec<Value>) -> Result<(), impl std::error::Error> {
        self.0.feed(piece, out)
    }
}

/// At the start of a reply.
impl Default for Decoder {
    fn default() -> Self {
        Self(crate::codec::Decoder::new(Limits::default()))
    }
}

/// The bookkeeping of a lane whose connection is open, at a standing clock; without its lock, its task and its socket.
#[derive(Debug)]
pub struct Lane {
    machine: Machine,
    now: Instant,
    deadline: Instant,
    output: Vec<u8>,
    filled: Filled,
}

impl Lane {
    /// With nothing in flight.
    pub fn open() -> Self {
        let (config, now) = (PoolConfig::default(), Instant::now());
        let window = Window { commands: config.window_commands, bytes: config.window_bytes };
        let mut machine = Machine::new(window, now);
        machine.open(now);
        let deadline = now + Duration::from_secs(5);
        Self { machine, now, deadline, output: Vec::new(), filled: Filled::new() }
    }

    /// Takes the one call of `caller`, whose reply wakes `waker`.
    ///
    /// # Errors
    ///
    /// The lane has ended.
    pub fn submit(&mut self, cmd: &Cmd, caller: &mut Caller, waker: &Waker) -> Result<(), Error> {
        let (slot, reply) = caller.spare.slot(waker);
        caller.reply = Some(reply);
        self.machine.submit(Payload::One(cmd), Some(slot), Some(self.deadline), self.now)
    }

    /// What goes out now, as one batch.
    pub fn take_output(&mut self) -> &[u8] {
        self.output.clear();
        self.machine.take_output(&mut self.output);
        &self.output
    }

    /// Takes replies, and wakes those whose they are.
    ///
    /// # Errors
    ///
    /// A reply that nobody waits for.
    pub fn deliver(&mut self, values: &mut Vec<Value>) -> Result<(), impl std::error::Error> {
        let delivered = self.machine.deliver(values, &mut self.filled, self.now);
        for (slot, result) in self.filled.drain(..) {
            slot.fill(result);
        }
        delivered.map(|_| ())
    }
}

/// Whoever makes one call after another.
#[derive(Debug, Default)]
pub struct Caller {
    spare: Spare,
    reply: Option<Reply>,
}

impl Caller {
    /// Ready with the reply to the last call, once.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Value, Error>> {
        let Some(reply) = &mut self.reply else { return Poll::Pending };
        reply.poll(cx, &mut self.spare).map_ok(|answer| match answer {
            Answer::One(value) => value,
            Answer::Many(values) => Value::Array(values),
        })
    }
}
