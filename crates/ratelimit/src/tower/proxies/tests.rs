use http::{HeaderName, HeaderValue, Request};
use proptest::prelude::*;

use super::*;

const TRUSTED: [&str; 3] = ["10.0.0.0/8", "fd00::/8", "fe80::/10"];

fn by(written: Written) -> TrustedProxies {
    TrustedProxies::new(PeerAddr::new(|addr: &IpAddr| *addr), TRUSTED, written).unwrap()
}

fn request(peer: &str, headers: &[(&'static str, &[u8])]) -> Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.extensions.insert(peer.parse::<IpAddr>().unwrap());
    for (name, value) in headers {
        parts.headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
    }
    parts
}

fn addr(written: Written, peer: &str, headers: &[(&'static str, &[u8])]) -> String {
    by(written).addr(&request(peer, headers)).unwrap().to_string()
}

#[test]
fn the_key_is_the_rightmost_hop_that_is_not_trusted_or_the_peer() {
    let told =
        |peer, value: &str| addr(Written::XForwardedFor, peer, &[("x-forwarded-for", value.as_bytes())]);
    for (peer, value, expected) in [
        ("192.0.2.7", "1.1.1.1", "192.0.2.7"),
        ("10.0.0.1", "1.1.1.1, 192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "1.1.1.1, 192.0.2.1, 10.9.9.9, fd00::5", "192.0.2.1"),
        ("::ffff:10.0.0.1", "1.1.1.1, ::ffff:192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "1.1.1.1, ::ffff:10.0.0.2, 192.0.2.1, [fe80::1%eth0]:80", "192.0.2.1"),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.1"),
        ("10.0.0.1", "1.1.1.1, unknown", "10.0.0.1"),
        ("10.0.0.1", "1.1.1.1, unknown, 10.0.0.2", "10.0.0.1"),
        ("10.0.0.1", "unknown, 192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "1.1.1.1,", "10.0.0.1"),
    ] {
        assert_eq!(told(peer, value), expected, "{value:?} by {peer}");
    }
    assert_eq!(addr(Written::XForwardedFor, "10.0.0.1", &[]), "10.0.0.1");
}

#[test]
fn only_the_header_that_the_proxies_write_is_believed() {
    let both: [(&str, &[u8]); 2] = [("x-forwarded-for", b"192.0.2.1"), ("forwarded", b"for=192.0.2.2")];
    assert_eq!(addr(Written::XForwardedFor, "10.0.0.1", &both), "192.0.2.1");
    assert_eq!(addr(Written::Forwarded, "10.0.0.1", &both), "192.0.2.2");
    assert_eq!(addr(Written::Forwarded, "10.0.0.1", &both[..1]), "10.0.0.1");
}

#[test]
fn no_more_than_so_many_hops_are_walked() {
    let told = |hops: usize| {
        let value = format!("192.0.2.1{}", ", 10.0.0.2".repeat(hops));
        addr(Written::XForwardedFor, "10.0.0.1", &[("x-forwarded-for", value.as_bytes())])
    };
    assert_eq!(told(MOST_HOPS - 1), "192.0.2.1");
    assert_eq!(told(MOST_HOPS), "10.0.0.1");
}

/// Of trusted and other addresses, in all forms, and of what is none.
fn element() -> impl Strategy<Value = String> {
    let node = prop::sample::select(vec![
        "10.0.0.2",
        "10.0.0.3:80",
        "[fd00::1]:80",
        "fe80::1%eth0",
        "::ffff:10.1.1.1",
        "192.0.2.1",
        "192.0.2.2:80",
        "2001:db8::1",
        "unknown",
        "_hidden",
        "\"",
        "",
    ]);
    prop_oneof![node.clone().prop_map(str::to_owned), node.prop_map(|node| format!("for=\"{node}\""))]
}

proptest! {
    #[test]
    fn a_trusted_hop_is_never_the_key_unless_it_is_the_peer(
        elements in prop::collection::vec(element(), 0..8),
        peer in prop::sample::select(vec!["10.0.0.1", "192.0.2.9"]),
        written in prop::sample::select(vec![Written::XForwardedFor, Written::Forwarded]),
    ) {
        let value = elements.join(", ");
        let lines: [(&str, &[u8]); 2] = [("x-forwarded-for", value.as_bytes()), ("forwarded", value.as_bytes())];
        let (proxies, parts) = (by(written), request(peer, &lines));
        let (found, peer) = (proxies.addr(&parts).unwrap(), peer.parse::<IpAddr>().unwrap());
        prop_assert!(found == peer || (proxies.trusts(peer) && !proxies.trusts(found)), "{found}");
    }

    #[test]
    fn the_client_behind_trusted_hops_is_the_key_whatever_it_sent(
        sent in prop::collection::vec(element(), 0..8),
        client in any::<IpAddr>(),
        hops in prop::collection::vec(prop::sample::select(vec!["10.0.0.2", "fd00::7", "::ffff:10.1.1.1"]), 0..4),
        written in prop::sample::select(vec![Written::XForwardedFor, Written::Forwarded]),
    ) {
        let (proxies, client) = (by(written), client.to_canonical());
        prop_assume!(!proxies.trusts(client));
        let name = match written {
            Written::XForwardedFor => "x-forwarded-for",
            Written::Forwarded => "forwarded",
        };
        let appended = [client].into_iter().chain(hops.iter().map(|hop| hop.parse().unwrap()));
        let appended = appended.map(|addr| match (written, addr) {
            (Written::XForwardedFor, _) => addr.to_string(),
            (Written::Forwarded, IpAddr::V4(_)) => format!("for={addr}"),
            (Written::Forwarded, IpAddr::V6(_)) => format!("proto=https;for=\"[{addr}]\""),
        });
        let value = sent.into_iter().chain(appended).collect::<Vec<_>>().join(", ");
        let found = proxies.addr(&request("10.0.0.1", &[(name, value.as_bytes())])).unwrap();
        prop_assert_eq!(found, client, "{}", value);
    }
}
