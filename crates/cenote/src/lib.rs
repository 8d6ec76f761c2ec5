//! One Redis pool for a whole service.
//!
//! ```
//! # #[cfg(not(feature = "fallback-lru"))] fn main() {}
//! # #[cfg(feature = "fallback-lru")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use cenote::redis::AsyncCommands;
//! use cenote::{FallbackLru, Pool};
//!
//! let pool = Pool::embedded(FallbackLru::default()); // no Redis: answered from memory
//! let mut conn = pool.conn(); // cheap, Clone, takes every command of redis-rs
//! let () = conn.set_ex("greeting", "hello", 60).await?;
//! let greeting: Option<String> = conn.get("greeting").await?;
//! assert_eq!(greeting.as_deref(), Some("hello"));
//! pool.close().await;
//! # Ok(()) }
//! ```
//!
//! With a Redis it is `Pool::builder().url("redis://localhost:6379/0").build()?`, and the rest stays. A [`Pool`]
//! is built without I/O and without a runtime, connects at its first call, works from any tokio runtime, and is
//! closed once for all its clones.
//!
//! This crate only re-exports; what it has comes from small crates that can be used alone.
//!
//! | feature | adds | from |
//! |---|---|---|
//! | (always) | [`Pool`], [`Conn`], [`Dedicated`], [`DegradableConn`], [`Subscriber`], [`PoolConfig`], [`Error`], [`Status`], [`redis`] | `cenote-pool-core` |
//! | `cache` | `Cache`: typed, in two tiers, stampede-proof and honest through an outage; the module `cache` has the rest of it | `cenote-cache` |
//! | `fallback-lru` | `FallbackLru`: the bounded in-memory store that answers in place of a Redis, or while it is away | `cenote-fallback-lru` |
//! | `pubsub-progress` | `Progress`: jobs that report, and watchers that never miss the end; the module `progress` has the rest of it | `cenote-pubsub-progress` |
//! | `ratelimit` | `RateLimiter`: exact, in one round trip, governed through an outage; the module `ratelimit` has the rest of it | `cenote-ratelimit` |
//! | `compat-shim` | the module `compat_shim`: old clients on this pool, one call site at a time | `cenote-compat-shim` |
//! | `full` | all of the above but `compat-shim` | |
//! | `tls` | `rediss://` URLs, by rustls | `cenote-pool-core` |
//! | `metrics` | counters, gauges and histograms of the pool and of what is built on it, by the facade `metrics` | all of them |
//!
//! No feature is on by default, and a feature only adds names: it never changes what others do. [`redis`] is
//! re-exported because its types are part of this interface; its optional parts (`script`, `streams`, ...) are
//! switched on by depending on `redis` 1.8 with those features. So are the cache's codecs and compression
//! (`postcard`, `msgpack`, `lz4`, `zstd`), by depending on `cenote-cache` with them, the events for browsers of
//! `cenote-pubsub-progress` (`sse`), and the layer for HTTP services of `cenote-ratelimit` (`tower`).
#![cfg_attr(docsrs, feature(doc_cfg))]

pub use cenote_pool_core::{
    Answer, Answers, Clock, CloseReport, ConfigError, Conn, Credentials, CredentialsError,
    CredentialsProvider, Dedicated, DegradableConn, Epoch, Error, Event, Fallback, Health, Invalidation,
    JournalStatus, Message, NotDegradable, Outcome, Pool, PoolBuilder, PoolConfig, Problem, Refusal,
    RotatingCredentials, Source, State, Status, Subscriber, SubscriptionKind, SystemClock, async_trait,
    redis,
};

#[cfg(feature = "cache")]
pub use cenote_cache::{
    self as cache, Cache, CacheBuilder, CacheKey, Cx, KeyText, LoadError, Lookup, OnDisconnect, Tier, Written,
};
#[cfg(feature = "compat-shim")]
pub use cenote_compat_shim as compat_shim;
#[cfg(feature = "fallback-lru")]
pub use cenote_fallback_lru::{self as fallback_lru, FallbackLru};
#[cfg(feature = "pubsub-progress")]
pub use cenote_pubsub_progress::{self as progress, JobHandle, Progress, ProgressBuilder, Watch};
#[cfg(feature = "ratelimit")]
pub use cenote_ratelimit::{
    self as ratelimit, Charge, Decision, OnOutage, Quota, RateLimiter, RateLimiterBuilder,
};

/// Every snippet of the README and of the guide is compiled, and run unless it says `no_run`.
#[cfg(all(
    doctest,
    feature = "cache",
    feature = "compat-shim",
    feature = "fallback-lru",
    feature = "pubsub-progress",
    feature = "ratelimit"
))]
mod pages {
    macro_rules! pages {
        ($($name:ident: $path:literal,)*) => {
            $(#[doc = include_str!(concat!("../../../", $path))] mod $name {})*
        };
    }

    pages! {
        readme: "README.md",
        cache: "docs/cache.md",
        progress: "docs/progress.md",
        ratelimit: "docs/ratelimit.md",
        cli: "docs/cli.md",
        compat_shim: "docs/compat-shim.md",
        migration: "docs/migration.md",
        troubleshooting: "docs/troubleshooting.md",
        introduction: "docs/introduction.md",
        getting_started: "docs/getting-started.md",
        configuration: "docs/configuration.md",
        connections: "docs/connections.md",
        errors: "docs/errors.md",
        faults: "docs/faults.md",
        fallback: "docs/fallback.md",
        lifecycle: "docs/lifecycle.md",
        operations: "docs/operations.md",
        outage: "docs/outage.md",
        pubsub: "docs/pubsub.md",
        replies: "docs/replies.md",
        sentinel: "docs/sentinel.md",
        telemetry: "docs/telemetry.md",
    }
}
