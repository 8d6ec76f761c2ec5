//! Degradable calls on keys with one writer: never a value of another key's, never one that was overwritten.

use async_trait::async_trait;
use cenote_pool_core::{Answer, DegradableConn, Error, Source};
use redis::Cmd;

use crate::actor::Actor;
use crate::random::Random;
use crate::stage::{DEGRADE_AFTER, Stage, cmd};

const KEYS: usize = 6;

pub(crate) struct Degradable {
    name: u64,
    keys: Vec<Key>,
    soft: DegradableConn,
    random: Random,
}

/// A key and its last write. After a write that was dropped another key takes its place: that one is not in the
/// journal, and may come late.
#[derive(Default)]
struct Key {
    place: usize,
    oldest: u64,
    current: u64,
    written: u64,
    last: Option<String>,
    pending: bool,
}

impl Degradable {
    pub(crate) fn new(stage: &Stage, name: u64, random: Random) -> Self {
        let keys = (0..KEYS).map(|place| Key { place, ..Key::default() }).collect();
        Self { name, keys, soft: stage.pool.degradable().unwrap(), random }
    }

    async fn query(&mut self, stage: &Stage, cmd: &Cmd) -> Option<Answer> {
        let answer: Result<Answer, Error> =
            stage.report.timed(DEGRADE_AFTER, "a degradable call", self.soft.query(cmd)).await;
        match answer {
            Ok(answer) => {
                stage.report.answered_by(answer.source);
                Some(answer)
            }
            Err(error) => {
                stage.report.expect(false, || format!("a degradable call failed: {error:?}"));
                None
            }
        }
    }

    async fn write(&mut self, stage: &Stage) {
        let at = self.random.below(KEYS as u64) as usize;
        let key = &mut self.keys[at];
        key.written += 1;
        let name = key.name(self.name);
        let (write, value) = if self.random.one_in(4) {
            (cmd(&[self.random.pick(&["DEL", "UNLINK"]), &name]), None)
        } else {
            let value = format!("{name}={}", key.written);
            (cmd(&["SET", &name, &value]), Some(value))
        };
        if self.random.one_in(12) {
            let patience = self.random.millis(0, 3);
            if tokio::time::timeout(patience, self.soft.query(&write)).await.is_err() {
                stage.report.cancelled();
            }
            return self.keys[at].unknown();
        }
        let Some(answer) = self.query(stage, &write).await else { return self.keys[at].unknown() };
        let told = answer.source == Source::Redis || answer.pending;
        stage.report.expect(told, || format!("{name}: Redis is not to hear of it: {answer:?}"));
        let key = &mut self.keys[at];
        (key.last, key.pending) = (value, answer.pending);
    }

    /// One key, or all of them at once.
    async fn read(&mut self, stage: &Stage) {
        let from = self.random.below(KEYS as u64) as usize;
        let range = if self.random.one_in(4) { 0..KEYS } else { from..from + 1 };
        let mut mget = cmd(&["MGET"]);
        for key in &self.keys[range.clone()] {
            mget.arg(key.name(self.name));
        }
        let Some(answer) = self.query(stage, &mget).await else { return };
        let values: Vec<Option<String>> = redis::from_redis_value(answer.value).unwrap_or_default();
        stage.report.expect(values.len() == range.len(), || format!("{values:?} for {range:?}"));
        for (key, value) in self.keys[range].iter().zip(values) {
            let right = key.may_be(value.as_ref(), answer.source);
            let (last, pending, source) = (&key.last, key.pending, answer.source);
            stage.report.expect(right, || {
                format!("{}: {last:?}, pending: {pending}; {source:?} says {value:?}", key.name(self.name))
            });
        }
    }
}

impl Key {
    fn name(&self, owner: u64) -> String {
        format!("soft:{owner}:{}:{}", self.place, self.current)
    }

    fn unknown(&mut self) {
        self.current += 1;
        (self.last, self.pending) = (None, false);
    }

    fn may_be(&self, value: Option<&String>, source: Source) -> bool {
        match (source, self.pending) {
            // Taken by Redis, and kept by it; or removed there before Redis was read again.
            (Source::Redis, false) => value == self.last.as_ref(),
            (Source::Redis, true) => value.is_none(),
            // The fallback has what was written in this outage, and nothing from before.
            (_, true) => value.is_none() || value == self.last.as_ref(),
            (_, false) => value.is_none(),
        }
    }
}

#[async_trait]
impl Actor for Degradable {
    async fn turn(&mut self, stage: &Stage) {
        if self.random.one_in(2) { self.write(stage).await } else { self.read(stage).await }
    }

    fn audit(&mut self, stage: &Stage) {
        for key in &mut self.keys {
            let name = key.name(self.name);
            let there: Option<String> = stage.observer.get(&["GET", &name]);
            let right = key.may_be(there.as_ref(), Source::Redis);
            let (last, pending) = (&key.last, key.pending);
            stage.report.expect(right, || format!("{name}: {last:?}, pending: {pending}; kept {there:?}"));
            let (place, owner) = (key.place, self.name);
            let keys: Vec<_> =
                (key.oldest..=key.current).map(|current| format!("soft:{owner}:{place}:{current}")).collect();
            stage.remove(&keys);
            stage.report.verified(keys.len());
            key.oldest = key.current;
            (key.last, key.pending) = (None, false);
        }
    }
}
