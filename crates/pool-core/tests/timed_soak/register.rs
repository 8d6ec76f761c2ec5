//! A key with one writer, who knows what is in it.

use cenote_pool_core::Outcome;
use redis::{Cmd, RedisError};

use crate::stage::{Stage, cmd};

/// After a write that may have been executed it moves on to another key: such a write may come late, and until
/// then nobody can say what is in the old one.
pub(crate) struct Register {
    prefix: String,
    oldest: u64,
    current: u64,
    written: u64,
    holds: Option<String>,
}

impl Register {
    pub(crate) fn new(prefix: String) -> Self {
        Self { prefix, oldest: 0, current: 0, written: 0, holds: None }
    }

    fn key(&self) -> String {
        format!("{}:{}", self.prefix, self.current)
    }

    pub(crate) fn get(&self) -> Cmd {
        cmd(&["GET", &self.key()])
    }

    /// A command that writes what was never written before, and what that is.
    pub(crate) fn set(&mut self) -> (Cmd, String) {
        self.written += 1;
        let value = format!("{}={}", self.key(), self.written);
        (cmd(&["SET", &self.key(), &value]), value)
    }

    pub(crate) fn holds(&mut self, value: String) {
        self.holds = Some(value);
    }

    pub(crate) fn unknown(&mut self) {
        self.current += 1;
        self.holds = None;
    }

    pub(crate) fn failed(&mut self, stage: &Stage, error: &RedisError) {
        if stage.report.failed(error) == Outcome::MayHaveExecuted {
            self.unknown();
        }
    }

    pub(crate) fn expect(&self, stage: &Stage, value: Option<&String>) {
        let right = value == self.holds.as_ref();
        stage.report.expect(right, || format!("{} holds {:?}, read {value:?}", self.key(), self.holds));
    }

    pub(crate) fn audit(&mut self, stage: &Stage) {
        let there: Option<String> = stage.observer.get(&["GET", &self.key()]);
        self.expect(stage, there.as_ref());
        let keys: Vec<_> = (self.oldest..=self.current).map(|n| format!("{}:{n}", self.prefix)).collect();
        stage.remove(&keys);
        self.oldest = self.current;
        self.holds = None;
    }
}
