//! An exclusive connection in its holder's hands.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisFuture, RedisResult, Value};
use tokio::runtime::Handle;

use super::bench::Place;
use super::checkout::new_lane;
use crate::answer;
use crate::budget::Tenant;
use crate::command::{self, Payload};
use crate::dial::greet;
use crate::error::{Error, Kind, Outcome};
use crate::lane::{Answer, Lane, Spare};
use crate::pool::{Shared, current_runtime};
use crate::telemetry::{self, Watched};
use crate::timer;
use crate::transport::Farewell;

/// A connection that nobody else uses until it is dropped: for blocking commands, `WATCH`, `SELECT` and
/// whatever else must not happen on a shared one.
///
/// A blocking command may wait for its own timeout plus the socket timeout; one that asks to wait for ever
/// (a timeout of 0) does. Every other command has the socket timeout, or what
/// [`with_timeout`](Self::with_timeout) set.
///
/// **Cancel safety.** Dropped with a command unanswered, the connection is closed and never handed out again.
/// Otherwise it goes back to the pool, and is reset before its next holder gets it if a command changed it.
pub struct Dedicated {
    pub(super) shared: Arc<Shared>,
    lane: Arc<Lane>,
    place: Option<Place>,
    held: u64,
    timeout: Duration,
    /// No command was sent since the checkout: one that does not go out may go down another connection.
    fresh: bool,
    /// Keys are watched, and nothing else was changed.
    watching: bool,
    spare: Spare,
    _counted: telemetry::Counted,
}

impl Dedicated {
    pub(super) fn new(shared: Arc<Shared>, lane: Arc<Lane>, place: Place, held: u64) -> Self {
        let timeout = shared.context.config.socket_timeout;
        let counted = shared.context.meters.dedicated();
        Self {
            shared,
            lane,
            place: Some(place),
            held,
            timeout,
            fresh: true,
            watching: false,
            spare: Spare::default(),
            _counted: counted,
        }
    }

    /// The same connection with another limit for each command, of at most a year.
    #[must_use]
    pub fn with_timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit.min(timer::LONGEST);
        self
    }

    /// Waits until a new connection is there.
    pub(super) async fn greet(&mut self, deadline: Instant) -> Result<(), Error> {
        let ping = redis::cmd("PING");
        self.send(Payload::One(&ping), Some(deadline)).await.map(drop)
    }

    /// Undoes what an earlier holder changed; where that fails, a new connection takes its place.
    pub(super) async fn make_clean(&mut self, handle: &Handle, deadline: Instant) -> Result<(), Error> {
        if !self.lane.is_changed() {
            return Ok(());
        }
        let resp3 = self.lane.greeting().is_some_and(|greeting| greeting.resp3);
        let context = &self.shared.context;
        let target = context.target.logged_in_as(context.keyring.latest().as_ref());
        let reset = greet::again(&target, resp3);
        if let Ok(Answer::Many(values)) = self.send(Payload::Batch(&reset), Some(deadline)).await
            && greet::is_as_new(&target, values)
        {
            self.lane.set_changed(false);
            return Ok(());
        }
        self.replace(handle, deadline).await
    }

    /// `WATCH` that needs no reset as long as [`unwatched`](Self::unwatched) follows.
    pub(super) async fn watch(&mut self, watch: &Cmd) -> RedisResult<()> {
        let changed = self.lane.is_changed();
        watch.exec_async(self).await?;
        self.watching |= !changed;
        self.lane.set_changed(changed);
        Ok(())
    }

    /// `EXEC` was answered: whatever was watched no longer is.
    pub(super) fn unwatched(&mut self) {
        self.watching = false;
    }

    async fn replace(&mut self, handle: &Handle, deadline: Instant) -> Result<(), Error> {
        let gone = Error::not_sent(Kind::Cut, "the connection was replaced");
        self.lane.end(&gone, Farewell::Abort);
        self.lane = new_lane(&self.shared, handle);
        self.greet(deadline).await
    }

    async fn send(&mut self, payload: Payload<'_>, deadline: Option<Instant>) -> Result<Answer, Error> {
        self.lane.call(payload, deadline, Instant::now(), &mut self.spare).await
    }

    async fn call(&mut self, payload: Payload<'_>) -> Result<Answer, Error> {
        if telemetry::listens(&self.shared.context) {
            let watched = Watched::begin(&self.shared.context, payload, "dedicated");
            return watched.follow(self.call_unwatched(payload), |error| error).await;
        }
        self.call_unwatched(payload).await
    }

    async fn call_unwatched(&mut self, payload: Payload<'_>) -> Result<Answer, Error> {
        let mut wait = Some(self.timeout);
        let was_changed = self.lane.is_changed();
        for cmd in payload.commands() {
            command::check_exclusive(cmd)?;
            if command::changes_connection(cmd) {
                self.lane.set_changed(true);
            }
            if let Some(asked) = command::own_timeout(cmd) {
                wait = wait.zip(asked).map(|(limit, asked)| limit + asked);
            }
        }
        let handle = current_runtime()?;
        if handle.id() != self.lane.runtime() {
            return Err(Error::not_sent(
                Kind::Config,
                "a dedicated connection belongs to the runtime it was checked out in: check out another here",
            ));
        }
        let deadline = wait.map(|wait| Instant::now() + wait);
        // Taken before anything is awaited: what was begun and dropped may have gone down this connection.
        let fresh = std::mem::replace(&mut self.fresh, false) && !was_changed;
        let mut result = self.send(payload, deadline).await;
        // A server that closes idle connections does so between holders: the first command need not fail for
        // it as long as it was not sent.
        if let Err(error) = &result
            && fresh
            && error.outcome() == Outcome::NotSent
            && matches!(error.kind(), Kind::Cut | Kind::Moved)
        {
            let limit = deadline.unwrap_or_else(|| Instant::now() + self.timeout);
            result = match self.replace(&handle, limit).await {
                Ok(()) => self.send(payload, deadline).await,
                Err(error) => Err(error),
            };
        }
        result.map_err(|error| match (error.kind(), wait) {
            (Kind::Timeout, Some(wait)) => answer::timed_out(payload, wait, &error),
            (Kind::Moved, _) => error.retold(Kind::Cut, "the connection was closed".to_owned()),
            _ => error,
        })
    }
}

impl ConnectionLike for Dedicated {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let value = answer::one(self.call(Payload::One(cmd)).await)?;
            Ok(if cmd.is_no_response() { Value::Nil } else { value })
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
            answer::many(self.call(Payload::Batch(pipeline)).await, pipeline, offset, count)
        })
    }

    fn get_db(&self) -> i64 {
        self.shared.context.target.db
    }
}

impl Drop for Dedicated {
    fn drop(&mut self) {
        self.shared.bench.unhold(self.held);
        let Some(place) = self.place.take() else { return };
        if self.watching {
            self.lane.set_changed(true);
        }
        if self.lane.check_in() {
            // One that is old goes now; what waits for its place dials anew.
            if !(self.lane.is_old() && self.lane.retire()) {
                self.shared.bench.put_back(place, self.lane.clone());
            }
        } else {
            let dropped =
                Error::not_sent(Kind::Cut, "its holder dropped the connection with a command unanswered");
            self.lane.end(&dropped, Farewell::Abort);
        }
    }
}

impl fmt::Debug for Dedicated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dedicated").field("address", &self.shared.context.target).finish_non_exhaustive()
    }
}
