//! Scripts in Redis, known by their hash, and sent whole to a server that has not seen them.

use std::sync::LazyLock;

use cenote_pool_core::Conn;
use cenote_pool_core::redis::aio::ConnectionLike;
use cenote_pool_core::redis::{
    self, Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value,
};

pub(crate) struct Script {
    text: &'static str,
    sha: LazyLock<String>,
}

macro_rules! script {
    ($file:literal) => {
        Script {
            text: include_str!($file),
            sha: LazyLock::new(|| sha1_smol::Sha1::from(include_str!($file)).digest().to_string()),
        }
    };
}

pub(crate) static PUBLISH: Script = script!("publish.lua");
pub(crate) static CANCEL: Script = script!("cancel.lua");

/// A call of a script, to be sent by hash or by text.
pub(crate) trait Call {
    /// How many keys it has, the number of which comes before them.
    const KEYS: usize;

    /// Adds its keys, and then its arguments.
    fn add_to(&self, cmd: &mut Cmd);
}

/// Somebody asks the worker of a job to stop.
pub(crate) struct Asking<'a> {
    pub(crate) state: String,
    pub(crate) control: String,
    pub(crate) job: &'a str,
}

impl Call for Asking<'_> {
    const KEYS: usize = 1;

    fn add_to(&self, cmd: &mut Cmd) {
        cmd.arg(&self.state).arg(&self.control).arg(self.job);
    }
}

impl Script {
    fn command<C: Call>(&self, call: &C, by_text: bool) -> Cmd {
        let mut cmd = redis::cmd(if by_text { "EVAL" } else { "EVALSHA" });
        if by_text {
            cmd.arg(self.text)
        } else {
            cmd.arg(&*self.sha)
        };
        cmd.arg(C::KEYS);
        call.add_to(&mut cmd);
        cmd
    }

    /// All of them and then `more`, in one round trip; one more for those that the server has not known. Each has its
    /// own result.
    pub(crate) async fn call_all<C: Call>(
        &self,
        conn: &mut Conn,
        calls: &[C],
        more: &[Cmd],
    ) -> RedisResult<Vec<RedisResult<Value>>> {
        let mut pipe = Pipeline::with_capacity(calls.len() + more.len());
        for call in calls {
            pipe.add_command(self.command(call, false));
        }
        for cmd in more {
            pipe.add_command(cmd.clone());
        }
        let mut results = send(conn, &pipe).await?;
        let unknown: Vec<usize> = (0..calls.len().min(results.len()))
            .filter(|index| results[*index].as_ref().is_err_and(is_unknown))
            .collect();
        if !unknown.is_empty() {
            // This server has not seen the script yet, so nothing was done.
            let mut pipe = Pipeline::with_capacity(unknown.len());
            for index in &unknown {
                pipe.add_command(self.command(&calls[*index], true));
            }
            for (index, result) in unknown.into_iter().zip(send(conn, &pipe).await?) {
                results[index] = result;
            }
        }
        Ok(results)
    }

    pub(crate) async fn call<C: Call>(&self, conn: &mut Conn, call: C) -> RedisResult<Value> {
        let mut results = self.call_all(conn, &[call], &[]).await?;
        results.pop().unwrap_or_else(|| Err(strange()))
    }
}

/// One round trip, and a result for each command.
pub(crate) async fn send(conn: &mut Conn, pipe: &Pipeline) -> RedisResult<Vec<RedisResult<Value>>> {
    let count = pipe.len();
    let values = conn.req_packed_commands(pipe, 0, count).await?;
    if values.len() != count {
        return Err(strange());
    }
    Ok(values.into_iter().map(Value::extract_error).collect())
}

pub(crate) fn strange() -> RedisError {
    RedisError::from((ErrorKind::UnexpectedReturnType, "a reply has another shape"))
}

fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
