//! What passes, in both directions.

use serde_json::json;

use super::super::tests::gateway;
use super::*;

fn headers(rows: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in rows {
        headers
            .append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn an_application_reaches_the_tool_with_what_is_for_the_tool() {
    let stays = [
        ("host", "consign.example"),
        ("authorization", "Bearer csg_x"),
        ("consign-key", "csg_x"),
        ("consign-anything", "1"),
        ("cookie", "a=b"),
        ("forwarded", "for=1.2.3.4"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-host", "evil"),
        ("x-real-ip", "1.2.3.4"),
        ("via", "1.1 x"),
        ("proxy-authorization", "Basic x"),
        ("proxy-connection", "close"),
        ("expect", "100-continue"),
        ("connection", "close, X-Named"),
        ("connection", "x-named-too"),
        ("x-named", "1"),
        ("x-named-too", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("transfer-encoding", "chunked"),
        ("content-length", "5"),
        ("upgrade", "h2c"),
        ("http2-settings", "x"),
    ];
    assert_eq!(names(&onward(&headers(&stays))), Vec::<&str>::new());
    let passes = [
        ("accept", "application/json"),
        ("accept", "text/html"),
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
        ("if-none-match", "\"x\""),
        ("range", "bytes=0-9"),
        ("user-agent", "app/1"),
        ("x-request-id", "7"),
        ("idempotency-key", "k"),
        ("origin", "https://app.example"),
    ];
    let onward = onward(&headers(&passes));
    assert_eq!(onward, headers(&passes));
    assert_eq!(onward.get_all("accept").iter().count(), 2, "no value is lost");
}

#[test]
fn an_answer_reaches_the_application_without_what_acts_on_this_origin() {
    let stays = [
        ("set-cookie", "a=b"),
        ("set-cookie", "c=d"),
        ("set-cookie2", "a=b"),
        ("alt-svc", "h3=\":443\""),
        ("strict-transport-security", "max-age=1"),
        ("clear-site-data", "\"*\""),
        ("service-worker-allowed", "/"),
        ("access-control-allow-origin", "*"),
        ("access-control-allow-credentials", "true"),
        ("consign-error", "key_missing"),
        ("proxy-authenticate", "Basic"),
        ("connection", "x-named"),
        ("x-named", "1"),
        ("keep-alive", "timeout=5"),
        ("transfer-encoding", "chunked"),
        ("trailer", "x"),
        ("upgrade", "h2c"),
    ];
    let added = ["content-security-policy", "x-content-type-options"];
    assert_eq!(names(&back(&headers(&stays))), added);
    let passes = [
        ("content-type", "text/html"),
        ("content-length", "5"),
        ("etag", "\"x\""),
        ("location", "/x"),
        ("www-authenticate", "Bearer"),
        ("retry-after", "5"),
        ("x-ratelimit-remaining", "1"),
        ("link", "</a>; rel=next"),
        ("link", "</b>; rel=prev"),
    ];
    let answered = back(&headers(&passes));
    for (name, value) in passes {
        assert!(answered.get_all(name).iter().any(|kept| kept == value), "{name}: {value}");
    }
    // Both policies hold, so a tool's own can only make it stricter.
    let policies =
        back(&headers(&[("content-security-policy", "default-src 'none'"), ("x-content-type-options", "x")]));
    let values: Vec<_> = policies.get_all(CONTENT_SECURITY_POLICY).iter().collect();
    assert_eq!(values, ["default-src 'none'", "sandbox"]);
    assert_eq!(policies[X_CONTENT_TYPE_OPTIONS], "nosniff");
}

#[test]
fn redirects_within_the_gateway_stay_within_it() {
    let origin = Origin::parse("", "https://tool.example/").unwrap();
    let gateway = gateway(json!({ "slug": "itsm", "path_prefixes": ["/api/now"] }));
    for (value, expected) in [
        ("https://tool.example/api/now/x?y=1#z", Some("/gateway/itsm/api/now/x?y=1#z")),
        ("https://tool.example:443/api/now", Some("/gateway/itsm/api/now")),
        ("HTTPS://TOOL.example/api/now", Some("/gateway/itsm/api/now")),
        ("//tool.example/api/now", Some("/gateway/itsm/api/now")),
        ("/api/now/x", Some("/gateway/itsm/api/now/x")),
        ("https://tool.example/login", None),
        ("https://tool.example", None),
        ("/api/nowhere", None),
        ("/api/now/%2e%2e/admin", None),
        ("https://tool.example:8443/api/now", None),
        ("http://tool.example/api/now", None),
        ("https://tool.example@evil.example/api/now", None),
        ("https://evil.example/api/now", None),
        ("//evil.example/api/now", None),
        ("next", None),
        ("?page=2", None),
        ("", None),
    ] {
        assert_eq!(gateway.location(&origin, None, value).as_deref(), expected, "{value}");
    }
    // What the credential puts in front of each path does not come back.
    for (value, expected) in [
        ("/services/s3cret/api/now/x", Some("/gateway/itsm/api/now/x")),
        ("/services/s3cret2/api/now/x", None),
        ("/api/now/x", None),
    ] {
        let found = gateway.location(&origin, Some("/services/s3cret/?key=1"), value);
        assert_eq!(found.as_deref(), expected, "{value}");
    }
}

#[test]
fn a_redirect_never_leads_to_another_place_of_this_server() {
    let origin = Origin::parse("", "https://tool.example/").unwrap();
    let gateway = gateway(json!({ "slug": "itsm", "path_prefixes": ["/api/now"] }));
    let asked = RemotePath::parse("/api/now/table/x?page=1").unwrap();
    let own = "https://consign.acme.example:8420";
    for (value, expected) in [
        ("/api/now/x#z", Some("/gateway/itsm/api/now/x#z")),
        ("next", Some("/gateway/itsm/api/now/table/next")),
        ("./next?y=1", Some("/gateway/itsm/api/now/table/next?y=1")),
        ("../y", Some("/gateway/itsm/api/now/y")),
        ("?page=2", Some("/gateway/itsm/api/now/table/x?page=2")),
        ("#z", Some("/gateway/itsm/api/now/table/x#z")),
        ("https:next", Some("/gateway/itsm/api/now/table/next")),
        // It would be a path of this server.
        ("/api/v1/users", Some("https://tool.example/api/v1/users")),
        ("/gateway/other/x", Some("https://tool.example/gateway/other/x")),
        ("\\gateway\\other", Some("https://tool.example/gateway\\other")),
        ("https:/api/v1/users", Some("https://tool.example/api/v1/users")),
        ("../../../../gateway/other/x", None),
        ("../../other", None),
        // It names this server.
        ("https://consign.acme.example:8420/api/v1/users", None),
        ("//CONSIGN.acme.example:8420/gateway/other/x", None),
        ("http://x@consign.acme.example:8420\\gateway", None),
        ("/\t/consign.acme.example:8420/x", None),
        // It leads elsewhere: that is the tool's to say.
        ("https://tool.example/login", Some("https://tool.example/login")),
        ("https://login.example/?next=/api", Some("https://login.example/?next=/api")),
        ("//evil.example/x", Some("//evil.example/x")),
        ("mailto:ana@acme.example", Some("mailto:ana@acme.example")),
    ] {
        let found = gateway.redirect((&origin, None), &asked, own, value);
        assert_eq!(found.as_deref(), expected, "{value}");
    }
}

#[test]
fn headers_that_tools_take_for_others_stay_here() {
    let sent = [("x_forwarded_for", "10.0.0.1"), ("x_http_method_override", "DELETE"), ("x-plain", "1")];
    assert_eq!(names(&onward(&headers(&sent))), ["x-plain"]);
}
