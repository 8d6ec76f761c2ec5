//! From a request to a stream.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use cenote_pool_core::{Pool, State};
use futures_util::future::try_join_all;
use tokio_util::sync::CancellationToken;

use super::cursor::{Cursor, MOST, Seen};
use super::feed::Feed;
use super::resume::{Malformed, Resume};
use crate::error::Error;
use crate::progress::Progress;

/// Answers requests with streams of events, with settings of its own. Cheap to clone.
#[derive(Clone)]
#[must_use]
pub struct Responder {
    progress: Progress,
    keep_alive: Duration,
    retry: Duration,
    stop: Option<CancellationToken>,
}

impl Responder {
    /// With the defaults.
    pub fn new(progress: &Progress) -> Self {
        Self {
            progress: progress.clone(),
            keep_alive: Duration::from_secs(15),
            retry: Duration::from_secs(2),
            stop: None,
        }
    }

    /// After how much silence a comment is sent, by which proxies see that the connection is alive. Default: 15 s; at
    /// least 10 ms.
    pub fn keep_alive(mut self, silence: Duration) -> Self {
        self.keep_alive = silence.max(Duration::from_millis(10));
        self
    }

    /// How long a client is to wait before it connects again; each is told another time, up to twice as long, so that not
    /// all come at once. Default: 2 s, so 2 to 4 s.
    pub fn retry(mut self, pause: Duration) -> Self {
        self.retry = pause;
        self
    }

    /// Streams end once this is cancelled. `axum::serve` waits for them when it is to stop, and they end by themselves only
    /// when the pool is closed.
    pub fn ends_with(mut self, stop: CancellationToken) -> Self {
        self.stop = Some(stop);
        self
    }

    /// As [`respond`](super::respond).
    pub async fn respond(&self, jobs: impl IntoIterator<Item = impl AsRef<str>>, resume: Resume) -> Response {
        let jobs = match distinct(jobs) {
            Ok(jobs) => jobs,
            Err(detail) => return problem(StatusCode::BAD_REQUEST, &detail),
        };
        let given = match resume.cursor(&jobs) {
            Ok(given) => given,
            Err(Malformed) => return malformed(jobs.len()),
        };
        let has_position = given.is_some();
        let cursor = given.unwrap_or_else(|| Cursor::start(&jobs));
        let watches = jobs.iter().zip(&cursor.seen).map(|(job, seen)| self.progress.watch_from(job, seen.at));
        let watches = match try_join_all(watches).await {
            Ok(watches) => watches,
            Err(error) => return refused(&error),
        };
        let unseen =
            |&Seen { lost, .. }: &Seen, watch: crate::Watch| (!watch.has_told_end(lost)).then_some(watch);
        let watches: Vec<_> =
            cursor.seen.iter().zip(watches).map(|(seen, watch)| unseen(seen, watch)).collect();
        if has_position && watches.iter().all(Option::is_none) {
            return (headers(), StatusCode::NO_CONTENT).into_response();
        }
        let stop = stopped(self.progress.pool(), self.stop.clone());
        let feed = Feed::new(watches, cursor, self.first(), self.keep_alive, stop);
        let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))];
        (kind, headers(), Body::from_stream(feed)).into_response()
    }

    fn first(&self) -> Bytes {
        let pause = self.retry.mul_f64(1.0 + fastrand::f64());
        format!("retry: {}\n\n", pause.as_millis()).into()
    }
}

/// Nothing between here and there may keep it back, keep it, or pack it.
fn headers() -> [(HeaderName, HeaderValue); 2] {
    [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform")),
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ]
}

async fn stopped(pool: Pool, stop: Option<CancellationToken>) {
    let mut states = pool.state_changes();
    drop(pool);
    let cancelled = async {
        match stop {
            Some(stop) => stop.cancelled_owned().await,
            None => pending().await,
        }
    };
    tokio::select! {
        _ = states.wait_for(|state| *state == State::Closed) => {}
        () = cancelled => {}
    }
}

/// Each job once, in the order in which they were asked for.
fn distinct(asked: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Vec<Arc<str>>, String> {
    let mut jobs: Vec<Arc<str>> = Vec::new();
    for job in asked {
        if jobs.iter().all(|other| **other != *job.as_ref()) {
            if jobs.len() == MOST {
                return Err(format!(
                    "One stream tells of at most {MOST} jobs: ask for fewer, or for several streams."
                ));
            }
            jobs.push(job.as_ref().into());
        }
    }
    if jobs.is_empty() {
        return Err("The stream of no job: name at least one.".to_owned());
    }
    Ok(jobs)
}

fn malformed(jobs: usize) -> Response {
    let right = if jobs == 1 {
        "`run:v:l`, three whole numbers".to_owned()
    } else {
        format!("the `id:` of an event of a stream of these {jobs} jobs in this order")
    };
    problem(StatusCode::BAD_REQUEST, &format!("`from` is no position: it has to be {right}."))
}

fn refused(error: &Error) -> Response {
    let (status, detail) = match error {
        Error::Job(_) => (StatusCode::BAD_REQUEST, error.to_string()),
        error if error.is_closed() => (StatusCode::SERVICE_UNAVAILABLE, "The service stops.".to_owned()),
        error => {
            tracing::error!(target: "cenote", %error, "progress cannot be watched");
            (StatusCode::INTERNAL_SERVER_ERROR, "Progress cannot be watched.".to_owned())
        }
    };
    problem(status, &detail)
}

/// RFC 9457.
fn problem(status: StatusCode, detail: &str) -> Response {
    let body = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
    });
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
    (status, kind, body.to_string()).into_response()
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder")
            .field("progress", &self.progress)
            .field("keep_alive", &self.keep_alive)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}
