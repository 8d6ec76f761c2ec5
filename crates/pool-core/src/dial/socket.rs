//! A second handle on an open socket, for whoever ends it from outside.

use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::time::Duration;

use super::Socket;

/// A write to a connection that is gone must not end a process that has SIGPIPE at its default.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NO_SIGNAL: i32 = 0x4000;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const NO_SIGNAL: i32 = 0;

/// A duplicate of the descriptor: the connection closes once both are dropped.
pub(super) struct Duplicate(socket2::Socket);

impl Duplicate {
    pub(super) fn of(socket: &socket2::SockRef<'_>) -> io::Result<Self> {
        socket.try_clone().map(Self)
    }

    /// Bytes or the end have come and are not read yet.
    #[cfg(feature = "tls")]
    pub(super) fn has_news(&self) -> bool {
        match self.0.peek(&mut [MaybeUninit::uninit()]) {
            Ok(_) => true,
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        }
    }
}

// A socket that is already closed has nothing left to end: errors here tell nobody anything.
impl Socket for Duplicate {
    fn finish(&self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }

    fn abort(&self) {
        let _ = self.0.set_linger(Some(Duration::ZERO));
        let _ = self.0.shutdown(Shutdown::Both);
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send_with_flags(bytes, NO_SIGNAL)
    }

    fn is_closed(&self) -> bool {
        match self.0.peek(&mut [MaybeUninit::uninit()]) {
            Ok(count) => count == 0,
            Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        }
    }

    fn peer_closed(&self) -> bool {
        let mut rest = [MaybeUninit::uninit(); 4096];
        loop {
            match self.0.recv(&mut rest) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }
}
