//! The routes. What they share is the one pool, the caches on it, and who may take its Redis away.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{delete, get, post};
use cenote::{Cache, Pool, RateLimiter};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;

use crate::demo::{self, Demo};
use crate::features::Flags;
use crate::jobs::Jobs;
use crate::loads::Loads;
use crate::problem::Problem;
use crate::subscriptions::Subscriptions;
use crate::{features, health, jobs, live, metrics, page, search, subscriptions, webhook};

/// A webhook's body is small; a larger one is refused unread.
const LARGEST_BODY: usize = 64 << 10;

/// The whole application on one pool.
#[derive(Debug, Clone)]
pub struct App {
    pub(crate) pool: Pool,
    pub(crate) features: Cache<String, Flags>,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) loads: Loads,
    pub(crate) search: RateLimiter,
    pub(crate) jobs: Jobs,
    pub(crate) demo: Option<Arc<Demo>>,
    pub(crate) metrics: Option<PrometheusHandle>,
    /// Cancelled once the service stops: answers without an end of their own then end, and so do jobs.
    pub(crate) stopping: CancellationToken,
}

impl App {
    /// The application on `pool`.
    ///
    /// # Errors
    ///
    /// The pool has no fallback, which its caches need while Redis is away.
    pub fn new(pool: Pool) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self {
            features: features::cache(&pool)?,
            subscriptions: Subscriptions::new(&pool)?,
            loads: Loads::default(),
            search: search::limiter(&pool)?,
            jobs: Jobs::new(&pool),
            pool,
            demo: None,
            metrics: None,
            stopping: CancellationToken::new(),
        })
    }

    /// The same, and `listener` is told of each load: of which cache, and of which key.
    #[must_use]
    pub fn on_load(self, listener: impl Fn(&str, &str) + Send + Sync + 'static) -> Self {
        Self { loads: Loads::told_to(listener), ..self }
    }

    /// The same with a Redis that its page may take away.
    #[must_use]
    pub fn with_demo(self, demo: Option<Demo>) -> Self {
        Self { demo: demo.map(Arc::new), ..self }
    }

    /// The same, which tells at `/metrics` what this recorder hears. It must have been there before the pool was built.
    #[must_use]
    pub fn with_metrics(self, metrics: Option<PrometheusHandle>) -> Self {
        Self { metrics, ..self }
    }

    pub(crate) fn stopping(self, stopping: CancellationToken) -> Self {
        Self { stopping, ..self }
    }

    /// Its routes.
    pub fn router(self) -> Router {
        let mut routes = Router::<Self>::new()
            .route("/", get(page::index))
            .route("/app.js", get(page::script))
            .route("/try.js", get(page::buttons))
            .route("/jobs.js", get(page::jobs))
            .route("/chart.js", get(page::chart))
            .route("/style.css", get(page::style))
            .route("/health/live", get(health::live))
            .route("/health/ready", get(health::ready))
            .route("/metrics", get(metrics::scrape))
            .route("/api/status", get(live::once))
            .route("/api/status/stream", get(live::stream))
            .route("/api/features/me", get(features::me))
            .route("/api/subscriptions/{id}", get(subscriptions::find).put(subscriptions::change))
            .route("/api/customers/{id}/subscriptions", delete(subscriptions::end_all))
            .route("/api/jobs", get(jobs::list).post(jobs::start))
            .route("/api/jobs/{id}/events", get(jobs::events))
            .route("/api/jobs/{id}/cancel", post(jobs::cancel))
            .route("/webhooks/stripe", post(webhook::stripe));
        if self.demo.is_some() {
            routes = routes
                .route("/demo/redis/away", post(demo::away))
                .route("/demo/redis/back", post(demo::back));
        }
        routes
            .merge(search::limited(&self.search))
            .fallback(nothing_here)
            .layer(DefaultBodyLimit::max(LARGEST_BODY))
            .layer(map_response(mark))
            .with_state(self)
    }
}

impl FromRef<App> for Pool {
    fn from_ref(app: &App) -> Self {
        app.pool.clone()
    }
}

async fn nothing_here() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "Not found", "There is nothing at this path: GET / is the page.")
}

/// Every answer here is about this moment. Streams have their own word for it.
async fn mark(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
