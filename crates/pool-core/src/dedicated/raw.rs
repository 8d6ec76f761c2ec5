//! A dialled, budgeted byte stream that nobody has greeted: what other clients can be built on.

use std::fmt;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use redis::RedisConnectionInfo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::bench::{Bench, Place};
use super::checkout::wait_for_place;
use crate::budget::{Held, Tenant};
use crate::error::{Error, Kind};
use crate::pool::{Shared, current_runtime};
use crate::transport::{Farewell, Io};

/// A raw stream to Redis. It holds its place in the pool's budget until it is dropped, and closing the pool
/// ends it.
pub struct DedicatedIo {
    io: Box<dyn Io>,
    held: Option<Held>,
    info: RedisConnectionInfo,
    bench: Bench,
    holder: u64,
    _place: Place,
}

impl DedicatedIo {
    /// User, password, database and protocol, for whoever greets the server.
    pub fn connection_info(&self) -> &RedisConnectionInfo {
        &self.info
    }
}

pub(crate) async fn open_raw(
    shared: Arc<Shared>,
    at: &'static Location<'static>,
) -> Result<DedicatedIo, Error> {
    let handle = current_runtime()?;
    shared.admit(&handle)?;
    let limit = shared.context.config.socket_timeout;
    let (place, idle) = wait_for_place(&shared, &handle, Instant::now(), limit).await?;
    if let Some(lane) = idle {
        // An idle connection speaks already; its place in the budget serves a new one.
        lane.check_in();
        lane.retire();
    }
    shared.admit(&handle)?;
    let context = shared.context.clone();
    let dial = handle.spawn(async move { context.connect_raw().await });
    let (io, held) = dial
        .await
        .map_err(|_| Error::not_sent(Kind::Runtime, "the tokio runtime of this call has ended"))??;
    if let Some(socket) = held.socket() {
        shared.bench.keep_raw(&socket);
    }
    // Closing cuts what is kept; what was kept too late for that goes here.
    if shared.context.breaker.is_shut() {
        return Err(Error::closed());
    }
    Ok(DedicatedIo {
        io,
        held: Some(held),
        info: shared.context.target.connection_info(),
        bench: shared.bench.clone(),
        holder: shared.bench.hold(at),
        _place: place,
    })
}

impl AsyncRead for DedicatedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for DedicatedIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_shutdown(cx)
    }
}

impl Drop for DedicatedIo {
    fn drop(&mut self) {
        self.bench.unhold(self.holder);
        if let Some(held) = self.held.take() {
            held.leave(Farewell::Finish);
        }
    }
}

impl fmt::Debug for DedicatedIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DedicatedIo").finish_non_exhaustive()
    }
}
