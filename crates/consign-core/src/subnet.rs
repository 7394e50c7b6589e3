//! A network of addresses, such as `10.0.0.0/8`: RFC 4632.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A network: an address and the number of bits that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    address: IpAddr,
    bits: u32,
}

impl Subnet {
    /// Whether an address is in it. An IPv4 address in IPv6 form counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let hidden = |width: u32| width - self.bits;
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(hidden(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(hidden(128)).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl Subnet {
    /// Whether every address of another network is in it.
    pub fn covers(&self, other: &Self) -> bool {
        let same_family = self.address.is_ipv4() == other.address.is_ipv4();
        same_family && self.bits <= other.bits && self.contains(other.address)
    }

    fn is_one_address(&self) -> bool {
        self.bits == if self.address.is_ipv4() { 32 } else { 128 }
    }
}

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("“{text}” is not a network, such as 10.0.0.0/8 or 192.0.2.7");
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        if address.to_canonical() != address {
            return Err(format!("“{text}” is IPv4 in the form of IPv6: write it as IPv4"));
        }
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(digits) => digits.parse().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?,
        };
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_one_address() {
            true => self.address.fmt(f),
            false => write!(f, "{}/{}", self.address, self.bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_contains_what_shares_its_bits() {
        let contains = |net: &str, address: &str| subnet(net).contains(address.parse().unwrap());
        assert!(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("192.0.2.7", "192.0.2.7") && !contains("192.0.2.7", "192.0.2.6"));
        assert!(contains("0.0.0.0/0", "203.0.113.9") && !contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("2001:db8::/32", "2001:db8:1::1") && !contains("2001:db8::/32", "2001:db9::1"));
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(
            "::ffff:10.0.0.0/8".parse::<Subnet>().is_err() && "::ffff:192.0.2.7".parse::<Subnet>().is_err()
        );
        assert!("10.0.0.0/33".parse::<Subnet>().is_err() && "proxy".parse::<Subnet>().is_err());
    }

    #[test]
    fn a_network_covers_its_parts_and_none_that_is_larger() {
        let covers = |net: &str, other: &str| subnet(net).covers(&subnet(other));
        assert!(covers("10.0.0.0/8", "10.1.0.0/16") && covers("10.0.0.0/8", "10.0.0.0/8"));
        assert!(!covers("10.1.0.0/16", "10.0.0.0/8") && !covers("10.0.0.0/8", "11.0.0.0/16"));
        assert!(!covers("0.0.0.0/0", "2001:db8::/32") && covers("::/0", "2001:db8::/32"));
    }

    #[test]
    fn one_address_is_written_as_such() {
        for text in ["192.0.2.7", "10.0.0.0/8", "2001:db8::1", "::/0"] {
            assert_eq!(subnet(text).to_string(), text);
        }
        assert_eq!(subnet("192.0.2.7/32").to_string(), "192.0.2.7");
    }
}
