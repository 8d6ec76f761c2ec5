//! What the service promises, each in a test named after it.

#[path = "../common/mod.rs"]
mod common;
mod features;
mod health;
mod jobs;
mod live;
mod metrics;
mod process;
mod search;
mod subscriptions;
mod webhook;
