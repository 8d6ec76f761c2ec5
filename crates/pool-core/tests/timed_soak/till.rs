//! Transactions that compete for one counter: no update is lost, and none is made twice.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use cenote_pool_core::{Outcome, Pool};
use parking_lot::Mutex;
use redis::{AsyncCommands, RedisResult};

use crate::actor::Actor;
use crate::random::Random;
use crate::stage::{SOCKET_TIMEOUT, Stage};

const SUM: &str = "till:sum";
const SLIPS: &str = "till:slips";

/// Everybody's transactions of this round.
#[derive(Default)]
pub(crate) struct Book {
    executed: BTreeSet<u64>,
    perhaps: usize,
}

pub(crate) struct Till {
    pool: Pool,
    random: Random,
    book: Arc<Mutex<Book>>,
}

impl Till {
    pub(crate) fn new(stage: &Stage, random: Random, book: Arc<Mutex<Book>>) -> Self {
        Self { pool: stage.pool.clone(), random, book }
    }
}

#[async_trait]
impl Actor for Till {
    async fn turn(&mut self, stage: &Stage) {
        let transaction = self.pool.transaction(&[SUM], async move |conn, pipe| {
            let sum = conn.get::<_, Option<u64>>(SUM).await?.unwrap_or_default() + 1;
            pipe.set(SUM, sum).ignore().rpush(SLIPS, sum).ignore().get(SUM);
            Ok(())
        });
        // The checkout and each of the three commands of the last round may take their time.
        let timed = stage.report.timed(4 * SOCKET_TIMEOUT, "a transaction", transaction);
        let done: RedisResult<(u64,)> = if self.random.one_in(10) {
            match tokio::time::timeout(self.random.millis(0, 10), timed).await {
                Ok(done) => done,
                Err(_) => {
                    stage.report.cancelled();
                    self.book.lock().perhaps += 1;
                    return;
                }
            }
        } else {
            timed.await
        };
        match done {
            Ok((sum,)) => {
                stage.report.answered();
                let first = self.book.lock().executed.insert(sum);
                stage.report.expect(first, || format!("two transactions were told {sum}"));
            }
            Err(error) => {
                if stage.report.failed(&error) == Outcome::MayHaveExecuted {
                    self.book.lock().perhaps += 1;
                }
            }
        }
    }

    /// The first one's speaks for all; the others find nothing left.
    fn audit(&mut self, stage: &Stage) {
        let slips: Vec<u64> = stage.observer.get(&["LRANGE", SLIPS, "0", "-1"]);
        let sum: Option<u64> = stage.observer.get(&["GET", SUM]);
        stage.remove(&[SUM, SLIPS].map(str::to_owned));
        let Book { executed, perhaps } = std::mem::take(&mut *self.book.lock());
        stage.report.verified(executed.len() + perhaps);
        let in_order = slips.iter().copied().eq(1..=sum.unwrap_or_default());
        stage.report.expect(in_order, || format!("the sum is {sum:?}, of {slips:?}"));
        let there: BTreeSet<u64> = slips.into_iter().collect();
        let right = executed.is_subset(&there) && there.len() <= executed.len() + perhaps;
        stage.report.expect(right, || format!("{there:?}, but told {executed:?} and {perhaps} perhaps"));
    }
}
