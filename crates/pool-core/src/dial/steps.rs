//! A dial step by step, for whoever has to tell which step fails: `cenote doctor`. No part of the API.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use redis::RedisConnectionInfo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::Network;
use super::net;
use crate::config::{Address, ConfigError, PoolConfig, Target};

/// The steps to the Redis of a configuration. They are taken in any order and as often as wished; none has a limit of
/// its own.
pub struct Steps {
    target: Target,
    network: Network,
}

/// Where Redis is.
#[derive(Debug)]
pub enum Place<'a> {
    /// A host, to be looked up, and its port.
    Tcp(&'a str, u16),
    /// A Unix socket.
    Unix(&'a Path),
}

impl Steps {
    /// # Errors
    ///
    /// A configuration that cannot be used.
    pub fn of(config: &PoolConfig) -> Result<Self, ConfigError> {
        let target = config.target()?;
        Ok(Self { network: Network::new(config, &target)?, target })
    }

    /// Where to.
    pub fn place(&self) -> Place<'_> {
        match &self.target.address {
            Address::Tcp { host, port } => Place::Tcp(host, *port),
            Address::Unix(path) => Place::Unix(path),
        }
    }

    /// Whether the URL asks for TLS.
    pub fn is_tls(&self) -> bool {
        self.target.tls
    }

    /// Opens a TCP connection.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.network.open(address).await
    }

    /// The handshake of TLS, if the URL asks for it; then the stream is one that nobody has greeted.
    ///
    /// # Errors
    ///
    /// What is wrong with the handshake, and what would be right.
    pub async fn secure(
        &self,
        stream: TcpStream,
        limit: Duration,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Sync + Unpin + use<>> {
        Ok(self.network.secure(stream, limit).await?.io)
    }

    /// A stream of a Unix socket that nobody has greeted.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub async fn connect_unix(
        &self,
        path: &Path,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Sync + Unpin + use<>> {
        Ok(net::unix(path).await?.io)
    }

    /// User, password, database and protocol, to greet the server with.
    pub fn connection_info(&self) -> RedisConnectionInfo {
        self.target.connection_info()
    }

    /// Removes what a text may have quoted of the credentials.
    pub fn scrub(&self, text: &str) -> String {
        self.target.scrub(text)
    }
}

/// The URL, without its password.
impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Steps({self})")
    }
}
