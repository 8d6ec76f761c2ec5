use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn headers(name: &'static str, lines: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(name, HeaderValue::from_bytes(line).unwrap());
    }
    headers
}

/// As text; `-` is no address.
fn shown(hops: impl Iterator<Item = Option<IpAddr>>) -> String {
    let texts: Vec<_> = hops.map(|hop| hop.map_or("-".to_owned(), |addr| addr.to_string())).collect();
    texts.join(" ")
}

fn x_forwarded(lines: &[&[u8]]) -> String {
    shown(x_forwarded_for(&headers("x-forwarded-for", lines)))
}

fn forwarded_by(lines: &[&[u8]]) -> String {
    shown(forwarded(&headers("forwarded", lines)))
}

#[test]
fn x_forwarded_for_is_read_from_the_last_line_and_its_end() {
    assert_eq!(x_forwarded(&[]), "");
    assert_eq!(x_forwarded(&[b"192.0.2.1"]), "192.0.2.1");
    assert_eq!(
        x_forwarded(&[b"192.0.2.1,192.0.2.2 ,\t192.0.2.3", b"192.0.2.4"]),
        "192.0.2.4 192.0.2.3 192.0.2.2 192.0.2.1"
    );
    assert_eq!(x_forwarded(&[b"192.0.2.1,", b""]), "- - 192.0.2.1", "nothing is no address");
    assert_eq!(x_forwarded(&[b"\xff\xfe\", 192.0.2.1"]), "192.0.2.1 -");
}

#[test]
fn addresses_are_found_in_all_their_forms() {
    for (text, addr) in [
        ("192.0.2.1:443", "192.0.2.1"),
        ("\"192.0.2.1:443\"", "192.0.2.1"),
        ("192.0.2.1:_hidden", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("\"[2001:DB8::1]:443\"", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:c000:201]:443", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25en-0.1]:443", "fe80::1"),
    ] {
        assert_eq!(x_forwarded(&[text.as_bytes()]), addr, "{text}");
    }
    for text in [
        "",
        "unknown",
        "_hidden",
        "localhost",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.01",
        "192.0.2.1:",
        "192.0.2.1:65536",
        "192.0.2.1:+80",
        "192.0.2.1:_",
        "192.0.2.1%eth0",
        "[192.0.2.1]",
        "[2001:db8::1",
        "2001:db8::1]",
        "[2001:db8::1]443",
        "[2001:db8::1]:x",
        "[[2001:db8::1]]",
        "fe80::1%",
        "fe80::1%e th0",
        "fe80::1%a%b",
        "\"192.0.2.1",
        "192.0.2.1\"",
        "\"\"192.0.2.1\"\"",
        "192.0.2.1 192.0.2.2",
    ] {
        assert_eq!(x_forwarded(&[text.as_bytes()]), "-", "{text}");
    }
}

#[test]
fn forwarded_is_read_by_its_quotes_and_from_the_right() {
    assert_eq!(forwarded_by(&[b"for=192.0.2.1"]), "192.0.2.1");
    assert_eq!(
        forwarded_by(&[
            br#"For="[2001:db8::1]:4711", proto=https;FOR=192.0.2.2;by=10.0.0.1"#,
            b"for=192.0.2.3"
        ]),
        "192.0.2.3 192.0.2.2 2001:db8::1"
    );
    assert_eq!(forwarded_by(&[br#"for=192.0.2.1;host="a,b;c\"d""#]), "192.0.2.1");
    assert_eq!(forwarded_by(&[br#"for=192.0.2.1;host="a\\""#]), "192.0.2.1");
    assert_eq!(
        forwarded_by(&[br#"for="192.0.2.9, for=192.0.2.1"#]),
        "192.0.2.1 -",
        "the quote was opened before"
    );
    assert_eq!(forwarded_by(&[b"\xff=\", for=192.0.2.1"]), "192.0.2.1 -");
    for element in [
        "for=unknown",
        "for=_hidden",
        "for=\"_hidden:_port\"",
        "for",
        "for=",
        "for =192.0.2.1",
        "proto=https",
        "",
        "for=192.0.2.1;for=192.0.2.2",
        "for=\"192.0.2.1",
        "host=\"a;for=192.0.2.1",
        "for=\"192.0.2\\.1\"",
    ] {
        assert_eq!(forwarded_by(&[element.as_bytes()]), "-", "{element}");
    }
}

#[test]
fn an_element_that_is_too_long_is_no_address_and_ends_the_line() {
    let long = "x".repeat(100_000);
    assert_eq!(x_forwarded(&[format!("192.0.2.1,{long}, 192.0.2.2").as_bytes()]), "192.0.2.2 -");
    assert_eq!(forwarded_by(&[format!("for=192.0.2.1,for={long},for=192.0.2.2").as_bytes()]), "192.0.2.2 -");
}

/// Bytes that a header may have, and those with a meaning often.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        prop::sample::select(b",;=\"\\[]:%. \tfor120_".as_slice()),
        (0x20..=0xff_u8).prop_filter("a header has no DEL", |byte| *byte != 0x7f),
    ];
    prop::collection::vec(byte, 0..80)
}

fn with(mut left: Vec<u8>, right: &str) -> Vec<u8> {
    left.extend_from_slice(right.as_bytes());
    left
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(lines in prop::collection::vec(garbage(), 0..4)) {
        let lines: Vec<_> = lines.iter().map(Vec::as_slice).collect();
        let bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
        prop_assert!(x_forwarded_for(&headers("x-forwarded-for", &lines)).count() <= bytes);
        prop_assert!(forwarded(&headers("forwarded", &lines)).count() <= bytes);
    }

    #[test]
    fn nothing_on_the_left_changes_what_a_proxy_appended(
        left in garbage(),
        addr in any::<IpAddr>(),
        port in any::<u16>(),
    ) {
        let addr = addr.to_canonical();
        let node = std::net::SocketAddr::new(addr, port).to_string();
        let line = with(left.clone(), &format!(", {node}"));
        prop_assert_eq!(x_forwarded_for(&headers("x-forwarded-for", &[&line])).next(), Some(Some(addr)));
        prop_assert_eq!(x_forwarded_for(&headers("x-forwarded-for", &[&left, node.as_bytes()])).next(), Some(Some(addr)));
        for element in [format!("for=\"{node}\""), format!("proto=http;for=\"{node}\";host=\"a, \\\"b;c\"")] {
            let line = with(left.clone(), &format!(", {element}"));
            prop_assert_eq!(forwarded(&headers("forwarded", &[&line])).next(), Some(Some(addr)));
            prop_assert_eq!(forwarded(&headers("forwarded", &[&left, element.as_bytes()])).next(), Some(Some(addr)));
        }
    }
}
