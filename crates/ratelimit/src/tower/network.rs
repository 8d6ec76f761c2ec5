//! Networks in CIDR notation.

use std::net::IpAddr;

use thiserror::Error;

/// The addresses that begin with the same bits. IPv4 is kept as the part of IPv6 that stands for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    first: u128,
    mask: u128,
}

/// A text that names no network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is no network: {why}")]
pub struct InvalidNetwork {
    text: String,
    why: String,
}

impl Network {
    /// `10.0.0.0/8`, `fd00::/8`, or one address.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidNetwork> {
        let wrong = |why: &str| InvalidNetwork { text: text.to_owned(), why: why.to_owned() };
        let (addr, bits) = match text.split_once('/') {
            Some((addr, bits)) => (addr, Some(bits)),
            None => (text, None),
        };
        let addr: IpAddr =
            addr.parse().map_err(|_| wrong("give an address and how many of its bits count: 10.0.0.0/8"))?;
        let most = if addr.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse::<u32>().ok().filter(|bits| *bits <= most),
            None => Some(most),
        };
        let bits = bits.ok_or_else(|| wrong(&format!("after the / is a number from 0 to {most}")))?;
        let mask = u128::MAX.checked_shl(most - bits).unwrap_or(0);
        let network = Self { first: number(addr), mask };
        if network.first & !mask != 0 {
            return Err(wrong(&format!(
                "it has bits beyond the first {bits}, which is most likely a mistake"
            )));
        }
        Ok(network)
    }

    pub(super) fn contains(&self, addr: IpAddr) -> bool {
        number(addr) & self.mask == self.first
    }
}

fn number(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => addr.to_ipv6_mapped().into(),
        IpAddr::V6(addr) => addr.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, addr: &str) -> bool {
        Network::parse(network).unwrap().contains(addr.parse().unwrap())
    }

    #[test]
    fn a_network_contains_what_begins_with_its_bits() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("192.0.2.128/25", "192.0.2.128", "192.0.2.127"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.1/32", "::ffff:192.0.2.1", "::192.0.2.1"),
            ("0.0.0.0/0", "255.1.2.3", "::1"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("2001:db8::/127", "2001:db8::1", "2001:db8::2"),
            ("::1", "::1", "127.0.0.1"),
            ("::ffff:10.0.0.0/104", "10.9.9.9", "11.0.0.0"),
        ] {
            assert!(contains(network, inside), "{inside} in {network}");
            assert!(!contains(network, outside), "{outside} not in {network}");
        }
        assert!(contains("::/0", "::1") && contains("::/0", "10.0.0.1"));
    }

    #[test]
    fn what_is_no_network_is_refused_and_what_would_be_right_is_said() {
        for (text, why) in [
            ("", "10.0.0.0/8"),
            ("10.0.0/8", "10.0.0.0/8"),
            ("localhost", "10.0.0.0/8"),
            ("10.0.0.0/33", "from 0 to 32"),
            ("10.0.0.0/", "from 0 to 32"),
            ("::/129", "from 0 to 128"),
            ("10.0.0.1/8", "beyond the first 8"),
            ("fd00::1/64", "beyond the first 64"),
            ("192.0.2.1/0", "beyond the first 0"),
        ] {
            let error = Network::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
