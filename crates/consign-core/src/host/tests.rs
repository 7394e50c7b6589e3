//! Hosts as people type them, and as attackers do.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(text: &str, expected: Result<&str, HostFault>) {
    let parsed = Host::parse(text);
    assert_eq!(parsed.clone().map(|host| host.to_string()), expected.map(str::to_owned), "{text:?}");
    if let Ok(host) = parsed {
        assert_eq!(Host::parse(&host.to_string()), Ok(host), "printing and parsing again");
    }
}

#[test]
fn names_become_canonical() {
    check("api.example.org", Ok("api.example.org"));
    check("API.Example.ORG", Ok("api.example.org"));
    check("api.example.org.", Ok("api.example.org"));
    check("a-b.example.org", Ok("a-b.example.org"));
    check("my--instance.example.org", Ok("my--instance.example.org"));
    check("servername", Ok("servername"));
    check("4me.example.org", Ok("4me.example.org"));
    check("0xg.example.0xg", Ok("0xg.example.0xg"));
    check(&format!("{}.example.org", "a".repeat(63)), Ok(&format!("{}.example.org", "a".repeat(63))));
}

#[test]
fn international_names_are_converted() {
    check("bücher.example.org", Ok("xn--bcher-kva.example.org"));
    check("BÜCHER.example.org", Ok("xn--bcher-kva.example.org"));
    check("xn--bcher-kva.example.org", Ok("xn--bcher-kva.example.org"));
    check("XN--BCHER-KVA.example.org", Ok("xn--bcher-kva.example.org"));
    check("straße.example.org", Ok("xn--strae-oqa.example.org"));
    // Mixed scripts: accepted, but shown in the form that tells them apart.
    check("раураl.example.org", Ok("xn--l-7sba6dbr.example.org"));
    assert_eq!(Host::parse("xn--bcher-kva.example.org").unwrap().unicode(), "bücher.example.org");
    assert_eq!(Host::parse("[2001:db8::1]").unwrap().unicode(), "[2001:db8::1]");
}

#[test]
fn names_that_mapping_changes_are_refused_with_the_mapped_form() {
    check("ｅｘａｍｐｌｅ.org", Err(HostFault::Mapped("example.org".to_owned())));
    check("o\u{fb03}ce.example.org", Err(HostFault::Mapped("office.example.org".to_owned())));
    check("exam\u{ad}ple.org", Err(HostFault::Mapped("example.org".to_owned())));
    check("example。org", Err(HostFault::Mapped("example.org".to_owned())));
    check("example．org", Err(HostFault::Mapped("example.org".to_owned())));
    check("１２７.0.0.1", Err(HostFault::Mapped("127.0.0.1".to_owned())));
    check("bu\u{308}cher.example.org", Err(HostFault::Mapped("bücher.example.org".to_owned())));
    check("ⓔⓧ.example.org", Err(HostFault::Mapped("ex.example.org".to_owned())));
}

#[test]
fn addresses() {
    check("192.0.2.7", Ok("192.0.2.7"));
    check("192.0.2.7.", Ok("192.0.2.7"));
    check("[2001:DB8:0:0::1]", Ok("[2001:db8::1]"));
    check("[::ffff:192.0.2.1]", Ok("[::ffff:192.0.2.1]"));
    for text in ["127.1", "2130706433", "1.2.3", "256.256.256.256", "1.2.3.4.5", "example.1", "010.0.0.1"] {
        check(text, Err(HostFault::BadForm));
    }
    for text in ["0x7f.1", "0x7f000001", "1.2.3.0x4", "example.0x", "1.2.3.4..", "01.02.03.04", "1..2.3"] {
        check(text, Err(HostFault::BadForm));
    }
    for text in [
        "[::1",
        "[::1]]",
        "[fe80::1%eth0]",
        "[fe80::1%25eth0]",
        "[]",
        "[1.2.3.4]",
        "[::1].",
        "[[::1]]",
        "[v1.a]",
    ] {
        check(text, Err(HostFault::BadForm));
    }
}

#[test]
fn what_is_not_a_host() {
    check("", Err(HostFault::Missing));
    for text in
        [".", "..", ".a", "a..b", "-a.example.org", "a-.example.org", "xn--a", "xn--", "xn--a.example.org"]
    {
        check(text, Err(HostFault::BadForm));
    }
    check(&format!("{}.example.org", "a".repeat(64)), Err(HostFault::BadForm));
    check(&vec!["abcdefgh"; 29].join("."), Err(HostFault::BadForm));
    for text in [
        "a_b.example.org",
        "*.example.org",
        "ex,ample.org",
        "a%00.b",
        "a@b",
        "a:1",
        "a/b",
        "a b",
        "a\tb",
        "a\nb",
    ] {
        check(text, Err(HostFault::BadCharacters));
    }
    for text in [
        "a\\b", "a\"b", "a'b", "<a>", "{a}", "a|b", "a^b", "a`b", "a#b", "a?b", "::1", "a\u{0}b", "a\u{7f}b",
        "a&b",
    ] {
        check(text, Err(HostFault::BadCharacters));
    }
    // Characters that the mapping turns into ones that host names do not have.
    for text in ["a／b.org", "a＠b.org", "a％00.org", "a\u{2028}b.org", "a\u{200b}\u{3000}.org", "a：80.org"]
    {
        assert!(Host::parse(text).is_err(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn parsing_is_stable_and_canonical_text_is_plain(text in "\\PC{0,20}(\\.[a-zA-Z]{1,4})?") {
        if let Ok(host) = Host::parse(&text) {
            let printed = host.to_string();
            prop_assert!(printed.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()));
            prop_assert!(!printed.contains(['/', '@', '#', '?', '%', '\\']));
            prop_assert_eq!(Host::parse(&printed), Ok(host));
        }
    }

    #[test]
    fn plain_names_survive(labels in prop::collection::vec("[a-z]([a-z0-9-]{0,20}[a-z0-9])?", 1..6)) {
        prop_assume!(labels.iter().all(|label| !label.starts_with("xn--")));
        let name = labels.join(".");
        prop_assert_eq!(Host::parse(&name.to_uppercase()), Ok(Host::Name(name)));
    }
}
