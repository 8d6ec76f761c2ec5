//! The strict connection: Redis answers, or the call fails and says what became of it.

mod call;

use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::{Duration, Instant};

use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisFuture, Value};

use crate::answer;
use crate::command::{self, Payload};
use crate::error::{Error, Kind};
use crate::lane::{Answer, Lane, Reply, Spare};
use crate::pool::{Shared, current_runtime};
use crate::push::execute_with_pubsub;
use crate::telemetry::{self, Watched};
use crate::timer;
use crate::turn;

use call::Call;
pub(crate) use call::Failure;

/// A handle for commands over the pool's shared connections. Cheap to make and to clone.
///
/// It implements [`ConnectionLike`], so all of `redis::AsyncCommands`, pipelines, atomic pipelines, scripts and
/// scans work on it. Commands through one `Conn` go down one connection in call order for as long as that
/// connection lives.
///
/// **Limits.** One limit covers connecting, waiting, the reply and retries: the socket timeout, or what
/// [`with_timeout`](Self::with_timeout) set. While Redis is away calls fail at once.
///
/// **Retries.** Up to `max_retries` times within the limit: always what was not sent; what may have been
/// executed only if it merely reads. Writes are never replayed.
///
/// **Refused.** Commands that would block a shared connection or change it (`BLPOP`, `SELECT`, `SUBSCRIBE`,
/// ...) fail before anything is sent; they need [`Pool::dedicated`](crate::Pool::dedicated).
///
/// **Cancel safety.** Dropping a call abandons its reply and nothing else. The command may still be executed.
#[derive(Clone)]
pub struct Conn {
    shared: Arc<Shared>,
    lane: Option<Arc<Lane>>,
    index: usize,
    timeout: Duration,
    last_words: bool,
    spare: Spare,
}

impl Conn {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let index = shared.next_conn.fetch_add(1, Ordering::Relaxed);
        let timeout = shared.context.config.socket_timeout;
        Self { shared, lane: None, index, timeout, last_words: false, spare: Spare::default() }
    }

    /// The same connection with another limit for each call, of at most a year.
    ///
    /// A limit beyond the socket timeout gives more time to wait, connect and retry. A server that owes a reply
    /// and sends nothing at all for the socket timeout is given up all the same.
    #[must_use]
    pub fn with_timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit.min(timer::LONGEST);
        self
    }

    /// A connection that a closing pool admits while it is flushed; for the crate `cenote-pubsub-progress`.
    #[doc(hidden)]
    #[must_use]
    pub fn last_words(mut self) -> Self {
        self.last_words = true;
        self
    }

    fn admit(&self, handle: &tokio::runtime::Handle) -> Result<(), Error> {
        if self.last_words { self.shared.admit_last_words(handle) } else { self.shared.admit(handle) }
    }

    /// As [`with_timeout`](Self::with_timeout), from the next call on.
    pub(crate) fn within(&mut self, limit: Duration) -> &mut Self {
        self.timeout = limit;
        self
    }

    /// One call, retries included, with no look at what it is.
    pub(crate) fn call<'a>(&'a mut self, payload: Payload<'a>) -> Call<'a> {
        Call::new(self, payload)
    }

    /// The same for what others ask for; whoever listens hears of it.
    pub(crate) async fn call_for(&mut self, payload: Payload<'_>) -> Result<Answer, Failure> {
        if telemetry::listens(&self.shared.context) {
            return self.call_watched(payload).await;
        }
        self.call(payload).await
    }

    async fn call_watched(&mut self, payload: Payload<'_>) -> Result<Answer, Failure> {
        self.watch(payload).follow(self.call(payload), |failure| &failure.error).await
    }

    fn submit(&mut self, payload: Payload<'_>, now: Instant, waker: &Waker) -> Result<Reply, Error> {
        self.choose_lane()?;
        let Some(lane) = &self.lane else { return Err(Error::closed()) };
        lane.submit(payload, Some(now + self.timeout), now, waker, &mut self.spare)
    }

    fn watch(&self, payload: Payload<'_>) -> Watched {
        Watched::begin(&self.shared.context, payload, "shared")
    }

    /// Sets `lane` to one that may be used here and now.
    fn choose_lane(&mut self) -> Result<(), Error> {
        // Asked anew each time: neither a thread nor a task keeps to one runtime (`block_on` in a blocking task, a
        // `LocalSet` that another runtime goes on with).
        let handle = current_runtime()?;
        self.admit(&handle)?;
        // A lane of another runtime may be parked with it, timer and all.
        if self.lane.as_ref().is_none_or(|lane| lane.runtime() != handle.id()) {
            self.lane = None;
            self.lane = Some(self.shared.sets.pick(&self.shared, &handle, self.index)?);
        }
        Ok(())
    }

    /// Sends a command without waiting for its reply.
    fn send_only(&mut self, cmd: &Cmd) -> Result<(), Error> {
        if !telemetry::listens(&self.shared.context) {
            return self.send_unawaited(cmd);
        }
        let watched = self.watch(Payload::One(cmd));
        let sent = self.send_unawaited(cmd);
        watched.end(sent.as_ref().map(|()| &Answer::One(Value::Nil)));
        sent
    }

    fn send_unawaited(&mut self, cmd: &Cmd) -> Result<(), Error> {
        let now = Instant::now();
        let deadline = Some(now + self.timeout);
        loop {
            self.choose_lane()?;
            let Some(lane) = &self.lane else { return Err(Error::closed()) };
            let sent = lane.submit_unawaited(Payload::One(cmd), deadline, now);
            match sent {
                Err(error) if error.kind() == Kind::Moved || error.kind() == Kind::Cut => self.lane = None,
                sent => return sent,
            }
        }
    }

    /// As in a call that is refused at once, others get their turn.
    pub(crate) async fn call_locally(&self, payload: Payload<'_>) -> Result<Answer, Error> {
        turn::give_way().await;
        self.execute_locally(payload)
    }

    pub(crate) fn execute_locally(&self, payload: Payload<'_>) -> Result<Answer, Error> {
        self.shared.context.breaker.admit()?;
        let fallback = self.shared.fallback.as_ref();
        let fallback = fallback.ok_or_else(|| Error::config("an embedded pool needs a fallback"))?;
        let batch: Vec<&Cmd> = payload.commands().collect();
        let atomic = matches!(payload, Payload::Batch(pipeline) if pipeline.is_transaction());
        let values = execute_with_pubsub(&self.shared.local, &**fallback, &batch, atomic)?;
        self.shared.context.meters.looked_up(payload, &values);
        Ok(if atomic { answer::dress_as_exec(values, batch.len()) } else { Answer::Many(values) })
    }
}

impl ConnectionLike for Conn {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        let payload = Payload::One(cmd);
        if self.shared.embedded {
            return Box::pin(async move {
                let value = answer::one(self.call_locally(payload).await)?;
                Ok(if cmd.is_no_response() { Value::Nil } else { value })
            });
        }
        if let Err(refusal) = command::check_shared(cmd) {
            return Box::pin(ready(Err(refusal.into())));
        }
        if cmd.is_no_response() {
            return Box::pin(async move { Ok(self.send_only(cmd).map(|()| Value::Nil)?) });
        }
        // Looked at here, so that a call that nobody listens to is no larger for it.
        if telemetry::listens(&self.shared.context) {
            return Box::pin(async move {
                answer::one(self.call_watched(payload).await.map_err(|failure| failure.error))
            });
        }
        Box::pin(call::One(self.call(payload)))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let payload = Payload::Batch(pipeline);
        Box::pin(async move {
            if answer::is_nothing(pipeline) {
                return Ok(Vec::new());
            }
            if self.shared.embedded {
                return answer::many(self.call_locally(payload).await, pipeline, offset, count);
            }
            payload.commands().try_for_each(command::check_shared)?;
            let result = self.call_for(payload).await.map_err(|failure| failure.error);
            answer::many(result, pipeline, offset, count)
        })
    }

    fn get_db(&self) -> i64 {
        self.shared.context.target.db
    }
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").field("address", &self.shared.context.target).finish_non_exhaustive()
    }
}
