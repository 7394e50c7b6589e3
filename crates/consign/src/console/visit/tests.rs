use super::*;

#[test]
fn loopback_is_told_by_the_host() {
    for (host, loopback) in [
        ("127.0.0.1:8420", true),
        ("127.9.9.9", true),
        ("localhost:8420", true),
        ("localhost", true),
        ("[::1]:8420", true),
        ("[::1]", true),
        ("consign.acme.example", false),
        ("10.0.0.1:8420", false),
        ("localhost.evil.example", false),
        ("", false),
    ] {
        assert_eq!(is_loopback(host), loopback, "{host}");
    }
}

#[test]
fn where_a_browser_is_is_told_by_what_it_sends() {
    let check = |host: &'static str, marked: bool, expected: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        if marked {
            headers.insert("sec-fetch-site", HeaderValue::from_static("none"));
        }
        assert_eq!(origin(&headers), expected);
    };
    check("localhost:8420", true, "http://localhost:8420");
    check("consign.acme.example", true, "https://consign.acme.example");
    check("10.0.0.1:8420", false, "http://10.0.0.1:8420");
    assert_eq!(origin(&HeaderMap::new()), "");
}

#[test]
fn only_own_paths_are_gone_to() {
    for (path, own) in [
        ("/", true),
        ("/credentials/new?back=/webhooks/new", true),
        ("//evil.example/", false),
        ("/\\evil.example/", false),
        ("https://evil.example/", false),
        ("javascript:alert(1)", false),
        ("", false),
        ("/a\r\nSet-Cookie: x", false),
    ] {
        assert_eq!(is_own_path(path), own, "{path}");
    }
}

#[test]
fn a_cookie_is_found_by_its_whole_name() {
    let mut headers = HeaderMap::new();
    headers.append(
        header::COOKIE,
        HeaderValue::from_static("xconsign-local=1; consign-local=two; consign-local2=3"),
    );
    headers.append(header::COOKIE, HeaderValue::from_static("empty="));
    assert_eq!(cookie(&headers, "consign-local").as_deref(), Some("two"));
    assert_eq!(cookie(&headers, "local"), None);
    assert_eq!(cookie(&headers, "empty"), None);
}

#[test]
fn a_message_that_leads_away_or_is_not_one_is_dropped() {
    let encode = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let kept = |value: Value| read_message(&encode(value)).is_some();
    let with = |actions: Value| json!({ "kind": "success", "text": "Deleted.", "actions": actions });
    assert!(kept(with(json!([]))));
    let own = json!({ "url": "/webhooks?state=held", "action": "Show webhooks" });
    assert!(kept(with(json!([own]))));
    assert!(kept(with(json!([own, { "url": "/exporters", "action": "Show data exporters" }]))));
    assert!(!kept(with(json!([{ "url": "//evil.example", "action": "Show them" }]))));
    assert!(!kept(with(json!([own, { "url": "//evil.example", "action": "Show them" }]))));
    assert!(!kept(with(json!([{ "url": "/webhooks" }]))));
    assert!(!kept(with(json!([{ "action": "Show them" }]))));
    assert!(!kept(with(json!("/webhooks"))));
    assert!(!kept(json!({ "kind": "success", "text": "Saved." })));
    assert!(!kept(json!({ "kind": "success", "actions": [] })));
    assert!(!kept(json!(["success"])));
    assert!(read_message("%%%").is_none());
}
