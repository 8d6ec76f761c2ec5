//! The ways by which a pool finds its server: tests of what must hold by each of them are given one.

use std::net::SocketAddr;
use std::sync::Mutex;

use cenote_pool_core::{Pool, PoolBuilder};
#[cfg(feature = "tls")]
use cenote_testkit::Authority;
use cenote_testkit::{Server, ServerBuilder, StandInSentinel};

/// How a pool finds its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    Plain,
    /// By sentinels of which one knows the master and another does not.
    Sentinel,
    #[cfg(feature = "tls")]
    Tls,
}

/// One such way, with what it needs beside the server.
#[derive(Debug)]
pub(crate) enum Road {
    Plain,
    /// What is asked by the pools that go this way.
    Sentinel(Mutex<Vec<StandInSentinel>>),
    #[cfg(feature = "tls")]
    Tls(Box<Authority>),
}

impl Road {
    pub(crate) fn new(reach: Reach) -> Self {
        match reach {
            Reach::Plain => Self::Plain,
            Reach::Sentinel => Self::Sentinel(Mutex::default()),
            #[cfg(feature = "tls")]
            Reach::Tls => Self::Tls(Box::new(Authority::new())),
        }
    }

    /// Starts a server that can be found so.
    pub(crate) fn start(&self, server: ServerBuilder) -> Server {
        match self {
            Self::Plain | Self::Sentinel(_) => server.start(),
            #[cfg(feature = "tls")]
            Self::Tls(authority) => server.tls(authority, &authority.issue("127.0.0.1"), false).start(),
        }
    }

    /// The server's port that pools go to, and proxies on their way.
    pub(crate) fn port(&self, server: &Server) -> SocketAddr {
        match self {
            Self::Plain | Self::Sentinel(_) => server.addr(),
            #[cfg(feature = "tls")]
            Self::Tls(_) => server.tls_addr(),
        }
    }

    /// A pool that goes to `port`: the server's, or that of a proxy before it.
    pub(crate) fn pool(&self, port: SocketAddr) -> PoolBuilder {
        match self {
            Self::Plain => Pool::builder().url(format!("redis://{port}")),
            Self::Sentinel(asked) => {
                let both = [StandInSentinel::naming(None), StandInSentinel::naming(port)];
                let pool = Pool::builder().sentinel("main", both.iter().map(|it| it.addr().to_string()));
                asked.lock().unwrap().extend(both);
                pool
            }
            #[cfg(feature = "tls")]
            Self::Tls(authority) => {
                Pool::builder().url(format!("rediss://{port}")).tls_ca_file(authority.ca_file())
            }
        }
    }
}
