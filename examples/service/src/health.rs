//! Whether the process lives, and whether it is ready for traffic.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use cenote::{Health, Pool, Status};
use serde_json::{Value, json};

/// Always 200: a process that answers must not be restarted because Redis is away.
pub(crate) async fn live() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// The pool's own status, which holds no secret. 503 only when Redis is required and away, or the pool closed.
pub(crate) async fn ready(State(pool): State<Pool>) -> (StatusCode, Json<Status>) {
    let status = pool.status();
    let code = match status.status {
        Health::Ok | Health::Degraded => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, Json(status))
}
