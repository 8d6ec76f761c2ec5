//! Strict calls: single commands, pipelines and atomic pipelines, patient, hurried and cancelled.

use std::time::Duration;

use async_trait::async_trait;
use cenote_pool_core::Conn;
use redis::{Cmd, Pipeline, RedisResult, Value};

use crate::actor::Actor;
use crate::ledger::Ledger;
use crate::random::Random;
use crate::register::Register;
use crate::stage::{SOCKET_TIMEOUT, Stage, cmd};

pub(crate) struct Strict {
    name: u64,
    calls: u64,
    conn: Conn,
    random: Random,
    ledger: Ledger,
    register: Register,
}

/// How a batch is sent.
#[derive(Clone, Copy)]
enum Shape {
    Single,
    Pipeline,
    Atomic,
}

impl Strict {
    pub(crate) fn new(stage: &Stage, name: u64, random: Random) -> Self {
        let ledger = Ledger::new(format!("strict:{name}"), true);
        let register = Register::new(format!("register:{name}"));
        Self { name, calls: 0, conn: stage.pool.conn(), random, ledger, register }
    }

    fn shape(&mut self) -> (Shape, u64) {
        match self.random.below(6) {
            0 => (Shape::Pipeline, 2 + self.random.below(4)),
            1 => (Shape::Atomic, 2 + self.random.below(4)),
            _ => (Shape::Single, 1),
        }
    }

    /// The replies, or `None` when the call was dropped before its end.
    async fn call(&mut self, stage: &Stage, shape: Shape, cmds: &[Cmd]) -> Option<RedisResult<Vec<Value>>> {
        self.calls += 1;
        let limit = if self.random.one_in(6) { self.random.millis(0, 40) } else { SOCKET_TIMEOUT };
        // A clone goes the same way, and goes another if that is lost.
        if self.random.one_in(50) {
            self.conn = stage.pool.conn();
        }
        let mut conn = self.conn.clone().with_timeout(limit);
        let call = stage.report.timed(limit, "a strict call", send(&mut conn, shape, cmds));
        if self.random.one_in(6) {
            let patience = Duration::from_micros(self.random.below(3_000));
            let ended = tokio::time::timeout(patience, call).await.ok();
            if ended.is_none() {
                stage.report.cancelled();
            }
            return ended;
        }
        Some(call.await)
    }

    async fn echo(&mut self, stage: &Stage) {
        let (shape, count) = self.shape();
        // Now and then a reply that takes several reads to arrive.
        let long = " ".repeat(if self.random.one_in(200) { 200_000 } else { 0 });
        let words: Vec<_> = (0..count).map(|n| format!("{}:{}:{n}{long}", self.name, self.calls)).collect();
        let cmds: Vec<_> = words.iter().map(|word| cmd(&["ECHO", word])).collect();
        match self.call(stage, shape, &cmds).await {
            Some(Ok(replies)) => {
                stage.report.answered();
                let echoed: Vec<String> = replies.into_iter().filter_map(text).collect();
                stage.report.expect(echoed == words, || format!("asked for {words:?}, got {echoed:?}"));
            }
            Some(Err(error)) => drop(stage.report.failed(&error)),
            None => {}
        }
    }

    async fn write(&mut self, stage: &Stage) {
        let (shape, count) = self.shape();
        let entry = self.ledger.enter(count, matches!(shape, Shape::Atomic));
        let cmds: Vec<_> = entry.ids.clone().map(|id| self.ledger.push(id)).collect();
        match self.call(stage, shape, &cmds).await {
            Some(Ok(replies)) => {
                stage.report.answered();
                self.ledger.executed(stage, &entry, &replies);
            }
            Some(Err(error)) => self.ledger.failed(stage, &entry, &error),
            None => {}
        }
    }

    async fn set(&mut self, stage: &Stage) {
        let (set, value) = self.register.set();
        match self.call(stage, Shape::Single, &[set]).await {
            Some(Ok(replies)) => {
                stage.report.answered();
                stage.report.expect(replies == [Value::Okay], || format!("SET said {replies:?}"));
                self.register.holds(value);
            }
            Some(Err(error)) => self.register.failed(stage, &error),
            None => self.register.unknown(),
        }
    }

    /// With an echo beside it, so that the reply shows whose it is.
    async fn get(&mut self, stage: &Stage) {
        let word = format!("{}:{}", self.name, self.calls);
        let cmds = [cmd(&["ECHO", &word]), self.register.get()];
        match self.call(stage, Shape::Pipeline, &cmds).await {
            Some(Ok(replies)) => {
                stage.report.answered();
                let replies: Vec<_> = replies.into_iter().map(text).collect();
                stage.report.expect(replies[0].as_ref() == Some(&word), || format!("{word}: {replies:?}"));
                self.register.expect(stage, replies[1].as_ref());
            }
            Some(Err(error)) => drop(stage.report.failed(&error)),
            None => {}
        }
    }
}

#[async_trait]
impl Actor for Strict {
    async fn turn(&mut self, stage: &Stage) {
        match self.random.below(10) {
            0..3 => self.echo(stage).await,
            3..6 => self.write(stage).await,
            6..8 => self.set(stage).await,
            _ => self.get(stage).await,
        }
    }

    fn audit(&mut self, stage: &Stage) {
        self.ledger.audit(stage);
        self.register.audit(stage);
    }
}

async fn send(conn: &mut Conn, shape: Shape, cmds: &[Cmd]) -> RedisResult<Vec<Value>> {
    if let Shape::Single = shape {
        return cmds[0].query_async(conn).await.map(|reply| vec![reply]);
    }
    let mut pipeline = Pipeline::new();
    if let Shape::Atomic = shape {
        pipeline.atomic();
    }
    for cmd in cmds {
        pipeline.add_command(cmd.clone());
    }
    pipeline.query_async(conn).await
}

fn text(value: Value) -> Option<String> {
    redis::from_redis_value(value).ok()
}
