//! One egress rule: a network or name, a port or all of them, allowed or denied.

use super::{Arc, Host, IpAddr, Ipv4Addr, Ipv6Addr, RuleUsed};

/// One rule as the operator wrote it, and what it means.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    text: Arc<str>,
    pub(super) deny: bool,
    to: Destination,
    /// `None`: all ports.
    pub(super) port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Destination {
    Name(String),
    V4 { network: u32, bits: u32 },
    V6 { network: u128, bits: u32 },
}

impl Rule {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("the egress rule “{text}” {what}");
        let trimmed = text.trim();
        let (deny, body) = trimmed.strip_prefix('!').map_or((false, trimmed), |rest| (true, rest));
        let (to, port) = body.rsplit_once(':').ok_or_else(|| wrong("has no port; end it with :443 or :*"))?;
        let port = match port {
            "*" => None,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(
                digits
                    .parse()
                    .ok()
                    .filter(|port| *port > 0)
                    .ok_or_else(|| wrong("has no port from 1 to 65535"))?,
            ),
            _ => return Err(wrong("has no port; end it with :443 or :*")),
        };
        let to = Destination::parse(to).map_err(|what| wrong(&what))?;
        Ok(Self { text: trimmed.into(), deny, to, port })
    }

    pub(super) fn matches(&self, host: &Host, address: Option<IpAddr>, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
            && match (&self.to, address) {
                (Destination::Name(name), _) => matches!(host, Host::Name(asked) if asked == name),
                (Destination::V4 { network, bits }, Some(IpAddr::V4(address))) => {
                    address.to_bits() & mask_v4(*bits) == *network
                }
                (Destination::V6 { network, bits }, Some(IpAddr::V6(address))) => {
                    address.to_bits() & mask_v6(*bits) == *network
                }
                (Destination::V4 { .. } | Destination::V6 { .. }, _) => false,
            }
    }

    /// Greater is stronger: more bits, then a port of its own, then denial.
    pub(super) fn strength(&self) -> (u32, bool, bool) {
        let bits = match self.to {
            Destination::Name(_) => 128,
            Destination::V4 { bits, .. } => bits + 96,
            Destination::V6 { bits, .. } => bits,
        };
        (bits, self.port.is_some(), self.deny)
    }

    pub(super) fn used(&self) -> RuleUsed {
        RuleUsed(Arc::clone(&self.text))
    }
}

impl Destination {
    fn parse(text: &str) -> Result<Self, String> {
        let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let plain = inner.unwrap_or(text);
        if inner.is_none() && !plain.contains('/') {
            return match Host::parse(plain) {
                Ok(Host::Name(name)) => Ok(Self::Name(name)),
                Ok(Host::V4(address)) => Self::network(IpAddr::V4(address), None),
                Ok(Host::V6(_)) | Err(_) => {
                    Err("has neither a network nor a name; IPv6 goes in brackets".to_owned())
                }
            };
        }
        let (address, bits) =
            plain.split_once('/').map_or((plain, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| "has no readable network".to_owned())?;
        if inner.is_some() && address.is_ipv4() {
            return Err("has an IPv4 network in brackets".to_owned());
        }
        Self::network(address, bits)
    }

    fn network(address: IpAddr, bits: Option<&str>) -> Result<Self, String> {
        let most = if address.is_ipv4() { 32 } else { 128 };
        let plain = |digits: &&str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let bits = match bits {
            None => most,
            Some(digits) => Some(digits)
                .filter(plain)
                .and_then(|digits| digits.parse().ok())
                .filter(|bits| *bits <= most)
                .ok_or_else(|| format!("needs a prefix length from 0 to {most}"))?,
        };
        let starts_at =
            |network: IpAddr| format!("has bits behind its prefix; the network is {network}/{bits}");
        match address {
            IpAddr::V4(address) => {
                let network = address.to_bits() & mask_v4(bits);
                let exact = network == address.to_bits();
                if exact {
                    Ok(Self::V4 { network, bits })
                } else {
                    Err(starts_at(Ipv4Addr::from(network).into()))
                }
            }
            IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => {
                Err("has an IPv4 address in IPv6 form; write it as IPv4".to_owned())
            }
            IpAddr::V6(address) => {
                let network = address.to_bits() & mask_v6(bits);
                let exact = network == address.to_bits();
                if exact {
                    Ok(Self::V6 { network, bits })
                } else {
                    Err(starts_at(Ipv6Addr::from(network).into()))
                }
            }
        }
    }
}

fn mask_v4(bits: u32) -> u32 {
    u32::MAX.checked_shl(32 - bits).unwrap_or(0)
}

fn mask_v6(bits: u32) -> u128 {
    u128::MAX.checked_shl(128 - bits).unwrap_or(0)
}
