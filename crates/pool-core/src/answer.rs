//! From what a lane hands back to what `redis` expects of a connection.

use std::time::Duration;

use redis::{Pipeline, RedisError, RedisResult, ServerErrorKind, Value};

use crate::command::Payload;
use crate::error::{Error, Kind};
use crate::lane::Answer;

pub(crate) fn one(result: Result<Answer, Error>) -> RedisResult<Value> {
    match result? {
        Answer::One(value) => Ok(value),
        Answer::Many(mut values) => Ok(values.pop().unwrap_or_default()),
    }
}

/// Nothing would be sent, so nothing would be answered.
pub(crate) fn is_nothing(pipeline: &Pipeline) -> bool {
    pipeline.is_empty() && !pipeline.is_transaction()
}

/// The replies that the caller of `pipeline` wants. An aborted transaction is an error, and says which of its
/// commands was at fault.
pub(crate) fn many(
    result: Result<Answer, Error>,
    pipeline: &Pipeline,
    offset: usize,
    count: usize,
) -> RedisResult<Vec<Value>> {
    let mut values = match result? {
        Answer::One(value) => vec![value],
        Answer::Many(values) => values,
    };
    if pipeline.is_transaction()
        && let Some(Value::ServerError(abort)) = values.last()
    {
        let fault = values.iter().find_map(|value| match value {
            Value::ServerError(fault) if fault != abort => {
                Some(format!("{} {}", fault.code(), fault.details().unwrap_or_default()))
            }
            _ => None,
        });
        return Err(match (fault, abort.kind()) {
            (Some(fault), Some(ServerErrorKind::ExecAbort)) => {
                rewritten(&format!("EXECABORT Transaction discarded because of a previous error: {fault}"))
            }
            // Without its MULTI the commands ran one by one: that must not be called a discarded transaction.
            (Some(fault), _) if matches!(values.first(), Some(Value::ServerError(_))) => rewritten(&format!(
                "ERR MULTI was refused, so the commands ran without a transaction: {fault}"
            )),
            _ => RedisError::from(abort.clone()),
        });
    }
    let end = (offset + count).min(values.len());
    Ok(values.drain(offset.min(end)..end).collect())
}

/// One reply for each command of `pipeline`, those of `EXEC` if it is atomic.
pub(crate) fn all(replies: Answer, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
    let commands = pipeline.len();
    if !pipeline.is_transaction() {
        return many(Ok(replies), pipeline, 0, commands);
    }
    match many(Ok(replies), pipeline, commands + 1, 1)?.pop() {
        Some(Value::Array(values)) => Ok(values),
        // What was watched has changed; but nothing is watched on a shared connection.
        _ => Err(rewritten("EXECABORT Transaction discarded: EXEC was not answered with an array")),
    }
}

/// Parsed rather than built, so that it has the kind and code of the server's own.
fn rewritten(text: &str) -> RedisError {
    let line = format!("-{}\r\n", text.replace(['\r', '\n'], " "));
    match redis::parse_redis_value(line.as_bytes()).and_then(Value::extract_error) {
        Err(error) => error,
        Ok(_) => Error::not_sent(Kind::Refused, line).into(),
    }
}

pub(crate) fn timed_out(payload: Payload<'_>, limit: Duration, error: &Error) -> Error {
    let what = match payload {
        Payload::One(cmd) => crate::command::shown(cmd),
        Payload::Batch(pipeline) => format!("a pipeline of {}", pipeline.len()),
    };
    Error::new(
        Kind::Timeout,
        error.outcome(),
        format!("{what} reached its limit of {limit:?}: {}", error.message()),
    )
}

/// Dresses the values of an atomic batch as the server would: the replies of `MULTI` and of each queued command come
/// before the one array of `EXEC`.
pub(crate) fn dress_as_exec(values: Vec<Value>, commands: usize) -> Answer {
    let aborted = values.iter().find(|value| {
        matches!(value, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::ExecAbort))
    });
    let exec = aborted.cloned().unwrap_or(Value::Array(values));
    let mut replies = vec![Value::Okay];
    replies.extend((0..commands).map(|_| Value::SimpleString("QUEUED".to_owned())));
    replies.push(exec);
    Answer::Many(replies)
}
