//! From a request to the key that it is charged to.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;

use http::StatusCode;
use http::request::Parts;
use thiserror::Error;

/// Finds the key that a request is charged to.
///
/// There are [`PeerAddr`](super::PeerAddr), [`TrustedProxies`](super::TrustedProxies), [`Header`](super::Header) and, for
/// all else, [`from_fn`].
pub trait KeyExtractor: Send + Sync + 'static {
    /// The key of this request: all requests of one key share what the quota has.
    ///
    /// # Errors
    ///
    /// There is none, and so the request is refused. What a client may leave out or make up must not free it of its limit.
    fn key(&self, request: &Parts) -> impl Future<Output = Result<String, KeyError>> + Send;
}

/// Why a request has no key, and the status of the response to it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{detail}")]
pub struct KeyError {
    pub(super) status: StatusCode,
    pub(super) detail: String,
}

impl KeyError {
    /// Answered with this status. `detail` is for the client when the status says that the fault is the client's, and
    /// for the log when it does not.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let is_error = status.is_client_error() || status.is_server_error();
        let status = if is_error { status } else { StatusCode::INTERNAL_SERVER_ERROR };
        Self { status, detail: detail.into() }
    }

    /// The client left it out, or made it unreadable: 400.
    pub fn missing(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// The service is set up in a wrong way: 500, and a line in the log.
    pub fn setup(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }
}

/// Keys by a function of your own, which may wait.
///
/// Its future owns what it needs of the request:
///
/// ```
/// use cenote_ratelimit::tower::{KeyError, from_fn};
/// use http::request::Parts;
///
/// let by_tenant = from_fn(|request: &Parts| {
///     let host = request.headers.get("host").cloned();
///     async move {
///         let host = host.ok_or_else(|| KeyError::missing("a host is needed"))?;
///         tenant_of(host.as_bytes()).await.ok_or_else(|| KeyError::missing("nobody lives at this host"))
///     }
/// });
/// # async fn tenant_of(_: &[u8]) -> Option<String> { None }
/// # fn check(_: impl cenote_ratelimit::tower::KeyExtractor) {}
/// # check(by_tenant);
/// ```
pub fn from_fn<F, R>(find: F) -> FromFn<F, R>
where
    F: Fn(&Parts) -> R + Send + Sync + 'static,
    R: Future<Output = Result<String, KeyError>> + Send + 'static,
{
    FromFn { find, future: PhantomData }
}

/// Made by [`from_fn`].
pub struct FromFn<F, R> {
    find: F,
    future: PhantomData<fn() -> R>,
}

impl<F, R> KeyExtractor for FromFn<F, R>
where
    F: Fn(&Parts) -> R + Send + Sync + 'static,
    R: Future<Output = Result<String, KeyError>> + Send + 'static,
{
    fn key(&self, request: &Parts) -> impl Future<Output = Result<String, KeyError>> + Send {
        (self.find)(request)
    }
}

impl<F, R> fmt::Debug for FromFn<F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFn").finish_non_exhaustive()
    }
}
