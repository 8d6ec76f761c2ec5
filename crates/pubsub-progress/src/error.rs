//! Why a call failed. That Redis is away is no failure of a worker's: its reports wait.

use std::sync::Arc;

use cenote_pool_core::redis::RedisError;
use thiserror::Error;

use crate::position::Position;

/// Why a call failed.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum Error {
    /// The name of the job cannot be: it says what would be right.
    #[error("{0}")]
    Job(String),
    /// The settings are at fault.
    #[error("{0}")]
    Config(String),
    /// The job has ended well, or was cancelled, so it does not begin anew: `restart` asks for that.
    #[error("the job has ended already, at {at}: `.restart()` begins it anew")]
    Ended {
        /// Where it ended.
        at: Position,
    },
    /// Another attempt has taken over.
    #[error(
        "another attempt has the job, with the number {run}: only one with a higher number takes it over"
    )]
    Fenced {
        /// The attempt that has the job now.
        run: u64,
    },
    /// A result cannot be written as JSON, or is too large.
    #[error("{0}")]
    Result(String),
    /// Redis was asked and did not answer, or answered with an error.
    #[error("{0}")]
    Redis(Arc<RedisError>),
    /// There is no tokio runtime here, or the pool is closed.
    #[error(transparent)]
    Pool(#[from] cenote_pool_core::Error),
}

impl Error {
    /// Redis does not answer.
    pub fn is_unavailable(&self) -> bool {
        self.pool().is_some_and(|error| error.is_unavailable() || error.is_timeout())
    }

    /// The pool is closed.
    pub fn is_closed(&self) -> bool {
        self.pool().is_some_and(cenote_pool_core::Error::is_closed)
    }

    /// Another attempt has the job.
    pub fn is_fenced(&self) -> bool {
        matches!(self, Self::Fenced { .. })
    }

    fn pool(&self) -> Option<&cenote_pool_core::Error> {
        match self {
            Self::Redis(error) => cenote_pool_core::Error::from_redis(error),
            Self::Pool(error) => Some(error),
            _ => None,
        }
    }
}

impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        Self::Redis(Arc::new(error))
    }
}
