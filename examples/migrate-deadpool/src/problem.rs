//! What can go wrong with a request.

use std::fmt;

use redis::RedisError;

#[derive(Debug)]
pub enum Problem {
    /// No connection became free.
    Busy,
    Pool(String),
    Redis(RedisError),
    /// The request itself.
    Request,
}

impl From<RedisError> for Problem {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("busy, try again"),
            Self::Pool(why) => write!(f, "no connection: {why}"),
            Self::Redis(why) => write!(f, "redis: {why}"),
            Self::Request => f.write_str("what is that?"),
        }
    }
}
