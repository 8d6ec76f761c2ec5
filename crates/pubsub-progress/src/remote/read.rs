//! What watchers read: whole records, the ends of logs, signs of life.

use std::sync::Arc;
use std::time::Duration;

use cenote_pool_core::Conn;
use cenote_pool_core::redis::{self, Pipeline, RedisResult, Value, from_redis_value};

use super::names::Names;
use super::script::{send, strange};
use crate::event::LogLine;
use crate::position::Position;
use crate::snapshot::{Liveness, Snapshot, Status};

/// How many jobs are read in one round trip.
const BATCH: usize = 512;

/// The signs of life of a job.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vitals {
    pub(crate) position: Position,
    pub(crate) status: Status,
    pub(crate) heartbeat_age: Duration,
    pub(crate) heartbeat: Duration,
}

impl Vitals {
    pub(crate) fn liveness(&self) -> Liveness {
        let late = self.heartbeat + self.heartbeat / 2;
        if self.status == Status::Running && self.heartbeat_age > late {
            Liveness::Stalled
        } else {
            Liveness::Live
        }
    }
}

/// A job as Redis knows it.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) vitals: Vitals,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) lines: Vec<Arc<LogLine>>,
}

/// The records of these jobs, and of each log what comes after the position, the last `most` lines of it at most.
pub(crate) async fn load(
    conn: &mut Conn,
    names: &Names,
    jobs: &[(Arc<str>, Position)],
    most: usize,
) -> RedisResult<Vec<RedisResult<Option<Record>>>> {
    let mut pipe = Pipeline::with_capacity(jobs.len() * 2 + 1);
    pipe.add_command(redis::cmd("TIME"));
    for (job, after) in jobs {
        pipe.add_command(record(names, job));
        let from = if after.run == 0 { "-".to_owned() } else { format!("{}-{}", after.run, after.l + 1) };
        let mut log = redis::cmd("XREVRANGE");
        log.arg(names.log(job)).arg("+").arg(from).arg("COUNT").arg(most);
        pipe.add_command(log);
    }
    let mut replies = send(conn, &pipe).await?.into_iter();
    let now = now_ms(replies.next())?;
    let mut records = Vec::with_capacity(jobs.len());
    for (job, _) in jobs {
        let (record, log) = (replies.next().ok_or_else(strange)?, replies.next().ok_or_else(strange)?);
        records.push(record.and_then(|record| whole(job, record, Some(log?), now)));
    }
    Ok(records)
}

/// The states of these jobs, without their logs.
pub(crate) async fn read_all(
    conn: &mut Conn,
    names: &Names,
    jobs: &[Arc<str>],
) -> RedisResult<Vec<Option<Record>>> {
    let mut records = Vec::with_capacity(jobs.len());
    for jobs in jobs.chunks(BATCH) {
        let mut pipe = Pipeline::with_capacity(jobs.len() + 1);
        pipe.add_command(redis::cmd("TIME"));
        for job in jobs {
            pipe.add_command(record(names, job));
        }
        let mut replies = send(conn, &pipe).await?.into_iter();
        let now = now_ms(replies.next())?;
        for (job, reply) in jobs.iter().zip(replies) {
            records.push(whole(job, reply?, None, now)?);
        }
    }
    Ok(records)
}

/// The signs of life of these jobs, at most 512 in one round trip.
pub(crate) async fn sweep(
    conn: &mut Conn,
    names: &Names,
    jobs: &[Arc<str>],
) -> RedisResult<Vec<Option<Vitals>>> {
    let mut all = Vec::with_capacity(jobs.len());
    for jobs in jobs.chunks(BATCH) {
        let mut pipe = Pipeline::with_capacity(jobs.len() + 1);
        pipe.add_command(redis::cmd("TIME"));
        for job in jobs {
            let mut cmd = redis::cmd("HMGET");
            cmd.arg(names.state(job)).arg(&["run", "v", "l", "st", "hb", "hi"]);
            pipe.add_command(cmd);
        }
        let mut replies = send(conn, &pipe).await?.into_iter();
        let now = now_ms(replies.next())?;
        for reply in replies {
            let fields: Vec<Option<Vec<u8>>> = from_redis_value(reply?)?;
            all.push(vitals(&fields, now));
        }
    }
    Ok(all)
}

fn record(names: &Names, job: &str) -> redis::Cmd {
    let mut cmd = redis::cmd("HMGET");
    cmd.arg(names.state(job)).arg(&["run", "v", "l", "st", "hb", "hi", "a", "s"]);
    cmd
}

fn now_ms(reply: Option<RedisResult<Value>>) -> RedisResult<u64> {
    let (seconds, micros): (u64, u64) = from_redis_value(reply.ok_or_else(strange)??)?;
    Ok(seconds * 1_000 + micros / 1_000)
}

fn vitals(fields: &[Option<Vec<u8>>], now: u64) -> Option<Vitals> {
    let number = |index: usize| -> Option<u64> {
        std::str::from_utf8(fields.get(index)?.as_ref()?).ok()?.parse().ok()
    };
    let (seconds, micros) = std::str::from_utf8(fields.get(4)?.as_ref()?).ok()?.split_once(':')?;
    let heard = seconds.parse::<u64>().ok()? * 1_000 + micros.parse::<u64>().ok()? / 1_000;
    Some(Vitals {
        position: Position::new(number(0)?, number(1)?, number(2)?),
        status: Status::named(fields.get(3)?.as_ref()?)?,
        heartbeat_age: Duration::from_millis(now.saturating_sub(heard)),
        heartbeat: Duration::from_millis(number(5)?),
    })
}

/// `None` if there is none; what another version wrote is an error.
fn whole(job: &Arc<str>, reply: Value, log: Option<Value>, now: u64) -> RedisResult<Option<Record>> {
    let fields: Vec<Option<Vec<u8>>> = from_redis_value(reply)?;
    if fields.first().is_none_or(Option::is_none) {
        return Ok(None);
    }
    let vitals = vitals(&fields, now).ok_or_else(strange)?;
    let field = |index: usize| fields.get(index).and_then(Option::as_deref).ok_or_else(strange);
    let snapshot: Snapshot = serde_json::from_slice(field(7)?).map_err(|_| strange())?;
    let attempt =
        std::str::from_utf8(field(6)?).ok().and_then(|text| text.parse().ok()).ok_or_else(strange)?;
    let snapshot = Snapshot {
        job: job.clone(),
        position: vitals.position,
        attempt,
        liveness: vitals.liveness(),
        heartbeat_age: Some(vitals.heartbeat_age),
        ..snapshot
    };
    let lines = log.map_or(Ok(Vec::new()), |log| lines(log, vitals.position.run))?;
    Ok(Some(Record { vitals, snapshot: Arc::new(snapshot), lines }))
}

/// The lines of this attempt, in order. What cannot be read is a gap.
fn lines(reply: Value, run: u64) -> RedisResult<Vec<Arc<LogLine>>> {
    /// Its number, and its fields.
    type Entry = (String, Vec<(String, Vec<u8>)>);
    let entries: Vec<Entry> = from_redis_value(reply)?;
    let of_this = |(id, fields): &Entry| {
        let (of, _) = id.split_once('-')?;
        if of.parse() != Ok(run) {
            return None;
        }
        serde_json::from_slice(&fields.first()?.1).ok().map(Arc::new)
    };
    Ok(entries.iter().rev().filter_map(of_this).collect())
}
