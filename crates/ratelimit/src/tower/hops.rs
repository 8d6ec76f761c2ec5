//! The addresses in `X-Forwarded-For` and `Forwarded`, from the right, where our own proxies wrote, to the left, where
//! anybody may have.
//!
//! Nothing on the left changes what is read on the right of it: neither an open quote nor bytes that are no text. Where
//! there is no address the hop is `None`, and who walks must stop there. No more is read than is walked.

use std::iter::from_fn;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, header};

/// A longer element is none that a proxy wrote.
const LONGEST: usize = 1_024;

pub(super) fn x_forwarded_for(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    lines(headers, "x-forwarded-for")
        .flat_map(|line| parts(line, b',', Quotes::Plain).map(|element| node(trim(element?))))
}

pub(super) fn forwarded(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    lines(headers, header::FORWARDED.as_str())
        .flat_map(|line| parts(line, b',', Quotes::Meant).map(|element| client(element?)))
}

fn lines<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).iter().rev().map(http::HeaderValue::as_bytes)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    /// A separator in quotes is none.
    Meant,
    Plain,
}

/// The parts of a text from the last to the first. After a `None` there is nothing more: it was too long, or a quote has
/// no other.
fn parts(text: &[u8], separator: u8, quotes: Quotes) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = Some(text);
    from_fn(move || {
        let text = rest.take()?;
        let mut quoted = false;
        for (length, at) in (0..text.len()).rev().enumerate() {
            let byte = text[at];
            if length > LONGEST {
                return Some(None);
            } else if byte == b'"' && quotes == Quotes::Meant {
                // The last one cannot be escaped: nothing outside of quotes is.
                quoted = !quoted || is_escaped(&text[..at]);
            } else if byte == separator && !quoted {
                rest = Some(&text[..at]);
                return Some(Some(&text[at + 1..]));
            }
        }
        Some((!quoted).then_some(text))
    })
}

/// What follows: after an odd number of backslashes.
fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The `for` of an element of `Forwarded`, if it has just one.
fn client(element: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    for pair in parts(element, b';', Quotes::Meant) {
        let pair = trim(pair?);
        let name = pair.iter().position(|byte| *byte == b'=').map_or(pair, |end| &pair[..end]);
        if name.eq_ignore_ascii_case(b"for") && found.replace(pair.get(name.len() + 1..)?).is_some() {
            return None;
        }
    }
    node(found?)
}

/// An address, perhaps in quotes or brackets, with a port or a zone. No address needs an escape.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.strip_prefix('"').map_or(Some(text), |text| text.strip_suffix('"'))?;
    if let Some(rest) = text.strip_prefix('[') {
        let (addr, port) = rest.split_once(']')?;
        return (port.is_empty() || is_port(port.strip_prefix(':')?)).then(|| ipv6(addr))?;
    }
    match text.split_once(':') {
        None => Some(text.parse::<Ipv4Addr>().ok()?.into()),
        Some((addr, port)) if !port.contains(':') => {
            let addr: Ipv4Addr = addr.parse().ok()?;
            is_port(port).then_some(addr.into())
        }
        Some(_) => ipv6(text),
    }
}

/// The zone is dropped: it says which interface of the proxy, and not who.
fn ipv6(text: &str) -> Option<IpAddr> {
    let (addr, zone) = text.split_once('%').unwrap_or((text, "0"));
    let is_zone = !zone.is_empty() && zone.bytes().all(is_plain);
    is_zone.then(|| addr.parse::<Ipv6Addr>().ok().map(|addr| addr.to_canonical()))?
}

/// A number, or a name that begins with `_`.
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(name) => !name.is_empty() && name.bytes().all(is_plain),
        None => text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok(),
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'~')
}

fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

#[cfg(test)]
mod tests;
