//! A worker's report on its way to Redis, and from there to the watchers.

use std::sync::Arc;

use cenote_pool_core::Conn;
use cenote_pool_core::redis::{Cmd, RedisResult, Value, from_redis_value};
use serde::Deserialize;

use super::script::{PUBLISH, Run, strange};
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

/// One report.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) keys: [String; 2],
    pub(crate) channel: String,
    pub(crate) owner: String,
    pub(crate) position: Position,
    pub(crate) attempt: u64,
    pub(crate) snapshot: Arc<Snapshot>,
    /// The number of the line before the first one.
    pub(crate) base: u64,
    /// Lines before that are gone.
    pub(crate) force: bool,
    pub(crate) lines: Vec<Arc<LogLine>>,
    pub(crate) begin: Option<Begin>,
}

impl Report {
    fn run(&self, settings: &Settings) -> Run {
        let number = |number: u64| number.to_string().into_bytes().into_boxed_slice();
        let flag = |flag: bool| number(u64::from(flag));
        let text = |text: &str| text.as_bytes().into();
        let ms = |time: std::time::Duration| number(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let mut args: Vec<Box<[u8]>> = vec![
            text(&self.channel),
            text(&self.owner),
            text(self.snapshot.status.name()),
            text(&self.snapshot.to_json()),
            number(self.position.run),
            number(self.position.v),
            number(self.position.l),
            number(self.base),
            flag(self.force),
            number(self.attempt),
            flag(self.begin.is_some()),
            flag(self.begin.is_some_and(|begin| begin.restart)),
            flag(self.snapshot.cancelling),
            number(settings.log_lines as u64),
            ms(settings.retention),
            ms(settings.heartbeat),
        ];
        for line in &self.lines {
            args.push(number(line.seq));
            args.push(text(&line.to_json()));
        }
        Run { keys: self.keys.to_vec(), args }
    }
}

/// All of them in one round trip, each with its own reply; and `more`, whose replies come last.
pub(crate) async fn publish(
    conn: &mut Conn,
    settings: &Settings,
    reports: &[Report],
    more: &[Cmd],
) -> RedisResult<(Vec<RedisResult<Reply>>, Vec<RedisResult<Value>>)> {
    let runs: Vec<Run> = reports.iter().map(|report| report.run(settings)).collect();
    let mut results = PUBLISH.call_all(conn, &runs, more).await?;
    let rest = results.split_off(reports.len());
    Ok((results.into_iter().map(|result| reply(result?)).collect(), rest))
}

fn reply(value: Value) -> RedisResult<Reply> {
    let said: Vec<u64> = from_redis_value(value)?;
    let [code, run, v, l, cancel, _now, attempt] = said[..] else { return Err(strange()) };
    let code = match code {
        0 => Code::Applied,
        1 => Code::Duplicate,
        2 => Code::Fenced,
        3 => Code::Ended,
        4 => Code::Behind,
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
