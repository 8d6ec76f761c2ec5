//! A conversation with whatever is at the other end, which need not be Redis.

use std::io;
use std::time::{Duration, Instant};

use cenote_pool_core::redis::{self, Cmd, RedisError, Value};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One connection. A question is asked after the answer to the one before, and none after one that was not answered.
pub(super) struct Talk {
    stream: Box<dyn Stream>,
    /// Of each answer.
    limit: Duration,
    unread: Vec<u8>,
    /// An answer is missing: the next one would be taken for that of another question.
    is_lost: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failed {
    /// The server's own words.
    Said(RedisError),
    /// Not within the limit.
    Silent,
    /// It closed the connection instead.
    Closed,
    Broken(io::Error),
    /// It was no answer of a Redis: what it began with.
    Strange(Vec<u8>),
}

/// How a reply may begin.
const TYPES: &[u8] = b"+-:$*_,#!=(%~>|";
/// What is shown of rubbish, and what an answer may have at most.
const MUCH: usize = 1 << 20;

impl Talk {
    pub(super) fn new(stream: impl Stream + 'static, limit: Duration) -> Self {
        Self { stream: Box::new(stream), limit, unread: Vec::new(), is_lost: false }
    }

    pub(super) async fn ask(&mut self, command: &Cmd) -> Result<Value, Failed> {
        if self.is_lost {
            return Err(Failed::Silent);
        }
        let bytes = command.get_packed_command();
        self.unread.clear();
        let answer = match self.say(&bytes).await {
            Ok(()) => self.hear().await,
            Err(failed) => Err(failed),
        };
        self.is_lost = !matches!(answer, Ok(_) | Err(Failed::Said(_)));
        answer
    }

    /// How long that took, too.
    pub(super) async fn timed(&mut self, command: &Cmd) -> Result<(Value, Duration), Failed> {
        let began = Instant::now();
        let value = self.ask(command).await?;
        Ok((value, began.elapsed()))
    }

    pub(super) async fn say(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        let written = tokio::time::timeout(self.limit, self.stream.write_all(bytes)).await;
        match written {
            // A server that turns us away may have closed already: what it said is still to be read.
            Ok(Ok(()) | Err(_)) => Ok(()),
            Err(_) => Err(Failed::Silent),
        }
    }

    /// The next reply, or what is pushed.
    pub(super) async fn hear(&mut self) -> Result<Value, Failed> {
        let until = tokio::time::Instant::now() + self.limit;
        loop {
            if let Some(first) = self.unread.first() {
                if !TYPES.contains(first) || self.unread.len() > MUCH {
                    return Err(Failed::Strange(std::mem::take(&mut self.unread)));
                }
                match redis::parse_redis_value(&self.unread) {
                    Ok(value) => {
                        self.unread.clear();
                        return value.extract_error().map_err(Failed::Said);
                    }
                    Err(error) if is_incomplete(&error) => {}
                    Err(_) => return Err(Failed::Strange(std::mem::take(&mut self.unread))),
                }
            }
            self.more(until).await?;
        }
    }

    async fn more(&mut self, until: tokio::time::Instant) -> Result<(), Failed> {
        let mut buffer = [0; 4096];
        match tokio::time::timeout_at(until, self.stream.read(&mut buffer)).await {
            Err(_) => Err(Failed::Silent),
            Ok(Ok(0)) => Err(Failed::Closed),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => Err(Failed::Closed),
            Ok(Err(error)) => Err(Failed::Broken(error)),
            Ok(Ok(count)) => {
                self.unread.extend_from_slice(&buffer[..count]);
                Ok(())
            }
        }
    }
}

/// The end of what has come so far is all that can go wrong with reading from memory.
fn is_incomplete(error: &RedisError) -> bool {
    error.is_io_error()
}
