//! Live progress of jobs over Redis, for watchers that never miss the end.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use cenote_pubsub_progress::{Event, Progress};
//! # let pool = cenote_pool_core::Pool::embedded(cenote_fallback_lru::FallbackLru::default());
//!
//! let progress = Progress::new(&pool); // no I/O yet
//! let job = progress.start("import-42").await?; // a worker's; watchers may come before it, and from other processes
//! job.total(300);
//! job.inc(100); // synchronous: told in the background
//! job.log("100 rows");
//!
//! let mut watch = progress.watch("import-42").await?;
//! job.finish("all there").await?;
//! while let Some(event) = watch.next().await {
//!     match event {
//!         Event::Snapshot { snapshot, .. } | Event::Update { snapshot, .. } => println!("{:?}", snapshot.fraction),
//!         Event::Log { line, .. } => println!("{}", line.text),
//!         Event::Finished { snapshot, .. } => println!("{:?}", snapshot.result),
//!         _ => {}
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! # What it promises
//!
//! - **The end is seen.** A watch of a job whose worker lives ends with the end of the job, whenever it began, and whatever
//!   became of Redis, its data, the connection or single messages in between.
//! - **Nothing is skipped in silence.** Lines of the log are dense, or a [`Gap`](Event::Gap) says which are no longer to be
//!   had. States only go forward, may be skipped, and the last one is that of the end. Nothing comes twice, also for who goes on
//!   from a [`Position`] in another process.
//! - **The worker counts.** Positions survive a flush, a failover and an outage. One attempt fences off those before it; a report that
//!   is told twice is told once.
//! - **One round trip** for a report: compared, kept and published by one script, for many jobs at once. Setters are synchronous.
//! - **One connection** listens for all watchers of a process, and one subscription for all of a job. Who does not read holds up
//!   nobody, and all that is kept is bounded.
//! - **Alive or not** is told apart from progress: [`Liveness`]. While Redis is away it is unknown, workers go on, and so do the
//!   watchers in their process.
//! - **Last words.** What waits is told by [`Pool::close`](cenote_pool_core::Pool::close) before the connections end.
//!
//! # What it does not
//!
//! - A process that dies before Redis has its last report takes that with it. The end of a job outlives a flush of Redis while
//!   its worker's process holds a [`Progress`] or a handle of it, for the retention.
//! - A worker that begins in an outage counts by its own clock: if that is far behind, a worker that began before it wins.
//! - The two tasks live in the runtime that first used them, until it ends. One that is parked for long holds them up.
//!
//! With the feature `indicatif`, `Terminal` shows jobs as bars, or as plain lines where there is no terminal. With `metrics`
//! what [`Stats`] counts is told to the recorder that is there when a namespace is first used.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod error;
mod event;
mod hub;
mod job;
mod position;
mod progress;
mod remote;
mod shared;
mod snapshot;
#[cfg(feature = "sse")]
pub mod sse;
mod stats;
#[cfg(feature = "indicatif")]
mod terminal;

pub use builder::ProgressBuilder;
pub use error::Error;
pub use event::{Event, Level, LogLine};
pub use hub::Watch;
pub use job::{Child, Delivery, JobHandle, Start};
pub use position::{InvalidPosition, Position};
pub use progress::{Cancel, Progress};
pub use snapshot::{ChildSnapshot, Liveness, Snapshot, Status};
pub use stats::Stats;
#[cfg(feature = "indicatif")]
#[cfg_attr(docsrs, doc(cfg(feature = "indicatif")))]
pub use terminal::Terminal;
