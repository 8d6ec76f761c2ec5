//! The two sides of a connection. Each reads its socket eagerly and writes when the modes allow.
//!
//! Bytes wait in a queue between the sides, not in a socket: a reset by the peer would empty that.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, sleep_until, timeout};

use super::link::{Held, Shared, reset, until};
use super::modes::Direction;
use super::registry::Entry;

/// After a truncation the client is given this long to notice the end before its socket is dropped.
const FAREWELL: Duration = Duration::from_secs(5);

/// What the two sides know of each other.
pub(super) struct Link {
    shared: Arc<Shared>,
    entry: Entry,
    /// The reply to a request of this connection is not to be delivered.
    doomed: AtomicBool,
    /// Something was swallowed. No network would deliver what comes after it, so nothing passes any more.
    broken: AtomicBool,
    /// The server's side ended in a way that the client is to see as a reset.
    server_was_reset: Notify,
}

/// Bytes, and when they may go on.
pub(super) struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
}

impl Link {
    pub(super) fn new(shared: Arc<Shared>, entry: Entry) -> Self {
        Self {
            shared,
            entry,
            doomed: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            server_was_reset: Notify::new(),
        }
    }

    fn held(&self, direction: Direction) -> &Held {
        match direction {
            Direction::Requests => &self.shared.held_requests,
            Direction::Replies => &self.shared.held_replies,
        }
    }

    /// Reads until the end of `stream`; an error when it was reset.
    async fn read_all(&self, stream: &TcpStream, queue: Queue, direction: Direction) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = read(stream, &mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            match direction {
                Direction::Requests => self.doom_if_asked(),
                Direction::Replies if self.doomed.load(Ordering::SeqCst) => {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                Direction::Replies => {}
            }
            let (lost, delay) = {
                let modes = self.shared.modes.borrow();
                (modes.blackhole, modes.delay(direction))
            };
            if lost {
                self.broken.store(true, Ordering::SeqCst);
            } else if self.broken.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::ConnectionReset.into());
            } else {
                queue.push(self.held(direction), Instant::now() + delay, &buffer[..count]);
            }
        }
    }

    fn doom_if_asked(&self) {
        if std::mem::take(&mut self.shared.one_shot.lock().doom_next_request) {
            self.doomed.store(true, Ordering::SeqCst);
        }
    }

    async fn next(&self, queue: &mut Backlog<'_>, direction: Direction) -> Option<Vec<u8>> {
        let chunk = queue.receiver.recv().await?;
        queue.in_hand = chunk.bytes.len();
        sleep_until(chunk.due).await;
        until(&self.shared, |modes| !modes.stalled(direction)).await;
        Some(chunk.bytes)
    }

    async fn write(&self, stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
        if !self.shared.modes.borrow().one_byte {
            return write_all(stream, bytes).await;
        }
        for byte in bytes {
            write_all(stream, std::slice::from_ref(byte)).await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

/// How a client's side ends.
enum End {
    Close,
    Reset,
    Truncated,
}

pub(super) async fn client_side(
    link: &Link,
    client: TcpStream,
    to_server: UnboundedSender<Chunk>,
    replies: UnboundedReceiver<Chunk>,
) {
    let read_requests = async {
        if link.read_all(&client, Queue(to_server), Direction::Requests).await.is_ok() {
            link.entry.client_left();
            pending::<()>().await;
        }
    };
    let end = tokio::select! {
        biased;
        () = until(&link.shared, |modes| link.entry.is_client_cut(modes)) => End::Reset,
        () = link.server_was_reset.notified() => End::Reset,
        () = read_requests => End::Reset,
        end = write_replies(link, &client, replies) => end,
    };
    match end {
        End::Close => {}
        End::Reset => reset(&client),
        End::Truncated => {
            let _ = SockRef::from(&client).shutdown(std::net::Shutdown::Write);
            let mut ignored = [0; 4096];
            let read_out = async { while read(&client, &mut ignored).await.is_ok_and(|count| count > 0) {} };
            tokio::select! {
                () = until(&link.shared, |modes| link.entry.is_client_cut(modes)) => reset(&client),
                _ = timeout(FAREWELL, read_out) => {}
            }
        }
    }
    drop(client);
    link.entry.client_left();
}

async fn write_replies(link: &Link, client: &TcpStream, replies: UnboundedReceiver<Chunk>) -> End {
    let mut replies = Backlog::new(replies, link.held(Direction::Replies));
    while let Some(bytes) = link.next(&mut replies, Direction::Replies).await {
        let (allowed, last) = link.shared.one_shot.lock().take_reply_budget(bytes.len());
        let written = link.write(client, &bytes[..allowed]).await;
        replies.done();
        if written.is_err() {
            return End::Reset;
        }
        if last {
            return End::Truncated;
        }
    }
    End::Close
}

pub(super) async fn server_side(
    link: &Link,
    server: TcpStream,
    to_client: UnboundedSender<Chunk>,
    requests: UnboundedReceiver<Chunk>,
) {
    let abrupt = tokio::select! {
        biased;
        () = until(&link.shared, |modes| link.entry.is_cut(modes)) => true,
        end = link.read_all(&server, Queue(to_client), Direction::Replies) => end.is_err(),
        () = write_requests(link, &server, requests) => true,
    };
    if abrupt {
        reset(&server);
        link.server_was_reset.notify_one();
    }
}

/// Ends only when the server no longer takes anything.
async fn write_requests(link: &Link, server: &TcpStream, requests: UnboundedReceiver<Chunk>) {
    let mut requests = Backlog::new(requests, link.held(Direction::Requests));
    while let Some(bytes) = link.next(&mut requests, Direction::Requests).await {
        let written = link.write(server, &bytes).await;
        requests.done();
        if written.is_err() {
            return;
        }
    }
    // The client has left and all it sent is delivered; the server closes when it has answered.
    let _ = SockRef::from(server).shutdown(std::net::Shutdown::Write);
    pending::<()>().await;
}

/// The end of a queue at which bytes go in.
struct Queue(UnboundedSender<Chunk>);

impl Queue {
    fn push(&self, held: &Held, due: Instant, bytes: &[u8]) {
        held.add(bytes.len());
        // The other side may have ended; then the bytes are lost like any sent to a closed peer.
        if self.0.send(Chunk { due, bytes: bytes.to_vec() }).is_err() {
            held.sub(bytes.len());
        }
    }
}

/// The end at which they come out. Dropped, it takes what is left out of the count.
struct Backlog<'a> {
    receiver: UnboundedReceiver<Chunk>,
    held: &'a Held,
    in_hand: usize,
}

impl<'a> Backlog<'a> {
    fn new(receiver: UnboundedReceiver<Chunk>, held: &'a Held) -> Self {
        Self { receiver, held, in_hand: 0 }
    }

    /// What was taken out last has been passed on.
    fn done(&mut self) {
        self.held.sub(std::mem::take(&mut self.in_hand));
    }
}

impl Drop for Backlog<'_> {
    fn drop(&mut self) {
        self.done();
        self.receiver.close();
        while let Ok(chunk) = self.receiver.try_recv() {
            self.held.sub(chunk.bytes.len());
        }
    }
}

pub(super) async fn read(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
