//! The reference service: what an application on one Cenote pool looks like.
//!
//! A library, so that its tests run it in their own process; `main.rs` only calls [`run`].
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod app;
mod billing;
mod demo;
mod features;
mod health;
mod import;
mod jobs;
mod lifecycle;
mod live;
mod loads;
mod metrics;
mod origin;
mod page;
mod problem;
mod search;
mod settings;
mod subscriptions;
mod webhook;

pub use app::App;
pub use demo::{Demo, Wish};
pub use lifecycle::{run, serve};
pub use metrics::recorder;
pub use page::{BUTTONS, CHART, INDEX_HTML, JOBS, SCRIPT, STYLE};
