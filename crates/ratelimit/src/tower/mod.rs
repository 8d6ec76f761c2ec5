//! The feature `tower`: a layer that limits an HTTP service, by whatever key a request has.
//!
//! ```no_run
//! use std::net::SocketAddr;
//!
//! use axum::Router;
//! use axum::extract::ConnectInfo;
//! use axum::routing::get;
//! use cenote_ratelimit::tower::{PeerAddr, RateLimitLayer, TrustedProxies};
//! use cenote_ratelimit::{Quota, RateLimiter};
//!
//! # async fn example(pool: cenote_pool_core::Pool) -> Result<(), Box<dyn std::error::Error>> {
//! let limiter = RateLimiter::builder(&pool, "api").policy("burst", Quota::per_minute(100)).build()?;
//! // Who is at the other end of the connection: axum puts it into each request.
//! let peer = PeerAddr::new(|info: &ConnectInfo<SocketAddr>| info.ip());
//! // Behind proxies in 10.0.0.0/8, which append to X-Forwarded-For.
//! let client = TrustedProxies::x_forwarded_for(peer, ["10.0.0.0/8"])?;
//!
//! let app = Router::new()
//!     .route("/", get(|| async { "hello" }))
//!     .layer(RateLimitLayer::new(limiter, client))
//!     .into_make_service_with_connect_info::<SocketAddr>();
//!
//! axum::serve(tokio::net::TcpListener::bind("0.0.0.0:3000").await?, app).await?;
//! # Ok(()) }
//! ```
//!
//! # What is answered
//!
//! Headers are those of [draft-ietf-httpapi-ratelimit-headers-10], bodies are `application/problem+json` (RFC 9457).
//!
//! | | status | body | headers |
//! |---|---|---|---|
//! | allowed | the service's own | the service's own | `RateLimit-Policy: "burst";q=100;w=60` and `RateLimit: "burst";r=99;t=1` |
//! | refused | 429 | `#quota-exceeded`, with the policies that refuse | these, and `Retry-After` |
//! | refused for want of Redis ([`OnOutage::Closed`](crate::OnOutage::Closed)) | 503 | `#temporary-reduced-capacity` | these, and `Retry-After` |
//! | no key | what the [`KeyError`] says: 400, 500, or your own | what it says, if it is the client's fault | none |
//! | a quota or a charge that cannot be | 500, and a line in the log | no details | none |
//!
//! - `w` is how many seconds it takes until all that was taken is back, and `q` how much comes back in that time:
//!   `per_minute(100)` is `q=100;w=60`, `per_minute(60).burst(10)` is `q=10;w=10`. It is the whole quota, also while a
//!   process decides at its share of it.
//! - `r` is what is left, and `t` the seconds until there is more; it is left out when nothing is missing.
//! - `Retry-After` is in whole seconds, never 0 and never too early: who waits for just so long is let through, unless
//!   somebody else with the same key comes first.
//! - While nobody counts ([`OnOutage::Open`](crate::OnOutage::Open)) there is no `RateLimit`. A refusal from memory
//!   ([`Source::BlockedLocally`](crate::Source::BlockedLocally)) tells of the policy that refuses, and of no other.
//! - In [shadow mode](crate::RateLimiterBuilder::shadow) all requests go on, and the headers tell what would be.
//!
//! The [`Decision`](crate::Decision) is in the extensions of a request that goes on, and of the response to one that is
//! refused.
//!
//! [draft-ietf-httpapi-ratelimit-headers-10]: https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-10

mod addr;
mod answer;
mod header;
mod headers;
mod hops;
mod key;
mod layer;
mod network;
mod proxies;

pub use addr::PeerAddr;
pub use header::Header;
pub use key::{FromFn, KeyError, KeyExtractor, from_fn};
pub use layer::{RateLimit, RateLimitLayer};
pub use network::InvalidNetwork;
pub use proxies::TrustedProxies;
