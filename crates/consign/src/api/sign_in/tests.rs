//! Reading credentials of a request, and judging where a session's request comes from.

use super::*;

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers
}

#[test]
fn the_token_stands_behind_the_scheme() {
    assert_eq!(bearer("Bearer csg_1"), Some("csg_1"));
    assert_eq!(bearer("bearer  csg_1"), Some("csg_1"));
    assert_eq!(bearer("Basic csg_1"), None);
    assert_eq!(bearer("csg_1"), None);
}

#[test]
fn a_cookie_has_exactly_its_name() {
    let sent = headers(&[
        ("cookie", "a=1; consign-local=two; x-consign-local=three"),
        ("cookie", "__Host-consign=4"),
    ]);
    assert_eq!(cookie(&sent, COOKIE_LOCAL), Some("two"));
    assert_eq!(cookie(&sent, COOKIE_TLS), Some("4"));
    assert_eq!(cookie(&sent, "local"), None);
}

#[track_caller]
fn check(lines: &[(&'static str, &'static str)], token: &str, accepted: bool) {
    assert_eq!(judge_origin(&headers(lines), token).is_ok(), accepted);
}

#[test]
fn a_session_needs_its_token_and_the_same_site() {
    check(&[("consign-csrf", "right")], "right", true);
    check(&[("consign-csrf", "right"), ("sec-fetch-site", "same-origin")], "right", true);
    check(&[("consign-csrf", "right"), ("sec-fetch-site", "cross-site")], "right", false);
    check(&[("consign-csrf", "right"), ("sec-fetch-site", "same-site")], "right", false);
    check(&[("consign-csrf", "wrong")], "right", false);
    check(&[("consign-csrf", "")], "", false);
    check(&[], "right", false);
}
