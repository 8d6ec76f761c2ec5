//! Exclusive connections: a queue that blocks, and whatever the next holder must not notice.

use std::collections::BTreeSet;

use async_trait::async_trait;
use cenote_pool_core::{Dedicated, Outcome, Pool};
use redis::aio::ConnectionLike;
use redis::{AsyncCommands, RedisError, RedisResult, Value};

use crate::actor::Actor;
use crate::ledger::Ledger;
use crate::random::Random;
use crate::stage::{MARKER, SOCKET_TIMEOUT, Stage, cmd};

pub(crate) struct Queue {
    name: String,
    pool: Pool,
    random: Random,
    ledger: Ledger,
    items: Items,
}

/// What became of the items of a queue with one owner.
#[derive(Default)]
struct Items {
    next: u64,
    pushed: BTreeSet<u64>,
    perhaps_pushed: BTreeSet<u64>,
    popped: BTreeSet<u64>,
    /// How many items were perhaps taken out by calls that nobody heard the end of.
    perhaps_popped: usize,
}

impl Queue {
    pub(crate) fn new(stage: &Stage, name: u64, random: Random) -> Self {
        let ledger = Ledger::new(format!("dedicated:{name}"), true);
        let items = Items::default();
        Self { name: format!("queue:{name}"), pool: stage.pool.clone(), random, ledger, items }
    }

    /// A connection as if nobody had had it before.
    async fn check_out(&mut self, stage: &Stage) -> Option<Dedicated> {
        match stage.report.timed(SOCKET_TIMEOUT, "dedicated()", self.pool.dedicated()).await {
            Ok(mut conn) => {
                let at: RedisResult<String> = within_limit(stage, conn.get(MARKER)).await;
                match at {
                    Ok(database) => {
                        stage.report.answered();
                        stage.report.expect(database == "0", || format!("the database is {database:?}"));
                        Some(conn)
                    }
                    Err(error) => {
                        stage.report.failed(&error);
                        None
                    }
                }
            }
            Err(error) => {
                let outcome = stage.report.failed(&RedisError::from(error));
                stage.report.expect(outcome == Outcome::NotSent, || format!("a checkout was {outcome:?}"));
                None
            }
        }
    }

    async fn push(&mut self, stage: &Stage, conn: &mut Dedicated) {
        let id = self.items.next;
        self.items.next += 1;
        let pushed: RedisResult<i64> = within_limit(stage, conn.rpush(&self.name, id)).await;
        match pushed {
            Ok(_) => {
                stage.report.answered();
                self.items.pushed.insert(id);
            }
            Err(error) if stage.report.failed(&error) == Outcome::MayHaveExecuted => {
                self.items.perhaps_pushed.insert(id);
            }
            Err(_) => {}
        }
    }

    async fn pop(&mut self, stage: &Stage, conn: &mut Dedicated) {
        let wait = self.random.millis(5, 60);
        let limit = wait + SOCKET_TIMEOUT;
        let pop = stage.report.timed(limit, "BLPOP", conn.blpop(&self.name, wait.as_secs_f64()));
        let popped: RedisResult<Option<(String, u64)>> = if self.random.one_in(8) {
            let patience = self.random.millis(0, 20);
            match tokio::time::timeout(patience, pop).await {
                Ok(popped) => popped,
                Err(_) => {
                    stage.report.cancelled();
                    self.items.perhaps_popped += 1;
                    return;
                }
            }
        } else {
            pop.await
        };
        match popped {
            Ok(popped) => {
                stage.report.answered();
                let Some((from, id)) = popped else { return };
                let items = &mut self.items;
                let known = items.pushed.contains(&id) || items.perhaps_pushed.contains(&id);
                stage.report.expect(from == self.name && known, || format!("{from} gave {id}: {items:?}"));
                let first = items.popped.insert(id);
                stage.report.expect(first, || format!("{from} gave {id} twice"));
            }
            Err(error) if stage.report.failed(&error) == Outcome::MayHaveExecuted => {
                self.items.perhaps_popped += 1;
            }
            Err(_) => {}
        }
    }

    async fn write(&mut self, stage: &Stage, conn: &mut Dedicated) {
        let entry = self.ledger.enter(3, true);
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        for id in entry.ids.clone() {
            pipeline.add_command(self.ledger.push(id));
        }
        let replies: RedisResult<Vec<Value>> = within_limit(stage, pipeline.query_async(conn)).await;
        match replies {
            Ok(replies) => {
                stage.report.answered();
                self.ledger.executed(stage, &entry, &replies);
            }
            Err(error) => self.ledger.failed(stage, &entry, &error),
        }
    }

    /// Leaves the connection in another database, in a transaction, or watching.
    async fn spoil(&mut self, stage: &Stage, conn: &mut impl ConnectionLike) {
        let words: &[&str] = self.random.pick(&[&["SELECT", "3"][..], &["MULTI"], &["WATCH", MARKER]]);
        let cmd = cmd(words);
        let spoilt: RedisResult<Value> = within_limit(stage, cmd.query_async(conn)).await;
        match spoilt {
            Ok(_) => stage.report.answered(),
            Err(error) => drop(stage.report.failed(&error)),
        }
    }
}

#[async_trait]
impl Actor for Queue {
    async fn turn(&mut self, stage: &Stage) {
        let Some(mut conn) = self.check_out(stage).await else { return };
        for _ in 0..self.random.below(4) {
            match self.random.below(3) {
                0 => self.push(stage, &mut conn).await,
                1 => self.pop(stage, &mut conn).await,
                _ => self.write(stage, &mut conn).await,
            }
        }
        if self.random.one_in(5) {
            self.spoil(stage, &mut conn).await;
        }
    }

    fn audit(&mut self, stage: &Stage) {
        self.ledger.audit(stage);
        let there: Vec<u64> = stage.observer.get(&["LRANGE", &self.name, "0", "-1"]);
        stage.remove(std::slice::from_ref(&self.name));
        let items = std::mem::take(&mut self.items);
        self.items.next = items.next;
        stage.report.verified(items.pushed.len() + items.perhaps_pushed.len());
        let left: BTreeSet<u64> = there.iter().copied().collect();
        let known = |id: &u64| items.pushed.contains(id) || items.perhaps_pushed.contains(id);
        let lost = items.pushed.iter().filter(|id| !left.contains(id) && !items.popped.contains(id));
        let right = left.len() == there.len()
            && left.is_disjoint(&items.popped)
            && left.iter().all(known)
            && lost.count() <= items.perhaps_popped;
        stage.report.expect(right, || format!("{} has {there:?}: {items:?}", self.name));
    }
}

impl std::fmt::Debug for Items {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} pushed, perhaps also {:?}, {} popped, perhaps {} more",
            self.pushed.len(),
            self.perhaps_pushed,
            self.popped.len(),
            self.perhaps_popped
        )
    }
}

async fn within_limit<T>(stage: &Stage, call: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    stage.report.timed(SOCKET_TIMEOUT, "a command on a dedicated connection", call).await
}
