//! TCP and Unix sockets. Everything else in the workspace is barred from opening any.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpSocket;

use super::socket::Duplicate;
use super::{Connector, Dialled};
use crate::config::{Address, Target};
use crate::timer;

/// Dials the operating system's network.
pub(crate) struct Network {
    /// How long sent bytes may stay unacknowledged before the kernel gives the connection up.
    pub(crate) unacknowledged: Duration,
}

#[async_trait]
impl Connector for Network {
    async fn dial(&self, target: &Target, limit: Duration) -> io::Result<Dialled> {
        match &target.address {
            Address::Tcp { host, port } => self.tcp(host, *port, limit).await,
            Address::Unix(path) => unix(path).await,
        }
    }
}

impl Network {
    async fn tcp(&self, host: &str, port: u16, limit: Duration) -> io::Result<Dialled> {
        let began = Instant::now();
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
        for (index, address) in addresses.iter().enumerate() {
            // One dead address must not use up what the others could have had.
            let share = limit.saturating_sub(began.elapsed()) / (addresses.len() - index) as u32;
            match timer::within(share, self.connect(*address)).await {
                Some(Ok(dialled)) => return Ok(dialled),
                Some(Err(error)) => last = error,
                None => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that dials")]
    async fn connect(&self, address: SocketAddr) -> io::Result<Dialled> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_nodelay(true)?;
        let options = SockRef::from(&socket);
        let keepalive =
            TcpKeepalive::new().with_time(Duration::from_secs(15)).with_interval(Duration::from_secs(5));
        options.set_tcp_keepalive(&keepalive)?;
        #[cfg(target_os = "linux")]
        options.set_tcp_user_timeout(Some(self.unacknowledged))?;
        let stream = socket.connect(address).await?;
        let socket = Arc::new(Duplicate::of(&SockRef::from(&stream))?);
        Ok(Dialled { io: Box::new(stream), socket })
    }
}

#[cfg(unix)]
#[expect(clippy::disallowed_methods, reason = "this is the one place that dials")]
async fn unix(path: &std::path::Path) -> io::Result<Dialled> {
    let stream = tokio::net::UnixStream::connect(path).await?;
    let socket = Arc::new(Duplicate::of(&SockRef::from(&stream))?);
    Ok(Dialled { io: Box::new(stream), socket })
}

#[cfg(not(unix))]
async fn unix(_: &std::path::Path) -> io::Result<Dialled> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this platform has no Unix sockets"))
}
