//! Every range and its borders against a slow reference, and the operator's rules as a table.

use proptest::prelude::*;

use super::*;

/// The refused ranges with their class, straight from the rules; `class_of` is written quite differently.
const RANGES: &[(&str, Class)] = &[
    ("0.0.0.0/8", Class::Never),
    ("10.0.0.0/8", Class::Private),
    ("100.64.0.0/10", Class::Private),
    ("100.100.100.200/32", Class::Machine),
    ("127.0.0.0/8", Class::Machine),
    ("169.254.0.0/16", Class::Machine),
    ("172.16.0.0/12", Class::Private),
    ("192.0.0.0/24", Class::Private),
    ("192.0.0.192/32", Class::Machine),
    ("192.0.2.0/24", Class::Private),
    ("192.31.196.0/24", Class::Private),
    ("192.52.193.0/24", Class::Private),
    ("192.88.99.0/24", Class::Private),
    ("192.168.0.0/16", Class::Private),
    ("192.175.48.0/24", Class::Private),
    ("198.18.0.0/15", Class::Private),
    ("198.51.100.0/24", Class::Private),
    ("203.0.113.0/24", Class::Private),
    ("224.0.0.0/4", Class::Never),
    ("240.0.0.0/4", Class::Never),
    ("255.255.255.255/32", Class::Never),
    ("168.63.129.16/32", Class::Machine),
    ("::/128", Class::Never),
    ("::1/128", Class::Machine),
    ("::/96", Class::Machine),
    ("::ffff:0:0:0/96", Class::Machine),
    ("64:ff9b::/96", Class::Private),
    ("64:ff9b:1::/48", Class::Machine),
    ("100::/64", Class::Private),
    ("100:0:0:1::/64", Class::Private),
    ("2001::/23", Class::Private),
    ("2001::/32", Class::Machine),
    ("2001:2::/48", Class::Private),
    ("2001:10::/28", Class::Private),
    ("2001:20::/28", Class::Private),
    ("2001:db8::/32", Class::Private),
    ("2002::/16", Class::Machine),
    ("2620:4f:8000::/48", Class::Private),
    ("3fff::/20", Class::Private),
    ("5f00::/16", Class::Private),
    ("fc00::/7", Class::Private),
    ("fd00:ec2::254/128", Class::Machine),
    ("fd20:ce::254/128", Class::Machine),
    ("fe80::/10", Class::Machine),
    ("fec0::/10", Class::Private),
    ("ff00::/8", Class::Never),
];

/// The address as text of ones and zeros.
fn digits(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("{:032b}", address.to_bits()),
        IpAddr::V6(address) => format!("{:0128b}", address.to_bits()),
    }
}

fn range_of(text: &str) -> (IpAddr, usize) {
    let (address, bits) = text.split_once('/').unwrap();
    (address.parse().unwrap(), bits.parse().unwrap())
}

/// The strictest class of all ranges an address is in, found by comparing text.
fn reference(address: IpAddr) -> Class {
    let address = address.to_canonical();
    let text = digits(address);
    let mut class = Class::Public;
    for (range, of_range) in RANGES {
        let (network, bits) = range_of(range);
        if network.is_ipv4() == address.is_ipv4() && text[..bits] == digits(network)[..bits] {
            class = class.max(*of_range);
        }
    }
    if let IpAddr::V6(v6) = address {
        let printed = digits(address);
        if printed[..3] != *"001" {
            class = class.max(Class::Private);
        }
        if printed[..96] == digits("64:ff9b::".parse().unwrap())[..96] {
            class = class.max(reference(IpAddr::V4(Ipv4Addr::from_bits(v6.to_bits() as u32))));
        }
        let interface = format!("{:016x}", v6.to_bits() as u64);
        if interface.starts_with("00005efe") || interface.starts_with("02005efe") {
            class = class.max(Class::Machine);
        }
    }
    class
}

/// First and last address of a range, their neighbours, and one inside.
fn borders(range: &str) -> Vec<IpAddr> {
    let (network, bits) = range_of(range);
    match network {
        IpAddr::V4(network) => {
            let (first, last) =
                (network.to_bits(), network.to_bits() | u32::MAX.checked_shr(bits as u32).unwrap_or(0));
            [first.wrapping_sub(1), first, first / 2 + last / 2, last, last.wrapping_add(1)]
                .map(|bits| IpAddr::V4(bits.into()))
                .to_vec()
        }
        IpAddr::V6(network) => {
            let (first, last) =
                (network.to_bits(), network.to_bits() | u128::MAX.checked_shr(bits as u32).unwrap_or(0));
            [first.wrapping_sub(1), first, first / 2 + last / 2, last, last.wrapping_add(1)]
                .map(|bits| IpAddr::V6(bits.into()))
                .to_vec()
        }
    }
}

#[test]
fn every_border_of_every_range_in_every_form() {
    let mut judged = 0;
    for (range, _) in RANGES {
        for address in borders(range) {
            let mut forms = vec![address];
            if let IpAddr::V4(v4) = address {
                let bits = u128::from(v4.to_bits());
                let wide = |prefix: &str, shift: u32| {
                    let prefix: Ipv6Addr = prefix.parse().unwrap();
                    IpAddr::V6(Ipv6Addr::from_bits(prefix.to_bits() | bits << shift))
                };
                forms.extend([
                    wide("::ffff:0:0", 0),
                    wide("::", 0),
                    wide("::ffff:0:0:0", 0),
                    wide("64:ff9b::", 0),
                    wide("2002::", 80),
                    wide("2001:4860::5efe:0:0", 0),
                    wide("2001:4860::200:5efe:0:0", 0),
                ]);
            }
            for form in forms {
                assert_eq!(class_of(form.to_canonical()), reference(form), "{form}");
                judged += 1;
            }
        }
    }
    assert!(judged > 300, "{judged} forms");
}

#[test]
fn well_known_addresses() {
    for text in
        ["8.8.8.8", "1.1.1.1", "20.42.0.1", "172.32.0.1", "192.0.1.1", "100.128.0.1", "::ffff:8.8.8.8"]
    {
        assert_eq!(class_of(text.parse::<IpAddr>().unwrap().to_canonical()), Class::Public, "{text}");
    }
    for text in [
        "2606:4700:4700::1111",
        "2a00:1450:4001::1",
        "2001:4860:4860::8888",
        "2620:4f:8001::1",
        "3fff:1000::1",
    ] {
        assert_eq!(class_of(text.parse().unwrap()), Class::Public, "{text}");
    }
    for text in [
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
    ] {
        assert_eq!(class_of(text.parse().unwrap()), Class::Machine, "{text}");
    }
    for text in [
        "fd00:ec2::254",
        "fd20:ce::254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "::127.0.0.1",
        "fe80::5efe:1:1",
    ] {
        assert_eq!(class_of(text.parse().unwrap()), Class::Machine, "{text}");
    }
}

proptest! {
    #[test]
    fn any_v4_is_as_in_the_reference(bits in any::<u32>()) {
        let address = IpAddr::V4(Ipv4Addr::from_bits(bits));
        prop_assert_eq!(class_of(address), reference(address));
    }

    #[test]
    fn any_v6_is_as_in_the_reference(
        start in prop::sample::select(vec![0, 0x64, 0x2001, 0x2002, 0x2620, 0x3fff, 0xfd00, 0xfe80]),
        random in any::<u128>(),
        keep in 0_u32..128,
    ) {
        let start: u128 = start << 112 | if start == 0x64 { 0xff9b << 96 } else { 0 };
        for bits in [random, start | random >> keep] {
            let address = IpAddr::V6(Ipv6Addr::from_bits(bits));
            prop_assert_eq!(class_of(address.to_canonical()), reference(address), "{}", address);
        }
    }
}

#[track_caller]
fn check_name(name: &str, expected: Result<(), BlockedWhy>) {
    let judged = Egress::none().judge_name(&Host::parse(name).unwrap(), 443);
    assert_eq!(judged.map_err(|blocked| blocked.why), expected, "{name}");
}

#[test]
fn names_before_resolution() {
    for name in
        ["api.example.org", "example.com", "local.example.org", "testing", "a.test.org", "notlocalhost.org"]
    {
        check_name(name, if name.contains('.') { Ok(()) } else { Err(BlockedWhy::ShortName) });
    }
    for name in [
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "printer.local",
        "vault.internal",
        "router.home.arpa",
        "nas.lan",
        "wiki.intranet",
        "erp.corp",
        "nas.home",
        "abcdef.onion",
        "a.invalid",
        "a.test",
        "a.example",
        "1.0.0.10.in-addr.arpa",
        "db.svc",
        "db.ns.svc.cluster.local",
        "metadata.google.internal",
        "instance-data",
    ] {
        check_name(name, Err(BlockedWhy::PrivateAddress));
    }
    for name in ["servername", "erp", "local", "test"] {
        check_name(name, Err(BlockedWhy::ShortName));
    }
}

#[test]
fn ports() {
    let name = Host::parse("api.example.org").unwrap();
    let address = "93.184.215.14".parse().unwrap();
    let judge = |egress: &Egress, port: u16| {
        let by_name = egress.judge_name(&name, port).is_ok();
        assert_eq!(by_name, egress.judge(&name, address, port).is_ok(), "{port}");
        by_name
    };
    let closed = Egress::none();
    for port in [443, 8443, 80, 8080, 1, 65535, 10081, 1024, 6001, 6670, 3000] {
        assert_eq!(judge(&closed, port), port != 1, "{port}");
    }
    for port in [
        0, 7, 19, 20, 21, 22, 23, 25, 53, 104, 110, 143, 465, 512, 515, 587, 993, 2049, 5060, 6000, 6665,
        6669, 10080,
    ] {
        assert!(!judge(&closed, port), "{port}");
    }
    let rules = Egress::parse(&["api.example.org:6000".to_owned()], false).unwrap();
    assert!(judge(&rules, 6000) && !judge(&rules, 6665));
    let all = Egress::parse(&["api.example.org:*".to_owned()], false).unwrap();
    assert!(!judge(&all, 6000) && !judge(&all, 0), "all ports means those that are open at all");
}

/// One row: rules, the switch, then host, its address, port, and the rule that opens it or what closes it.
#[track_caller]
fn check(
    rules: &[&str],
    loopback: bool,
    host: &str,
    address: &str,
    port: u16,
    expected: Result<Option<&str>, &str>,
) {
    let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
    let egress = Egress::parse(&rules, loopback).unwrap();
    let host = Host::parse(host).unwrap();
    let judged = egress
        .judge_name(&host, port)
        .and_then(|()| egress.judge(&host, address.parse().unwrap(), port))
        .map(|rule| rule.map(|rule| rule.to_string()))
        .map_err(|blocked| match blocked.why {
            BlockedWhy::Denied(rule) => rule.to_string(),
            BlockedWhy::PrivateAddress => "private".to_owned(),
            BlockedWhy::ShortName => "short".to_owned(),
            BlockedWhy::Port(_) => "port".to_owned(),
        });
    assert_eq!(
        judged.as_ref().map(|rule| rule.as_deref()).map_err(String::as_str),
        expected,
        "{rules:?} {host}"
    );
}

#[test]
fn rules() {
    let ten = "10.1.2.3";
    check(&[], false, "erp.example.org", ten, 443, Err("private"));
    check(&[], false, "api.example.org", "93.184.215.14", 443, Ok(None));
    check(&["10.0.0.0/8:443"], false, "erp.example.org", ten, 443, Ok(Some("10.0.0.0/8:443")));
    check(&["10.0.0.0/8:443"], false, "erp.example.org", ten, 8443, Err("private"));
    check(&["10.0.0.0/8:443"], false, "erp.example.org", "192.168.0.1", 443, Err("private"));
    check(&["10.0.0.0/8:443"], false, "erp.example.org", "::ffff:10.1.2.3", 443, Ok(Some("10.0.0.0/8:443")));
    check(&["10.0.0.0/8:*"], false, "10.1.2.3", ten, 8443, Ok(Some("10.0.0.0/8:*")));
    check(&["10.1.2.3:443"], false, "10.1.2.3", ten, 443, Ok(Some("10.1.2.3:443")));
    check(&["10.1.2.4:443"], false, "10.1.2.3", ten, 443, Err("private"));
    check(&["erp:443"], false, "erp", ten, 443, Ok(Some("erp:443")));
    check(&["erp:443"], false, "ERP", ten, 8443, Err("short"));
    check(&["erp:443"], false, "crm", ten, 443, Err("short"));
    check(&["10.0.0.0/8:443"], false, "erp", ten, 443, Err("short"));
    check(&["erp.corp:8443"], false, "erp.corp", ten, 8443, Ok(Some("erp.corp:8443")));
    check(&["erp.corp:8443"], false, "erp.corp", ten, 443, Err("private"));
    check(&["erp.corp:8443"], false, "a.erp.corp", ten, 8443, Err("private"));
    check(&["tool.test:443"], false, "tool.test", "93.184.215.14", 443, Ok(None));
    check(&["[fd00::/8]:443"], false, "erp.example.org", "fd00::1", 443, Ok(Some("[fd00::/8]:443")));
    check(&["fd00::/8:443"], false, "[fd00::1]", "fd00::1", 443, Ok(Some("fd00::/8:443")));
    check(&["[fd00::/8]:443"], false, "erp.example.org", "fc00::1", 443, Err("private"));
    check(&["[::/0]:*"], false, "erp.example.org", ten, 443, Err("private"));
    check(&["0.0.0.0/0:*"], false, "erp.example.org", "fd00::1", 443, Err("private"));
    // More specific wins, a denial wins a tie, order does not count.
    check(&["10.0.0.0/8:*", "!10.1.0.0/16:*"], false, "10.1.2.3", ten, 443, Err("!10.1.0.0/16:*"));
    check(&["!10.0.0.0/8:*", "10.1.0.0/16:*"], false, "10.1.2.3", ten, 443, Ok(Some("10.1.0.0/16:*")));
    check(&["!10.0.0.0/8:443", "10.0.0.0/8:443"], false, "10.1.2.3", ten, 443, Err("!10.0.0.0/8:443"));
    check(&["10.0.0.0/8:443", "!10.0.0.0/8:443"], false, "10.1.2.3", ten, 443, Err("!10.0.0.0/8:443"));
    check(&["10.0.0.0/8:443", "!10.0.0.0/8:*"], false, "10.1.2.3", ten, 443, Ok(Some("10.0.0.0/8:443")));
    check(&["erp.corp:443", "!10.0.0.0/8:*"], false, "erp.corp", ten, 443, Ok(Some("erp.corp:443")));
    check(&["erp.corp:443", "!10.1.2.3:443"], false, "erp.corp", ten, 443, Err("!10.1.2.3:443"));
    check(&["!api.example.org:*"], false, "api.example.org", "93.184.215.14", 443, Err("!api.example.org:*"));
    check(&["!93.184.0.0/16:443"], false, "api.example.org", "93.184.215.14", 443, Err("!93.184.0.0/16:443"));
}

#[test]
fn loopback_needs_the_switch_and_a_rule() {
    for (host, address) in [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("[::1]", "::1"),
        ("169.254.169.254", "169.254.169.254"),
        ("a.example.org", "127.0.0.1"),
        ("a.example.org", "fe80::1"),
        ("168.63.129.16", "168.63.129.16"),
    ] {
        let rules: &[&str] = &["0.0.0.0/0:*", "[::/0]:*", "localhost:*"];
        check(rules, false, host, address, 8443, Err("private"));
        check(&[], true, host, address, 8443, Err("private"));
        let used = if host == "localhost" {
            "localhost:*"
        } else if address.contains(':') {
            "[::/0]:*"
        } else {
            "0.0.0.0/0:*"
        };
        check(rules, true, host, address, 8443, Ok(Some(used)));
    }
    check(&["127.0.0.1:8443"], true, "127.0.0.1", "127.0.0.1", 9443, Err("private"));
    check(&["127.0.0.1:8443"], true, "10.0.0.1", "10.0.0.1", 8443, Err("private"));
    for never in ["0.0.0.0", "224.0.0.1", "255.255.255.255"] {
        check(&["0.0.0.0/0:*"], true, never, never, 443, Err("private"));
    }
    check(&["[::/0]:*"], true, "[::]", "::", 443, Err("private"));
}

#[test]
fn rules_that_cannot_be_read_are_named() {
    for rule in [
        "",
        "10.0.0.0/8",
        "10.0.0.0/8:",
        "10.0.0.0/8:0",
        "10.0.0.0/8:65536",
        "10.0.0.0/8:https",
        "10.0.0.0/33:443",
        "10.0.0.0/+8:443",
        "10.0.0.0/:443",
        "10.1.0.0/8:443",
        "[10.0.0.0/8]:443",
        "[fd00::1/8]:443",
        "::1:443",
        "[::ffff:10.0.0.0/104]:443",
        "*:443",
        "*.corp:443",
        "a_b:443",
        "10.0.0:443",
        "[fd00::/129]:443",
        "!",
        ":443",
    ] {
        let error = Egress::parse(&[rule.to_owned()], false).unwrap_err();
        assert!(error.contains(&format!("“{rule}”")), "{error}");
    }
    let error = Egress::parse(&["10.1.0.0/8:443".to_owned()], false).unwrap_err();
    assert_eq!(
        error,
        "the egress rule “10.1.0.0/8:443” has bits behind its prefix; the network is 10.0.0.0/8"
    );
}

#[test]
fn sentences() {
    let sentence = |text: &str, port: u16| {
        let blocked = Egress::none().judge_name(&Host::parse(text).unwrap(), port).unwrap_err();
        let fault = blocked.fault("URL address");
        (fault.code, fault.message)
    };
    assert_eq!(
        sentence("10.1.2.3", 443),
        (
            "private_address",
            "10.1.2.3 is on a private network. The operator of this server can allow it with egress.allow"
                .to_owned(),
        )
    );
    assert_eq!(sentence("servername", 443), (
        "short_name",
        "servername is a short name. Use the full name, or ask the operator of this server to allow it with \
         egress.allow"
            .to_owned(),
    ));
    assert_eq!(sentence("a.example.org", 25).0, "bad_port");
}
