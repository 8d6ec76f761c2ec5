//! What the audit has found.

use std::fmt;

use serde::Serialize;

use super::replacement::Replacement;

/// What a place does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// Makes a client, or a pool's manager, which holds one.
    Client,
    /// Opens a connection.
    Connection,
    /// Makes a connection that makes itself anew.
    Manager,
    /// Makes a pool.
    Pool,
    /// Takes a connection out of a pool.
    Checkout,
    /// A line of a Cargo.toml.
    Dependency,
}

impl Kind {
    pub(super) const ALL: [Self; 6] =
        [Self::Client, Self::Connection, Self::Manager, Self::Pool, Self::Checkout, Self::Dependency];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Connection => "connection",
            Self::Manager => "manager",
            Self::Pool => "pool",
            Self::Checkout => "checkout",
            Self::Dependency => "dependency",
        }
    }

    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::Client => "a Redis client is made here",
            Self::Connection => "a connection to Redis is opened here",
            Self::Manager => "a Redis connection that reconnects is made here",
            Self::Pool => "a pool of Redis connections is made here",
            Self::Checkout => "a connection is taken out of a pool of Redis connections here",
            Self::Dependency => "a Redis client of its own comes with this dependency",
        }
    }
}

/// Whether it blocks its thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Style {
    Sync,
    Async,
    /// The place does not tell: a client serves both.
    Either,
}

impl Style {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Async => "async",
            Self::Either => "either",
        }
    }
}

/// How often the place is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Scope {
    /// In what a request runs through.
    #[serde(rename = "per request")]
    Request,
    /// Once in the process: a static, or what fills one.
    #[serde(rename = "static")]
    Static,
    /// For whatever module it serves.
    #[serde(rename = "per module")]
    Module,
    /// In a test, a bench or an example.
    #[serde(rename = "test")]
    Test,
    /// In a manifest.
    #[serde(rename = "manifest")]
    Manifest,
}

impl Scope {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Request => "per request",
            Self::Static => "static",
            Self::Module => "per module",
            Self::Test => "test",
            Self::Manifest => "manifest",
        }
    }
}

/// One place.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finding {
    pub(super) file: String,
    /// Counted from one.
    pub(super) line: usize,
    /// Counted from one, in characters.
    pub(super) column: usize,
    #[serde(rename = "crate")]
    pub(super) package: String,
    pub(super) kind: Kind,
    pub(super) style: Style,
    pub(super) scope: Scope,
    /// A `block_on` is in the same function.
    pub(super) block_on: bool,
    /// The name by which the library knows it.
    pub(super) what: String,
    /// The function that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) function: Option<String>,
    #[serde(flatten)]
    pub(super) replacement: Replacement,
    /// Why it is left alone: the reason of its comment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) allowed: Option<String>,
}

/// What could not be read, or cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Problem {
    pub(super) file: String,
    /// Counted from one; 0 for all of the file.
    pub(super) line: usize,
    pub(super) message: String,
    /// A comment that allows without a reason, or what there is not: the audit fails.
    pub(super) is_error: bool,
}

impl Problem {
    pub(super) fn new(file: impl Into<String>, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.into(), line, message: message.into(), is_error: false }
    }

    pub(super) fn error(file: &str, line: usize, message: String) -> Self {
        Self { is_error: true, ..Self::new(file, line, message) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message),
            line => write!(f, "{}:{line}: {}", self.file, self.message),
        }
    }
}
