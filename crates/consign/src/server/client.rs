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
    for named in chain(headers, proxies.header).iter().rev() {
        let Some(address) = named else { break };
        nearest = address.to_canonical();
        if !is_trusted(nearest) {
            break;
        }
    }
    if nearest == peer.ip() { peer } else { SocketAddr::new(nearest, 0) }
}

/// The addresses in the order of the list; `None` for what is no address. Each element is read alone: what a client wrote
/// into the list, whatever bytes it is, changes nothing of what a proxy added behind it.
fn chain(headers: &HeaderMap, header: &str) -> Vec<Option<IpAddr>> {
    let of_one = if header == "forwarded" { forwarded_for } else { read };
    let elements =
        headers.get_all(header).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    elements.map(|element| of_one(std::str::from_utf8(element).ok()?)).collect()
}

/// The `for` of one element, such as `for="[2001:db8::1]:4711";proto=https`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then(|| read(value.trim_matches('"')))?
    })
}

/// An address, with or without port and brackets.
fn read(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    inner.parse().ok()
}
