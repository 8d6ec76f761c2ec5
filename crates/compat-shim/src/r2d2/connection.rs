//! A synchronous connection.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::{Arg, Cmd, ConnectionLike, RedisResult, Value};

use super::{driver, packed};
use crate::stream;

const COMMAND: Duration = Duration::from_secs(30);

/// A synchronous connection of its own, out of the shared pool's budget.
///
/// A command that was given up when its limit was reached may have been executed, and ends the connection.
#[cfg_attr(
    feature = "deprecated",
    deprecated(since = "0.1.0", note = "use `cenote::Pool` and its `conn()` in async code")
)]
pub struct Connection {
    inner: MultiplexedConnection,
    db: i64,
    /// In milliseconds; 0 for the default. redis-rs sets it through a shared reference.
    read_timeout: AtomicU64,
    open: bool,
}

impl Connection {
    pub(super) fn new(inner: MultiplexedConnection, db: i64) -> Self {
        Self { inner, db, read_timeout: AtomicU64::new(0), open: true }
    }

    /// The limit of a command, in place of 30 s.
    ///
    /// # Errors
    ///
    /// None; the signature is redis-rs'.
    pub fn set_read_timeout(&self, dur: Option<Duration>) -> RedisResult<()> {
        let millis = dur.map_or(0, |dur| u64::try_from(dur.as_millis()).unwrap_or(u64::MAX).max(1));
        self.read_timeout.store(millis, Ordering::Relaxed);
        Ok(())
    }

    /// Without effect: what is written is part of the command's limit.
    ///
    /// # Errors
    ///
    /// None; the signature is redis-rs'.
    pub fn set_write_timeout(&self, _dur: Option<Duration>) -> RedisResult<()> {
        Ok(())
    }

    pub(super) fn let_go(&mut self) {
        if let Ok(handle) = driver::handle() {
            let _inside = handle.enter();
            stream::let_go(&mut self.inner);
        }
    }

    fn limit<'a>(&self, commands: impl Iterator<Item = &'a Cmd>) -> Option<Duration> {
        let mut limit = match self.read_timeout.load(Ordering::Relaxed) {
            0 => COMMAND,
            millis => Duration::from_millis(millis),
        };
        for cmd in commands {
            limit = limit.saturating_add(wait_of(cmd)?);
        }
        Some(limit)
    }

    fn note<T>(&mut self, result: RedisResult<T>) -> RedisResult<T> {
        if let Err(error) = &result {
            self.open &=
                !(error.is_timeout() || error.is_unrecoverable_error() || error.is_connection_dropped());
        }
        result
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command(&mut self, cmd: &[u8]) -> RedisResult<Value> {
        let mut commands = packed::commands(cmd)?;
        let cmd = if commands.len() == 1 { commands.remove(0) } else { return Err(one_only()) };
        self.req_command(&cmd)
    }

    fn req_command(&mut self, cmd: &Cmd) -> RedisResult<Value> {
        let limit = self.limit(std::iter::once(cmd));
        let (mut inner, cmd) = (self.inner.clone(), cmd.clone());
        let result = driver::run(limit, async move { inner.send_packed_command(&cmd).await });
        self.note(result)
    }

    fn req_packed_commands(&mut self, cmd: &[u8], offset: usize, count: usize) -> RedisResult<Vec<Value>> {
        let pipeline = packed::pipeline(cmd)?;
        let limit = self.limit(pipeline.cmd_iter());
        let mut inner = self.inner.clone();
        let result =
            driver::run(limit, async move { inner.req_packed_commands(&pipeline, offset, count).await });
        self.note(result)
    }

    fn get_db(&self) -> i64 {
        self.db
    }

    fn check_connection(&mut self) -> bool {
        Cmd::ping().query::<String>(self).is_ok()
    }

    fn is_open(&self) -> bool {
        self.open
    }
}

fn one_only() -> redis::RedisError {
    (redis::ErrorKind::Client, "one command was expected").into()
}

/// How long a command asks to be kept waiting: `None` for ever.
fn wait_of(cmd: &Cmd) -> Option<Duration> {
    let words: Vec<&[u8]> = cmd
        .args_iter()
        .map(|arg| match arg {
            Arg::Simple(word) => word,
            _ => &b"0"[..],
        })
        .collect();
    let name = words.first().map(|name| name.to_ascii_uppercase()).unwrap_or_default();
    let (text, unit) = match name.as_slice() {
        b"BLPOP" | b"BRPOP" | b"BLMOVE" | b"BRPOPLPUSH" | b"BZPOPMIN" | b"BZPOPMAX" => (words.last(), 1.0),
        b"BLMPOP" | b"BZMPOP" => (words.get(1), 1.0),
        b"WAIT" | b"WAITAOF" => (words.last(), 1e-3),
        b"XREAD" | b"XREADGROUP" => {
            let block = words.iter().position(|word| word.eq_ignore_ascii_case(b"BLOCK"));
            (block.and_then(|at| words.get(at + 1)), 1e-3)
        }
        _ => (None, 1.0),
    };
    let number =
        text.and_then(|text| std::str::from_utf8(text).ok()).and_then(|text| text.parse::<f64>().ok());
    // What is no sensible number the server refuses at once.
    let Some(wait) = number.and_then(|number| Duration::try_from_secs_f64(number * unit).ok()) else {
        return Some(Duration::ZERO);
    };
    (!wait.is_zero()).then_some(wait)
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("db", &self.db).field("open", &self.open).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocking_command_says_how_long_it_waits() {
        let of = |line: &str| {
            let mut cmd = Cmd::new();
            line.split(' ').for_each(|word| {
                cmd.arg(word);
            });
            wait_of(&cmd)
        };
        assert_eq!(of("get blpop"), Some(Duration::ZERO));
        assert_eq!(of("blpop list 1.5"), Some(Duration::from_millis(1500)));
        assert_eq!(of("BRPOP list 0"), None);
        assert_eq!(of("XREAD COUNT 1 BLOCK 40 STREAMS s $"), Some(Duration::from_millis(40)));
        assert_eq!(of("XREAD STREAMS s $"), Some(Duration::ZERO));
        assert_eq!(of("BLPOP list nonsense"), Some(Duration::ZERO));
    }
}
