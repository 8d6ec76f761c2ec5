//! The one script in Redis, in one round trip within the limiter's own limit.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use cenote_pool_core::redis::{self, Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind};
use cenote_pool_core::{Conn, Pool};
use parking_lot::Mutex;

use crate::builder::OnQuotaChange;
use crate::call::{Item, Mode};
use crate::decision::Verdict;
use crate::together::Together;

const SCRIPT: &str = include_str!("gcra.lua");
static SHA: LazyLock<String> = LazyLock::new(|| sha1_smol::Sha1::from(SCRIPT).digest().to_string());

/// Few callers meet at one shelf.
const SHELVES: usize = 8;
/// More connections than this at rest on one shelf are let go.
const MOST: usize = 64;

#[derive(Debug)]
pub(crate) struct Remote {
    pool: Pool,
    limit: Duration,
    change: OnQuotaChange,
    conns: [Mutex<Vec<Conn>>; SHELVES],
    pub(crate) together: Together,
}

/// The server's time, and one verdict for each item.
pub(crate) type Answer = Result<(u64, Vec<Verdict>), RedisError>;

impl Remote {
    pub(crate) fn new(pool: &Pool, limit: Duration, change: OnQuotaChange) -> Self {
        Self { pool: pool.clone(), limit, change, conns: Default::default(), together: Together::default() }
    }

    /// By itself, or together with other calls that are made now.
    ///
    /// It is never sent twice: a call that ran out of time may have been charged, and nobody replays it.
    pub(crate) async fn call(self: &Arc<Self>, items: &[Item], mode: Mode, now: Option<u64>) -> Answer {
        let _under_way = self.together.enter();
        let mut left = None;
        if mode == Mode::Charge
            && let began = Instant::now()
            && let Some(answer) = self.join(items, now, began)
        {
            // Its task is gone with its runtime, whether or not it has sent anything.
            let lost = || RedisError::from((ErrorKind::Io, "the call's runtime has ended"));
            if let Some(answer) = answer.await.unwrap_or_else(|_| Some(Err(lost()))) {
                return answer;
            }
            // It was not executed, as one of the others cannot be with it.
            left = Some(self.left(began));
        }
        let reply: Vec<i64> = self.send(items, items.len(), mode, now, left).await?;
        verdicts(items, &reply)
    }

    /// Calls of `size` items each, in one script, within all of the limit or what is left of it.
    pub(crate) async fn send<R: FromRedisValue>(
        &self,
        items: &[Item],
        size: usize,
        mode: Mode,
        now: Option<u64>,
        left: Option<Duration>,
    ) -> Result<R, RedisError> {
        let began = Instant::now();
        let mut conn = self.take();
        let brief = left.map(|left| conn.clone().with_timeout(left));
        let command = |name, script| self.command((name, script), items, size, mode, now);
        let sha = command("EVALSHA", &SHA);
        let mut reply = match brief {
            Some(mut brief) => sha.query_async(&mut brief).await,
            None => sha.query_async(&mut conn).await,
        };
        if reply.as_ref().is_err_and(is_unknown) {
            // This server has not seen the script yet, so nothing was done.
            let left = left.unwrap_or(self.limit).saturating_sub(began.elapsed());
            let mut brief = conn.clone().with_timeout(left);
            reply = command("EVAL", SCRIPT).query_async(&mut brief).await;
        }
        self.rest(conn);
        reply
    }

    /// What is left of the time of a call.
    pub(crate) fn left(&self, began: Instant) -> Duration {
        self.limit.saturating_sub(began.elapsed())
    }

    /// Can one script have keys of several subjects there?
    pub(crate) fn is_single(&self) -> bool {
        self.pool.server_is_single()
    }

    pub(crate) async fn forget(&self, items: &[Item]) -> Result<(), RedisError> {
        let mut conn = self.take();
        let mut cmd = redis::cmd("DEL");
        for item in items {
            cmd.arg(&*item.key);
        }
        cmd.exec_async(&mut conn).await?;
        self.rest(conn);
        Ok(())
    }

    fn command(
        &self,
        (name, script): (&str, &str),
        items: &[Item],
        size: usize,
        mode: Mode,
        now: Option<u64>,
    ) -> Cmd {
        let mut cmd = redis::cmd(name);
        cmd.arg(script).arg(items.len());
        for item in items {
            cmd.arg(&*item.key);
        }
        match now {
            Some(now) => cmd.arg(now),
            None => cmd.arg(""),
        };
        let (mode, charged) = match mode {
            Mode::Peek => (0, 0),
            Mode::Charge => (1, 0),
            Mode::Force => (2, 0),
            Mode::Refund(charged) => (3, charged),
        };
        let change = match self.change {
            OnQuotaChange::KeepUsed => 0,
            OnQuotaChange::Reset => 1,
            OnQuotaChange::Proportional => 2,
        };
        cmd.arg(mode).arg(charged).arg(change).arg(size);
        for Item { rate, cost, .. } in items {
            cmd.arg(rate.drain).arg(rate.token).arg(rate.burst).arg(*cost);
        }
        cmd
    }

    fn take(&self) -> Conn {
        let resting = self.conns[fastrand::usize(..SHELVES)].lock().pop();
        resting.unwrap_or_else(|| self.pool.conn().with_timeout(self.limit))
    }

    fn rest(&self, conn: Conn) {
        let mut shelf = self.conns[fastrand::usize(..SHELVES)].lock();
        if shelf.len() < MOST {
            shelf.push(conn);
        }
    }
}

/// The keys are not in one slot of a cluster, so the script did not run.
pub(crate) fn is_apart(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::CrossSlot)
}

fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

pub(crate) fn strange() -> RedisError {
    RedisError::from((ErrorKind::UnexpectedReturnType, "the script's reply has another shape"))
}

pub(crate) fn verdicts(items: &[Item], reply: &[i64]) -> Answer {
    let number = |number: i64| u64::try_from(number).map_err(|_| strange());
    let (now, rest) = reply.split_first().ok_or_else(strange)?;
    if rest.len() != items.len() * 4 {
        return Err(strange());
    }
    let verdict = |(item, said): (&Item, &[i64])| {
        Ok(Verdict {
            fits: said[0] == 1,
            limit: item.rate.burst,
            remaining: number(said[1])?,
            retry: number(said[2])?,
            reset: number(said[3])?,
        })
    };
    let verdicts: Result<_, RedisError> = items.iter().zip(rest.chunks_exact(4)).map(verdict).collect();
    Ok((number(*now)?, verdicts?))
}
