//! Writes with an identity: each is pushed to a list of its own kind, where a second execution shows.

use std::collections::HashMap;
use std::ops::Range;

use cenote_pool_core::Outcome;
use parking_lot::Mutex;
use redis::{Cmd, RedisError, Value};

use crate::stage::{Stage, cmd};

/// What was told about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Executed,
    NotSent,
    /// It may have been: nobody waited for its end, or it was told so.
    Perhaps,
}

#[derive(Debug)]
struct Call {
    ids: Range<u64>,
    atomic: bool,
    told: Told,
}

pub(crate) struct Ledger {
    list: String,
    /// Whether its calls came one after the other, each awaited: what they did is in that order, then.
    in_order: bool,
    calls: Mutex<Calls>,
}

#[derive(Default)]
struct Calls {
    next: u64,
    made: Vec<Call>,
    longest: i64,
}

/// A call in the ledger, and its place there.
pub(crate) struct Entry {
    at: usize,
    pub(crate) ids: Range<u64>,
}

impl Ledger {
    pub(crate) fn new(list: String, in_order: bool) -> Self {
        Self { list, in_order, calls: Mutex::default() }
    }

    /// Enters a call before it is made. Dropped without a word it may have been executed.
    pub(crate) fn enter(&self, writes: u64, atomic: bool) -> Entry {
        let mut calls = self.calls.lock();
        let ids = calls.next..calls.next + writes;
        calls.next = ids.end;
        calls.made.push(Call { ids: ids.clone(), atomic, told: Told::Perhaps });
        Entry { at: calls.made.len() - 1, ids }
    }

    pub(crate) fn push(&self, id: u64) -> Cmd {
        cmd(&["RPUSH", &self.list, &id.to_string()])
    }

    /// Its writes were answered with `replies`.
    pub(crate) fn executed(&self, stage: &Stage, entry: &Entry, replies: &[Value]) {
        let mut calls = self.calls.lock();
        calls.made[entry.at].told = Told::Executed;
        let count = entry.ids.end - entry.ids.start;
        stage.report.expect(replies.len() as u64 == count, || format!("{count} pushes, {replies:?}"));
        for reply in replies {
            let Value::Int(length) = *reply else {
                return stage.report.expect(false, || format!("a push was answered with {reply:?}"));
            };
            let grown = !self.in_order || length > calls.longest;
            stage.report.expect(grown, || format!("{}: {length} after {}", self.list, calls.longest));
            calls.longest = length;
        }
    }

    pub(crate) fn failed(&self, stage: &Stage, entry: &Entry, error: &RedisError) {
        let outcome = stage.report.failed(error);
        self.calls.lock().made[entry.at].told = match outcome {
            Outcome::MayHaveExecuted => Told::Perhaps,
            _ => Told::NotSent,
        };
    }

    /// Holds all that was told against the list, and forgets it.
    pub(crate) fn audit(&self, stage: &Stage) {
        let there: Vec<u64> = stage.observer.get(&["LRANGE", &self.list, "0", "-1"]);
        stage.remove(std::slice::from_ref(&self.list));
        let mut times: HashMap<u64, usize> = HashMap::new();
        for id in &there {
            *times.entry(*id).or_default() += 1;
        }
        let mut calls = self.calls.lock();
        calls.longest = 0;
        let mut executed = Vec::new();
        for call in calls.made.drain(..) {
            stage.report.verified(call.ids.clone().count());
            let done: Vec<usize> = call.ids.clone().map(|id| times.remove(&id).unwrap_or_default()).collect();
            stage.report.expect(call.agrees_with(&done), || format!("{}: {call:?}, {done:?}", self.list));
            if call.told == Told::Executed {
                executed.extend(call.ids);
            }
        }
        stage.report.expect(times.is_empty(), || format!("{}: of an earlier round: {times:?}", self.list));
        let executed_at = there.iter().filter(|id| executed.binary_search(id).is_ok());
        stage
            .report
            .expect(!self.in_order || executed_at.is_sorted(), || format!("{}: {there:?}", self.list));
    }
}

impl Call {
    /// `done`: how often each of its writes was executed.
    fn agrees_with(&self, done: &[usize]) -> bool {
        let none_or_all = done.iter().all(|times| *times == done[0]);
        match self.told {
            Told::Executed => done.iter().all(|times| *times == 1),
            Told::NotSent => done.iter().all(|times| *times == 0),
            // One after the other, up to where it ended.
            Told::Perhaps => {
                done.is_sorted_by(|a, b| a >= b) && done[0] <= 1 && (!self.atomic || none_or_all)
            }
        }
    }
}
