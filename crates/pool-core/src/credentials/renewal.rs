//! What one connection does when there are other credentials than those it is logged in with. The connection's own
//! task polls it, and sends what is due.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use redis::{Cmd, Value};
use tokio::sync::watch;

use super::{Credentials, Keyring};
use crate::breaker::Backoff;
use crate::timer::Timer;

/// Pauses between attempts: the first ones are for a server that is told of a new password a little later than we.
const FIRST: Duration = Duration::from_millis(200);
const LATER: Duration = Duration::from_secs(2);
const LATE: Duration = Duration::from_secs(30);

pub(crate) struct Renewal {
    keyring: Arc<Keyring>,
    /// What the connection is logged in with.
    mine: Credentials,
    changes: watch::Receiver<()>,
    stage: Stage,
    backoff: Backoff,
    failing: Option<Instant>,
    timer: Timer,
}

type Change = Pin<Box<dyn Future<Output = Option<watch::Receiver<()>>> + Send>>;
type Asked = Pin<Box<dyn Future<Output = Result<Credentials, String>> + Send>>;

enum Stage {
    Resting(Change),
    Asking(Asked),
    /// To be sent as soon as the connection can take it.
    Due(Credentials),
    Sent(Credentials),
    Pausing(Instant),
    /// Nobody will tell of changes any more.
    Over,
}

impl Renewal {
    pub(super) fn new(keyring: Arc<Keyring>, mine: Credentials, changes: watch::Receiver<()>) -> Self {
        let stage = Stage::Resting(next_change(changes.clone()));
        let backoff = Backoff::new(FIRST, LATER, LATE);
        Self { keyring, mine, changes, stage, backoff, failing: None, timer: Timer::default() }
    }

    /// Ready while an `AUTH` is to be sent.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Cmd> {
        loop {
            match &mut self.stage {
                Stage::Resting(change) => match ready!(change.as_mut().poll(cx)) {
                    Some(changes) => {
                        self.changes = changes;
                        self.ask();
                    }
                    None => self.stage = Stage::Over,
                },
                Stage::Asking(asked) => match ready!(asked.as_mut().poll(cx)) {
                    Ok(given) if given == self.mine => {
                        self.keyring.accepted(&given);
                        self.rest();
                    }
                    Ok(given) => self.stage = Stage::Due(given),
                    Err(why) => self.fail(&why),
                },
                Stage::Pausing(until) => {
                    let until = *until;
                    ready!(self.timer.poll(Some(until), cx));
                    self.ask();
                }
                Stage::Due(given) => return Poll::Ready(given.auth()),
                Stage::Sent(_) | Stage::Over => return Poll::Pending,
            }
        }
    }

    pub(crate) fn sent(&mut self) {
        if let Stage::Due(given) = std::mem::replace(&mut self.stage, Stage::Over) {
            self.stage = Stage::Sent(given);
        }
    }

    /// The reply to what was sent. A connection that is refused stays logged in as it was.
    pub(crate) fn answered(&mut self, reply: Value) {
        let Stage::Sent(given) = std::mem::replace(&mut self.stage, Stage::Over) else { return };
        match reply.extract_error() {
            Ok(_) => {
                tracing::debug!(target: "cenote", "a connection logged in anew");
                self.keyring.accepted(&given);
                self.mine = given;
                self.rest();
            }
            Err(error) => {
                let said =
                    format!("{} {}", error.code().unwrap_or("ERR"), error.detail().unwrap_or_default());
                self.keyring.refused(&given);
                self.fail(&given.scrub(&said));
            }
        }
    }

    fn rest(&mut self) {
        self.failing = None;
        self.backoff.reset();
        self.stage = Stage::Resting(next_change(self.changes.clone()));
    }

    fn ask(&mut self) {
        // What changes from here on is news.
        self.changes.mark_unchanged();
        let keyring = self.keyring.clone();
        self.stage = Stage::Asking(Box::pin(async move { keyring.ask(keyring.patience()).await }));
    }

    fn fail(&mut self, why: &str) {
        self.keyring.warn(
            why,
            "an open connection could not log in anew: it stays logged in as it was, and tries again",
        );
        let now = Instant::now();
        let since = *self.failing.get_or_insert(now);
        self.stage = Stage::Pausing(now + self.backoff.next(now.saturating_duration_since(since)));
    }
}

fn next_change(mut changes: watch::Receiver<()>) -> Change {
    Box::pin(async move { changes.changed().await.ok().map(|()| changes) })
}
