//! Why a call on a cache failed.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use cenote_pool_core::redis::RedisError;

use crate::codec::CodecError;

/// Why a call on a cache failed. One word wide and cheap to clone.
///
/// That Redis is away is no error: the pool's fallback answers then, and a [`Lookup`](crate::Lookup) or
/// [`Written`](crate::Written) says so.
#[derive(Clone)]
pub struct Error(Arc<Kind>);

enum Kind {
    Pool(cenote_pool_core::Error),
    Redis(RedisError),
    Codec(CodecError),
    Config(String),
    Refused(&'static str),
    Journal(String),
}

impl Error {
    pub(crate) fn config(why: impl Into<String>) -> Self {
        Self(Arc::new(Kind::Config(why.into())))
    }

    pub(crate) fn refused(why: &'static str) -> Self {
        Self(Arc::new(Kind::Refused(why)))
    }

    pub(crate) fn journal(why: String) -> Self {
        Self(Arc::new(Kind::Journal(why)))
    }

    /// The settings are at fault.
    pub fn is_config(&self) -> bool {
        match &*self.0 {
            Kind::Config(_) => true,
            Kind::Pool(error) => error.is_config(),
            _ => false,
        }
    }

    /// The pool was closed.
    pub fn is_closed(&self) -> bool {
        self.pool().is_some_and(cenote_pool_core::Error::is_closed)
    }

    /// The value could not be written as bytes.
    pub fn is_codec(&self) -> bool {
        matches!(&*self.0, Kind::Codec(_))
    }

    /// This cache cannot do that: one with raw keys has no tags and cannot be cleared.
    pub fn is_refused(&self) -> bool {
        matches!(&*self.0, Kind::Refused(_)) || self.pool().is_some_and(cenote_pool_core::Error::is_refused)
    }

    /// What Redis itself said, if it refused a command.
    pub fn server_error(&self) -> Option<&RedisError> {
        match &*self.0 {
            Kind::Redis(error) => Some(error),
            _ => self.pool()?.server_error(),
        }
    }

    /// The pool's own error, which says what became of the command.
    pub fn pool(&self) -> Option<&cenote_pool_core::Error> {
        match &*self.0 {
            Kind::Pool(error) => Some(error),
            _ => None,
        }
    }
}

impl From<cenote_pool_core::Error> for Error {
    fn from(error: cenote_pool_core::Error) -> Self {
        Self(Arc::new(Kind::Pool(error)))
    }
}

impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        match cenote_pool_core::Error::from_redis(&error) {
            Some(error) => error.clone().into(),
            None => Self(Arc::new(Kind::Redis(error))),
        }
    }
}

impl From<CodecError> for Error {
    fn from(error: CodecError) -> Self {
        Self(Arc::new(Kind::Codec(error)))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::Pool(error) => error.fmt(f),
            Kind::Redis(error) => error.fmt(f),
            Kind::Codec(error) => error.fmt(f),
            Kind::Config(why) | Kind::Journal(why) => f.write_str(why),
            Kind::Refused(why) => f.write_str(why),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::Pool(error) => error.fmt(f),
            Kind::Redis(error) => error.fmt(f),
            Kind::Codec(error) => error.fmt(f),
            Kind::Config(why) => f.debug_tuple("Config").field(why).finish(),
            Kind::Refused(why) => f.debug_tuple("Refused").field(why).finish(),
            Kind::Journal(why) => f.debug_tuple("Journal").field(why).finish(),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &*self.0 {
            Kind::Pool(error) => Some(error),
            Kind::Redis(error) => Some(error),
            Kind::Codec(error) => Some(error),
            _ => None,
        }
    }
}

pub(crate) fn outside_runtime() -> Error {
    Error::config("called outside a tokio runtime: call it from async code run by tokio")
}

/// Why a value could not be loaded.
#[non_exhaustive]
pub enum LoadError<E> {
    /// The loader failed; all who waited for it have the same error.
    Loader(Arc<E>),
    /// The loader was not done within [`soft_timeout`](crate::CacheBuilder::soft_timeout) of its start. It goes on, and
    /// stores what it loads.
    StillLoading,
    /// The loader was not done within [`hard_timeout`](crate::CacheBuilder::hard_timeout), and was ended.
    Timeout,
    /// The loader panicked.
    Panicked,
    /// The runtime in which the loader ran has ended; or, for many keys, another's load of one of them came to nothing
    /// when the call's own loader had run already.
    Interrupted,
    /// The cache cannot be used: its pool is closed, or it was called outside a runtime.
    Unavailable(Error),
}

impl<E> Clone for LoadError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Loader(error) => Self::Loader(error.clone()),
            Self::StillLoading => Self::StillLoading,
            Self::Timeout => Self::Timeout,
            Self::Panicked => Self::Panicked,
            Self::Interrupted => Self::Interrupted,
            Self::Unavailable(error) => Self::Unavailable(error.clone()),
        }
    }
}

impl<E: fmt::Display> fmt::Display for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // With what it comes from, where the error knows how to say it so.
            Self::Loader(error) => write!(f, "the loader failed: {error:#}"),
            Self::StillLoading => f.write_str("the loader is not done within soft_timeout, and goes on"),
            Self::Timeout => f.write_str("the loader was not done within hard_timeout, and was ended"),
            Self::Panicked => f.write_str("the loader panicked"),
            Self::Interrupted => f.write_str(
                "the load that was waited for came to nothing, most likely because its runtime has ended",
            ),
            Self::Unavailable(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loader(error) => f.debug_tuple("Loader").field(error).finish(),
            Self::StillLoading => f.write_str("StillLoading"),
            Self::Timeout => f.write_str("Timeout"),
            Self::Panicked => f.write_str("Panicked"),
            Self::Interrupted => f.write_str("Interrupted"),
            Self::Unavailable(error) => f.debug_tuple("Unavailable").field(error).finish(),
        }
    }
}

/// For loaders with errors of any kind: neither `Box<dyn Error>`, `anyhow::Error` nor `String` is an error in the sense of
/// this trait. So the loader's is no source; it is in the text, and in [`Loader`](Self::Loader).
impl<E: fmt::Debug + fmt::Display> StdError for LoadError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Unavailable(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_loader_fails_with_a_failed_load_is_an_error_that_says_so() {
        fn said(error: impl StdError) -> String {
            error.to_string()
        }
        let boxed: Box<dyn StdError + Send + Sync> = "no source".into();
        assert_eq!(said(LoadError::Loader(Arc::new(boxed))), "the loader failed: no source");
        assert_eq!(said(LoadError::Loader(Arc::new("no source".to_owned()))), "the loader failed: no source");
        assert!(said(LoadError::<String>::StillLoading).contains("soft_timeout"));
        assert!(said(LoadError::<String>::Timeout).contains("hard_timeout"));
    }
}
