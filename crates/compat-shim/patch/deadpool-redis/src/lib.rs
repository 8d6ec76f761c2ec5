//! deadpool-redis 0.23, on the shared pool of Cenote: see the crate `cenote-compat-shim`.
#![forbid(unsafe_code)]

pub use cenote_compat_shim::deadpool::*;
