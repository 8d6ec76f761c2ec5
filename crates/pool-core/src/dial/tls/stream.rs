//! The stream and its socket as the rest of the crate uses them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::explain::{Hints, explain};
use crate::dial::socket::Duplicate;
use crate::transport::Socket;

/// A TLS stream that sends what it was given without being asked to flush: whoever polls it for reading or writing
/// also moves what is left.
pub(in crate::dial) struct Stream {
    tls: TlsStream<TcpStream>,
    /// Encrypted bytes may wait for the socket to take more.
    unsent: bool,
    hints: Arc<Hints>,
}

impl Stream {
    pub(super) fn new(tls: TlsStream<TcpStream>, hints: Arc<Hints>) -> Self {
        Self { tls, unsent: false, hints }
    }

    fn send(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.unsent {
            match Pin::new(&mut self.tls).poll_flush(cx) {
                Poll::Ready(sent) => {
                    sent.map_err(|error| explain(&self.hints, error))?;
                    self.unsent = false;
                }
                Poll::Pending => {}
            }
        }
        Ok(())
    }

    /// The bytes were taken, so an error now is the next call's business.
    fn taken(&mut self, cx: &mut Context<'_>, count: usize) -> Poll<io::Result<usize>> {
        self.unsent = true;
        let _ = self.send(cx);
        Poll::Ready(Ok(count))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // What came is read even if nothing more can be sent: it may say why.
        let sent = self.send(cx);
        match ready!(Pin::new(&mut self.tls).poll_read(cx, buf)) {
            // A peer that was killed says no farewell. What of a reply is missing, the codec knows.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(explain(&self.hints, error))),
            Ok(()) if buf.filled().is_empty() => Poll::Ready(sent),
            Ok(()) => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.tls).poll_write(cx, buf))
            .map_err(|error| explain(&self.hints, error))?;
        self.taken(cx, count)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.tls).poll_write_vectored(cx, bufs))
            .map_err(|error| explain(&self.hints, error))?;
        self.taken(cx, count)
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx).map_err(|error| explain(&self.hints, error))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}

/// The socket beneath: it may end the connection, and must not write.
pub(in crate::dial) struct Beneath(pub(in crate::dial) Duplicate);

impl Socket for Beneath {
    fn finish(&self) {
        self.0.finish();
    }

    fn abort(&self) {
        self.0.abort();
    }

    fn try_write(&self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Asked while nothing is owed: what has come then is the farewell, or something as good as one.
    fn is_closed(&self) -> bool {
        self.0.has_news()
    }

    fn peer_closed(&self) -> bool {
        self.0.peer_closed()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::time::Duration;

    use cenote_testkit::Authority;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::ring;

    use super::super::{Identity, Tls};
    use super::*;
    use crate::config::{PoolConfig, Target};
    use crate::timer;

    const SOON: Duration = Duration::from_secs(30);

    fn acceptor(authority: &Authority) -> TlsAcceptor {
        let files = authority.issue("127.0.0.1");
        let identity = Identity::read(&files.cert_file, &files.key_file).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(identity.chain, identity.key)
            .unwrap();
        TlsAcceptor::from(Arc::new(server))
    }

    /// Our end, and the server's.
    async fn both() -> (Stream, tokio_rustls::server::TlsStream<TcpStream>) {
        let authority = Authority::new();
        let acceptor = acceptor(&authority);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = tokio::spawn(async move { acceptor.accept(listener.accept().await.unwrap().0).await });
        let target = Target::parse(&format!("rediss://{address}")).unwrap();
        let config = PoolConfig { tls_ca_file: Some(authority.ca_file()), ..PoolConfig::default() };
        let tls = Tls::new(&config, &target).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test of what follows a dial")]
        let stream = TcpStream::connect(address).await.unwrap();
        let ours = tls.wrap(stream, "127.0.0.1", SOON).await.unwrap();
        (ours, accepted.await.unwrap().unwrap())
    }

    #[tokio::test]
    async fn what_was_taken_is_sent_by_whoever_reads_next() {
        let (mut ours, mut theirs) = both().await;
        let chunk = vec![7; 16 << 10];
        let mut taken = 0;
        // Until neither the system nor rustls takes more.
        poll_fn(|cx| {
            while let Poll::Ready(count) = Pin::new(&mut ours).poll_write(cx, &chunk) {
                taken += count.unwrap();
            }
            Poll::Ready(())
        })
        .await;
        assert!(ours.unsent, "rustls holds back what the system did not take");
        let read = async {
            let (mut buffer, mut came) = (vec![0; 64 << 10], 0);
            while came < taken {
                came += theirs.read(&mut buffer).await.unwrap();
            }
        };
        let (mut nothing, mut waiting) = ([0], std::pin::pin!(read));
        let all = poll_fn(|cx| {
            let mut nothing = ReadBuf::new(&mut nothing);
            assert!(Pin::new(&mut ours).poll_read(cx, &mut nothing).is_pending());
            waiting.as_mut().poll(cx)
        });
        assert!(timer::within(SOON, all).await.is_some(), "all that was taken arrives");
    }
}
