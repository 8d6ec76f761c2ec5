//! Imports: begun here, worked on in the background, watched and stopped from anywhere.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State, rejection::QueryRejection};
use axum::http::StatusCode;
use axum::response::Response;
use cenote::Pool;
use cenote_pubsub_progress::sse::{Responder, Resume};
use cenote_pubsub_progress::{Cancel, Error, Progress, Snapshot};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::app::App;
use crate::import;
use crate::problem::Problem;

/// How many imports one process works on at once.
const AT_ONCE: usize = 8;
/// How many the list has.
const LISTED: usize = 20;
const SECONDS: u64 = 20;
const MOST_SECONDS: u64 = 600;

/// The jobs, and who may work on one.
#[derive(Debug, Clone)]
pub(crate) struct Jobs {
    progress: Progress,
    places: Arc<Semaphore>,
    /// Those begun here: while Redis is away nobody else can be asked.
    own: Arc<parking_lot::Mutex<Vec<String>>>,
}

impl Jobs {
    pub(crate) fn new(pool: &Pool) -> Self {
        Self { progress: Progress::new(pool), places: Arc::new(Semaphore::new(AT_ONCE)), own: Arc::default() }
    }

    fn began(&self, id: &str) {
        let mut own = self.own.lock();
        own.insert(0, id.to_owned());
        own.truncate(LISTED);
    }

    async fn own(&self) -> Vec<Arc<Snapshot>> {
        let ids = self.own.lock().clone();
        let mut found = Vec::new();
        for id in ids {
            found.extend(self.progress.snapshot(id).await.ok().flatten());
        }
        found
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    seconds: Option<u64>,
}

/// Begins an import, and does not wait for it. While Redis is away it begins all the same.
pub(crate) async fn start(
    State(app): State<App>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let Query(asked) = asked.map_err(|rejection| Problem::bad_request(rejection.body_text()))?;
    let seconds = asked.seconds.unwrap_or(SECONDS);
    if !(1..=MOST_SECONDS).contains(&seconds) {
        return Err(Problem::bad_request(format!("seconds must be 1 to {MOST_SECONDS}.")));
    }
    let Ok(place) = app.jobs.places.clone().try_acquire_owned() else {
        let detail = format!("{AT_ONCE} imports are under way here, and no more at once.");
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests", detail).retry_after(5));
    };
    let id = format!("import-{:08x}", RandomState::new().hash_one(0) as u32);
    let job = app.jobs.progress.start(&id).await.map_err(|error| unavailable(&error))?;
    app.jobs.began(&id);
    tokio::spawn(async move {
        import::run(job, Duration::from_secs(seconds), app.stopping).await;
        drop(place);
    });
    Ok((StatusCode::ACCEPTED, Json(json!({ "job": id, "events": format!("/api/jobs/{id}/events") }))))
}

/// The latest imports of all processes; while Redis is away, of this one.
pub(crate) async fn list(State(app): State<App>) -> Json<Value> {
    let (jobs, source) = match app.jobs.progress.list(LISTED).await {
        Ok(jobs) => (jobs, "redis"),
        Err(error) => {
            tracing::debug!(target: "service", %error, "only the jobs of this process are known");
            (app.jobs.own().await, "process")
        }
    };
    Json(json!({ "jobs": jobs.iter().map(|job| &**job).collect::<Vec<_>>(), "source": source }))
}

/// Server-sent events of one import, or of several with commas between them.
pub(crate) async fn events(State(app): State<App>, Path(ids): Path<String>, resume: Resume) -> Response {
    let stream = Responder::new(&app.jobs.progress).ends_with(app.stopping);
    stream.respond(ids.split(','), resume).await
}

/// Asks an import to stop, whichever process works on it.
pub(crate) async fn cancel(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let word = match app.jobs.progress.cancel(&id).await.map_err(|error| unavailable(&error))? {
        Cancel::Acknowledged => "acknowledged",
        Cancel::AlreadyFinished => "already finished",
        Cancel::NotFound => {
            let detail = "Nobody knows of such an import: POST /api/jobs begins one.";
            return Err(Problem::new(StatusCode::NOT_FOUND, "Not found", detail));
        }
        _ => "requested",
    };
    Ok(Json(json!({ "job": id, "cancel": word })))
}

fn unavailable(error: &Error) -> Problem {
    if let Error::Job(why) = error {
        return Problem::bad_request(why.clone());
    }
    tracing::warn!(target: "service", %error, "a job cannot be reached");
    let detail = "Redis does not answer, and the import is none of this process. Nothing was done.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Service unavailable", detail).retry_after(1)
}
