//! Runtimes that are made, use the pool, and are dropped in the middle of a command.

use std::sync::Arc;
use std::time::Duration;

use redis::{RedisResult, Value};
use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::ledger::Ledger;
use crate::random::Random;
use crate::stage::{SOCKET_TIMEOUT, Stage};

const TASKS: usize = 8;

pub(crate) struct Visitors {
    ledger: Arc<Ledger>,
}

impl Visitors {
    pub(crate) fn new() -> Self {
        Self { ledger: Arc::new(Ledger::new("visitors".to_owned(), false)) }
    }

    pub(crate) fn visit(&self, stage: &Stage, random: &mut Random) {
        let mut builder =
            if random.one_in(2) { Builder::new_current_thread() } else { Builder::new_multi_thread() };
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        for _ in 0..TASKS {
            runtime.spawn(write_on(stage.clone(), self.ledger.clone()));
        }
        let stay = random.millis(1, 120);
        runtime.block_on(async { sleep(stay).await });
        drop(runtime);
    }

    pub(crate) fn audit(&self, stage: &Stage) {
        self.ledger.audit(stage);
    }
}

/// Until the runtime is gone. Each write but the last was awaited.
async fn write_on(stage: Stage, ledger: Arc<Ledger>) {
    let mut conn = stage.pool.conn();
    loop {
        let entry = ledger.enter(1, false);
        let push = ledger.push(entry.ids.start);
        let pushed: RedisResult<Value> =
            stage.report.timed(SOCKET_TIMEOUT, "a visitor's call", push.query_async(&mut conn)).await;
        match pushed {
            Ok(reply) => {
                stage.report.answered();
                ledger.executed(&stage, &entry, &[reply]);
            }
            Err(error) => ledger.failed(&stage, &entry, &error),
        }
        sleep(Duration::from_millis(1)).await;
    }
}
