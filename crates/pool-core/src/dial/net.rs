//! TCP and Unix sockets. Everything else in the workspace is barred from opening any.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};

use super::socket::Duplicate;
#[cfg(feature = "tls")]
use super::tls::{Beneath, Tls};
use super::{Connector, Dialled};
use crate::config::{Address, ConfigError, PoolConfig, Target};
use crate::timer;

/// Dials the operating system's network.
pub(crate) struct Network {
    /// How long sent bytes may stay unacknowledged before the kernel gives the connection up.
    unacknowledged: Duration,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
    pub(super) resolver: Resolver,
}

/// Who knows where a name leads. It is asked at every dial, as a name may have moved, and remembers nothing.
pub(super) enum Resolver {
    System,
    #[cfg(test)]
    Test(super::names::Names),
}

impl Resolver {
    async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::System => Ok(tokio::net::lookup_host((host, port)).await?.collect()),
            #[cfg(test)]
            Self::Test(names) => Ok(names.look_up(host, port)),
        }
    }
}

#[async_trait]
impl Connector for Network {
    async fn dial(&self, target: &Target, limit: Duration) -> io::Result<Dialled> {
        match &target.address {
            Address::Tcp { host, port } => self.tcp(host, *port, limit).await,
            Address::Unix(path) => unix(path).await,
            // They are asked first, by whoever has them.
            Address::Sentinel(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }
}

impl Network {
    pub(crate) fn new(config: &PoolConfig, target: &Target) -> Result<Self, ConfigError> {
        #[cfg(feature = "tls")]
        if target.tls {
            return Ok(Self { tls: Some(Tls::new(config, target)?), ..Self::plain(config) });
        }
        // Without the feature no URL asks for TLS.
        let _ = target;
        Ok(Self::plain(config))
    }

    pub(crate) fn plain(config: &PoolConfig) -> Self {
        Self {
            unacknowledged: config.socket_timeout,
            #[cfg(feature = "tls")]
            tls: None,
            resolver: Resolver::System,
        }
    }

    async fn tcp(&self, host: &str, port: u16, limit: Duration) -> io::Result<Dialled> {
        let began = Instant::now();
        let addresses = self.resolver.look_up(host, port).await?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
        for (index, address) in addresses.iter().enumerate() {
            // One dead address must not use up what the others could have had.
            let share = limit.saturating_sub(began.elapsed()) / (addresses.len() - index) as u32;
            match timer::within(share, self.connect(host, *address, share)).await {
                Some(Ok(dialled)) => return Ok(dialled),
                Some(Err(error)) => last = error,
                None => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }

    async fn connect(&self, host: &str, address: SocketAddr, limit: Duration) -> io::Result<Dialled> {
        let began = Instant::now();
        let stream = self.open(address).await?;
        // A little less than there is, so that a handshake can still say that it is what took so long.
        self.secure(stream, host, limit.saturating_sub(began.elapsed()) * 19 / 20).await
    }

    #[cfg(feature = "tls")]
    pub(super) async fn secure(&self, stream: TcpStream, host: &str, limit: Duration) -> io::Result<Dialled> {
        let Some(tls) = &self.tls else { return plain(stream) };
        let socket = Arc::new(Beneath(Duplicate::of(&SockRef::from(&stream))?));
        Ok(Dialled { io: Box::new(tls.wrap(stream, host, limit).await?), socket })
    }

    #[cfg(not(feature = "tls"))]
    pub(super) async fn secure(&self, stream: TcpStream, _: &str, _: Duration) -> io::Result<Dialled> {
        plain(stream)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that dials")]
    pub(super) async fn open(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_nodelay(true)?;
        let options = SockRef::from(&socket);
        let keepalive =
            TcpKeepalive::new().with_time(Duration::from_secs(15)).with_interval(Duration::from_secs(5));
        options.set_tcp_keepalive(&keepalive)?;
        #[cfg(target_os = "linux")]
        options.set_tcp_user_timeout(Some(self.unacknowledged))?;
        socket.connect(address).await
    }
}

fn plain(stream: TcpStream) -> io::Result<Dialled> {
    let socket = Arc::new(Duplicate::of(&SockRef::from(&stream))?);
    Ok(Dialled { io: Box::new(stream), socket })
}

#[cfg(unix)]
#[expect(clippy::disallowed_methods, reason = "this is the one place that dials")]
pub(super) async fn unix(path: &std::path::Path) -> io::Result<Dialled> {
    let stream = tokio::net::UnixStream::connect(path).await?;
    let socket = Arc::new(Duplicate::of(&SockRef::from(&stream))?);
    Ok(Dialled { io: Box::new(stream), socket })
}

#[cfg(not(unix))]
pub(super) async fn unix(_: &std::path::Path) -> io::Result<Dialled> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this platform has no Unix sockets"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::transport::Io;

    const UNACKNOWLEDGED: Duration = Duration::from_millis(300);

    /// Our end as the pool has it, and the server's as the system gives it.
    async fn dialled() -> (Box<dyn Io>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::parse(&format!("redis://{}", listener.local_addr().unwrap())).unwrap();
        let config = PoolConfig { socket_timeout: UNACKNOWLEDGED, ..PoolConfig::default() };
        let network = Network::plain(&config);
        let ours = network.dial(&target, Duration::from_secs(5)).await.unwrap();
        (ours.io, listener.accept().unwrap().0)
    }

    #[tokio::test]
    async fn a_small_write_does_not_wait_for_the_acknowledgement_of_the_one_before() {
        let (mut ours, mut theirs) = dialled().await;
        let mut waits = Vec::new();
        for _ in 0..10 {
            // A conversation, in which the system delays what it acknowledges by 40 ms.
            theirs.write_all(b"?").unwrap();
            SockRef::from(&theirs).set_tcp_quickack(false).unwrap();
            ours.write_all(b"a").await.unwrap();
            ours.write_all(b"b").await.unwrap();
            let began = Instant::now();
            theirs.read_exact(&mut [0; 2]).unwrap();
            waits.push(began.elapsed());
        }
        waits.sort_unstable();
        assert!(waits[5] < Duration::from_millis(20), "{waits:?}");
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_more_is_given_up_by_the_system() {
        let (mut ours, theirs) = dialled().await;
        let flood = vec![0; 64 << 20];
        let began = Instant::now();
        let error = timer::within(Duration::from_secs(10), ours.write_all(&flood)).await;
        let error = error.expect("it ends by itself").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        assert!(began.elapsed() >= UNACKNOWLEDGED);
        drop(theirs);
    }

    #[tokio::test]
    async fn a_silent_peer_is_asked_after_15_s_whether_it_is_still_there() {
        let (_ours, theirs) = dialled().await;
        let (ours, theirs) = (theirs.peer_addr().unwrap().port(), theirs.local_addr().unwrap().port());
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|fields| {
            fields[1].ends_with(&format!(":{ours:04X}")) && fields[2].ends_with(&format!(":{theirs:04X}"))
        });
        let timer = fields.expect("our connection")[5].to_owned();
        // The timer for asking, and when it is due, in hundredths of a second.
        let due = timer.strip_prefix("02:").unwrap_or_else(|| panic!("no such timer: {timer}"));
        let due = u64::from_str_radix(due, 16).unwrap();
        assert!((1_000..=1_600).contains(&due), "due in {due} hundredths of a second");
    }
}
