//! The layer in a real axum server, with a real Redis behind it.
#![cfg(feature = "tower")]

mod answers;
#[path = "../common/mod.rs"]
mod common;
mod http;
mod keys;
mod routes;
mod waiting;
