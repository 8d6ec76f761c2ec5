//! A dial step by step, for whoever has to tell which step fails: `cenote doctor`. No part of the API.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::task::Poll;
use std::time::Duration;

use redis::RedisConnectionInfo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::Network;
use super::net;
use crate::config::{Address, ConfigError, PoolConfig, Target, name_of};
use crate::sentinel::ask;
use crate::timer;

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
    /// Wherever sentinels say that the master of this name is.
    Sentinel(&'a str),
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
            Address::Sentinel(sentinels) => Place::Sentinel(&sentinels.master),
        }
    }

    /// What each sentinel says of where the master is: its name, and the address or why there is none. All are asked
    /// at the same time. Empty where there are none.
    pub async fn ask_sentinels(&self, limit: Duration) -> Vec<(String, Result<(String, u16), String>)> {
        let Some(sentinels) = self.target.sentinels() else { return Vec::new() };
        let targets = sentinels.targets(self.target.tls);
        let mut answers: Vec<_> = targets.iter().map(|_| None).collect();
        let mut questions: Vec<_> = targets
            .iter()
            .map(|target| Box::pin(ask(&self.network, target, &sentinels.master, limit)))
            .collect();
        timer::within(
            limit,
            poll_fn(|cx| {
                for (question, answer) in questions.iter_mut().zip(&mut answers) {
                    if answer.is_none()
                        && let Poll::Ready(said) = question.as_mut().poll(cx)
                    {
                        *answer = Some(said);
                    }
                }
                if answers.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
            }),
        )
        .await;
        let names = sentinels.hosts.iter().map(|(host, port)| name_of(host, *port));
        let late = || Err(format!("has not answered within {limit:?}"));
        names.zip(answers.into_iter().map(|answer| answer.unwrap_or_else(late))).collect()
    }

    /// The steps to a server that the sentinels named.
    pub fn lead_to(&mut self, host: &str, port: u16) {
        self.target = self.target.at(host, port);
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
        let host = match &self.target.address {
            Address::Tcp { host, .. } => host.as_str(),
            Address::Unix(_) | Address::Sentinel(_) => "",
        };
        Ok(self.network.secure(stream, host, limit).await?.io)
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
