//! Calls that are passed on, and the many that are not.

use http::{HeaderMap, HeaderName, Method};
use serde_json::json;

use super::super::tests::gateway;
use super::*;

#[track_caller]
fn check(prefixes: &[&str], target: &str, expected: Result<&str, NotAllowed>) {
    let gateway = gateway(json!({ "path_prefixes": prefixes }));
    let admitted = gateway.admit(&Method::GET, target);
    assert_eq!(admitted.as_ref().map(RemotePath::as_str).map_err(|why| *why), expected, "{target:?}");
}

#[test]
fn paths_below_a_prefix_are_sent_as_they_are() {
    for target in [
        "/api/now",
        "/api/now/",
        "/api/now?x=1",
        "/api/now/table/incident?sysparm_query=a%2Fb%2E.&b=..",
        "/api/now//double",
        "/api/now/a%20b",
        "/api/now/100%25",
        "/api/now/(a@b):c;v=1",
        "/api/now/.well-known",
        "/api/now/..x",
        "/api/now/v1.2",
    ] {
        check(&["/api/now"], target, Ok(target));
    }
    check(&["/api/now"], "/api/now/ü \"x\"", Ok("/api/now/%C3%BC%20%22x%22"));
    check(&["/a", "/b"], "/b/c", Ok("/b/c"));
    check(&["/"], "/", Ok("/"));
    check(&["/"], "/anything?at=all", Ok("/anything?at=all"));
}

#[test]
fn prefixes_are_whole_segments_of_what_is_sent() {
    for target in [
        "/",
        "/api",
        "/api/nowhere",
        "/api/now%20",
        "/api/now.",
        "/API/now",
        "/%61pi/now",
        "/api;v=1/now",
        "/x/api/now",
    ] {
        check(&["/api/now"], target, Err(NotAllowed::Outside));
    }
}

#[test]
fn what_a_tool_could_read_otherwise_is_refused() {
    for (target, fault) in [
        ("//evil", PathFault::OtherHost),
        ("/\\evil", PathFault::OtherHost),
        ("\\evil", PathFault::OtherHost),
        ("https://evil/api/now", PathFault::OtherHost),
        ("", PathFault::SlashNeeded),
        ("api/now", PathFault::SlashNeeded),
        ("/%2e%2e/", PathFault::BadCharacters),
        ("/api/now/../../admin", PathFault::BadCharacters),
        ("/api/now/%2E%2e/admin", PathFault::BadCharacters),
        ("/api/now/.", PathFault::BadCharacters),
        ("/api/now\\..\\admin", PathFault::BadCharacters),
        ("/api/now/%2e%2e%2fadmin", PathFault::BadCharacters),
        ("/api/now/%5c..%5cadmin", PathFault::BadCharacters),
        ("/api/now/#x", PathFault::BadCharacters),
        ("/api/now/\r\nHost: evil", PathFault::BadCharacters),
        ("/api/now/%", PathFault::BadCharacters),
    ] {
        for prefixes in [&["/api/now"], &["/"]] {
            check(prefixes, target, Err(NotAllowed::Form(fault)));
        }
    }
    for target in [
        "/api/now/a%2fb",
        "/api/now/a%2Fb",
        "/api/now/a%5Cb",
        "/api/now/a%2eb",
        "/api/now/%252e%252e/admin",
        "/api/now/%25252E%25252E/admin",
        "/api/now/a%252fb",
        "/api/now/..;/admin",
        "/api/now/..;v=1/admin",
        "/api/now/.;/",
        "/api/now/..%20/admin",
        "/api/now/.../admin",
        "/api/now/a%00",
        "/api/now/a%0d%0aHost:%20evil",
    ] {
        for prefixes in [&["/api/now"], &["/"]] {
            check(prefixes, target, Err(NotAllowed::Hidden));
        }
    }
    // In a query they lead nowhere.
    check(&["/"], "/a?b=../..%2f%2e%00", Ok("/a?b=../..%2f%2e%00"));
}

#[test]
fn methods_are_those_of_the_gateway() {
    let gateway = gateway(json!({ "methods": ["GET", "POST"], "path_prefixes": ["/"] }));
    for (method, expected) in [
        ("GET", None),
        ("POST", None),
        ("HEAD", Some(NotAllowed::Method)),
        ("DELETE", Some(NotAllowed::Method)),
        ("CONNECT", Some(NotAllowed::Method)),
        ("TRACE", Some(NotAllowed::Method)),
        ("get", Some(NotAllowed::Method)),
        ("INVENTED", Some(NotAllowed::Method)),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(gateway.admit(&method, "/a").err(), expected, "{method}");
    }
    // The method comes first: nobody learns of a path by a method that is refused.
    assert_eq!(gateway.admit(&Method::PUT, "//evil"), Err(NotAllowed::Method));
}

#[test]
fn headers_are_no_way_around_methods_and_paths() {
    let gateway = gateway(json!({ "methods": ["POST", "PATCH"], "path_prefixes": ["/"] }));
    let rows = [
        ("x-http-method-override", "PATCH", Ok(())),
        ("x-http-method-override", " patch ", Ok(())),
        ("x-http-method-override", "DELETE", Err(NotAllowed::MethodInHeader)),
        ("x-http-method", "DELETE", Err(NotAllowed::MethodInHeader)),
        ("x-method-override", "", Err(NotAllowed::MethodInHeader)),
        ("x-original-url", "/admin", Err(NotAllowed::PathInHeader)),
        ("x-rewrite-url", "/admin", Err(NotAllowed::PathInHeader)),
        ("upgrade", "websocket", Err(NotAllowed::Upgrade)),
        ("upgrade", "h2c, websocket", Err(NotAllowed::Upgrade)),
        ("upgrade", "h2c", Ok(())),
        ("upgrade-insecure-requests", "1", Ok(())),
        ("accept", "*/*", Ok(())),
    ];
    for (name, value, expected) in rows {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static(name), value.parse().unwrap());
        assert_eq!(gateway.admit_headers(&headers), expected, "{name}: {value}");
    }
    let mut twice = HeaderMap::new();
    for value in ["PATCH", "DELETE"] {
        twice.append("x-http-method-override", value.parse().unwrap());
    }
    assert_eq!(gateway.admit_headers(&twice), Err(NotAllowed::MethodInHeader));
}

#[test]
fn a_query_is_no_way_around_methods() {
    let gateway = gateway(json!({ "methods": ["POST", "PATCH"], "path_prefixes": ["/"] }));
    for (target, expected) in [
        ("/a?_method=patch", None),
        ("/a?methods=DELETE&_methods=DELETE", None),
        ("/a?_method=DELETE", Some(NotAllowed::MethodInQuery)),
        ("/a?x=1;_METHOD=delete", Some(NotAllowed::MethodInQuery)),
        ("/a?_method=PATCH&%5Fmethod=DELETE", Some(NotAllowed::MethodInQuery)),
        ("/a?_method", Some(NotAllowed::MethodInQuery)),
        ("/a?X-HTTP-Method-Override=DELETE", Some(NotAllowed::MethodInQuery)),
        ("/a?x_http_method_override=DELETE", Some(NotAllowed::MethodInQuery)),
    ] {
        assert_eq!(gateway.admit(&Method::POST, target).err(), expected, "{target}");
    }
}

#[test]
fn a_query_does_not_set_what_the_credential_sets() {
    let added = Some("/hook?api_key=s3cret&site=a");
    for (target, expected) in [
        ("/x", Ok(())),
        ("/x?page=1", Ok(())),
        ("/x?api_keys=1", Ok(())),
        ("/x?page=1&api_key=mine", Err(NotAllowed::Parameter)),
        ("/x?API_KEY=mine", Err(NotAllowed::Parameter)),
        ("/x?api%5Fkey=mine", Err(NotAllowed::Parameter)),
        ("/x?a=1;site", Err(NotAllowed::Parameter)),
    ] {
        assert_eq!(judge_query(&RemotePath::parse(target).unwrap(), added), expected, "{target}");
        assert_eq!(judge_query(&RemotePath::parse(target).unwrap(), Some("/hook")), Ok(()));
        assert_eq!(judge_query(&RemotePath::parse(target).unwrap(), None), Ok(()));
    }
}
