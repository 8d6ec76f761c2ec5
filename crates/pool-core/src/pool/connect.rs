//! How a pool comes to a connection: what to log in with, a place in the budget, and the dial.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::Context;
use crate::budget::{Held, Permit};
use crate::config::Target;
use crate::credentials::Login;
use crate::dial::{Connection, Limit};
use crate::error::{Error, Kind};
use crate::timer;
use crate::transport::Io;

/// Redis is there, and does not take these credentials.
fn is_refused_login(error: &Error) -> bool {
    let Some(server) = error.server_error() else { return false };
    matches!(server.code(), Some("WRONGPASS" | "NOAUTH"))
        || server.detail().is_some_and(|detail| detail.contains("invalid password"))
}

impl Context {
    /// Dials and greets within `limit`. A patient dial waits for a place in the budget; another one goes
    /// without when there is none. The pool's end is its end.
    pub(crate) async fn connect(
        self: &Arc<Self>,
        limit: Duration,
        patient: bool,
    ) -> Result<Connection, Error> {
        self.while_open(self.connect_unhindered(limit, patient)).await
    }

    async fn connect_unhindered(
        self: &Arc<Self>,
        limit: Duration,
        patient: bool,
    ) -> Result<Connection, Error> {
        let (login, spent) = self.log_in(limit).await?;
        let used = login.credentials.clone();
        match self.dial(login, limit, spent, patient).await {
            // They may have been changed meanwhile: what counts is what Redis says of the newest.
            Err(error) if self.keyring.may_change() && is_refused_login(&error) => {
                let (login, spent) = self.log_in(limit).await?;
                if login.credentials == used {
                    return Err(error);
                }
                self.dial(login, limit, spent, true).await
            }
            dialled => dialled,
        }
    }

    /// What to log in with, and how long that took to learn.
    async fn log_in(&self, limit: Duration) -> Result<(Login, Duration), Error> {
        let began = Instant::now();
        match self.keyring.login(limit).await {
            Ok(login) => Ok((login, began.elapsed())),
            Err(why) => {
                let why = format!("Redis at {} cannot be used: {why}", self.target);
                Err(Error::not_sent(Kind::Away, why))
            }
        }
    }

    async fn dial(
        self: &Arc<Self>,
        login: Login,
        limit: Duration,
        spent: Duration,
        patient: bool,
    ) -> Result<Connection, Error> {
        let held = self.place(patient).await?;
        let limit = self.limit(limit).less(spent);
        let target = self.target.logged_in_as(login.credentials.as_ref());
        let connection = self.reach(&target, held, limit).await;
        self.meters.dialled(connection.is_ok());
        let connection = self.unless_closed(connection?)?;
        if login.is_fresh
            && let Some(given) = &login.credentials
        {
            self.keyring.accepted(given);
        }
        Ok(Connection { renewal: login.renewal, ..connection })
    }

    /// Dials without greeting. The target is for whoever greets: it says as whom.
    pub(crate) async fn connect_raw(self: &Arc<Self>) -> Result<(Box<dyn Io>, Held, Target), Error> {
        self.while_open(self.connect_raw_unhindered()).await
    }

    async fn connect_raw_unhindered(self: &Arc<Self>) -> Result<(Box<dyn Io>, Held, Target), Error> {
        let (login, spent) = self.log_in(self.config.connect_timeout).await?;
        let held = self.place(true).await?;
        let limit = self.limit(self.config.connect_timeout).less(spent);
        let target = self.target.logged_in_as(login.credentials.as_ref());
        let dialled = self.reach_raw(&target, held, limit).await;
        self.meters.dialled(dialled.is_ok());
        let (io, held) = self.unless_closed(dialled?)?;
        Ok((io, held, target))
    }

    async fn place(&self, patient: bool) -> Result<Held, Error> {
        let permit = self.permit(patient).await?;
        let held = self.unless_closed(Held::new(self.budget.clone(), permit))?;
        self.about_to_dial();
        Ok(held)
    }

    fn limit(&self, time: Duration) -> Limit {
        Limit::new(time, time == self.config.connect_timeout)
    }

    /// What `work` gives, unless the pool is closed before: nobody would have use for it.
    async fn while_open<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let mut ended = self.ended.subscribe();
        let (mut ended, mut work) = (pin!(ended.wait_for(|ended| *ended)), pin!(work));
        poll_fn(|cx| match ended.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(Err(Error::closed())),
            Poll::Pending => work.as_mut().poll(cx),
        })
        .await
    }

    /// What was made while the pool was being closed goes with it.
    fn unless_closed<T>(&self, made: T) -> Result<T, Error> {
        if self.breaker.is_shut() { Err(Error::closed()) } else { Ok(made) }
    }

    async fn permit(&self, patient: bool) -> Result<Permit, Error> {
        if let Some(permit) = self.budget.try_acquire() {
            return Ok(permit);
        }
        if !patient {
            return Err(Error::not_sent(Kind::Moved, "no connection was free for one more lane"));
        }
        let limit = self.config.socket_timeout;
        timer::within(limit, self.budget.acquire()).await.ok_or_else(|| {
            let max = self.budget.max();
            Error::not_sent(
                Kind::Timeout,
                format!("no connection became free within {limit:?}: {max} of {max} (REDIS_MAX_CONNECTIONS) in use"),
            )
        })
    }
}
