//! Pub/sub of a pool without Redis: whoever subscribes in this process is told what is published in it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use parking_lot::Mutex;
use redis::{Cmd, ServerErrorKind, Value};

use super::queue::{Queue, Wakes};
use super::topics::{Kind, Topic, Topics};
use crate::command;
use crate::fallback::{Fallback, NotDegradable};

#[derive(Default)]
pub(crate) struct Local(Mutex<Topics>);

impl Local {
    pub(super) fn join(&self, topics: &[Topic], queue: &Arc<Queue>) {
        let mut state = self.0.lock();
        for topic in topics {
            // There is nobody to ask.
            state.map_mut(topic.kind).entry(topic.name.clone()).or_default().confirmed = true;
            state.join(topic, queue, None);
        }
    }

    pub(super) fn leave<'a>(&self, topics: impl IntoIterator<Item = &'a Topic>, queue: &Arc<Queue>) {
        let mut state = self.0.lock();
        for topic in topics {
            state.leave(topic, queue, &mut Wakes::new());
            if state.get_mut(topic).is_some_and(|entry| !entry.is_wanted()) {
                state.map_mut(topic.kind).remove(&topic.name);
            }
        }
    }

    pub(crate) fn subscriptions(&self) -> usize {
        self.0.lock().members()
    }

    fn publish(&self, kind: Kind, cmd: &Cmd) -> Value {
        let words: Vec<&[u8]> = command::words(cmd).collect();
        let [_, channel, payload] = words[..] else {
            let name = if kind == Kind::Shard { "spublish" } else { "publish" };
            let line = format!("-ERR wrong number of arguments for '{name}' command\r\n");
            return redis::parse_redis_value(line.as_bytes()).unwrap_or(Value::Nil);
        };
        let mut wakes = Wakes::new();
        let told = self.0.lock().publish(kind, channel, payload, &mut wakes);
        wakes.into_iter().for_each(Waker::wake);
        Value::Int(i64::try_from(told).unwrap_or(i64::MAX))
    }
}

/// Runs `batch`: what is published goes to subscribers, everything else to the fallback, which sees the rest as
/// one batch. What the fallback refuses or aborts publishes nothing either.
pub(crate) fn execute(
    local: &Local,
    fallback: &dyn Fallback,
    batch: &[&Cmd],
    atomic: bool,
) -> Result<Vec<Value>, NotDegradable> {
    if batch.iter().all(|cmd| published(cmd).is_none()) {
        return fallback.execute(batch, atomic);
    }
    let others: Vec<&Cmd> = batch.iter().copied().filter(|cmd| published(cmd).is_none()).collect();
    let values = if others.is_empty() { Vec::new() } else { fallback.execute(&others, atomic)? };
    let aborted = |value: &Value| matches!(value, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::ExecAbort));
    if atomic && values.iter().any(aborted) {
        return Ok(values);
    }
    let mut values = VecDeque::from(values);
    let value_of = |cmd: &&Cmd| match published(cmd) {
        Some(kind) => local.publish(kind, cmd),
        None => values.pop_front().unwrap_or_default(),
    };
    Ok(batch.iter().map(value_of).collect())
}

fn published(cmd: &Cmd) -> Option<Kind> {
    let name = command::words(cmd).next()?;
    if name.eq_ignore_ascii_case(b"PUBLISH") {
        Some(Kind::Channel)
    } else if name.eq_ignore_ascii_case(b"SPUBLISH") {
        Some(Kind::Shard)
    } else {
        None
    }
}
