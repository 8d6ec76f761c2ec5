//! What a Prometheus server reads here: the pool's metrics and those of all that is built on it.

use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::interval;

use crate::app::App;
use crate::problem::Problem;

/// Upper bounds in seconds. Redis in the same network answers within the first four; the rest is trouble.
const BUCKETS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// What was measured is sorted into buckets at least so often, whether or not anybody reads it: until then every
/// single value is kept.
const UPKEEP: Duration = Duration::from_secs(5);

/// Has this process's metrics recorded, from now on. `None` if another recorder is there already.
pub fn recorder() -> Option<PrometheusHandle> {
    let builder =
        PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), BUCKETS);
    builder.and_then(PrometheusBuilder::install_recorder).ok()
}

pub(crate) async fn upkeep(metrics: PrometheusHandle) {
    let mut ticks = interval(UPKEEP);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

pub(crate) async fn scrape(State(app): State<App>) -> Response {
    match app.metrics {
        Some(metrics) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
                .into_response()
        }
        None => Problem::new(StatusCode::NOT_FOUND, "Not recorded", "This process records no metrics.")
            .into_response(),
    }
}
