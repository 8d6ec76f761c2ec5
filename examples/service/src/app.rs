//! The routes. All they share is the one pool.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{get, post};
use cenote::Pool;

use crate::problem::Problem;
use crate::{features, health, page, webhook};

/// A webhook's body is small; a larger one is refused unread.
const LARGEST_BODY: usize = 64 << 10;

/// The whole application on `pool`.
pub fn router(pool: Pool) -> Router {
    Router::new()
        .route("/", get(page::index))
        .route("/app.js", get(page::script))
        .route("/style.css", get(page::style))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/api/features/me", get(features::me))
        .route("/webhooks/stripe", post(webhook::stripe))
        .fallback(nothing_here)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(map_response(mark))
        .with_state(pool)
}

async fn nothing_here() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "Not found", "There is nothing at this path: GET / is the page.")
}

/// Every answer here is about this moment.
async fn mark(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
