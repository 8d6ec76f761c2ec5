//! A proxy that stands between a pool and its server and fails in chosen ways.

mod link;
mod modes;
mod pump;
mod registry;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use self::link::Shared;
use self::modes::Modes;
use crate::background::Background;
use crate::server::{Server, tcp_url};

/// Forwards connections to a server, faithfully until told otherwise.
///
/// Each mode applies from the moment its method returns, to connections that exist and to new ones, and lasts
/// until it is switched off or [`pass`](Self::pass) is called. The proxy lives on a thread of its own.
pub struct Proxy {
    addr: SocketAddr,
    password: Option<String>,
    listener: TcpListener,
    shared: Arc<Shared>,
    _background: Background,
}

impl Proxy {
    /// Listens on a free loopback port and forwards to `upstream`.
    pub fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        listener.set_nonblocking(true).expect("a socket option");
        let addr = listener.local_addr().expect("the bound address");
        let shared = Arc::new(Shared::new(upstream));
        let accepting = listener.try_clone().expect("a second handle of the listener");
        let background = Background::spawn("fault-proxy", link::accept(accepting, Arc::clone(&shared)));
        Self { addr, password: None, listener, shared, _background: background }
    }

    /// Stands before `server`, with its password in [`url`](Self::url).
    pub fn to(server: &Server) -> Self {
        Self { password: server.password().map(str::to_owned), ..Self::start(server.addr()) }
    }

    /// Where a client finds the proxy.
    pub fn url(&self) -> String {
        tcp_url(self.addr, self.password.as_deref())
    }

    /// Where the proxy listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many connections it has accepted since it started, whatever became of them.
    pub fn accepted(&self) -> usize {
        self.shared.registry.accepted()
    }

    /// How many connections are open on the client's side.
    pub fn open(&self) -> usize {
        self.shared.registry.open()
    }

    /// Bytes of requests that have arrived here and have not been passed on.
    pub fn held_requests(&self) -> usize {
        self.shared.held_requests.get()
    }

    /// Bytes of replies that have arrived here and have not been passed on.
    pub fn held_replies(&self) -> usize {
        self.shared.held_replies.get()
    }

    /// Forwards new connections to another server.
    pub fn set_upstream(&self, upstream: SocketAddr) {
        *self.shared.upstream.lock() = upstream;
    }

    /// Ends every mode and delivers what is held.
    pub fn pass(&self) {
        self.shared.one_shot.lock().clear();
        self.shared.set(Modes::pass);
    }

    /// Resets both sides of every connection (RST) and drops what they held. Returns when that is done; new
    /// connections pass.
    pub fn cut(&self) {
        self.shared.cut(&self.listener, |modes| &mut modes.cuts);
    }

    /// Resets the clients' side only. What they had sent still goes to the server, and when it is
    /// [stalled](Self::stall_requests) it goes at [`release`](Self::release).
    pub fn cut_clients(&self) {
        self.shared.cut(&self.listener, |modes| &mut modes.client_cuts);
    }

    /// Forwards what the next request brings and resets its connection when bytes come back, without delivering
    /// any. No request should be in flight on that connection before.
    pub fn cut_next_reply(&self) {
        self.shared.one_shot.lock().doom_next_request = true;
    }

    /// Delivers `bytes` more bytes of replies in total, then closes the connection that had the last of them.
    /// It ends with a FIN: a reset could take the delivered bytes with it.
    pub fn truncate_reply_after(&self, bytes: usize) {
        self.shared.one_shot.lock().reply_budget = Some(bytes);
    }

    /// Accepts and closes at once.
    pub fn refuse_after_accept(&self, on: bool) {
        self.shared.set(|modes| modes.refuse = on);
    }

    /// Accepts and resets at once (RST).
    pub fn reset_on_accept(&self, on: bool) {
        self.shared.set(|modes| modes.reset = on);
    }

    /// Accepts, reads, and loses everything in both directions. A connection accepted meanwhile reaches the
    /// server only when this ends. One that lost something is reset by the first bytes after the end: a network
    /// delivers nothing behind a hole.
    pub fn blackhole(&self, on: bool) {
        self.shared.set(|modes| modes.blackhole = on);
    }

    /// Holds what clients send until [`release`](Self::release), also when they are gone by then.
    pub fn stall_requests(&self) {
        self.shared.set(|modes| modes.stall_requests = true);
    }

    /// Holds what the server answers until [`release`](Self::release).
    pub fn stall_replies(&self) {
        self.shared.set(|modes| modes.stall_replies = true);
    }

    /// Passes on all that is held, in order, and stalls no more.
    pub fn release(&self) {
        self.shared.set(|modes| (modes.stall_requests, modes.stall_replies) = (false, false));
    }

    /// Passes on requests this much later. The throughput stays.
    pub fn delay_requests(&self, delay: Duration) {
        self.shared.set(|modes| modes.delay_requests = delay);
    }

    /// Passes on replies this much later. The throughput stays.
    pub fn delay_replies(&self, delay: Duration) {
        self.shared.set(|modes| modes.delay_replies = delay);
    }

    /// Passes on each byte of either direction in a write of its own.
    pub fn one_byte_at_a_time(&self, on: bool) {
        self.shared.set(|modes| modes.one_byte = on);
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("addr", &self.addr).finish_non_exhaustive()
    }
}
