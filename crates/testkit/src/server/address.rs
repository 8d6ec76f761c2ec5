//! Where a server listens, and the URL that says so.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::PortLease;

pub(super) enum Address {
    Tcp(PortLease),
    Unix(PathBuf),
}

impl Address {
    pub(super) fn url(&self, password: Option<&str>) -> String {
        match (self, password) {
            (Self::Tcp(lease), password) => tcp_url(lease.addr(), password),
            (Self::Unix(path), None) => format!("unix://{}", path.display()),
            (Self::Unix(path), Some(password)) => {
                format!("unix://{}?pass={}", path.display(), percent_encode(password))
            }
        }
    }
}

/// The URL of database 0 at `addr`.
pub(crate) fn tcp_url(addr: std::net::SocketAddr, password: Option<&str>) -> String {
    match password {
        None => format!("redis://{addr}/0"),
        Some(password) => format!("redis://:{}@{addr}/0", percent_encode(password)),
    }
}

/// Escapes all but the characters that mean nothing anywhere in a URL.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_escaped_in_the_url() {
        let addr = "127.0.0.1:6379".parse().unwrap();
        assert_eq!(tcp_url(addr, Some("p@ss/w:r d")), "redis://:p%40ss%2Fw%3Ar%20d@127.0.0.1:6379/0");
        let unix = Address::Unix(PathBuf::from("/tmp/r.sock"));
        assert_eq!(unix.url(Some("a&b")), "unix:///tmp/r.sock?pass=a%26b");
        assert_eq!(unix.url(None), "unix:///tmp/r.sock");
    }
}
