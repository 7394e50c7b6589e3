//! The one host parser, for every scheme: names (RFC 1123, UTS 46), IPv4 in plain decimal, IPv6 in brackets
//! (RFC 3986).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

/// A host in canonical form: what was checked is what is dialled, shown and bound.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A DNS name in lower case, international labels as `xn--…`, without a trailing dot.
    Name(String),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address, without a zone.
    V6(Ipv6Addr),
}

/// Why a text is not a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostFault {
    /// There is no text.
    #[error("the host is missing")]
    Missing,
    /// Empty or over-long labels, hyphens at an end, broken numbers or brackets.
    #[error("the host is not well formed")]
    BadForm,
    /// A character that no host name has.
    #[error("the host has characters that host names do not have")]
    BadCharacters,
    /// Unicode maps the name to another one, given here in its mapped form.
    #[error("the host is read as {0}")]
    Mapped(String),
}

impl Host {
    /// Reads a host as it stands in an address: no port, no user info, IPv6 in brackets.
    pub fn parse(text: &str) -> Result<Self, HostFault> {
        if text.is_empty() {
            return Err(HostFault::Missing);
        }
        if let Some(rest) = text.strip_prefix('[') {
            let inner = rest.strip_suffix(']').ok_or(HostFault::BadForm)?;
            return inner.parse().map(Self::V6).map_err(|_| HostFault::BadForm);
        }
        if text.bytes().any(|byte| byte.is_ascii() && !is_host_byte(byte)) {
            return Err(HostFault::BadCharacters);
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return Err(HostFault::BadForm);
        }
        let mapped = map(name)?;
        let last = mapped.rsplit('.').next().unwrap_or_default();
        if is_number(last) {
            return mapped.parse().map(Self::V4).map_err(|_| HostFault::BadForm);
        }
        Ok(Self::Name(mapped))
    }

    /// The host with international labels in their own script, for people. Never dialled, stored or compared.
    pub fn unicode(&self) -> String {
        match self {
            Self::Name(name) => unicode(name),
            Self::V4(_) | Self::V6(_) => self.to_string(),
        }
    }

    /// The address, when the host is one.
    pub fn literal(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(address) => Some(IpAddr::V4(*address)),
            Self::V6(address) => Some(IpAddr::V6(*address)),
        }
    }
}

/// As it stands in an address: IPv6 in brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => write!(f, "{address}"),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// Letters, digits, hyphens and dots; everything beyond ASCII is judged by the mapping.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.'
}

/// The canonical form of a name, unless the mapping changes more than the case of letters.
fn map(name: &str) -> Result<String, HostFault> {
    let mapped = Uts46::new()
        .to_ascii(name.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
        .map_err(|_| HostFault::BadForm)?;
    let shown = unicode(&mapped);
    let same = name.split('.').count() == mapped.split('.').count()
        && name.split('.').zip(mapped.split('.')).zip(shown.split('.')).all(|((typed, ascii), shown)| {
            let lower: String = typed.chars().flat_map(char::to_lowercase).collect();
            lower == ascii || lower == shown
        });
    if same { Ok(mapped.into_owned()) } else { Err(HostFault::Mapped(shown)) }
}

/// A canonical name with its international labels decoded.
fn unicode(name: &str) -> String {
    Uts46::new().to_unicode(name.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast).0.into_owned()
}

/// A last label that makes the whole name an address: resolvers would read `127.1` or `0x7f.1` as one.
fn is_number(label: &str) -> bool {
    let digits = label.bytes().all(|byte| byte.is_ascii_digit());
    let hex = label.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    digits || hex
}

#[cfg(test)]
mod tests;
