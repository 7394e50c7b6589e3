//! Addresses and paths as people paste them, and as attackers craft them.

use proptest::prelude::*;

use super::*;
use crate::address::Egress;

const LABEL: &str = "URL address";

#[track_caller]
fn check(text: &str, expected: Result<&str, &str>) {
    let parsed = Origin::parse(LABEL, text);
    let shown = parsed.as_ref().map(ToString::to_string).map_err(|fault| fault.code);
    assert_eq!(shown.as_deref().map_err(|code| *code), expected, "{text:?}");
    if let Ok(origin) = parsed {
        assert_eq!(Origin::parse(LABEL, &origin.to_string()), Ok(origin), "printing and parsing again");
    }
}

/// The numbered rows of the security rules for addresses.
#[test]
fn address_rules() {
    check("https://ven01063.service-now.com/", Ok("https://ven01063.service-now.com/")); // URL01
    check("https://serverName.example.org:8443/", Ok("https://servername.example.org:8443/")); // URL02
    check("HTTPS://API.Example.ORG/", Ok("https://api.example.org/")); // URL03
    check("https://[2606:4700:4700::1111]:8443/", Ok("https://[2606:4700:4700::1111]:8443/")); // URL04
    check("https://a-b.example.org:65535/", Ok("https://a-b.example.org:65535/")); // URL05
    check("http://api.example.org/", Err("https_needed")); // URL06
    check("https:/api.example.org/", Err("https_needed")); // URL07
    check("//api.example.org/", Err("https_needed")); // URL08
    check("api.example.org", Err("https_needed"));
    check("https://user@api.example.org/", Err("user_info")); // URL09
    check("https://:pw@api.example.org/", Err("user_info")); // URL10
    check("https://@api.example.org/", Err("user_info"));
    check("https://api.example.org//", Err("bad_form")); // URL11
    check("https://api.freshservice.com/v1/#update_ticket_priority", Err("fragment_given")); // URL12
    check("https://api.example.org/v1/../", Err("path_given")); // URL13
    check("https://api.example.org/%2e%2e/", Err("path_given"));
    for port in ["65536", "abc", "+443", "443:443"] {
        check(&format!("https://api.example.org:{port}/"), Err("bad_port")); // URL14
    }
    check("https://api.example.org:0443/", Err("bad_port")); // URL15
    check("https://evil.example#@api.example.org/", Err("fragment_given")); // URL16
    check("https://api.example.org%00.evil/", Err("bad_characters")); // URL17
    check("https://api.exam\nple.org/", Err("bad_characters")); // URL18
    check("https://api.exam\tple.org/", Err("bad_characters"));
    check("https://1.2.3/", Err("bad_form")); // URL20
    check("https://раураl.example.org/", Ok("https://xn--l-7sba6dbr.example.org/")); // URL23
    check("https://xn--a/", Err("bad_form")); // URL24
    check("https://xn--/", Err("bad_form"));
    check("https://a_b.example.org/", Err("bad_characters")); // URL25
    check("https://<instancename>.service-now.com/", Err("placeholder_left")); // URL26
    check("https://*.example.org/", Err("bad_characters")); // URL27
    check("https://ex,ample.org/", Err("bad_characters"));
    for text in ["file:///x", "javascript://api.example.org/%0aalert(1)", "gopher://", "ftp://", "wss://"] {
        check(text, Err("https_needed")); // URL28
    }
    check("blob:https://x/", Err("https_needed"));
    check("jar:https://x!/", Err("https_needed"));
    for host in ["256.256.256.256", "1.2.3.4.5", "example.1"] {
        check(&format!("https://{host}/"), Err("bad_form")); // URL29
    }
}

/// The rows whose address is well formed but leads inside.
#[test]
fn destinations_inside_are_refused() {
    let closed = Egress::none();
    for host in [
        "127.0.0.1",
        "localhost",
        "LOCALHOST.", // URL19
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]", // URL21
        "169.254.169.254",   // URL22
    ] {
        let origin = Origin::parse(LABEL, &format!("https://{host}/")).unwrap();
        let blocked = closed.judge_name(origin.host(), origin.port()).unwrap_err();
        assert_eq!(blocked.fault(LABEL).code, "private_address", "{host}");
    }
}

/// Addresses of file servers: an origin of HTTPS refuses them all, and the shared host parser the odd hosts
/// in them.
#[test]
fn other_schemes() {
    for text in [
        "sftp://sftp.example.org:22/",       // URL30
        "sftp://[2606:4700::1]:22/",         // URL31
        "sftp://sftp.example.org/",          // URL32
        "sftp://sftp.example.org:22/upload", // URL33
        "sftp://127.1:22/",
        "sftp://2130706433:22/", // URL34
        "sftp:sftp.example.org:22",
        "ssh://h:22/",
        "scp://h:22/",
        "sftp.example.org:22", // URL35
    ] {
        check(text, Err("https_needed"));
    }
    assert!(Host::parse("sftp.example.org").is_ok() && Host::parse("[2606:4700::1]").is_ok());
    assert!(Host::parse("127.1").is_err() && Host::parse("2130706433").is_err());
}

#[test]
fn more_addresses() {
    check("https://api.example.org", Ok("https://api.example.org/"));
    check("https://api.example.org:443/", Ok("https://api.example.org/"));
    check("https://api.example.org.:8443", Ok("https://api.example.org:8443/"));
    check("https://192.0.2.1:8443/", Ok("https://192.0.2.1:8443/"));
    check("https:///", Err("bad_form"));
    check("https:///api.example.org/", Err("bad_form"));
    check("https://", Err("bad_form"));
    check("https://:443/", Err("bad_form"));
    check("https://api.example.org:/", Err("bad_port"));
    check("https://api.example.org:0/", Err("bad_port"));
    check("https://api.example.org:-1/", Err("bad_port"));
    check("https://::1/", Err("bad_form"));
    check("https://[::1/", Err("bad_form"));
    check("https://[::1]x/", Err("bad_form"));
    check("https://[fe80::1%eth0]/", Err("bad_characters"));
    check("https://api.example.org/?", Err("bad_form"));
    check("https://api.example.org?a=1", Err("path_given"));
    check("https://api.example.org/#", Err("fragment_given"));
    check("https://api.example.org\\@evil.example/", Err("user_info"));
    check("https://api.example.org\\evil/", Err("bad_characters"));
    check("https://api.example.org/a b", Err("bad_characters"));
    check(" https://api.example.org/", Err("bad_characters"));
    check("https://api.example.org/ ", Err("bad_characters"));
    check("https://api.example.org ", Err("bad_characters"));
    check("https://ｅxample.org/", Err("bad_characters"));
    check("", Err("missing"));
    check("  ", Err("missing"));
    check("https:", Err("https_needed"));
    check("httpsé//x", Err("https_needed"));
    check(&format!("https://{}.example.org/", "a".repeat(2_048)), Err("too_long"));
}

#[track_caller]
fn check_sentence(label: &str, text: &str, code: &str, message: &str) {
    let fault = Origin::parse(label, text).unwrap_err();
    assert_eq!((fault.code, fault.message.as_str()), (code, message), "{text:?}");
}

#[test]
fn sentences() {
    check_sentence(LABEL, "", "missing", "Enter the URL address");
    check_sentence("Hostname", "", "missing", "Enter the hostname");
    check_sentence("Log-in URL", "", "missing", "Enter the log-in URL");
    check_sentence("Access Token URL", "", "missing", "Enter the Access Token URL");
    check_sentence("Recipient", "ftp://x", "https_needed", "Recipient must start with https://");
    check_sentence(LABEL, "https:///", "bad_form", "URL address must look like https://host:port/");
    check_sentence(LABEL, "https://a.example:0/", "bad_port", "Port must be between 1 and 65535");
    check_sentence(
        LABEL,
        "https://ana@a.example/",
        "user_info",
        "URL address must not include a username or password. Use authorization type Basic",
    );
    check_sentence(
        LABEL,
        "https://ven01063.service-now.com/api/now/table/{tableName}",
        "path_given",
        "URL address must end after the host or port. Put “/api/now/table/{tableName}” in the webhook",
    );
    check_sentence(LABEL, "https://a.example/#x", "fragment_given", "URL address must not include #");
    for (text, left) in [
        ("https://{tenant url}/api/rest", "{tenant url}"),
        ("https://<instancename>.service-now.com/", "<instancename>"),
        ("https://serverName:port/api", "serverName:port"),
        ("https://host:port/", "host:port"),
    ] {
        let message = format!("Replace “{left}” in the URL address with your own value");
        check_sentence(LABEL, text, "placeholder_left", &message);
    }
    let long = format!("https://{}/", "a".repeat(2_048));
    check_sentence(LABEL, &long, "too_long", "URL address must be 2,048 characters or fewer");
    check_sentence(LABEL, "https://a b/", "bad_characters", "URL address must use plain characters");
    check_sentence(
        LABEL,
        "https://ｅxample.org/",
        "bad_characters",
        "URL address must use plain characters. Enter example.org if you mean that host",
    );
}

#[test]
fn parts_of_an_origin() {
    let origin = Origin::parse(LABEL, "https://API.example.org:8443/").unwrap();
    assert_eq!(origin.host(), &Host::Name("api.example.org".to_owned()));
    assert_eq!((origin.port(), origin.authority().as_str()), (8443, "api.example.org:8443"));
    let usual = Origin::parse(LABEL, "https://[2001:db8::1]:443").unwrap();
    assert_eq!((usual.port(), usual.authority().as_str()), (443, "[2001:db8::1]"));
}

#[track_caller]
fn check_whole(text: &str, expected: Result<(&str, Option<&str>), &str>) {
    let parsed = Origin::parse_whole(LABEL, text);
    let shown = parsed.as_ref().map(|(origin, path)| (origin.to_string(), path.as_ref().map(Secret::expose)));
    let shown = shown.as_ref().map(|(origin, path)| (origin.as_str(), *path)).map_err(|fault| fault.code);
    assert_eq!(shown, expected, "{text:?}");
}

#[test]
fn whole_addresses() {
    check_whole(
        "https://hooks.example.org/services/T0/B0/x?y=1",
        Ok(("https://hooks.example.org/", Some("/services/T0/B0/x?y=1"))),
    );
    check_whole("https://hooks.example.org?key=1", Ok(("https://hooks.example.org/", Some("/?key=1"))));
    check_whole("https://hooks.example.org/", Ok(("https://hooks.example.org/", None)));
    check_whole("https://hooks.example.org", Ok(("https://hooks.example.org/", None)));
    check_whole(
        "https://hooks.example.org/a%20b/@x:y",
        Ok(("https://hooks.example.org/", Some("/a%20b/@x:y"))),
    );
    check_whole("https://hooks.example.org/a#b", Err("fragment_given"));
    check_whole("https://ana:pw@hooks.example.org/a", Err("user_info"));
    check_whole("https://hooks.example.org/{id}", Err("placeholder_left"));
    check_whole("https://{tenant}.example.org/x", Err("placeholder_left"));
    check_whole("https://hooks.example.org/a b", Err("bad_characters"));
    check_whole("https://hooks.example.org/é", Err("bad_characters"));
    check_whole("https://hooks.example.org//evil", Err("bad_form"));
    check_whole("https://hooks.example.org/../x", Err("bad_form"));
    check_whole("https://hooks.example.org/%2E%2e/x", Err("bad_form"));
    check_whole("http://hooks.example.org/x", Err("https_needed"));
    check_whole("", Err("missing"));
}

#[test]
fn pasted_addresses_are_cut() {
    let cut = |text: &str| cut_to_origin(text);
    let pair = |origin: &str, rest: &str| Some((origin.to_owned(), rest.to_owned()));
    assert_eq!(
        cut(" https://ACME.service-now.com/api/now/table/incident "),
        pair("https://acme.service-now.com/", "/api/now/table/incident"),
    );
    assert_eq!(cut("https://a.example:8443/x?y=1#z"), pair("https://a.example:8443/", "/x?y=1"));
    assert_eq!(cut("https://a.example?y=1"), pair("https://a.example/", "/?y=1"));
    assert_eq!(cut("https://a.example/#z"), pair("https://a.example/", "/"));
    for text in
        ["https://a.example/", "https://a.example", "http://a.example/x", "https://u@a.example/x", "/x", ""]
    {
        assert_eq!(cut(text), None, "{text:?}");
    }
}

#[track_caller]
fn check_path(text: &str, expected: Result<&str, PathFault>) {
    let parsed = RemotePath::parse(text);
    assert_eq!(parsed.as_ref().map(RemotePath::as_str).map_err(|fault| *fault), expected, "{text:?}");
}

#[test]
fn paths() {
    check_path("/", Ok("/"));
    check_path("/api/now/table/incident?sysparm_limit=1", Ok("/api/now/table/incident?sysparm_limit=1"));
    check_path(
        "/api/arsys/v1/entry/HPD:IncidentInterface_Create",
        Ok("/api/arsys/v1/entry/HPD:IncidentInterface_Create"),
    );
    check_path("/a:(b)@!$&'*+,;=", Ok("/a:(b)@!$&'*+,;="));
    check_path("/SRM:Request (old)", Ok("/SRM:Request%20(old)"));
    check_path("/straße?q=é", Ok("/stra%C3%9Fe?q=%C3%A9"));
    check_path("/a%2fb%20c", Ok("/a%2fb%20c"));
    check_path("/x?q=a^b|c\"d<e>{f}[g]`", Ok("/x?q=a%5Eb%7Cc%22d%3Ce%3E%7Bf%7D%5Bg%5D%60"));
    check_path("/x?to=https://a.example/../b", Ok("/x?to=https://a.example/../b"));
    check_path("/@evil.example", Ok("/@evil.example"));
    check_path("/.well-known/...", Ok("/.well-known/..."));
    check_path("/a//b", Ok("/a//b"));
    check_path("", Err(PathFault::SlashNeeded));
    check_path("api/now", Err(PathFault::SlashNeeded));
    check_path("@evil.example", Err(PathFault::SlashNeeded));
    check_path(".evil.example/x", Err(PathFault::SlashNeeded));
    for text in [
        "//evil.example",
        "///x",
        "/\\evil",
        "\\\\evil",
        "\\evil",
        "https://evil.example/x",
        "javascript:alert(1)",
    ] {
        check_path(text, Err(PathFault::OtherHost));
    }
    for text in ["/a\\b", "/a#b", "/a\nb", "/a\u{0}", "/a\u{7f}b", "/a\u{85}b", "/%", "/%2", "/%zz", "/a%2xb"]
    {
        check_path(text, Err(PathFault::BadCharacters));
    }
    for text in [
        "/.",
        "/..",
        "/a/../b",
        "/a/./b",
        "/%2e",
        "/%2E%2e/x",
        "/.%2e",
        "/a/..",
        "/a/..?x",
        "/a%2f..%2fb",
        "/a/..%5cb",
    ] {
        check_path(text, Err(PathFault::BadCharacters));
    }
    check_path(&format!("/{}", "a".repeat(4_096)), Err(PathFault::TooLong));
    check_path(&format!("/{}", "é".repeat(1_000)), Err(PathFault::TooLong));
}

#[test]
fn path_sentences() {
    let sentence = |fault: PathFault| {
        let fault = fault.at_host("acme.example.org");
        (fault.code, fault.message)
    };
    assert_eq!(sentence(PathFault::SlashNeeded), ("slash_needed", "Path must start with /".to_owned()));
    assert_eq!(
        sentence(PathFault::OtherHost),
        ("other_host", "Path must stay on acme.example.org".to_owned())
    );
    assert_eq!(
        sentence(PathFault::BadCharacters),
        ("bad_characters", "Path must use plain characters".to_owned())
    );
}

#[test]
fn joining() {
    let join = |base: Option<&str>, path: &str| {
        RemotePath::join(base, &RemotePath::parse(path).unwrap()).expose().to_owned()
    };
    assert_eq!(join(None, "/a?b=1"), "/a?b=1");
    assert_eq!(join(Some("/services/T0"), "/"), "/services/T0");
    assert_eq!(join(Some("/services/T0"), "/x"), "/services/T0/x");
    assert_eq!(join(Some("/services/T0/"), "/x?y=1"), "/services/T0/x?y=1");
    assert_eq!(join(Some("/s?key=1"), "/x?y=1"), "/s/x?key=1&y=1");
    assert_eq!(join(Some("/s?key=1"), "/"), "/s?key=1");
    assert_eq!(join(Some("/s"), "/?y=1"), "/s?y=1");
    assert_eq!(join(Some("/?key=1"), "/x"), "/x?key=1");
}

#[test]
fn bindings_frame_their_parts() {
    assert_eq!(framed(&[("a", "bc")]), b"\0\0\0\x01\0\0\0\x01a\0\0\0\x02bc");
    assert_ne!(Binding::of(&[("a", "bc")]), Binding::of(&[("ab", "c")]));
    assert_ne!(Binding::of(&[]), Binding::of(&[("", "")]));
    assert_eq!(Binding::of(&[("origin", "https://a.example/")]).as_bytes().len(), 32);
}

/// Pieces from which hostile addresses and paths are made.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "https://",
            "HTTPS://",
            "http://",
            "//",
            "/",
            "\\",
            "@",
            ":",
            "#",
            "?",
            "%",
            "%2e",
            "..",
            ".",
            "%2f",
            "%00",
            "[::1]",
            "evil.example",
            "a.example",
            "127.0.0.1",
            ":443",
            ":8443",
            " ",
            "\n",
            "\t",
            "{x}",
            "<x>",
            "é",
            "。",
            "xn--a",
            "=",
            "&",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,4}",
        "\\PC{0,3}",
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn an_accepted_address_prints_and_parses_to_itself(text in hostile()) {
        for text in [text.clone(), format!("https://{text}")] {
            if let Ok(origin) = Origin::parse(LABEL, &text) {
                let printed = origin.to_string();
                prop_assert_eq!(Origin::parse(LABEL, &printed), Ok(origin.clone()));
                let uri: http::Uri = printed.parse().unwrap();
                prop_assert_eq!(uri.authority().unwrap().as_str(), origin.authority());
                prop_assert!(!uri.authority().unwrap().as_str().contains('@'));
                prop_assert_eq!(uri.path_and_query().unwrap().as_str(), "/");
                prop_assert!(!printed.contains(['?', '#', '@', '%', '\\']));
            }
        }
    }

    #[test]
    fn no_open_address_is_a_blocked_literal(bits in any::<u32>(), port in 1_u16..) {
        let address = std::net::Ipv4Addr::from(bits);
        let origin = Origin::parse(LABEL, &format!("https://{address}:{port}/")).unwrap();
        let blocked = Egress::none().judge_name(origin.host(), origin.port());
        if address.is_private() || address.is_loopback() || address.is_link_local() {
            prop_assert!(blocked.is_err());
        }
    }

    #[test]
    fn a_joined_path_stays_on_its_origin(
        text in hostile(),
        base in prop::option::of("/[a-z/]{0,6}(\\?[a-z=]{0,4})?"),
    ) {
        let origin = Origin::parse(LABEL, "https://api.example.org:8443/").unwrap();
        for text in [text.clone(), format!("/{text}")] {
            let Ok(path) = RemotePath::parse(&text) else { continue };
            let base = base.as_deref().filter(|base| RemotePath::parse(base).is_ok());
            let target = RemotePath::join(base, &path);
            let whole = format!("https://{}{}", origin.authority(), target.expose());
            let uri: http::Uri = whole.parse().unwrap();
            prop_assert_eq!(uri.scheme_str(), Some("https"));
            prop_assert_eq!(uri.authority().unwrap().as_str(), origin.authority());
            prop_assert_eq!(uri.path_and_query().unwrap().as_str(), target.expose());
            prop_assert!(!target.expose().starts_with("//") && !whole.contains(['\\', '#']));
            prop_assert_eq!(RemotePath::parse(path.as_str()), Ok(path));
        }
    }

    #[test]
    fn framing_is_injective(
        first in prop::collection::vec(("[ab]{0,3}", "[ab]{0,3}"), 0..4),
        second in prop::collection::vec(("[ab]{0,3}", "[ab]{0,3}"), 0..4),
    ) {
        let borrow = |list: &[(String, String)]| -> Vec<u8> {
            framed(&list.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>())
        };
        prop_assert_eq!(borrow(&first) == borrow(&second), first == second);
    }
}
