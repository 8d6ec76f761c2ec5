//! The client behind proxies of our own.

use std::future::{Future, ready};
use std::net::IpAddr;

use http::HeaderMap;
use http::request::Parts;

use super::addr::PeerAddr;
use super::hops;
use super::key::{KeyError, KeyExtractor};
use super::network::{InvalidNetwork, Network};

/// So many hops are followed. Nobody has as many proxies of their own.
const MOST_HOPS: usize = 32;

/// By the client's address, as the proxies in front tell it.
///
/// A proxy appends to the header whom it was called by; everything to the left of that may have been made up by the
/// client. So the hops are walked from the **right**: from the peer, through those that are trusted, to the first that is
/// not. Its address is the key, grouped as [`PeerAddr`] does.
///
/// The key is the peer's address if
///
/// - the peer is no trusted proxy: then its headers are not even looked at;
/// - there is no such header, or all in it are trusted;
/// - what stands where a trusted proxy wrote is no address (`unknown`, `_hidden`, nothing, or nonsense). Whatever stands
///   to the left of it is not believed.
///
/// Which header the proxies write must be chosen, and the other one is ignored: a client may send it, and the proxies let
/// it pass.
#[derive(Debug, Clone)]
pub struct TrustedProxies {
    peer: PeerAddr,
    trusted: Vec<Network>,
    written: Written,
}

#[derive(Debug, Clone, Copy)]
enum Written {
    XForwardedFor,
    Forwarded,
}

impl TrustedProxies {
    /// The proxies in these networks (`10.0.0.0/8`, `fd00::/8`, or single addresses) append to `X-Forwarded-For`.
    ///
    /// # Errors
    ///
    /// A text that is no network.
    pub fn x_forwarded_for<N: AsRef<str>>(
        peer: PeerAddr,
        trusted: impl IntoIterator<Item = N>,
    ) -> Result<Self, InvalidNetwork> {
        Self::new(peer, trusted, Written::XForwardedFor)
    }

    /// The proxies in these networks append to `Forwarded` (RFC 7239), of which the `for` counts.
    ///
    /// # Errors
    ///
    /// A text that is no network.
    pub fn forwarded<N: AsRef<str>>(
        peer: PeerAddr,
        trusted: impl IntoIterator<Item = N>,
    ) -> Result<Self, InvalidNetwork> {
        Self::new(peer, trusted, Written::Forwarded)
    }

    fn new<N: AsRef<str>>(
        peer: PeerAddr,
        trusted: impl IntoIterator<Item = N>,
        written: Written,
    ) -> Result<Self, InvalidNetwork> {
        let trusted =
            trusted.into_iter().map(|text| Network::parse(text.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self { peer, trusted, written })
    }

    /// The client's address, whole.
    ///
    /// # Errors
    ///
    /// As [`PeerAddr::addr`].
    pub fn addr(&self, request: &Parts) -> Result<IpAddr, KeyError> {
        let peer = self.peer.addr(request)?;
        let told = if self.trusts(peer) { self.told(&request.headers) } else { None };
        Ok(told.unwrap_or(peer))
    }

    fn told(&self, headers: &HeaderMap) -> Option<IpAddr> {
        match self.written {
            Written::XForwardedFor => self.first_stranger(hops::x_forwarded_for(headers)),
            Written::Forwarded => self.first_stranger(hops::forwarded(headers)),
        }
    }

    fn first_stranger(&self, hops: impl Iterator<Item = Option<IpAddr>>) -> Option<IpAddr> {
        for hop in hops.take(MOST_HOPS) {
            let hop = hop?;
            if !self.trusts(hop) {
                return Some(hop);
            }
        }
        None
    }

    fn trusts(&self, addr: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(addr))
    }
}

impl KeyExtractor for TrustedProxies {
    fn key(&self, request: &Parts) -> impl Future<Output = Result<String, KeyError>> + Send {
        ready(self.addr(request).map(|addr| self.peer.group(addr)))
    }
}

#[cfg(test)]
mod tests;
