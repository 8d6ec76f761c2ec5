//! The degradable connection: Redis answers, or the fallback does, and the caller can tell which.

mod journal;
mod ledger;
mod replay;
mod served;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisFuture, Value};
use tokio::runtime::Handle;

pub(crate) use journal::Journal;
pub use journal::{Epoch, JournalStatus};
pub(crate) use replay::ensure as ensure_replay;

use crate::answer;
use crate::command::{self, Payload};
use crate::conn::{Conn, Failure};
use crate::error::{Error, Kind, Outcome};
use crate::lane::Answer as Replies;
use crate::pool::{Shared, current_runtime};
use crate::timer;
use crate::turn;
use journal::{LateWrite, Ran, Why, Write};
use served::Keys;

/// Who answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// Redis did.
    Redis,
    /// The fallback did, from this process's memory.
    Fallback,
}

/// A reply, and who gave it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// The reply, of the shape that Redis gives.
    pub value: Value,
    /// Who gave it.
    pub source: Source,
    /// It was a write that Redis does not know of yet. It will be forgotten, and its keys removed in Redis,
    /// when Redis is back; until then other processes may read the old values.
    pub pending: bool,
}

/// The replies to a pipeline, and who gave them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Answers {
    /// One for each command of the pipeline, in order. A command that was refused has a [`Value::ServerError`] in its
    /// place.
    pub values: Vec<Value>,
    /// Who gave them.
    pub source: Source,
    /// Something was written that Redis does not know of yet, as for [`Answer::pending`].
    pub pending: bool,
}

/// A handle for commands that the fallback may answer while Redis is away.
///
/// **What you write through it in an outage is forgotten, and the key is deleted in Redis on recovery.**
///
/// While Redis answers, it does everything that a [`Conn`] does. It waits for Redis at most
/// `degrade_after` (250 ms; 50 ms until Redis was first heard of); then the fallback answers what is safe to
/// forget: `GET`, `MGET`, `STRLEN`, `GETRANGE`, `EXISTS`, `TYPE`, `TTL` and its like, `SET` without a
/// condition, `SETEX`, `MSET`, `DEL`, `UNLINK`, `EXPIRE` and its like. Everything else fails as not
/// degradable, and so does a pipeline with one such command in it. On an embedded pool the fallback answers
/// all that it serves.
///
/// A key is journalled before the fallback is touched for it. When Redis is back its old values are removed
/// first, and only then is Redis read again: from then on no process reads a value that was overwritten or
/// removed here. A process that dies before that loses its journal.
///
/// **Errors** travel as those of [`Conn`]; [`Error::is_overloaded`] when the journal is full.
///
/// **Cancel safety.** As for [`Conn`]: a write that was dropped may still be executed, and is not journalled.
#[derive(Clone)]
pub struct DegradableConn {
    shared: Arc<Shared>,
    conn: Conn,
    timeout: Option<Duration>,
    stand_in: Option<Arc<[u8]>>,
}

impl DegradableConn {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { conn: Conn::new(shared.clone()), shared, timeout: None, stand_in: None }
    }

    /// The same connection with another limit to wait for Redis, in place of `degrade_after`.
    #[must_use]
    pub fn with_timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit.min(timer::LONGEST));
        self
    }

    /// When the outage journal is full, this key is journalled in place of the keys of a call: for owners of a
    /// namespace, who see to it that its removal makes everything else in the namespace invalid. For the crate
    /// `cenote-cache`.
    ///
    /// There is always room for it, also beyond the journal's bounds, so no write fails for want of room.
    #[doc(hidden)]
    #[must_use]
    pub fn with_stand_in(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.stand_in = Some(key.into().into());
        self
    }

    /// The fallback answers now, whether or not Redis would: there was a write in this outage, and the outage
    /// or the removal of what was written is not over; or the pool is embedded.
    pub fn is_local(&self) -> bool {
        self.shared.embedded || self.shared.journal.is_local()
    }

    /// Runs one command and tells who answered.
    ///
    /// # Errors
    ///
    /// As [`Conn`], and when the command is not degradable while Redis is away.
    pub async fn query(&mut self, cmd: &Cmd) -> Result<Answer, Error> {
        let (replies, source, pending) = self.run(Payload::One(cmd)).await?;
        let value = match replies {
            Replies::One(value) => value,
            Replies::Many(mut values) => values.pop().unwrap_or_default(),
        };
        let value = value.extract_error().map_err(Error::answered)?;
        Ok(Answer { value, source, pending })
    }

    /// Runs a pipeline, atomic or not, and tells who answered: all of it is answered by one of the two.
    ///
    /// There is a value for every command, whatever the pipeline was told to ignore; for an atomic one those of the
    /// `EXEC` reply. An empty pipeline that is not atomic is answered without asking anybody.
    ///
    /// # Errors
    ///
    /// As [`Conn`], and when one of the commands is not degradable while Redis is away: nothing has run then. A
    /// transaction that the server aborted is an error too ([`Outcome::Answered`]), while a single command that was
    /// refused is a value.
    ///
    /// **Cancel safety.** As for [`query`](Self::query): what was dropped may still be executed, and is not journalled.
    pub async fn query_pipeline(&mut self, pipeline: &Pipeline) -> Result<Answers, Error> {
        if answer::is_nothing(pipeline) {
            return Ok(Answers { values: Vec::new(), source: Source::Redis, pending: false });
        }
        let (replies, source, pending) = self.run(Payload::Batch(pipeline)).await?;
        let values = answer::all(replies, pipeline).map_err(Error::answered)?;
        Ok(Answers { values, source, pending })
    }

    /// For cenote-cache: has the fallback run `pipeline`, and never Redis. `None` if Redis answers, as far as is known;
    /// with `away` it was asked in vain just now.
    #[doc(hidden)]
    pub fn run_locally(&mut self, pipeline: &Pipeline, away: bool) -> Result<Option<Answers>, Error> {
        let payload = Payload::Batch(pipeline);
        let ran = if self.shared.embedded {
            Some((self.conn.execute_locally(payload)?, false))
        } else {
            // Past its deadline a call does not ask Redis any more.
            let deadline = if away { Instant::now() } else { Instant::now() + timer::LONGEST };
            self.locally(&current_runtime()?, payload, None, deadline)?
        };
        let Some((replies, pending)) = ran else { return Ok(None) };
        let values = answer::all(replies, pipeline).map_err(Error::answered)?;
        Ok(Some(Answers { values, source: Source::Fallback, pending }))
    }

    async fn run(&mut self, payload: Payload<'_>) -> Result<(Replies, Source, bool), Error> {
        if self.shared.embedded {
            return Ok((self.conn.call_locally(payload).await?, Source::Fallback, false));
        }
        for cmd in payload.commands() {
            command::check_shared(cmd)?;
        }
        let handle = current_runtime()?;
        let deadline = Instant::now() + self.limit();
        loop {
            let mut failure = None;
            if !self.shared.journal.is_local() {
                match self.conn.within(self.limit()).call_for(payload).await {
                    Ok(replies) => {
                        self.shared.context.seen.by_redis.fetch_add(1, Ordering::Relaxed);
                        self.shared.context.meters.answered_by_redis();
                        let pending = self.overtaken(payload);
                        return Ok((replies, Source::Redis, pending));
                    }
                    Err(failed) if degrades(&failed.error) => failure = Some(failed),
                    Err(failed) => return Err(failed.error),
                }
            }
            // The fallback answers at once: without this a loop of calls would never let the runtime's other
            // tasks run, the replay among them.
            turn::give_way().await;
            if let Some((replies, pending)) = self.locally(&handle, payload, failure, deadline)? {
                self.shared.context.seen.by_fallback.fetch_add(1, Ordering::Relaxed);
                self.shared.context.meters.answered_by_fallback();
                return Ok((replies, Source::Fallback, pending));
            }
            // The replay is catching up, or is over already: look again in a moment. If its holder runs
            // nowhere, this runtime takes over.
            ensure_replay(&self.shared, &handle);
            if handle.spawn(timer::sleep(Duration::from_millis(1))).await.is_err() {
                return Err(Error::not_sent(Kind::Runtime, "the tokio runtime of this call has ended"));
            }
        }
    }

    /// Redis answered a write while another call made the fallback answer for it: what was written is journalled
    /// like what the fallback took, since this process no longer reads it from Redis. True if it was so.
    fn overtaken(&self, payload: Payload<'_>) -> bool {
        if !self.shared.journal.is_local() {
            return false;
        }
        let Ok(keys) = served::judge(payload) else { return false };
        if keys.is_empty() {
            return false;
        }
        let mut forget = redis::cmd("DEL");
        forget.arg(&keys);
        let forget = redis::pipe().add_command(forget).clone();
        let write = Payload::Batch(&forget);
        self.on_fallback(write, keys, None, Why::Overtaken).is_ok_and(|ran| ran.is_some())
    }

    /// The fallback's answer, and whether Redis is yet to hear of it; `None` if Redis is about to be asked again.
    fn locally(
        &mut self,
        handle: &Handle,
        payload: Payload<'_>,
        failure: Option<Failure>,
        deadline: Instant,
    ) -> Result<Option<(Replies, bool)>, Error> {
        // An open breaker may have no one to look for Redis.
        let refusal = self.shared.admit(handle).err();
        if let Some(closed) = refusal.filter(Error::is_closed) {
            return Err(closed);
        }
        let away = failure.is_some() || self.shared.context.breaker.is_open() || Instant::now() >= deadline;
        let outcome = failure.as_ref().map_or(Outcome::NotSent, |failure| failure.error.outcome());
        let may_come_late = outcome == Outcome::MayHaveExecuted && !payload.merely_reads();
        let late = failure.and_then(|failure| failure.lane).filter(|_| may_come_late).map(LateWrite::on);
        let keys = served::judge(payload).map_err(|error| error.with_outcome(outcome))?;
        let pending = !keys.is_empty();
        let ran = self.on_fallback(payload, keys, late, if away { Why::Away } else { Why::Local }).map_err(
            |error| {
                if outcome == Outcome::MayHaveExecuted { error.with_outcome(outcome) } else { error }
            },
        )?;
        let Some(ran) = ran else { return Ok(None) };
        if ran.began {
            // What others have on its way, or had and gave up, must not land after its key was removed either.
            for lane in self.shared.sets.all().into_iter().filter(|lane| lane.in_flight() > 0) {
                self.shared.journal.add_late(LateWrite::on(lane));
            }
        }
        if ran.unattended {
            ensure_replay(&self.shared, handle);
        }
        let replies = match payload {
            Payload::Batch(pipeline) if pipeline.is_transaction() => {
                answer::dress_as_exec(ran.values, pipeline.len())
            }
            _ => Replies::Many(ran.values),
        };
        Ok(Some((replies, pending)))
    }

    fn on_fallback(
        &self,
        payload: Payload<'_>,
        keys: Keys,
        late: Option<LateWrite>,
        why: Why,
    ) -> Result<Option<Ran>, Error> {
        let shared = &self.shared;
        let fallback = shared.fallback.as_ref().ok_or_else(no_fallback)?;
        let batch: Vec<&Cmd> = payload.commands().collect();
        let atomic = matches!(payload, Payload::Batch(pipeline) if pipeline.is_transaction());
        let write = Write { keys, late, why, stand_in: self.stand_in.as_deref() };
        let ran = shared.journal.run(&**fallback, &batch, atomic, write, || shared.context.identity());
        if let Ok(Some(ran)) = &ran {
            shared.context.meters.looked_up(payload, &ran.values);
        }
        ran
    }

    /// How long it waits for Redis at this moment; for the crate `cenote-cache`.
    #[doc(hidden)]
    pub fn limit(&self) -> Duration {
        let config = &self.shared.context.config;
        let heard = self.shared.context.has_heard();
        self.timeout.unwrap_or(if heard { config.degrade_after } else { config.degrade_after_first })
    }
}

pub(crate) fn no_fallback() -> Error {
    Error::config(
        "a degradable connection needs a fallback: add .fallback(FallbackLru::default()) to the pool's builder",
    )
}

/// Redis did not answer, as opposed to having answered with an error or not being asked at all.
fn degrades(error: &Error) -> bool {
    matches!(error.kind(), Kind::Timeout | Kind::Away | Kind::Cut | Kind::Moved)
}

impl ConnectionLike for DegradableConn {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let replies = self.run(Payload::One(cmd)).await.map(|(replies, _, _)| replies);
            answer::one(replies).map(|value| if cmd.is_no_response() { Value::Nil } else { value })
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            if answer::is_nothing(pipeline) {
                return Ok(Vec::new());
            }
            let replies = self.run(Payload::Batch(pipeline)).await.map(|(replies, _, _)| replies);
            answer::many(replies, pipeline, offset, count)
        })
    }

    fn get_db(&self) -> i64 {
        self.conn.get_db()
    }
}

impl fmt::Debug for DegradableConn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DegradableConn").field("address", &self.shared.context.target).finish_non_exhaustive()
    }
}
