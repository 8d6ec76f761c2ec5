//! One error for the whole pool, and the question it always answers: did the command run?

use std::fmt;
use std::io;
use std::sync::Arc;

use redis::RedisError;

use crate::fallback::NotDegradable;

/// What happened to the command that an [`Error`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The server cannot have executed it: it was never sent whole.
    NotSent,
    /// It was sent and no reply came. The server may have executed it, or not.
    MayHaveExecuted,
    /// The server answered it, with an error.
    Answered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Timeout,
    Away,
    Cut,
    Closed,
    Refused,
    Config,
    Runtime,
    Server,
    Overloaded,
    /// Internal: the lane went away by our own will before the command was sent; another one takes it.
    Moved,
}

/// Why a call failed, and what became of its command.
///
/// One word wide and cheap to clone. Through [`ConnectionLike`](redis::aio::ConnectionLike) it travels inside
/// a [`RedisError`]; [`Error::from_redis`] takes it out again.
///
/// ```
/// use cenote_pool_core::{Error, Outcome, Pool};
///
/// let error = Pool::builder().url("redis://localhost:0").build().unwrap_err();
/// assert!(error.is_config());
/// assert_eq!(error.outcome(), Outcome::NotSent);
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: Kind,
    outcome: Outcome,
    message: String,
    server: Option<RedisError>,
}

impl Error {
    /// What became of the command.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// Redis cannot be reached, or the connection was lost.
    pub fn is_unavailable(&self) -> bool {
        matches!(self.0.kind, Kind::Away | Kind::Cut)
    }

    /// The call's limit was reached.
    pub fn is_timeout(&self) -> bool {
        self.0.kind == Kind::Timeout
    }

    /// The pool was closed.
    pub fn is_closed(&self) -> bool {
        self.0.kind == Kind::Closed
    }

    /// A bound was reached that more waiting would not lift: the outage journal is full.
    pub fn is_overloaded(&self) -> bool {
        self.0.kind == Kind::Overloaded
    }

    /// The command must not run where it was sent: on a shared connection, or without Redis.
    pub fn is_refused(&self) -> bool {
        self.0.kind == Kind::Refused
    }

    /// The configuration is at fault, not the network.
    pub fn is_config(&self) -> bool {
        self.0.kind == Kind::Config
    }

    /// What the server itself said: the answer to the command, or why it let nobody in.
    pub fn server_error(&self) -> Option<&RedisError> {
        self.0.server.as_ref()
    }

    /// Finds the pool's error inside a [`RedisError`] that came through
    /// [`ConnectionLike`](redis::aio::ConnectionLike). `None` means that the server answered, or that a reply
    /// did not convert.
    pub fn from_redis(error: &RedisError) -> Option<&Self> {
        let source = std::error::Error::source(error)?;
        let io = match source.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>() {
            Some(shared) => shared.downcast_ref::<io::Error>()?,
            None => source.downcast_ref::<io::Error>()?,
        };
        io.get_ref()?.downcast_ref::<Self>()
    }

    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }

    pub(crate) fn new(kind: Kind, outcome: Outcome, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner { kind, outcome, message: message.into(), server: None }))
    }

    pub(crate) fn not_sent(kind: Kind, message: impl Into<String>) -> Self {
        Self::new(kind, Outcome::NotSent, message)
    }

    pub(crate) fn closed() -> Self {
        Self::not_sent(Kind::Closed, "the pool is closed")
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::not_sent(Kind::Config, message)
    }

    /// The server turned us away before any command, or answered one with an error.
    pub(crate) fn from_server(kind: Kind, outcome: Outcome, message: String, server: RedisError) -> Self {
        Self(Arc::new(Inner { kind, outcome, message, server: Some(server) }))
    }

    pub(crate) fn answered(server: RedisError) -> Self {
        Self::from_server(Kind::Server, Outcome::Answered, server.to_string(), server)
    }

    /// The same failure as another command met it.
    pub(crate) fn with_outcome(&self, outcome: Outcome) -> Self {
        if self.0.outcome == outcome {
            return self.clone();
        }
        let inner = &self.0;
        Self(Arc::new(Inner {
            kind: inner.kind,
            outcome,
            message: inner.message.clone(),
            server: inner.server.clone(),
        }))
    }

    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// The same cause in other words, for a command that was not sent.
    pub(crate) fn retold(&self, kind: Kind, message: String) -> Self {
        let server = self.0.server.clone();
        Self(Arc::new(Inner { kind, outcome: Outcome::NotSent, message, server }))
    }

    fn io_kind(&self) -> io::ErrorKind {
        match self.0.kind {
            Kind::Timeout => io::ErrorKind::TimedOut,
            Kind::Away => io::ErrorKind::ConnectionRefused,
            Kind::Cut | Kind::Moved => io::ErrorKind::ConnectionReset,
            Kind::Closed => io::ErrorKind::NotConnected,
            Kind::Runtime => io::ErrorKind::ConnectionAborted,
            Kind::Refused | Kind::Config => io::ErrorKind::Unsupported,
            Kind::Overloaded => io::ErrorKind::QuotaExceeded,
            Kind::Server => io::ErrorKind::Other,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match (self.0.outcome, self.0.kind) {
            (Outcome::MayHaveExecuted, _) => f.write_str(" (the command may have been executed)"),
            (Outcome::NotSent, Kind::Timeout | Kind::Cut | Kind::Runtime) => {
                f.write_str(" (the command was not sent)")
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("outcome", &self.0.outcome)
            .field("message", &self.0.message)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.server.as_ref().map(|server| server as _)
    }
}

impl From<Error> for RedisError {
    fn from(error: Error) -> Self {
        match (&error.0.server, error.0.kind) {
            (Some(server), Kind::Server) => server.clone(),
            _ => io::Error::new(error.io_kind(), error).into(),
        }
    }
}

impl From<NotDegradable> for Error {
    fn from(refusal: NotDegradable) -> Self {
        Self::not_sent(Kind::Refused, refusal.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_travels_through_a_redis_error_with_its_io_kind() {
        let table = [
            (Kind::Timeout, io::ErrorKind::TimedOut),
            (Kind::Away, io::ErrorKind::ConnectionRefused),
            (Kind::Cut, io::ErrorKind::ConnectionReset),
            (Kind::Closed, io::ErrorKind::NotConnected),
            (Kind::Refused, io::ErrorKind::Unsupported),
            (Kind::Config, io::ErrorKind::Unsupported),
            (Kind::Runtime, io::ErrorKind::ConnectionAborted),
            (Kind::Overloaded, io::ErrorKind::QuotaExceeded),
        ];
        for (kind, io_kind) in table {
            let error = Error::new(kind, Outcome::MayHaveExecuted, "why");
            let redis = RedisError::from(error.clone());
            let found = Error::from_redis(&redis).expect("the error is inside");
            assert_eq!(found.kind(), kind);
            assert_eq!(found.outcome(), Outcome::MayHaveExecuted);
            assert_eq!(error.io_kind(), io_kind);
        }
    }

    #[test]
    fn the_error_is_one_word_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn a_server_error_stays_what_redis_made_of_it() {
        let value = redis::parse_redis_value(b"-NOSCRIPT No matching script\r\n").unwrap();
        let server = value.extract_error().unwrap_err();
        let back = RedisError::from(Error::answered(server));
        assert_eq!(back.code(), Some("NOSCRIPT"));
        assert!(Error::from_redis(&back).is_none());
    }
}
