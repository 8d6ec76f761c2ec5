//! What Cenote's tests are made of: real servers, a fault proxy, a clock moved by hand, contract suites.
//!
//! ```no_run
//! use cenote_testkit::{Proxy, Server};
//!
//! let server = Server::builder().persistent().start();
//! let proxy = Proxy::to(&server);
//! // ... a pool on `proxy.url()` ...
//! proxy.stall_requests();
//! server.kill();
//! server.restart();
//! proxy.release();
//! assert_eq!(server.observer().calls("set"), 1);
//! ```
//!
//! Everything here works without an async runtime of the caller's, and nothing waits for a fixed time in the
//! hope that something has happened meanwhile. A helper that cannot do its work panics: this crate is for tests.

mod background;
mod canned;
mod certificates;
mod clock;
pub mod contract;
mod log;
mod proxy;
mod run;
mod scrape;
mod sentinels;
mod server;
mod stand_in;

pub use canned::{Answer, Blackhole, Canned, blackhole_addr, dead_port};
pub use certificates::{Authority, Identity};
pub use clock::ManualClock;
pub use log::Log;
pub use proxy::Proxy;
pub use run::{Watchdog, eventually, eventually_async, is_long, seed, within};
pub use scrape::metric;
pub use sentinels::{Sentinels, SentinelsBuilder, Switch};
pub use server::{Observer, Server, ServerBuilder};
pub use stand_in::StandInSentinel;
