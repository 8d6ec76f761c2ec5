//! What every backend must do alike: a real server over either protocol, a pool, the fallback, an embedded pool.
//!
//! [`contract!`](crate::contract!) mounts the checks on a backend, each as a test of its own:
//!
//! ```
//! use cenote_testkit::Server;
//! use std::sync::LazyLock;
//!
//! static SERVER: LazyLock<Server> = LazyLock::new(Server::start);
//!
//! async fn connect() -> redis::aio::MultiplexedConnection {
//!     redis::Client::open(SERVER.url()).unwrap().get_multiplexed_async_connection().await.unwrap()
//! }
//!
//! cenote_testkit::contract!(real_server, connect);
//! cenote_testkit::contract!(only_reads_and_writes, connect, [strings, expiry]);
//! ```

/// `ask!(conn, "GET", key)`: runs a command that must succeed, and converts the reply.
macro_rules! ask {
    ($conn:expr, $name:literal $(, $arg:expr)* $(,)?) => {
        redis::cmd($name)$(.arg($arg))*.query_async($conn).await
            .unwrap_or_else(|error| panic!("{} failed: {error}", $name))
    };
}

/// `refused!(conn, "INCR", key)`: runs a command that must fail, and returns the error.
macro_rules! refused {
    ($conn:expr, $name:literal $(, $arg:expr)* $(,)?) => {
        match redis::cmd($name)$(.arg($arg))*.query_async::<redis::Value>($conn).await {
            Ok(value) => panic!("{} was answered with {value:?}", $name),
            Err(error) => error,
        }
    };
}

mod backend;
pub mod binary;
pub mod counters;
pub mod errors;
pub mod expiry;
pub mod hashes;
mod keys;
pub mod lists;
mod mount;
pub mod pipelines;
pub mod sets;
pub mod sharing;
pub mod strings;
pub mod transactions;

#[doc(hidden)]
pub use backend::Backend;
pub use keys::Keys;
#[doc(hidden)]
pub use mount::{Checking, compiled, drive};
