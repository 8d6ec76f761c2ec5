//! A worker's report on its way to Redis, and from there to the watchers.

use std::sync::Arc;
use std::time::Duration;

use cenote_pool_core::Conn;
use cenote_pool_core::redis::{Cmd, RedisResult, Value, from_redis_value};
use serde::Deserialize;

use super::script::{Call, PUBLISH, strange};
use crate::builder::Settings;
use crate::event::LogLine;
use crate::position::Position;
use crate::snapshot::Snapshot;

/// What Redis says to a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Applied,
    /// It had it already.
    Duplicate,
    /// Another attempt has the job.
    Fenced,
    /// The job has ended.
    Ended,
    /// Lines before those of the report are missing there.
    Behind,
    /// Its start, which was given up, was taken all the same, as another attempt.
    Renamed,
}

/// What Redis has afterwards.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply {
    pub(crate) code: Code,
    pub(crate) position: Position,
    pub(crate) attempt: u64,
    /// Somebody asks the worker to stop.
    pub(crate) cancel: bool,
}

/// The first report of a worker.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Begin {
    /// A job that ended well begins anew.
    pub(crate) restart: bool,
}

/// Where a worker's reports go.
#[derive(Debug)]
pub(crate) struct Address {
    pub(crate) keys: [String; 2],
    pub(crate) channel: String,
    /// Of which no two are alike, so that two workers with one attempt's number are told apart.
    pub(crate) owner: String,
}

/// One report.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) to: Arc<Address>,
    pub(crate) position: Position,
    pub(crate) attempt: u64,
    pub(crate) snapshot: Arc<Snapshot>,
    /// The number of the line before the first one.
    pub(crate) base: u64,
    /// Lines before that are gone.
    pub(crate) force: bool,
    pub(crate) lines: Vec<Arc<LogLine>>,
    pub(crate) begin: Option<Begin>,
    /// Of a worker that began while Redis was away, and what it asks for: Redis has not let it have the job yet.
    pub(crate) unknown: Option<Begin>,
    /// The one before it failed.
    pub(crate) again: bool,
    /// How many changes of the state it tells beside the last one.
    pub(crate) coalesced: u64,
}

/// A report as the script takes it.
struct Telling<'a>(&'a Report, &'a Settings);

impl Call for Telling<'_> {
    const KEYS: usize = 2;

    fn add_to(&self, cmd: &mut Cmd) {
        let Self(report, settings) = self;
        let Position { run, v, l } = report.position;
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let begin = report.begin.or(report.unknown).unwrap_or_default();
        let flags = [
            (report.begin.is_some(), 'b'),
            (report.unknown.is_some(), 'u'),
            (begin.restart, 'r'),
            (report.force, 'f'),
            (report.snapshot.cancelling, 'c'),
        ];
        let flags: String = flags.into_iter().filter_map(|(is_set, flag)| is_set.then_some(flag)).collect();
        let to = &report.to;
        cmd.arg(&to.keys).arg(&to.channel).arg(&to.owner).arg(run).arg(v).arg(l).arg(report.base);
        cmd.arg(format!("{run}:{v}:{l}:{{\"a\":{},\"s\":", report.attempt)).arg(&*report.snapshot.to_json());
        cmd.arg(ms(settings.retention)).arg(report.snapshot.status.name()).arg(flags);
        cmd.arg(report.attempt).arg(ms(settings.heartbeat)).arg(settings.log_lines);
        for line in &report.lines {
            cmd.arg(line.seq).arg(&*line.to_json());
        }
    }
}

/// All of them in one round trip, each with its own reply; and `more`, whose replies come last.
pub(crate) async fn publish(
    conn: &mut Conn,
    settings: &Settings,
    reports: &[Report],
    more: &[Cmd],
) -> RedisResult<(Vec<RedisResult<Reply>>, Vec<RedisResult<Value>>)> {
    let calls: Vec<_> = reports.iter().map(|report| Telling(report, settings)).collect();
    let mut results = PUBLISH.call_all(conn, &calls, more).await?;
    let rest = results.split_off(reports.len());
    Ok((results.into_iter().zip(reports).map(|(result, report)| reply(result?, report)).collect(), rest))
}

fn reply(value: Value, report: &Report) -> RedisResult<Reply> {
    if let Value::Int(said @ 0..=3) = value {
        let code = if said & 1 == 0 { Code::Applied } else { Code::Duplicate };
        let Report { position, attempt, .. } = *report;
        return Ok(Reply { code, position, attempt, cancel: said & 2 != 0 });
    }
    let said: Vec<u64> = from_redis_value(value)?;
    let [code, run, v, l, cancel, attempt] = said[..] else { return Err(strange()) };
    let code = match code {
        0 => Code::Applied,
        1 => Code::Duplicate,
        2 => Code::Fenced,
        3 => Code::Ended,
        4 => Code::Behind,
        5 => Code::Renamed,
        _ => return Err(strange()),
    };
    Ok(Reply { code, position: Position::new(run, v, l), attempt, cancel: cancel == 1 })
}

#[derive(Deserialize)]
struct Wire {
    a: u64,
    s: Snapshot,
    log: Vec<LogLine>,
}

/// A message as it was published; its position is read first, since what is old need not be looked at.
pub(crate) fn message(
    job: &Arc<str>,
    payload: &[u8],
    is_news: impl FnOnce(Position) -> bool,
) -> Option<(Position, Arc<Snapshot>, Vec<Arc<LogLine>>)> {
    let text = std::str::from_utf8(payload).ok()?;
    let (end, _) = text.match_indices(':').nth(2)?;
    let position: Position = text[..end].parse().ok()?;
    if !is_news(position) {
        return None;
    }
    let wire: Wire = serde_json::from_str(&text[end + 1..]).ok()?;
    let snapshot = Snapshot { job: job.clone(), position, attempt: wire.a, ..wire.s };
    Some((position, Arc::new(snapshot), wire.log.into_iter().map(Arc::new).collect()))
}
