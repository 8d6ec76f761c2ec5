//! Pub/sub: no message twice, order kept, and every hole announced by a gap or a lag.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cenote_pool_core::{Conn, Event, Outcome, Pool, Subscriber};
use cenote_testkit::eventually;
use parking_lot::Mutex;
use redis::{AsyncCommands, RedisResult};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::actor::Actor;
use crate::random::Random;
use crate::stage::{SOCKET_TIMEOUT, Stage};

const CHANNEL: &str = "news";
const PATTERN: &str = "new?";
const SOON: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_millis(50);

/// What was published in this round, in order, and whether it surely was.
#[derive(Default)]
pub(crate) struct Issues {
    next: u64,
    sure: BTreeMap<u64, bool>,
}

pub(crate) type Press = Arc<Mutex<Issues>>;

pub(crate) struct Publisher {
    conn: Conn,
    press: Press,
}

pub(crate) struct Reader {
    name: u64,
    pool: Pool,
    handle: Handle,
    random: Random,
    press: Press,
    subscriber: Option<Subscriber>,
    seen: Vec<Seen>,
    round: usize,
}

enum Seen {
    Issue(u64),
    /// Something may be missing here, and the reader knows.
    Hole,
}

impl Publisher {
    pub(crate) fn new(stage: &Stage, press: Press) -> Self {
        Self { conn: stage.pool.conn(), press }
    }
}

#[async_trait]
impl Actor for Publisher {
    async fn turn(&mut self, stage: &Stage) {
        let issue = self.press.lock().next;
        self.press.lock().next += 1;
        let publish = self.conn.publish(CHANNEL, issue);
        let told: RedisResult<u64> = stage.report.timed(SOCKET_TIMEOUT, "PUBLISH", publish).await;
        let sure = match told {
            Ok(_) => {
                stage.report.answered();
                true
            }
            Err(error) if stage.report.failed(&error) == Outcome::MayHaveExecuted => false,
            Err(_) => return,
        };
        self.press.lock().sure.insert(issue, sure);
    }

    /// After the readers'.
    fn audit(&mut self, stage: &Stage) {
        let issues = std::mem::take(&mut self.press.lock().sure);
        stage.report.verified(issues.len());
    }
}

impl Reader {
    pub(crate) fn new(stage: &Stage, name: u64, handle: &Handle, random: Random, press: &Press) -> Self {
        Self {
            name,
            pool: stage.pool.clone(),
            handle: handle.clone(),
            random,
            press: press.clone(),
            subscriber: None,
            seen: Vec::new(),
            round: 0,
        }
    }

    /// It holds for ever once Redis has acknowledged it.
    async fn subscribe(&mut self, stage: &Stage) -> Option<Subscriber> {
        let mut subscriber = self.pool.subscriber();
        // The small one lags behind whenever it looks away.
        if self.random.one_in(2) {
            subscriber = subscriber.with_capacity(8);
        }
        let by_pattern = self.random.one_in(2);
        let subscribed = stage.report.timed(SOCKET_TIMEOUT, "a subscription", async {
            match by_pattern {
                true => subscriber.psubscribe(PATTERN).await,
                false => subscriber.subscribe(CHANNEL).await,
            }
        });
        match subscribed.await {
            Ok(()) => {
                self.seen.push(Seen::Hole);
                Some(subscriber)
            }
            Err(error) => {
                stage.report.failed(&error.into());
                None
            }
        }
    }

    /// Whether it was the end of a round.
    fn see(&mut self, stage: &Stage, event: Option<Event>) -> bool {
        match event {
            Some(Event::Message(message)) => match message.get::<u64>() {
                Ok(issue) => self.seen.push(Seen::Issue(issue)),
                Err(_) => return message.payload() == self.last_words().as_bytes(),
            },
            Some(Event::Gap | Event::Lagged(_)) => self.seen.push(Seen::Hole),
            other => stage.report.expect(false, || format!("reader {} was told {other:?}", self.name)),
        }
        false
    }

    fn last_words(&self) -> String {
        format!("that is all, {}, for round {}", self.name, self.round)
    }

    /// Hears everything up to its last words, which are said again until its subscription is back.
    fn hear_the_rest(&mut self, stage: &Stage, subscriber: &mut Subscriber) {
        let handle = self.handle.clone();
        eventually(SOON, "a reader is back", || {
            stage.observer.get::<()>(&["PUBLISH", CHANNEL, &self.last_words()]);
            let rest = async { while !self.see(stage, subscriber.next().await) {} };
            handle.block_on(async { timeout(PATIENCE, rest).await.is_ok() })
        });
    }

    fn compare(&self, stage: &Stage, sure: &BTreeMap<u64, bool>) {
        let mut due = sure.iter().filter(|(_, sure)| **sure).map(|(issue, _)| *issue).peekable();
        let mut read = HashSet::new();
        let mut hole = self.subscriber.is_none();
        for seen in &self.seen {
            let Seen::Issue(issue) = *seen else {
                hole = true;
                continue;
            };
            let first = sure.contains_key(&issue) && read.insert(issue);
            stage.report.expect(first, || format!("reader {}: {issue} twice, or never sent", self.name));
            if sure.get(&issue) == Some(&true) {
                let mut missed = Vec::new();
                while let Some(earlier) = due.next_if(|due| *due < issue) {
                    missed.push(earlier);
                }
                let in_order = due.next_if_eq(&issue).is_some();
                let right = in_order && (missed.is_empty() || hole);
                stage.report.expect(right, || format!("reader {}: {missed:?} before {issue}", self.name));
                hole = false;
            }
        }
        let missed: Vec<u64> = due.collect();
        let right = missed.is_empty() || hole;
        stage.report.expect(right, || format!("reader {}: {missed:?} at the end", self.name));
    }
}

#[async_trait]
impl Actor for Reader {
    async fn turn(&mut self, stage: &Stage) {
        let Some(mut subscriber) = self.subscriber.take() else {
            self.subscriber = self.subscribe(stage).await;
            return;
        };
        if self.random.one_in(200) {
            return self.seen.push(Seen::Hole);
        }
        if self.random.one_in(20) {
            tokio::time::sleep(self.random.millis(1, 100)).await;
        }
        for _ in 0..self.random.below(20) {
            if let Ok(event) = timeout(self.random.millis(1, 10), subscriber.next()).await {
                self.see(stage, event);
            }
        }
        self.subscriber = Some(subscriber);
    }

    fn audit(&mut self, stage: &Stage) {
        self.round += 1;
        if let Some(mut subscriber) = self.subscriber.take() {
            self.hear_the_rest(stage, &mut subscriber);
            self.subscriber = Some(subscriber);
        }
        self.compare(stage, &self.press.lock().sure);
        self.seen.clear();
    }
}
