//! Hostile paths never leave the origin, whatever the parts were.

use consign_core::credential::Access;
use consign_core::secret::Secret;
use consign_core::target::RemotePath;
use http::Method;

use super::draft::DraftFault;
use super::*;

/// What was refused when it was typed, and what the joining of parts would have to refuse.
const HOSTILE: &[&str] = &[
    "//evil.example.net",
    "///evil.example.net",
    "/\\evil.example.net",
    "\\\\evil.example.net",
    "https://evil.example.net/",
    "HTTPS://evil.example.net",
    "@evil.example.net/",
    ":443@evil.example.net/",
    ".evil.example.net/",
    "evil.example.net",
    ":8443/x",
    "/x#@evil.example.net",
    "/%2e%2e/x",
    "/../x",
    "/./x",
    "/x/%2E%2E",
    "/x%0d%0aHost: evil.example.net",
    "/x\r\nHost: evil.example.net",
    "/x HTTP/1.1\r\nX: y",
    "/x\0",
    "/x\ty",
    "?x=1",
    "#x",
    "",
    " /x",
    "/x y",
    "/\u{ff0f}\u{ff0f}evil",
    "/@evil.example.net/",
    "/https://evil.example.net/",
    "/x?u=https://evil.example.net/",
    "/x;a@evil.example.net",
    "/%2f%2fevil",
    "/%5cevil",
    "/[::1]/",
    "/x?a=b#c",
    "/\u{2028}",
    "/é",
    "/%zz",
    "/%",
    "*",
    "/a//b",
    "/a/..;/b",
    "/\\..\\x",
];

fn origin() -> Origin {
    Origin::parse("Hostname", "https://tool.example.org:8443/").unwrap()
}

fn draft(base: Option<&str>, path: RemotePath) -> Result<Draft, DraftFault> {
    let path_secret = base.map(|base| Secret::new(base.to_owned()));
    let access = Access { origin: origin(), headers: Vec::new(), path: path_secret, identity: None };
    let message = Message { method: Method::POST, path, headers: Vec::new() };
    Draft::new(&access, &message, Body::default())
}

#[track_caller]
fn check_stays(draft: &Draft, text: &str) {
    assert_eq!(draft.uri.scheme_str(), Some("https"), "{text}");
    assert_eq!(draft.uri.authority().unwrap().as_str(), "tool.example.org:8443", "{text}");
    assert_eq!(draft.request.headers()[HOST], "tool.example.org:8443", "{text}");
    assert!(draft.uri.path().starts_with('/'), "{text}");
}

#[test]
fn hostile_paths_stay_or_are_refused() {
    let mut stayed = 0;
    for text in HOSTILE {
        if let Ok(path) = RemotePath::parse(text) {
            check_stays(&draft(None, path).unwrap(), text);
            stayed += 1;
        }
        // As a secret path that came past every rule.
        if let Ok(draft) = draft(Some(text), RemotePath::parse("/hook").unwrap()) {
            check_stays(&draft, text);
        }
    }
    assert!(stayed >= 8, "{stayed}");
}

#[test]
fn a_secret_path_that_names_another_host_is_refused() {
    for text in [
        "@evil.example.net/",
        ".evil.example.net/x",
        ":443@evil.example.net/",
        "/x#y",
        "/x y",
        "/x\r\ny",
        "x",
        "?a",
    ] {
        let fault = draft(Some(text), RemotePath::root()).err().unwrap();
        assert_eq!(
            fault.to_string(),
            "the address of the request leaves https://tool.example.org:8443/",
            "{text}"
        );
    }
}

#[test]
fn a_proof_is_marked_sensitive() {
    let headers = vec![(http::header::AUTHORIZATION, HeaderValue::from_static("Bearer x"))];
    let access = Access { origin: origin(), headers, path: None, identity: None };
    let message = Message { method: Method::GET, path: RemotePath::root(), headers: Vec::new() };
    let draft = Draft::new(&access, &message, Body::default()).unwrap();
    assert!(draft.request.headers()[http::header::AUTHORIZATION].is_sensitive());
}

#[test]
fn the_version_decides_how_the_target_is_written() {
    let mut draft = draft(None, RemotePath::parse("/a?b=1").unwrap()).unwrap();
    for (http2, uri, has_host) in [
        (false, "/a?b=1", true),
        (true, "https://tool.example.org:8443/a?b=1", false),
        (false, "/a?b=1", true),
    ] {
        let request = draft.written_for(http2);
        assert_eq!(
            (request.uri().to_string().as_str(), request.headers().contains_key(HOST)),
            (uri, has_host)
        );
        draft.request = request;
    }
}

#[test]
fn how_long_servers_keep_connections() {
    for (value, seconds) in [
        ("timeout=5", Some(4)),
        ("timeout=5, max=100", Some(4)),
        ("max=100, timeout=60", Some(59)),
        ("timeout=0", Some(0)),
        ("max=1", None),
        ("timeout=x", None),
        ("timeout=-1", None),
        ("", None),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert("keep-alive", HeaderValue::from_static(value));
        assert_eq!(idle_max(&headers), seconds.map(Duration::from_secs), "{value}");
    }
}
