//! A call that somebody listens to: its span, its time, and what became of it.

use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::pin;
use std::time::Instant;

use redis::Value;
use tracing::field::{DisplayValue, Empty, display};
use tracing::{Level, Span};

use super::{Meters, Operation};
use crate::command::Payload;
use crate::config::{Address, Target};
use crate::error::{Error, Kind, Outcome};
use crate::lane::Answer;
use crate::pool::Context;

/// An error's code is told as it is if it looks like one: a script may put anything there.
const LONGEST_CODE: usize = 32;

/// The server as spans name it.
#[derive(Debug)]
pub(crate) struct Server {
    address: String,
    port: Option<u16>,
    database: i64,
}

impl Server {
    pub(crate) fn of(target: &Target) -> Self {
        let (address, port) = match &target.address {
            Address::Tcp { host, port } => (host.clone(), Some(*port)),
            Address::Unix(path) => (Path::display(path).to_string(), None),
            // Which server it is changes: by the name that stays, spans before and after belong together.
            Address::Sentinel(sentinels) => (sentinels.master.clone(), None),
        };
        Self { address, port, database: target.db }
    }
}

/// Whether a call is to be watched.
#[inline]
pub(crate) fn listens(context: &Context) -> bool {
    context.meters.is_heard() || is_traced()
}

#[inline]
fn is_traced() -> bool {
    tracing::enabled!(target: "cenote::command", Level::DEBUG)
}

/// Dropped before its end it tells that the caller has gone.
#[derive(Debug)]
pub(crate) struct Watched {
    span: Span,
    operation: Operation,
    began: Instant,
    meters: Meters,
    ended: bool,
}

impl Watched {
    #[cold]
    pub(crate) fn begin(context: &Context, payload: Payload<'_>, connection: &'static str) -> Self {
        let operation = Operation::of(payload);
        let meters = context.meters.clone();
        meters.call_begins();
        let span = if is_traced() { span(&context.server, operation, connection) } else { Span::none() };
        Self { span, operation, began: Instant::now(), meters, ended: false }
    }

    /// The call to its end. What happens meanwhile happens in its span.
    pub(crate) async fn follow<E>(
        self,
        call: impl Future<Output = Result<Answer, E>>,
        error: impl Fn(&E) -> &Error,
    ) -> Result<Answer, E> {
        let mut call = pin!(call);
        let result = poll_fn(|cx| self.span.in_scope(|| call.as_mut().poll(cx))).await;
        self.end(result.as_ref().map_err(error));
        result
    }

    pub(crate) fn end(mut self, result: Result<&Answer, &Error>) {
        self.ended = true;
        self.meters.call_ends(self.operation, self.began.elapsed());
        let (code, error, outcome) = match result {
            Ok(answer) => {
                let code = refusal(answer);
                (code, code.map(|_| "server"), "answered")
            }
            Err(error) => {
                let code = error.server_error().and_then(|error| error.code());
                (code, Some(name_of(error.kind())), outcome(error.outcome()))
            }
        };
        if let Some(error) = error {
            self.meters.call_failed(error);
        }
        self.tell(code.map(sober), error, outcome);
    }

    fn tell(&self, code: Option<&str>, error: Option<&str>, outcome: &str) {
        if self.span.is_disabled() {
            return;
        }
        if let Some(code) = code {
            self.span.record("db.response.status_code", code);
        }
        if let Some(error) = code.or(error) {
            self.span.record("error.type", error);
            self.span.record("otel.status_code", "ERROR");
        }
        self.span.record("cenote.outcome", outcome);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.ended {
            self.meters.call_left();
            self.tell(None, None, "abandoned");
        }
    }
}

/// Whoever follows these spans asks for them by name, so that nobody gets one for each command who only wants to read
/// the log of a service: hence `DEBUG`. Numbers are `i64`: `tracing-opentelemetry` makes strings of others.
fn span(server: &Server, operation: Operation, connection: &'static str) -> Span {
    let name: DisplayValue<Operation> = display(operation);
    tracing::debug_span!(
        target: "cenote::command",
        "redis",
        "otel.name" = &name,
        "otel.kind" = "client",
        "db.system.name" = "redis",
        "db.namespace" = %server.database,
        "db.operation.name" = &name,
        "db.operation.batch.size" = operation.batch(),
        "server.address" = server.address,
        "server.port" = server.port.map(i64::from),
        "cenote.connection" = connection,
        "db.response.status_code" = Empty,
        "error.type" = Empty,
        "otel.status_code" = Empty,
        "cenote.outcome" = Empty,
    )
}

/// The code of the first error among the replies.
fn refusal(answer: &Answer) -> Option<&str> {
    fn of(value: &Value) -> Option<&str> {
        match value {
            Value::ServerError(error) => Some(error.code()),
            _ => None,
        }
    }
    match answer {
        Answer::One(value) => of(value),
        Answer::Many(values) => values.iter().find_map(|value| match value {
            // Those of `EXEC`.
            Value::Array(values) => values.iter().find_map(of),
            value => of(value),
        }),
    }
}

fn sober(code: &str) -> &str {
    let is_code = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if code.len() <= LONGEST_CODE && code.bytes().all(is_code) { code } else { "_OTHER" }
}

/// As the label `error` and the field `error.type` have it.
fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Timeout => "timeout",
        Kind::Away => "unavailable",
        Kind::Cut | Kind::Moved => "connection_lost",
        Kind::Closed => "closed",
        Kind::Refused => "refused",
        Kind::Config => "config",
        Kind::Runtime => "runtime_ended",
        Kind::Server => "server",
        Kind::Overloaded => "overloaded",
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotSent => "not_sent",
        Outcome::MayHaveExecuted => "may_have_executed",
        Outcome::Answered => "answered",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_a_code_is_told_as_one() {
        let told =
            ["WRONGTYPE", "NOSCRIPT", "hunter2", "PASS WORD", "A_VERY_LONG_WORD_THAT_IS_NO_CODE_OF_REDIS"];
        assert_eq!(told.map(sober), ["WRONGTYPE", "NOSCRIPT", "_OTHER", "_OTHER", "_OTHER"]);
    }
}
