//! Whose request it is, behind proxies: from `X-Forwarded-For` or `Forwarded` (RFC 7239), of trusted ones only. One of the
//! two is read, the one that the proxy writes: the other would come from the client as it likes.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;

use consign_core::subnet::Subnet;

/// Which proxies are believed, and in which header.
#[derive(Clone, Debug)]
pub(super) struct Proxies {
    pub(super) trusted: Vec<Subnet>,
    /// One of [`crate::config::CLIENT_HEADERS`].
    pub(super) header: &'static str,
}

/// The nearest address that is not a trusted proxy. Each proxy adds the one it saw at the end of the list. An IPv4 address
/// in IPv6 form is told as IPv4.
pub(super) fn address(peer: SocketAddr, headers: &HeaderMap, proxies: &Proxies) -> SocketAddr {
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let is_trusted = |address: IpAddr| proxies.trusted.iter().any(|subnet| subnet.contains(address));
    if proxies.trusted.is_empty() || !is_trusted(peer.ip()) {
        return peer;
    }
    let mut nearest = peer.ip();
    for named in chain(headers, proxies.header) {
        let Some(address) = named else { break };
        nearest = address.to_canonical();
        if !is_trusted(nearest) {
            break;
        }
    }
    if nearest == peer.ip() { peer } else { SocketAddr::new(nearest, 0) }
}

/// The addresses of the list, the nearest first; `None` for what is no address. Each element is read alone: what a client
/// wrote into the list, whatever bytes it is, changes nothing of what a proxy added behind it.
fn chain<'a>(headers: &'a HeaderMap, header: &str) -> impl Iterator<Item = Option<IpAddr>> + use<'a> {
    let is_quoting = header == "forwarded";
    let of_one = if is_quoting { forwarded_for } else { read };
    let lines = headers.get_all(header).iter().rev();
    lines.flat_map(move |line| from_the_end(line.as_bytes(), b',', is_quoting)).map(of_one)
}

/// The `for` of one element, such as `for="[2001:db8::1]:4711";proto=https`.
fn forwarded_for(element: &[u8]) -> Option<IpAddr> {
    from_the_end(element, b';', true).into_iter().find_map(|pair| {
        let (name, value) = std::str::from_utf8(pair).ok()?.trim().split_once('=')?;
        let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
        name.eq_ignore_ascii_case("for").then(|| read(inner.as_bytes()))?
    })
}

/// The parts of a list, the last one first. A separator in a quoted string (RFC 7239 section 4) is none. It is read from its
/// end, which a proxy wrote: a quote that a client left open can then swallow only what the client wrote itself.
fn from_the_end(list: &[u8], separator: u8, is_quoting: bool) -> Vec<&[u8]> {
    let (mut parts, mut end, mut is_quoted) = (Vec::new(), list.len(), false);
    for (at, byte) in list.iter().enumerate().rev() {
        match *byte {
            b'"' if is_quoting => is_quoted = !is_quoted || is_escaped(list, at),
            byte if byte == separator && !is_quoted => {
                parts.push(&list[at + 1..end]);
                end = at;
            }
            _ => {}
        }
    }
    parts.push(&list[..end]);
    parts
}

/// Whether a backslash takes the meaning of this byte of a quoted string.
fn is_escaped(list: &[u8], at: usize) -> bool {
    list[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// An address, with or without port and brackets.
fn read(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    inner.parse().ok()
}
