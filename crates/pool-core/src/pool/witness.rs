//! A dial that fails is a sign of an outage, or of nothing but itself: a full server, a password that was changed, one
//! packet lost. Connections that are open know which: before the breaker opens they are asked.
//!
//! Why this is safe, whichever way it comes out:
//! * No witness is a connection that is not there: one that ends while it is asked has said no, and where none is
//!   left nobody waits. So a server that was killed is away at once, as ever.
//! * The wait has a limit, that of a probe, and a dial that takes long asks so early that its own limit is not
//!   exceeded: a server that is frozen, or cut off, is away when the dial's time is up, and not later. Words with which it
//!   turned us away shorten nothing: they came on another connection, and these may hang behind a path that lost them.
//! * It is waited for in the task that dialled, while that keeps the time of those who wait for the dial; no lock and
//!   nothing of the pool's is held but lanes, so the pool can be closed, or dropped, meanwhile: that ends the
//!   witnesses.
//! * An answer is true for the moment it was given. If Redis goes away after it, the connection that gave it is lost, or
//!   falls silent, and that opens the breaker. If the answer comes after the breaker was opened, it closes it, as every
//!   reply does.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use super::Context;
use crate::dial::Connection;
use crate::error::{Error, Kind};
use crate::lane::{Reply, Spare};
use crate::timer::{self, Timer};

/// No connection came about.
pub(crate) struct Fault {
    pub(crate) error: Error,
    /// Open connections are answered: it is this dial's own misfortune.
    pub(crate) is_vouched: bool,
}

/// A question to all connections that can be asked.
struct Inquiry {
    since: Instant,
    replies: Vec<(Reply, Spare)>,
}

impl Inquiry {
    /// Where no connection was answered, or lost with it, yet.
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<bool> {
        let mut answered = false;
        self.replies.retain_mut(|(reply, spare)| match reply.poll(cx, spare) {
            Poll::Ready(answer) => {
                answered |= answer.is_ok();
                false
            }
            Poll::Pending => true,
        });
        if answered || self.replies.is_empty() { Poll::Ready(answered) } else { Poll::Pending }
    }
}

impl Context {
    /// As [`connect`](Self::connect); of a dial that failed it also tells what that says of Redis.
    pub(crate) async fn try_connect(
        self: &Arc<Self>,
        limit: Duration,
        patient: bool,
    ) -> Result<Connection, Fault> {
        let early = Instant::now() + limit.saturating_sub(self.breaker.probe_limit());
        let (mut asked, mut timer) = (None, Timer::default());
        let mut dial = pin!(self.connect(limit, patient));
        let dialled = poll_fn(|cx| {
            let dialled = dial.as_mut().poll(cx);
            if dialled.is_pending() && asked.is_none() && timer.poll(Some(early), cx).is_ready() {
                asked = self.inquire();
            }
            dialled
        });
        match dialled.await {
            Ok(connection) => Ok(connection),
            Err(error) => {
                let is_vouched = error.kind() == Kind::Away && self.is_vouched_for(asked).await;
                Err(Fault { error, is_vouched })
            }
        }
    }

    /// Whether an open connection is answered, or was lately.
    pub(crate) async fn is_answered(&self) -> bool {
        self.is_vouched_for(None).await
    }

    async fn is_vouched_for(&self, asked: Option<Inquiry>) -> bool {
        if self.is_proven() {
            return true;
        }
        // What was answered meanwhile was answered too long ago by now.
        let asked = asked.filter(|asked| !self.has_heard_since(asked.since));
        let Some(mut inquiry) = asked.or_else(|| self.inquire()) else { return false };
        let left = (inquiry.since + self.breaker.probe_limit()).saturating_duration_since(Instant::now());
        let answered = timer::within(left, poll_fn(|cx| inquiry.poll(cx))).await;
        // A connection with much to answer has answered something.
        answered == Some(true) || self.is_proven()
    }

    /// `None` while the breaker is open: then it is known that Redis is away.
    fn inquire(&self) -> Option<Inquiry> {
        if self.breaker.is_open() {
            return None;
        }
        let since = Instant::now();
        Some(Inquiry { since, replies: self.budget.ask_all() })
    }
}
