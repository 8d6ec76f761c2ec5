//! A real Redis or Valkey server, to be killed, frozen and restarted.

mod address;
mod binary;
mod builder;
mod observer;
mod port;
mod probe;
mod process;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tempfile::TempDir;

pub(crate) use self::address::tcp_url;
pub use self::builder::ServerBuilder;
pub use self::observer::Observer;
pub(crate) use self::port::PortLease;

use self::address::Address;
use self::process::{Process, Started};

/// How long a server may take to come up, on a machine that is busy with other tests.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A server of its own for a test or a test binary. Dropping it ends the process and removes its data.
///
/// It ends with the test process too, however that ends, so it may live in a `static LazyLock<Server>`.
pub struct Server {
    address: Address,
    password: Option<String>,
    tls: Option<PortLease>,
    mode: &'static [&'static str],
    dir: TempDir,
    process: Mutex<Option<Process>>,
    /// Counts the starts, so that observers know when their connection is of a former life.
    generation: Arc<AtomicU64>,
}

impl Server {
    /// Starts a server on a free loopback port that persists nothing.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Starts from other settings.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Where a client finds it, the password included.
    pub fn url(&self) -> String {
        self.address.url(self.password.as_deref())
    }

    /// Where a client finds it, without the password.
    pub fn url_without_password(&self) -> String {
        self.address.url(None)
    }

    /// The TCP address. Panics for a server on a Unix socket.
    pub fn addr(&self) -> SocketAddr {
        match &self.address {
            Address::Tcp(lease) => lease.addr(),
            Address::Unix(path) => panic!("the server listens on {} only", path.display()),
        }
    }

    /// Where it speaks TLS. Panics if it does not.
    pub fn tls_addr(&self) -> SocketAddr {
        self.tls.as_ref().expect("a server that was started with TLS").addr()
    }

    /// The TCP port. Panics for a server on a Unix socket.
    pub fn port(&self) -> u16 {
        self.addr().port()
    }

    /// The password it was started with.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The server's own process id. Panics while it is not running.
    pub fn pid(&self) -> u32 {
        self.process.lock().as_ref().expect("the server is not running").pid()
    }

    /// Whether the process is there; a frozen one is.
    pub fn is_running(&self) -> bool {
        self.process.lock().as_mut().is_some_and(|process| !process.has_exited())
    }

    /// Ends the process with SIGKILL and waits until it is gone. A [persistent](ServerBuilder::persistent)
    /// server's data stays. The port refuses until [`restart`](Self::restart); no other server of this kit
    /// takes it meanwhile.
    pub fn kill(&self) {
        if let Some(process) = self.process.lock().take() {
            process.kill();
            self.generation.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Stops the process where it is (SIGSTOP): its sockets stay open, and nothing answers. Returns when it has
    /// stopped.
    pub fn freeze(&self) {
        self.process.lock().as_ref().expect("the server is not running").freeze();
    }

    /// Lets a frozen process go on (SIGCONT).
    pub fn thaw(&self) {
        self.process.lock().as_ref().expect("the server is not running").thaw();
    }

    /// Starts it again on the same address, killing it first if it runs, and returns when it serves. The result
    /// is the time at which the port first accepted a connection.
    pub fn restart(&self) -> Instant {
        self.kill();
        let give_up = Instant::now() + Duration::from_secs(5);
        loop {
            match Process::start(self.dir.path(), &self.address, self.password.as_deref(), self.mode) {
                Ok(started) => return self.install(started),
                // A client socket of the former life may still hold the port for a moment.
                Err(failure) if failure.address_in_use && Instant::now() < give_up => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(failure) => panic!("the server did not come back: {}", failure.log),
            }
        }
    }

    /// A plain client that sees the server from outside any pool.
    pub fn observer(&self) -> Observer {
        Observer::new(&self.url(), Arc::clone(&self.generation))
    }

    fn install(&self, started: Started) -> Instant {
        *self.process.lock() = Some(started.process);
        started.first_accepted
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("url", &self.url_without_password()).finish_non_exhaustive()
    }
}
