//! The columns: what a caller does with each kind of connection.

mod dedicated;
mod degradable;
mod strict;
mod subscriber;

use std::sync::Arc;

use cenote_pool_core::PoolBuilder;
use cenote_testkit::Observer;
use redis::Value;
use tokio::task::JoinHandle;

use crate::call::wrong;
use crate::{Call, Class, Fate, Heard, Seat};

pub(crate) use dedicated::Dedicated;
pub(crate) use degradable::Degradable;
pub(crate) use strict::Strict;
pub(crate) use subscriber::Subscriber;

/// One column.
pub(crate) trait Actor: Sync {
    fn name(&self) -> &'static str;

    /// Settings beyond those of all pools here.
    fn configure(&self, builder: PoolBuilder) -> PoolBuilder {
        builder
    }

    /// How many tasks it starts.
    fn tasks(&self) -> usize {
        4
    }

    /// Starts tasks that make one call after the other, each through [`Seat::call`], until the seat says stop.
    fn start(&self, seat: &Arc<Seat>) -> Vec<JoinHandle<()>>;

    /// What it needs done past its pool, until nothing is under way any more.
    fn work_beside(&self, _seat: &Arc<Seat>, _server: Observer) {}

    /// Holds what each caller was told of its write against what the server has. No call is under way any more.
    fn audit(&self, server: &Observer, calls: &[Call], data_was_destroyed: bool);
}

pub(crate) const ACTORS: [&dyn Actor; 4] = [&Strict, &Degradable, &Dedicated, &Subscriber];

fn key(column: &str, id: u64) -> String {
    format!("{column}:{id}")
}

/// Adds the write's own number to its own key: run once the key holds it, run twice the double.
fn increment(column: &str, id: u64) -> redis::Cmd {
    redis::cmd("INCRBY").arg(key(column, id)).arg(id).clone()
}

/// A read whose reply is no other call's, and the replies that are right: an echo, or what the last write left.
fn read(seat: &Seat, column: &str, id: u64) -> (redis::Cmd, Vec<Value>) {
    let text = |text: String| Value::BulkString(text.into_bytes());
    if id.is_multiple_of(2) {
        let payload = format!("{column}:echo:{id}");
        return (redis::cmd("ECHO").arg(&payload).clone(), vec![text(payload)]);
    }
    let written = seat.last_written();
    let may_be_gone = written == 0 || seat.forgets;
    let there = (written != 0).then(|| text(written.to_string()));
    let expected = may_be_gone.then_some(Value::Nil).into_iter().chain(there).collect();
    (redis::cmd("GET").arg(key(column, written)).clone(), expected)
}

fn is_echo(cmd: &redis::Cmd) -> bool {
    matches!(cmd.args_iter().next(), Some(redis::Arg::Simple(b"ECHO")))
}

fn answered_with(value: &Value, expected: &[Value]) -> Heard {
    if expected.contains(value) {
        (Class::Answered, Fate::Ran)
    } else {
        (wrong(&format!("{value:?} instead of {expected:?}")), Fate::MayHaveRun)
    }
}

fn number(id: u64) -> Value {
    Value::Int(i64::try_from(id).expect("ids are small"))
}

/// Each key is there or not as its writer was told, and never holds more than one execution gave it.
fn audit_increments<'a>(
    server: &Observer,
    column: &str,
    calls: impl Iterator<Item = &'a Call>,
    data_was_destroyed: bool,
) {
    for call in calls {
        let there: Option<u64> = server.get(&["GET", &key(column, call.id)]);
        let once = Some(call.id);
        let holds = match call.fate {
            Fate::Ran if data_was_destroyed => there.is_none() || there == once,
            Fate::Ran => there == once,
            Fate::MayHaveRun => there.is_none() || there == once,
            Fate::DidNotRun | Fate::Forgotten => there.is_none(),
        };
        assert!(holds, "{column}: {call:?}, but the server has {there:?}");
    }
}
