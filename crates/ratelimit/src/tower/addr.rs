//! The address at the other end of the connection, and addresses as keys.

use std::any::type_name;
use std::fmt;
use std::future::{Future, ready};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use http::Extensions;
use http::request::Parts;

use super::key::{KeyError, KeyExtractor};

type Find = dyn Fn(&Extensions) -> Option<IpAddr> + Send + Sync;

/// By the address at the other end of the connection: right where no proxy is in front.
///
/// IPv6 addresses are taken by their /64, of which whoever has one has all; an IPv4 address in IPv6 clothing
/// (`::ffff:192.0.2.1`) is the IPv4 address.
#[derive(Clone)]
pub struct PeerAddr {
    find: Arc<Find>,
    extension: &'static str,
    ipv6_bits: u8,
}

impl PeerAddr {
    /// `addr` takes the address out of the extension that the server puts into each request.
    ///
    /// ```
    /// use std::net::SocketAddr;
    ///
    /// use axum::extract::ConnectInfo; // put there by `into_make_service_with_connect_info::<SocketAddr>()`
    /// use cenote_ratelimit::tower::PeerAddr;
    ///
    /// let in_axum = PeerAddr::new(|info: &ConnectInfo<SocketAddr>| info.ip());
    /// let in_a_server_of_your_own = PeerAddr::new(|addr: &SocketAddr| addr.ip());
    /// ```
    ///
    /// Without that extension the response is a 500, and a line in the log says what is missing.
    pub fn new<T: Send + Sync + 'static>(addr: impl Fn(&T) -> IpAddr + Send + Sync + 'static) -> Self {
        Self {
            find: Arc::new(move |extensions| extensions.get::<T>().map(&addr)),
            extension: type_name::<T>(),
            ipv6_bits: 64,
        }
    }

    /// So many leading bits of an IPv6 address are the key, 128 at most. Default 64.
    #[must_use]
    pub fn ipv6_bits(mut self, bits: u8) -> Self {
        self.ipv6_bits = bits.min(128);
        self
    }

    /// The peer's address, whole.
    ///
    /// # Errors
    ///
    /// The request has no such extension.
    pub fn addr(&self, request: &Parts) -> Result<IpAddr, KeyError> {
        let addr = (self.find)(&request.extensions).ok_or_else(|| {
            KeyError::setup(format!(
                "the request has no extension {}: let the server put it there (axum: \
                 into_make_service_with_connect_info)",
                self.extension
            ))
        })?;
        Ok(addr.to_canonical())
    }

    /// What the quota is counted by.
    pub(super) fn group(&self, addr: IpAddr) -> String {
        match addr {
            IpAddr::V6(addr) if self.ipv6_bits < 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.ipv6_bits)).unwrap_or(0);
                format!("{}/{}", Ipv6Addr::from(u128::from(addr) & mask), self.ipv6_bits)
            }
            addr => addr.to_string(),
        }
    }
}

impl KeyExtractor for PeerAddr {
    fn key(&self, request: &Parts) -> impl Future<Output = Result<String, KeyError>> + Send {
        ready(self.addr(request).map(|addr| self.group(addr)))
    }
}

impl fmt::Debug for PeerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerAddr")
            .field("extension", &self.extension)
            .field("ipv6_bits", &self.ipv6_bits)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(bits: u8, addr: &str) -> String {
        let peer = PeerAddr::new(|addr: &IpAddr| *addr).ipv6_bits(bits);
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.extensions.insert(addr.parse::<IpAddr>().unwrap());
        peer.group(peer.addr(&parts).unwrap())
    }

    #[test]
    fn an_ipv6_address_counts_by_its_network_and_an_ipv4_address_as_it_is() {
        assert_eq!(key(64, "2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(key(64, "2001:db8:1:2::9"), "2001:db8:1:2::/64");
        assert_eq!(key(64, "2001:db8:1:3::9"), "2001:db8:1:3::/64");
        assert_eq!(key(48, "2001:db8:1:3::9"), "2001:db8:1::/48");
        assert_eq!(key(0, "2001:db8::9"), "::/0");
        assert_eq!(key(200, "2001:db8::9"), "2001:db8::9");
        assert_eq!(key(64, "192.0.2.1"), "192.0.2.1");
        assert_eq!(key(64, "::ffff:192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn without_its_extension_it_says_which_one_is_missing() {
        let (parts, ()) = http::Request::new(()).into_parts();
        let error = PeerAddr::new(|addr: &IpAddr| *addr).addr(&parts).unwrap_err();
        assert!(error.status.is_server_error() && error.detail.contains("IpAddr"), "{error}");
    }
}
