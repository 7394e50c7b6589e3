//! The built-in lists: classes of addresses, names that are only known inside, ports of other protocols.

use super::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How closed a destination is, from open to never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Open unless a rule denies it.
    Public,
    /// A name of one label: a rule opens it.
    Short,
    /// A rule opens it.
    Private,
    /// Loopback, link-local, metadata, or a form that can hide them: needs a rule and the operator's switch.
    Machine,
    /// No single machine is meant; never opened.
    Never,
}

pub(super) fn class_of(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(address) => class_of_v4(address),
        IpAddr::V6(address) => class_of_v6(address),
    }
}

fn class_of_v4(address: Ipv4Addr) -> Class {
    match address.octets() {
        [0 | 224..=255, ..] => Class::Never,
        // Metadata: Alibaba, Oracle, and the Azure wire server behind a public address.
        [127, ..] | [169, 254, ..] | [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16] => {
            Class::Machine
        }
        [10, ..] | [100, 64..=127, ..] | [172, 16..=31, ..] | [192, 168, ..] => Class::Private,
        [192, 0, 0 | 2, _] | [192, 31, 196, _] | [192, 52, 193, _] | [192, 88, 99, _] => Class::Private,
        [192, 175, 48, _] | [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => Class::Private,
        _ => Class::Public,
    }
}

fn class_of_v6(address: Ipv6Addr) -> Class {
    if let Some(embedded) = address.to_ipv4_mapped() {
        return class_of_v4(embedded);
    }
    let segments = address.segments();
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0] | [0xff00..=0xffff, ..] => Class::Never,
        // ::1, IPv4-compatible and IPv4-translated addresses.
        [0, 0, 0, 0, 0, 0, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] => Class::Machine,
        // NAT64 reaches what its IPv4 address is.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => class_of_v4(v4(high, low)).max(Class::Private),
        // NAT64 with a local prefix, Teredo, 6to4, link-local.
        [0x64, 0xff9b, 1, ..] | [0x2001, 0, ..] | [0x2002, ..] | [0xfe80..=0xfebf, ..] => Class::Machine,
        // ISATAP.
        [.., 0 | 0x200, 0x5efe, _, _] => Class::Machine,
        // Metadata of AWS and Google.
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => Class::Machine,
        [0x2001, 1..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2620, 0x4f, 0x8000, ..] => Class::Private,
        [0x3fff, 0..=0xfff, ..] => Class::Private,
        [0x2000..=0x3fff, ..] => Class::Public,
        _ => Class::Private,
    }
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

/// Names of this machine and of metadata services.
const MACHINE_NAMES: &[&str] = &["localhost", "metadata.google.internal", "instance-data"];

/// Endings that only inside networks, or nobody, know.
const INSIDE_ENDINGS: &[&str] = &[
    "arpa",
    "cluster.local",
    "corp",
    "example",
    "home",
    "home.arpa",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "onion",
    "svc",
    "test",
];

/// The class of a canonical name.
pub(super) fn name_class(name: &str) -> Class {
    if MACHINE_NAMES.contains(&name) || ends_with(name, "localhost") {
        Class::Machine
    } else if INSIDE_ENDINGS.iter().any(|ending| ends_with(name, ending)) {
        Class::Private
    } else if name.contains('.') {
        Class::Public
    } else {
        Class::Short
    }
}

fn ends_with(name: &str, ending: &str) -> bool {
    name.strip_suffix(ending).is_some_and(|rest| rest.ends_with('.'))
}

/// Ports of other protocols, the "bad ports" of the Fetch standard: a request there could be read as theirs.
const FOREIGN_PORTS: &[u16] = &[
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104,
    109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515,
    526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049,
    3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
];

pub(super) fn is_foreign_port(port: u16) -> bool {
    FOREIGN_PORTS.binary_search(&port).is_ok()
}
