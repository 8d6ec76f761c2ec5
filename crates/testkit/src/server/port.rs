//! Ports that stay one test's own, also while nothing listens on them.

use std::collections::hash_map::RandomState;
use std::env;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Below the ranges from which Linux, macOS and Windows number outgoing connections. From such a range a client
/// that redials a dead loopback port is in the end given that very port, and connects to itself.
const FIRST: u16 = 16_384;
const COUNT: u16 = 16_000;

/// A loopback port that no other lease holds, in this process or another, until it is dropped.
pub(crate) struct PortLease {
    port: u16,
    _lock: File,
}

impl PortLease {
    /// Takes a port that nothing listens on. Another program may still get there first: who binds it retries.
    pub(crate) fn take() -> Self {
        let start = RandomState::new().build_hasher().finish() % u64::from(COUNT);
        let start = u16::try_from(start).unwrap_or_default();
        (0..COUNT)
            .map(|step| FIRST + (start + step) % COUNT)
            .find_map(Self::try_port)
            .expect("no free loopback port")
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    fn try_port(port: u16) -> Option<Self> {
        let lock = lock_file(port)?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
        Some(Self { port, _lock: lock })
    }
}

/// The lock ends with its file, and so with the process.
fn lock_file(port: u16) -> Option<File> {
    let dir = env::temp_dir().join("cenote-testkit-ports");
    fs::create_dir_all(&dir).ok()?;
    let file = File::options().create(true).append(true).open(dir.join(port.to_string())).ok()?;
    #[cfg(unix)]
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_leases_are_the_same() {
        let leases: Vec<_> = (0..50).map(|_| PortLease::take()).collect();
        let ports: HashSet<_> = leases.iter().map(PortLease::addr).collect();
        assert_eq!(ports.len(), leases.len());
        #[cfg(unix)]
        assert!(PortLease::try_port(leases[0].port).is_none());
    }
}
