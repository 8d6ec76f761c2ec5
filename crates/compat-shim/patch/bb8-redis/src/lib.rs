//! bb8-redis 0.26, on the shared pool of Cenote: see the crate `cenote-compat-shim`.
#![forbid(unsafe_code)]

pub use cenote_compat_shim::bb8::*;
