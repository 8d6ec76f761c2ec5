//! The layer, and the service it makes.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::answer;
use super::headers;
use super::key::KeyExtractor;
use crate::call::Charge;
use crate::decision::Decision;
use crate::limiter::RateLimiter;

type Charges = dyn Fn(&Parts, &str) -> Vec<Charge> + Send + Sync;

/// Lets a service have only the requests that a limiter allows.
///
/// Each request takes one token of its key, of each policy of the limiter; or what [`charges`](Self::charges) says. The
/// service's own response then gets the headers that tell what is left. See the [module](super) for what a client sees.
///
/// It works for services whose bodies can be made of a `String`, as axum's can.
///
/// **Cancel safety.** A request that is dropped may have been charged.
pub struct RateLimitLayer<K> {
    limiter: RateLimiter,
    keys: Arc<K>,
    charges: Option<Arc<Charges>>,
}

impl<K: KeyExtractor> RateLimitLayer<K> {
    /// Requests are counted by these keys.
    pub fn new(limiter: RateLimiter, keys: K) -> Self {
        Self { limiter, keys: Arc::new(keys), charges: None }
    }

    /// What a request with this key is charged to: all of it or nothing. With no charges it goes on, uncounted and
    /// without headers. So each route has its policy, and its cost:
    ///
    /// ```no_run
    /// # use cenote_ratelimit::tower::{KeyExtractor, RateLimitLayer};
    /// # use cenote_ratelimit::{Error, RateLimiter};
    /// # fn example(pool: &cenote_pool_core::Pool, keys: impl KeyExtractor) -> Result<(), Error> {
    /// use axum::extract::MatchedPath;
    /// use cenote_ratelimit::{Charge, Quota};
    ///
    /// let limiter = RateLimiter::builder(pool, "api")
    ///     .policy("all", Quota::per_minute(600))
    ///     .policy("search", Quota::per_second(2))
    ///     .build()?;
    /// let layer = RateLimitLayer::new(limiter, keys).charges(|request, key| {
    ///     let path = request.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
    ///     match path {
    ///         Some("/health") => vec![],
    ///         Some("/search") => vec![Charge::new("all", key).cost(5), Charge::new("search", key)],
    ///         _ => vec![Charge::new("all", key)],
    ///     }
    /// });
    /// # drop(layer);
    /// # Ok(()) }
    /// ```
    ///
    /// A policy that the limiter does not have, and a cost beyond its burst, are answered with 500. Each policy has a debt
    /// for each key. A quota by [`Charge::quota`] does not change that: two routes with quotas of their own need two
    /// policies, or two subjects.
    #[must_use]
    pub fn charges(mut self, charges: impl Fn(&Parts, &str) -> Vec<Charge> + Send + Sync + 'static) -> Self {
        self.charges = Some(Arc::new(charges));
        self
    }

    /// `None`: it is not to be counted.
    async fn decide(&self, request: &Parts) -> Result<Option<Decision>, Response<String>> {
        let name = self.limiter.engine().name();
        let key = self.keys.key(request).await.map_err(|error| answer::no_key(name, &error))?;
        let decision = match &self.charges {
            None => self.limiter.check(&key).await,
            Some(charges) => {
                let charges = charges(request, &key);
                if charges.is_empty() {
                    return Ok(None);
                }
                self.limiter.check_all(&charges).await
            }
        };
        match decision {
            Ok(decision) if decision.allowed => Ok(Some(decision)),
            Ok(decision) => Err(answer::refused(decision)),
            Err(error) => Err(answer::failed(name, &error)),
        }
    }
}

impl<K> Clone for RateLimitLayer<K> {
    fn clone(&self) -> Self {
        let Self { limiter, keys, charges } = self;
        Self { limiter: limiter.clone(), keys: keys.clone(), charges: charges.clone() }
    }
}

impl<K: fmt::Debug> fmt::Debug for RateLimitLayer<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer")
            .field("limiter", &self.limiter)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

impl<S, K> Layer<S> for RateLimitLayer<K> {
    type Service = RateLimit<S, K>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimit { inner, layer: Arc::new(self.clone()) }
    }
}

/// A service behind a limiter, made by [`RateLimitLayer`].
#[derive(Debug)]
pub struct RateLimit<S, K> {
    inner: S,
    layer: Arc<RateLimitLayer<K>>,
}

impl<S: Clone, K> Clone for RateLimit<S, K> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S, K, B, R> Service<Request<B>> for RateLimit<S, K>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    K: KeyExtractor,
    B: Send + 'static,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that is ready goes; its clone need not be.
        let next = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, next);
        let layer = self.layer.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let decision = match layer.decide(&parts).await {
                Ok(None) => return inner.call(Request::from_parts(parts, body)).await,
                Ok(Some(decision)) => decision,
                Err(answer) => return Ok(answer.map(R::from)),
            };
            parts.extensions.insert(decision.clone());
            let mut response = inner.call(Request::from_parts(parts, body)).await?;
            headers::tell(&decision, response.headers_mut());
            Ok(response)
        })
    }
}
