//! Peers that are not Redis, and addresses where there is nobody.

use std::fmt;
use std::mem;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::broadcast;

use crate::background::Background;
use crate::server::{PortLease, tcp_url};

/// A listener whose answers have nothing to do with what it is asked.
pub struct Canned {
    addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
    told: broadcast::Sender<Vec<u8>>,
    _background: Background,
}

/// So many tellings may wait for a connection that does not take them.
const UNTOLD: usize = 1_000;

impl Canned {
    /// Answers the first bytes of every connection with `reply`, then reads on and says nothing more.
    pub fn replying(reply: impl Into<Vec<u8>>) -> Self {
        let reply = reply.into();
        Self::answering(move |turn, _| if turn == 0 { Answer::Send(reply.clone()) } else { Answer::Silence })
    }

    /// A web server that was mistaken for a Redis: it answers once and closes.
    pub fn http() -> Self {
        let page = "<html><body>400 Bad Request</body></html>";
        let reply = format!(
            "HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{page}",
            page.len()
        );
        Self::answering(move |_, _| Answer::SendAndClose(reply.clone().into_bytes()))
    }

    /// Answers what arrives as `script` says: it is given how many reads of this connection came before, and the
    /// bytes of this one. A handshake can so succeed before the rubbish starts.
    pub fn answering(script: impl Fn(usize, &[u8]) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        listener.set_nonblocking(true).expect("a socket option");
        let addr = listener.local_addr().expect("the bound address");
        let accepted = Arc::new(AtomicUsize::new(0));
        let (script, count) = (Arc::new(script), Arc::clone(&accepted));
        let told = broadcast::Sender::new(UNTOLD);
        let telling = told.clone();
        let background = Background::spawn("canned-peer", async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listening socket");
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (script, telling) = (Arc::clone(&script), telling.clone());
                tokio::spawn(async move { serve(stream, &*script, telling).await });
            }
        });
        Self { addr, accepted, told, _background: background }
    }

    /// Sends these bytes unasked on each connection that follows: one that was answered by
    /// [`Answer::SendAndFollow`].
    pub fn tell(&self, bytes: impl Into<Vec<u8>>) {
        let _ = self.told.send(bytes.into());
    }

    /// How many connections follow.
    pub fn followers(&self) -> usize {
        self.told.receiver_count()
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it listens, as if it were a Redis.
    pub fn url(&self) -> String {
        tcp_url(self.addr, None)
    }

    /// How many connections it has accepted.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Canned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canned").field("addr", &self.addr).finish_non_exhaustive()
    }
}

/// What a [`Canned`] peer does when bytes arrive.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes, and afterwards what the peer is told to [tell](Canned::tell).
    SendAndFollow(Vec<u8>),
    /// Sends these bytes and closes.
    SendAndClose(Vec<u8>),
    /// Reads on.
    Silence,
    /// Closes.
    Close,
}

async fn serve(
    mut stream: TcpStream,
    script: &(impl Fn(usize, &[u8]) -> Answer + Sync),
    telling: broadcast::Sender<Vec<u8>>,
) {
    let mut buffer = vec![0; 64 * 1024];
    let (mut turn, mut following) = (0, None);
    loop {
        let read = tokio::select! {
            read = stream.read(&mut buffer) => read,
            told = next(&mut following) => {
                if stream.write_all(&told).await.is_err() {
                    return;
                }
                continue;
            }
        };
        let Ok(count @ 1..) = read else { return };
        let written = match script(turn, &buffer[..count]) {
            Answer::Send(reply) => stream.write_all(&reply).await,
            Answer::SendAndFollow(reply) => {
                following.get_or_insert_with(|| telling.subscribe());
                stream.write_all(&reply).await
            }
            Answer::SendAndClose(reply) => {
                let _ = stream.write_all(&reply).await;
                return;
            }
            Answer::Silence => Ok(()),
            Answer::Close => return,
        };
        if written.is_err() {
            return;
        }
        turn += 1;
    }
}

async fn next(following: &mut Option<broadcast::Receiver<Vec<u8>>>) -> Vec<u8> {
    match following {
        Some(following) => following.recv().await.expect("no more than a connection can take"),
        None => std::future::pending().await,
    }
}

/// A loopback address that refuses every connection, until this process ends.
pub fn dead_port() -> SocketAddr {
    let lease = PortLease::take();
    let addr = lease.addr();
    // Kept for good: nobody else shall start to listen there.
    mem::forget(lease);
    addr
}

/// An address where a connection attempt hangs: on Linux the handshake is never answered, because the listener's
/// backlog is full. It lasts as long as the result is kept.
pub fn blackhole_addr() -> Blackhole {
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a loopback port");
    listener.listen(0).expect("a listening socket");
    let listener = TcpListener::from(listener);
    let addr = listener.local_addr().expect("the bound address");
    let mut fill = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&addr, FILL_PAUSE) {
        fill.push(stream);
        assert!(fill.len() < 1000, "this system's backlog cannot be filled");
    }
    Blackhole { addr, _listener: listener, _fill: fill }
}

/// A place in the backlog is given within microseconds on loopback; this tells the last one given.
const FILL_PAUSE: std::time::Duration = std::time::Duration::from_millis(150);

/// Keeps an address hanging: see [`blackhole_addr`].
#[derive(Debug)]
pub struct Blackhole {
    addr: SocketAddr,
    _listener: TcpListener,
    _fill: Vec<std::net::TcpStream>,
}

impl Blackhole {
    /// The address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address as a Redis URL.
    pub fn url(&self) -> String {
        tcp_url(self.addr, None)
    }
}
