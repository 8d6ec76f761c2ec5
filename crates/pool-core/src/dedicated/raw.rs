//! A dialled, budgeted byte stream that nobody has greeted: what other clients can be built on.

use std::fmt;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use redis::RedisConnectionInfo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;

use super::bench::{Bench, Place};
use super::checkout::wait_for_place;
use super::guest::Guest;
use crate::error::{Error, Kind};
use crate::panics;
use crate::pool::{Shared, current_runtime};
use crate::transport::Io;

/// A raw stream to Redis. It holds its place in the pool's budget until it is dropped, and closing the pool
/// ends it. One that [yields](RawPlace) also ends when others need its place while it is quiet.
pub struct DedicatedIo {
    io: Box<dyn Io>,
    guest: Arc<Guest>,
    info: RedisConnectionInfo,
    bench: Bench,
    holder: u64,
}

impl DedicatedIo {
    /// User, password, database and protocol, for whoever greets the server.
    pub fn connection_info(&self) -> &RedisConnectionInfo {
        &self.info
    }
}

/// The right to one raw stream that yields its place.
///
/// When every place is taken and somebody waits for one, the stream is ended that was quiet for longest: whose commands
/// are all answered and that is not inside `WATCH`, `MULTI`, a blocking command or a subscription. Streams whose last
/// command is a lone `UNWATCH` count as let go by their users and come first; others are left alone for 250 ms after
/// their last reply.
pub struct RawPlace {
    shared: Arc<Shared>,
    handle: Handle,
    place: Place,
    at: &'static Location<'static>,
}

impl RawPlace {
    /// Dials, within the connect timeout.
    ///
    /// **Cancel safety.** Dropping it lets the dial come to its end, and then gives the place back.
    pub async fn dial(self) -> Result<DedicatedIo, Error> {
        dial(self.shared, &self.handle, self.place, self.at, true).await
    }
}

pub(crate) async fn open_raw(
    shared: Arc<Shared>,
    at: &'static Location<'static>,
) -> Result<DedicatedIo, Error> {
    let limit = shared.context.config.socket_timeout;
    let RawPlace { shared, handle, place, at } = reserve_raw(shared, at, limit).await?;
    dial(shared, &handle, place, at, false).await
}

pub(crate) async fn reserve_raw(
    shared: Arc<Shared>,
    at: &'static Location<'static>,
    limit: Duration,
) -> Result<RawPlace, Error> {
    let handle = current_runtime()?;
    shared.admit(&handle)?;
    let (place, idle) = wait_for_place(&shared, &handle, Instant::now(), limit).await?;
    if let Some(lane) = idle {
        // An idle connection speaks already; its place in the budget serves a new one.
        lane.check_in();
        lane.dismiss();
    }
    Ok(RawPlace { shared, handle, place, at })
}

async fn dial(
    shared: Arc<Shared>,
    handle: &Handle,
    place: Place,
    at: &'static Location<'static>,
    yields: bool,
) -> Result<DedicatedIo, Error> {
    shared.admit(handle)?;
    let context = shared.context.clone();
    // The place goes with the dial: given up in the middle, it is not free before the socket is closed.
    let dial = handle.spawn(async move {
        let dialled = context.connect_raw().await;
        dialled.map(|dialled| (dialled, place))
    });
    let ((io, held, target), place) = dial.await.map_err(|failed| {
        let ended = |_| "the tokio runtime of this call has ended".to_owned();
        let target = &shared.context.target;
        let why = failed.try_into_panic().map_or_else(ended, |panic| panics::cause(&*panic, target));
        Error::not_sent(Kind::Runtime, why)
    })??;
    let guest = Guest::new(yields, held, place);
    shared.bench.keep_raw(&guest);
    // Closing cuts what is kept; what was kept too late for that goes here.
    if shared.context.breaker.is_shut() {
        return Err(Error::closed());
    }
    Ok(DedicatedIo {
        io,
        guest,
        info: target.connection_info(),
        bench: shared.bench.clone(),
        holder: shared.bench.hold(at),
    })
}

impl AsyncRead for DedicatedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut *self.io).poll_read(cx, buf);
        self.guest.note_read(&buf.filled()[before..]);
        read
    }
}

impl AsyncWrite for DedicatedIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { io, guest, .. } = self.get_mut();
        guest.write([buf], || Pin::new(&mut **io).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { io, guest, .. } = self.get_mut();
        guest.write(bufs.iter().map(|part| &**part), || Pin::new(&mut **io).poll_write_vectored(cx, bufs))
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
        self.guest.leave();
    }
}

impl fmt::Debug for DedicatedIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DedicatedIo").finish_non_exhaustive()
    }
}

impl fmt::Debug for RawPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawPlace").finish_non_exhaustive()
    }
}
