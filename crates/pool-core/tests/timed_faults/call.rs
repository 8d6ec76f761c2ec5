//! One call: what its caller heard, and what that says of the command.

use std::fmt;
use std::time::{Duration, Instant};

use cenote_pool_core::{Error, Outcome};
use redis::RedisError;

/// What a call was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Write,
    /// A write that no fallback may answer.
    Increment,
    Read,
    /// Getting a dedicated connection.
    Checkout,
}

/// What the caller heard, in the words of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Answered,
    Fallback,
    Unavailable,
    /// The server said so at the door.
    TurnedAway(&'static str),
    CutOff,
    TimedOut,
    TimedOutUnsent,
    Said(&'static str),
    NotDegradable,
    Closed,
    RuntimeEnded,
    /// A subscriber was told nothing for as long as it waited.
    Silence,
    Gap,
    Lagged,
    /// Never expected: the reply was not what this call asked for, or the error is of no known kind.
    Wrong,
}

/// What the caller may conclude about its command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Ran,
    /// The fallback took it: Redis is to forget the key.
    Forgotten,
    DidNotRun,
    MayHaveRun,
}

pub(crate) type Heard = (Class, Fate);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) kind: Kind,
    /// Of a write: no two have the same.
    pub(crate) id: u64,
    pub(crate) began: Instant,
    pub(crate) took: Duration,
    pub(crate) limit: Duration,
    pub(crate) class: Class,
    pub(crate) fate: Fate,
}

impl Call {
    pub(crate) fn ended(&self) -> Instant {
        self.began + self.took
    }

    pub(crate) fn is_write(&self) -> bool {
        matches!(self.kind, Kind::Write)
    }
}

/// Server errors that have a row.
const SAID: &[&str] = &["READONLY", "LOADING", "BUSY", "OOM", "NOAUTH"];
const MAXCLIENTS: &str = "max number of clients";

pub(crate) fn said_by(server: &RedisError) -> &'static str {
    if server.detail().is_some_and(|detail| detail.contains(MAXCLIENTS)) {
        return MAXCLIENTS;
    }
    let code = server.code().unwrap_or_default();
    SAID.iter().find(|known| **known == code).copied().unwrap_or("another error")
}

pub(crate) fn heard_of(error: &Error) -> Heard {
    let fate = match error.outcome() {
        Outcome::MayHaveExecuted => Fate::MayHaveRun,
        _ => Fate::DidNotRun,
    };
    let may_have_run = fate == Fate::MayHaveRun;
    let class = match error.server_error() {
        Some(_) if error.is_unavailable() && may_have_run => Class::CutOff,
        Some(server) if error.is_unavailable() => Class::TurnedAway(said_by(server)),
        Some(server) => Class::Said(said_by(server)),
        None if error.is_timeout() && may_have_run => Class::TimedOut,
        None if error.is_timeout() => Class::TimedOutUnsent,
        None if error.is_unavailable() && may_have_run => Class::CutOff,
        None if error.is_unavailable() => Class::Unavailable,
        None if error.is_refused() => Class::NotDegradable,
        None if error.is_closed() && !may_have_run => Class::Closed,
        None if error.to_string().contains("tokio runtime") => Class::RuntimeEnded,
        None => wrong(error),
    };
    (class, fate)
}

pub(crate) fn heard_of_redis(error: &RedisError) -> Heard {
    match Error::from_redis(error) {
        Some(error) => heard_of(error),
        None if error.code().is_some() => (Class::Said(said_by(error)), Fate::DidNotRun),
        None => (wrong(error), Fate::MayHaveRun),
    }
}

pub(crate) fn wrong(what: &impl fmt::Display) -> Class {
    eprintln!("never expected: {what}");
    Class::Wrong
}

impl Class {
    /// Of a read nobody cares whether it ran.
    pub(crate) fn as_read(self) -> Self {
        match self {
            Self::CutOff => Self::Unavailable,
            Self::TimedOutUnsent => Self::TimedOut,
            class => class,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answered => "served",
            Self::Fallback => "the fallback answers",
            Self::Unavailable => "unavailable",
            Self::TurnedAway(code) => return write!(f, "unavailable (`{code}`)"),
            Self::CutOff => "cut off",
            Self::TimedOut => "timeout",
            Self::TimedOutUnsent => "timeout, not sent",
            Self::Said(code) => return write!(f, "`{code}`"),
            Self::NotDegradable => "not degradable",
            Self::Closed => "closed",
            Self::RuntimeEnded => "runtime ended",
            Self::Silence => "silence",
            Self::Gap => "`Gap`",
            Self::Lagged => "`Lagged`",
            Self::Wrong => "wrong",
        })
    }
}
