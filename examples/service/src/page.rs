//! The live page: six files, compiled in.

use axum::http::header;
use axum::response::IntoResponse;

/// The page.
pub const INDEX_HTML: &str = include_str!("page/index.html");
/// What keeps it up to date.
pub const SCRIPT: &str = include_str!("page/app.js");
/// What its buttons do.
pub const BUTTONS: &str = include_str!("page/try.js");
/// Its imports.
pub const JOBS: &str = include_str!("page/jobs.js");
/// What it draws.
pub const CHART: &str = include_str!("page/chart.js");
/// How it looks.
pub const STYLE: &str = include_str!("page/style.css");

pub(crate) async fn index() -> impl IntoResponse {
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:";
    let headers =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, policy)];
    (headers, INDEX_HTML)
}

pub(crate) async fn script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT)
}

pub(crate) async fn buttons() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], BUTTONS)
}

pub(crate) async fn jobs() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], JOBS)
}

pub(crate) async fn chart() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], CHART)
}

pub(crate) async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}
