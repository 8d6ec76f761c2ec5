//! Jobs as streams of server-sent events, for a program's own axum handlers: who may see which job stays theirs.
//!
//! ```
//! use axum::extract::{Path, State};
//! use axum::response::Response;
//! use axum::{Router, routing::get};
//! use cenote_pubsub_progress::Progress;
//! use cenote_pubsub_progress::sse::{self, Resume};
//!
//! async fn events(State(progress): State<Progress>, Path(job): Path<String>, resume: Resume) -> Response {
//!     // Whether this user may see this job is decided here.
//!     sse::respond(&progress, [job], resume).await
//! }
//!
//! # fn app(progress: Progress) -> Router {
//! Router::new().route("/jobs/{id}/events", get(events)).with_state(progress)
//! # }
//! ```
//!
//! Each event has the name that [`Event::name`](crate::Event::name) gives, `{"job": ..., "data": ...}` as its data with what
//! [`Event::to_json`](crate::Event::to_json) gives, and an `id:` by which a client goes on where it was:
//!
//! ```text
//! id: 1764295200000000:7:3
//! event: log
//! data: {"job":"import-42","data":{"seq":3,"level":"info","text":"100 rows","at_ms":1764295201000}}
//! ```
//!
//! A client that stops reading is noticed by nobody but its socket: see [`WriteTimeoutListener`].

mod cursor;
mod feed;
mod frame;
mod listener;
mod responder;
mod resume;

use axum::response::Response;

use crate::progress::Progress;

pub(crate) use frame::Frames;
pub use listener::{WriteTimeoutListener, WriteTimeoutStream};
pub use responder::Responder;
pub use resume::Resume;

/// Answers a request with the events of these jobs, at most 32, on one stream; with a comment after each 15 s of silence.
/// [`Responder`] has other settings.
///
/// - Without a position it begins with a snapshot of each job (or `pending`), has the lines that are kept, and ends when all
///   jobs have ended; also if they had when it began.
/// - From a position it goes on: nothing is lost and nothing comes twice. Of which attempt, and whether lines are missing, it says.
/// - 204 if at that position all was told: a browser then does not connect again.
/// - 400 with a sentence for no job or more than 32, a name that cannot be, or a bad `?from=`; 503 if the pool is closed.
///
/// The stream also ends when the pool is closed or the client goes.
///
/// **Cancel safety.** Dropping it, or the response, ends its watches.
pub async fn respond(
    progress: &Progress,
    jobs: impl IntoIterator<Item = impl AsRef<str>>,
    resume: Resume,
) -> Response {
    Responder::new(progress).respond(jobs, resume).await
}
