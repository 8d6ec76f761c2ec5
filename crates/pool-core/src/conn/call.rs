//! One call: a first attempt that costs as little as can be, and what follows if it fails.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use redis::{RedisResult, Value};

use super::Conn;
use crate::answer;
use crate::command::Payload;
use crate::error::{Error, Kind, Outcome};
use crate::lane::{Answer, Lane, Reply};
use crate::pool::current_runtime;
use crate::turn;

/// A call that failed, and the lane it was last on.
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) lane: Option<Arc<Lane>>,
}

/// Nothing happens before the first poll. Written by hand, because nearly every call is one submission and one reply:
/// nested `async fn`s would copy each result at every level.
pub(crate) struct Call<'a> {
    /// `None` once `Stage::Again` has it.
    conn: Option<&'a mut Conn>,
    payload: Payload<'a>,
    stage: Stage<'a>,
}

enum Stage<'a> {
    Unsent,
    Sent { reply: Reply, began: Instant },
    Again(Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send + 'a>>),
}

impl<'a> Call<'a> {
    pub(super) fn new(conn: &'a mut Conn, payload: Payload<'a>) -> Self {
        Self { conn: Some(conn), payload, stage: Stage::Unsent }
    }
}

impl Future for Call<'_> {
    type Output = Result<Answer, Failure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(conn) = &mut this.conn {
            let (began, error) = match &mut this.stage {
                Stage::Sent { reply, began } => match ready!(reply.poll(cx, &mut conn.spare)) {
                    Ok(answer) => return Poll::Ready(Ok(answer)),
                    Err(error) => (*began, error),
                },
                Stage::Unsent | Stage::Again(_) => {
                    let began = Instant::now();
                    match conn.submit(this.payload, began, cx.waker()) {
                        Ok(reply) => {
                            // The slot knew whom to wake before anybody could fill it.
                            this.stage = Stage::Sent { reply, began };
                            return Poll::Pending;
                        }
                        Err(error) => (began, error),
                    }
                }
            };
            if let Some(conn) = this.conn.take() {
                this.stage = Stage::Again(Box::pin(try_again(conn, this.payload, began, error)));
            }
        }
        match &mut this.stage {
            Stage::Again(again) => again.as_mut().poll(cx),
            Stage::Unsent | Stage::Sent { .. } => Poll::Pending,
        }
    }
}

/// A call of one command, as `redis` wants its result.
pub(super) struct One<'a>(pub(super) Call<'a>);

impl Future for One<'_> {
    type Output = RedisResult<Value>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(answer::one(result.map_err(|failure| failure.error)))
    }
}

/// What becomes of a call whose first attempt failed.
async fn try_again(
    conn: &mut Conn,
    payload: Payload<'_>,
    began: Instant,
    mut error: Error,
) -> Result<Answer, Failure> {
    // What is refused at once waits for nothing: without this a loop of calls would never let the runtime's other tasks
    // run, those that look for Redis among them.
    turn::give_way().await;
    let limit = conn.timeout;
    let deadline = began + limit;
    let mut retries = conn.shared.context.config.max_retries;
    // Once an attempt may have been executed, no later one takes that back.
    let mut outcome = Outcome::NotSent;
    loop {
        let lane = conn.lane.take();
        if error.outcome() == Outcome::MayHaveExecuted {
            outcome = Outcome::MayHaveExecuted;
        }
        let failed = |error: Error| {
            let outcome = if error.outcome() == Outcome::NotSent { outcome } else { error.outcome() };
            Err(Failure { error: error.with_outcome(outcome), lane })
        };
        let now = Instant::now();
        match error.kind() {
            Kind::Timeout => return failed(answer::timed_out(payload, limit, &error)),
            Kind::Moved if now < deadline => {}
            Kind::Moved => return failed(answer::timed_out(payload, limit, &error)),
            // Another attempt in this runtime would end in the same way.
            Kind::Closed | Kind::Runtime | Kind::Config => return failed(error),
            _ => {
                let harmless = error.outcome() == Outcome::NotSent
                    || (error.outcome() == Outcome::MayHaveExecuted && payload.merely_reads());
                if !harmless || retries == 0 || now >= deadline {
                    return failed(error);
                }
                // The breaker's word is final: it knows of the outage what this call would find out again.
                if let Err(refusal) = current_runtime().and_then(|handle| conn.admit(&handle)) {
                    return failed(if error.kind() == Kind::Away { error } else { refusal });
                }
                retries -= 1;
                conn.shared.context.meters.retried();
                tracing::debug!(target: "cenote::command", %error, "a call is tried again");
            }
        }
        match attempt(conn, payload, deadline, now).await {
            Ok(answer) => return Ok(answer),
            Err(again) => error = again,
        }
    }
}

async fn attempt(
    conn: &mut Conn,
    payload: Payload<'_>,
    deadline: Instant,
    now: Instant,
) -> Result<Answer, Error> {
    conn.choose_lane()?;
    let Some(lane) = &conn.lane else { return Err(Error::closed()) };
    lane.call(payload, Some(deadline), now, &mut conn.spare).await
}
