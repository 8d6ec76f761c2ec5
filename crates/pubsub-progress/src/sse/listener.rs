//! A listener whose connections end when the other side does not read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// A listener for `axum::serve` whose connections end when the other side has not read for a while.
///
/// A response cannot see that its client has stopped reading: the system takes some megabytes for it, and from then on nobody
/// asks the response for more. So the system's buffer is bounded here, and a connection ends with
/// [`TimedOut`](io::ErrorKind::TimedOut) once a write has waited for the deadline; each byte that goes begins it anew. Other
/// connections notice nothing. Long downloads by slow clients go on, as long as they go on at all.
///
/// ```no_run
/// # async fn run(app: axum::Router) -> std::io::Result<()> {
/// use cenote_pubsub_progress::sse::WriteTimeoutListener;
///
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// axum::serve(WriteTimeoutListener::new(listener), app).await
/// # }
/// ```
///
/// For `into_make_service_with_connect_info::<SocketAddr>()` put axum's `tap_io` around it:
/// `WriteTimeoutListener::new(listener).tap_io(|_| {})`.
#[derive(Debug)]
#[must_use]
pub struct WriteTimeoutListener<L> {
    listener: L,
    deadline: Duration,
    send_buffer: usize,
}

impl<L: Listener<Io = TcpStream>> WriteTimeoutListener<L> {
    /// Around a TCP listener, or one with axum's `tap_io`.
    pub fn new(listener: L) -> Self {
        Self { listener, deadline: Duration::from_secs(10), send_buffer: 128 << 10 }
    }

    /// How long a write may wait for the other side. Default: 10 s.
    pub fn deadline(mut self, time: Duration) -> Self {
        self.deadline = time;
        self
    }

    /// How many bytes the system may keep for one connection that were not acknowledged (`SO_SNDBUF`; Linux takes twice as
    /// much, for its own records). It bounds the speed to a client far away: divided by the round trip. Default: 128 KiB.
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = bytes;
        self
    }
}

impl<L: Listener<Io = TcpStream>> Listener for WriteTimeoutListener<L> {
    type Io = WriteTimeoutStream;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, addr) = self.listener.accept().await;
        // Only a socket that is gone already refuses, which its first read tells.
        let _ = SockRef::from(&stream).set_send_buffer_size(self.send_buffer);
        (WriteTimeoutStream { stream, deadline: self.deadline, waiting: None }, addr)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that a [`WriteTimeoutListener`] has accepted.
#[derive(Debug)]
pub struct WriteTimeoutStream {
    stream: TcpStream,
    deadline: Duration,
    /// Since a write has been waiting.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl WriteTimeoutStream {
    /// The connection itself, for its options.
    pub fn get_ref(&self) -> &TcpStream {
        &self.stream
    }

    fn within<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.waiting = None;
            return result;
        }
        let deadline = self.deadline;
        ready!(self.waiting.get_or_insert_with(|| Box::pin(sleep(deadline))).as_mut().poll(cx));
        // What lies in the system's buffer is not worth waiting for.
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl AsyncRead for WriteTimeoutStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for WriteTimeoutStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.within(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.within(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
