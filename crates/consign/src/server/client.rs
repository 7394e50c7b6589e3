//! Whose request it is, behind proxies: `Forwarded` (RFC 7239) and `X-Forwarded-For`, from trusted ones only.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};

use consign_core::subnet::Subnet;

const FORWARDED: HeaderName = http::header::FORWARDED;
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The nearest address that is not a trusted proxy. Each proxy adds the one it saw at the end of the list.
pub(super) fn address(peer: SocketAddr, headers: &HeaderMap, trusted: &[Subnet]) -> SocketAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|subnet| subnet.contains(address));
    if trusted.is_empty() || !is_trusted(peer.ip()) {
        return peer;
    }
    let mut nearest = peer.ip();
    for named in chain(headers).iter().rev() {
        let Some(address) = named else { break };
        nearest = *address;
        if !is_trusted(nearest) {
            break;
        }
    }
    if nearest == peer.ip() { peer } else { SocketAddr::new(nearest, 0) }
}

/// The addresses in the order of the list; `None` for what is no address.
fn chain(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let texts = |name: &HeaderName| {
        let lines = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default().to_owned());
        lines.collect::<Vec<_>>().join(",")
    };
    if headers.contains_key(&FORWARDED) {
        return texts(&FORWARDED).split(',').map(forwarded_for).collect();
    }
    if headers.contains_key(&X_FORWARDED_FOR) {
        return texts(&X_FORWARDED_FOR).split(',').map(read).collect();
    }
    Vec::new()
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
