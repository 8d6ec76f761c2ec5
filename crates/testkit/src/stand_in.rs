//! A sentinel that says what a test tells it to.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::canned::{Answer, Canned};

/// Answers who the master is, and takes subscriptions; it watches nobody, and announces what it is told to.
pub struct StandInSentinel {
    peer: Canned,
    named: Arc<Mutex<Option<SocketAddr>>>,
}

impl StandInSentinel {
    /// One that names this master; or knows of none.
    pub fn naming(master: impl Into<Option<SocketAddr>>) -> Self {
        let named = Arc::new(Mutex::new(master.into()));
        let says = Arc::clone(&named);
        let peer = Canned::answering(move |_, asked| {
            let asked = String::from_utf8_lossy(asked).to_ascii_lowercase();
            let (mut reply, mut follows) = (String::new(), false);
            for word in asked.split("\r\n") {
                match (word, *says.lock()) {
                    ("auth", _) => reply.push_str("+OK\r\n"),
                    ("ping", _) => reply.push_str("*2\r\n$4\r\npong\r\n$0\r\n\r\n"),
                    ("subscribe", _) => {
                        follows = true;
                        reply.push_str("*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n");
                    }
                    ("get-master-addr-by-name", None) => reply.push_str("*-1\r\n"),
                    ("get-master-addr-by-name", Some(addr)) => {
                        let (host, port) = (addr.ip().to_string(), addr.port().to_string());
                        let (host_length, port_length) = (host.len(), port.len());
                        reply.push_str(&format!(
                            "*2\r\n${host_length}\r\n{host}\r\n${port_length}\r\n{port}\r\n"
                        ));
                    }
                    _ => {}
                }
            }
            match (reply.is_empty(), follows) {
                (true, _) => Answer::Silence,
                (false, true) => Answer::SendAndFollow(reply.into_bytes()),
                (false, false) => Answer::Send(reply.into_bytes()),
            }
        });
        Self { peer, named }
    }

    /// From now on it names another one, or none.
    pub fn name(&self, master: impl Into<Option<SocketAddr>>) {
        *self.named.lock() = master.into();
    }

    /// The same, and whoever listens to it hears of it.
    pub fn announce(&self, master: SocketAddr) {
        self.name(master);
        let text = format!("main 127.0.0.1 1 {} {}", master.ip(), master.port());
        let length = text.len();
        self.peer.tell(format!("*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n${length}\r\n{text}\r\n"));
    }

    /// How many listen to it.
    pub fn listeners(&self) -> usize {
        self.peer.followers()
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.peer.addr()
    }

    /// The URL of a pool that asks it for the master `main`.
    pub fn url(&self) -> String {
        format!("redis+sentinel://{}/main/0", self.addr())
    }

    /// How many connections it has accepted.
    pub fn accepted(&self) -> usize {
        self.peer.accepted()
    }
}

impl fmt::Debug for StandInSentinel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StandInSentinel").field("addr", &self.addr()).finish_non_exhaustive()
    }
}
