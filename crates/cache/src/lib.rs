//! A typed cache in two tiers.
//!
//! Features: `postcard`, `msgpack`, `lz4`, `zstd`, `metrics`.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
#![allow(dead_code, unused_imports, reason = "used by what is still to come")]

mod codec;
mod compress;
mod envelope;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod key;

#[cfg(feature = "msgpack")]
pub use codec::MsgPack;
#[cfg(feature = "postcard")]
pub use codec::Postcard;
pub use codec::{Codec, CodecError, Json, Raw};
pub use compress::{Compression, CompressionError};
pub use envelope::Corrupt;
pub use key::{CacheKey, KeyText};
