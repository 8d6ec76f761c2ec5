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

pub use builder::ProgressBuilder;
pub use error::Error;
pub use event::{Event, Level, LogLine};
pub use hub::Watch;
pub use job::{Child, Delivery, JobHandle, Start};
pub use position::{InvalidPosition, Position};
pub use progress::{Cancel, Progress};
pub use snapshot::{ChildSnapshot, Liveness, Snapshot, Status};
