//! Accepting connections and giving each its two sides.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use super::modes::{Modes, OneShot};
use super::pump::{self, Link};
use super::registry::{Entry, Registry};

/// What the proxy's owner and its connections have in common.
pub(super) struct Shared {
    pub(super) modes: watch::Sender<Modes>,
    pub(super) one_shot: Mutex<OneShot>,
    pub(super) upstream: Mutex<SocketAddr>,
    pub(super) registry: Arc<Registry>,
    pub(super) held_requests: Held,
    pub(super) held_replies: Held,
}

impl Shared {
    pub(super) fn new(upstream: SocketAddr) -> Self {
        Self {
            modes: watch::Sender::new(Modes::default()),
            one_shot: Mutex::default(),
            upstream: Mutex::new(upstream),
            registry: Arc::default(),
            held_requests: Held::default(),
            held_replies: Held::default(),
        }
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut Modes)) {
        self.modes.send_modify(change);
    }

    /// Cuts what was accepted and what waits to be, and returns when it is done.
    pub(super) fn cut(&self, listener: &TcpListener, counter: impl FnOnce(&mut Modes) -> &mut u64) {
        let mut entries = self.registry.lock();
        while let Ok((waiting, _)) = listener.accept() {
            entries.count_accepted();
            reset(&waiting);
        }
        self.set(|modes| *counter(modes) += 1);
        drop(entries);
        let modes = self.modes.borrow().clone();
        self.registry.wait_for_cuts(&modes);
    }
}

/// Bytes on their way through the proxy.
#[derive(Default)]
pub(super) struct Held(AtomicUsize);

impl Held {
    pub(super) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::SeqCst);
    }

    pub(super) fn sub(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::SeqCst);
    }
}

pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listening socket");
    loop {
        let accepted = poll_fn(|cx| {
            let mut entries = shared.registry.lock();
            let accepted = listener.poll_accept(cx);
            accepted.map_ok(|(client, _)| (client, entries.admit(&shared.registry, &shared.modes.borrow())))
        });
        match accepted.await {
            Ok((client, entry)) => drop(tokio::spawn(serve(Arc::clone(&shared), client, entry))),
            // Out of file descriptors, or the peer is gone already.
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn serve(shared: Arc<Shared>, client: TcpStream, entry: Entry) {
    let (refuse, reset_at_once) = {
        let modes = shared.modes.borrow();
        (modes.refuse, modes.reset)
    };
    if reset_at_once {
        reset(&client);
        return;
    }
    if refuse || client.set_nodelay(true).is_err() {
        return;
    }
    let Some(client) = outlast_blackhole(&shared, client, &entry).await else { return };
    let upstream = *shared.upstream.lock();
    let server = tokio::select! {
        server = TcpStream::connect(upstream) => server,
        () = until(&shared, |modes| entry.is_client_cut(modes)) => Err(io::ErrorKind::ConnectionReset.into()),
    };
    let Ok(server) = server.and_then(|server| server.set_nodelay(true).map(|()| server)) else {
        reset(&client);
        return;
    };

    let link = Link::new(shared, entry);
    let (to_server, requests) = mpsc::unbounded_channel();
    let (to_client, replies) = mpsc::unbounded_channel();
    tokio::join!(
        pump::client_side(&link, client, to_server, replies),
        pump::server_side(&link, server, to_client, requests),
    );
}

/// Loses what a client sends until the blackhole ends. `None` when the client is gone before, or has lost something
/// and so cannot go on.
async fn outlast_blackhole(shared: &Shared, client: TcpStream, entry: &Entry) -> Option<TcpStream> {
    let lost = AtomicBool::new(false);
    let lose_all = async {
        let mut buffer = [0; 4096];
        while pump::read(&client, &mut buffer).await.is_ok_and(|count| count > 0) {
            lost.store(true, Ordering::Relaxed);
        }
    };
    tokio::select! {
        biased;
        () = until(shared, |modes| entry.is_client_cut(modes)) => {}
        () = until(shared, |modes| !modes.blackhole) => if !lost.into_inner() { return Some(client) },
        () = lose_all => return None,
    }
    reset(&client);
    None
}

pub(super) async fn until(shared: &Shared, condition: impl FnMut(&Modes) -> bool) {
    let mut modes = shared.modes.subscribe();
    // The sender lives as long as `shared`, so this cannot fail.
    let _ = modes.wait_for(condition).await;
}

/// Makes the close that follows a reset: at once, without sending what is still buffered.
pub(super) fn reset<'s, S>(stream: &'s S)
where
    SockRef<'s>: From<&'s S>,
{
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
