//! A typed cache in two tiers, stampede-proof, and honest through an outage.
//!
//! ```no_run
//! # async fn example(pool: cenote_pool_core::Pool) -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use cenote_cache::Cache;
//!
//! // No I/O yet. The pool has a fallback, which answers while Redis is away.
//! let users: Cache<u64, String> =
//!     Cache::builder(&pool, "user").ttl(Duration::from_secs(300)).l1(10_000, 16 << 20).build()?;
//!
//! // From this process, or from Redis, or from the loader, which runs once for all who ask meanwhile.
//! let ada = users.get_or_load(&7, |_| async { load_from_database(7).await }).await?;
//!
//! let _ = users.remove(&7).await?; // whoever is loading it now will not undo this
//! # Ok(()) }
//! # async fn load_from_database(id: u64) -> Result<Option<String>, std::io::Error> { Ok(Some(id.to_string())) }
//! ```
//!
//! # What it promises
//!
//! - **One load.** Of all callers in a process that find nothing, one runs its loader, on a task of its own that no
//!   cancelled caller takes with it. Callers for whom there is a stale value never wait.
//! - **A removal is never undone.** What was loaded is stored only if its key was neither written nor removed since the
//!   load began, by whichever process; and it is valid only if none of its tags was removed since, and the namespace
//!   was not cleared. No clock takes part in that.
//! - **L1 says what Redis says.** Redis tells each process of changes (BCAST tracking); between the loss of that
//!   connection and its return L1 answers nothing, or, if so chosen, for a bounded time.
//! - **Outages do not bring old values back.** While Redis is away, the pool's fallback answers, and what is written or
//!   removed is [`Pending`](Written::Pending): this process acts by it, and has it removed in Redis before anybody here
//!   reads there again. A server that came back as another process, or with older data, starts with nothing valid.
//!
//! # What it does not
//!
//! - A `DEL` of a value by other code does not break a load under way, which may store its value after it.
//! - Without an L1 a caller may join a load of its own process that began before another process's removal.
//! - A process that dies while something is `Pending` takes it with it, unless it has a
//!   [journal file](CacheBuilder::journal_file).
//! - What this process writes is not put into its L1: Redis tells of that change, too, and cannot say whose it was. The
//!   next read brings it there.
//!
//! Features, of which none is on: `postcard` and `msgpack` (codecs), `lz4` and `zstd` (compression), `metrics`.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod cache;
mod clock;
mod codec;
mod compress;
mod envelope;
mod error;
mod event;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod journal;
mod key;
mod l1;
mod lines;
mod load;
mod lookup;
mod namespace;
mod options;
mod read;
mod stats;
mod write;

pub use builder::CacheBuilder;
pub use cache::{Cache, Key};
#[cfg(feature = "msgpack")]
pub use codec::MsgPack;
#[cfg(feature = "postcard")]
pub use codec::Postcard;
pub use codec::{Codec, CodecError, Json, Raw};
pub use compress::{Compression, CompressionError};
pub use envelope::Corrupt;
pub use error::{Error, LoadError};
pub use event::Event;
pub use key::{CacheKey, KeyText};
pub use load::Cx;
pub use lookup::{Found, Lookup, Tier, Written};
pub use options::OnDisconnect;
pub use stats::Stats;
