//! What a byte stream is to the rest of the crate, whatever carries it.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

/// The stream that its task reads and writes (vectored writes included). TLS is one more implementation.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Io for T {}

/// The stream's other handle: ends it from any thread, also while its own runtime does not run.
pub(crate) trait Socket: Send + Sync {
    /// Says that no more comes from us; what was written still arrives.
    fn finish(&self);
    /// Throws away what was not yet sent.
    fn abort(&self);
    /// Writes what the kernel takes at once, past the stream: where that changes the bytes (TLS) it must refuse, with
    /// `WouldBlock`.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// The peer has closed the connection, as far as the kernel knows by now. Reads nothing.
    fn is_closed(&self) -> bool;
    /// The peer has closed its side. Reads and drops what it still sends, so only after [`finish`](Self::finish).
    fn peer_closed(&self) -> bool;
}

/// How a connection is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// The peer has closed it already.
    PeerGone,
    /// What was written still arrives.
    Finish,
    /// What was not sent is thrown away.
    Abort,
}
