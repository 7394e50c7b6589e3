//! Answers as tools give them, and as broken or hostile ones do.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(body: &str, expected: &str) {
    let said = message(Some("application/json"), body.as_bytes());
    assert_eq!(said.as_deref(), Some(expected).filter(|text| !text.is_empty()), "{body}");
}

#[test]
fn known_shapes() {
    // ServiceNow
    check(
        r#"{"error":{"message":"User Not Authenticated","detail":"Required to provide Auth information"},
            "status":"failure"}"#,
        "User Not Authenticated: Required to provide Auth information",
    );
    check(r#"{"error":{"message":"No Record found","detail":null}}"#, "No Record found");
    // BMC
    check(
        r#"[{"messageType":"ERROR","messageText":"Authentication failed","messageAppendedText":"appadmin",
            "messageNumber":623}]"#,
        "Authentication failed (623): appadmin",
    );
    // Ivanti
    check(
        r#"{"code":"ISM_4000","message":["Bad request","No such field"]}"#,
        "ISM_4000: Bad request; No such field",
    );
    // Freshservice
    check(
        r#"{"description":"Validation failed","errors":[
            {"field":"email","message":"It should be valid","code":"invalid"},
            {"field":"x","message":"missing"}]}"#,
        "email: It should be valid; x: missing",
    );
    check(
        r#"{"code":"invalid_credentials","message":"You have to be logged in"}"#,
        "You have to be logged in",
    );
    // Jira
    check(
        r#"{"errorMessages":["Issue does not exist"],
            "errors":{"summary":"is required","priority":"is unknown"}}"#,
        "Issue does not exist; summary: is required; priority: is unknown",
    );
    check(
        r#"{"errorMessage":"Not found","i18nErrorMessage":{"i18nKey":"sd.not.found","parameters":[]}}"#,
        "Not found; sd.not.found",
    );
    check(r#"{"errorMessages":[],"errors":{"summary":"is required"}}"#, "summary: is required");
    // OAuth
    check(
        r#"{"error":"invalid_client","error_description":"Unknown client"}"#,
        "invalid_client: Unknown client",
    );
    check(r#"{"error":"invalid_grant"}"#, "invalid_grant");
    // RFC 9457
    check(
        r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"No table x"}"#,
        "Not Found: No table x",
    );
    // Others
    check(r#"{"message":"Too many requests"}"#, "Too many requests");
    check(r#"{"errors":[{"message":"First"},{"message":"Second"}]}"#, "First; Second");
    check(r#"{"errors":["First"]}"#, "First");
}

#[test]
fn unknown_shapes() {
    check(r#"{"ok":true}"#, r#"{"ok":true}"#);
    check("\"done\"", "\"done\"");
    check("not json at all\n\n  second line", "not json at all second line");
    check("", "");
    check(" \n ", "");
    check("a\u{0}b", "");
    check("caf\u{e9} \u{202e}evil\u{1b}[31m", "café evil [31m");
    check(&"x".repeat(500), &format!("{}…", "x".repeat(199)));
    let long = format!(r#"{{"message":"{}"}}"#, "é".repeat(500));
    check(&long, &format!("{}…", "é".repeat(299)));
    assert_eq!(message(None, b"\xff\xfe!").as_deref(), Some("\u{fffd}\u{fffd}!"));
    assert_eq!(message(Some("image/png"), b"\x89PNG\r\n\x1a\n\0\0"), None);
}

#[test]
fn web_pages() {
    let page = "<!DOCTYPE html>\n<html><head><TITLE lang=en>Sign in &amp; go\n on</TITLE></head></html>";
    assert_eq!(message(None, page.as_bytes()).as_deref(), Some("Web page: Sign in & go on"));
    assert_eq!(message(Some("text/html; charset=utf-8"), b"<p>hello").as_deref(), Some("Web page"));
    assert_eq!(message(Some("TEXT/HTML"), b"<title></title>").as_deref(), Some("Web page"));
    assert!(is_web_page(None, b"\xef\xbb\xbf \n<HTML>") && is_web_page(Some("application/xhtml+xml"), b""));
    assert!(
        !is_web_page(Some("application/json"), b"{}")
            && !is_web_page(None, b"<xml/>")
            && !is_web_page(None, b"")
    );
    let long = format!("<html><title>{}", "t".repeat(400)) + "</title>";
    assert!(message(None, long.as_bytes()).unwrap().chars().count() <= 300);
}

#[test]
fn json_or_not() {
    for body in ["{}", "[]", " {\"a\": 1}\n", "null", "\"ok\"", "12"] {
        assert!(is_json(body.as_bytes()), "{body}");
    }
    for body in ["", "<html>", "{", "ok", "{} {}"] {
        assert!(!is_json(body.as_bytes()), "{body}");
    }
    let cut = format!("[{}", "1,".repeat(40_000));
    assert!(is_json(&cut.as_bytes()[..64 << 10]));
    assert!(!is_json(&[b' '; 64]) && !is_json(&vec![b'<'; 64 << 10]));
}

#[track_caller]
fn check_reference(body: &str, location: Option<&str>, expected: Option<&str>) {
    assert_eq!(reference(body.as_bytes(), location).as_deref(), expected, "{body}");
}

#[test]
fn references() {
    check_reference(r#"{"result":{"sys_id":"9d38","number":"INC0010001"}}"#, None, Some("INC0010001"));
    check_reference(r#"{"result":{"sys_id":"9d38"}}"#, None, Some("9d38"));
    check_reference(r#"{"issueId":"1","issueKey":"SD-7"}"#, None, Some("SD-7"));
    check_reference(r#"{"ticket":{"id":41}}"#, None, Some("41"));
    check_reference(r#"{"nodeID":"NG1lLnh4"}"#, None, Some("NG1lLnh4"));
    check_reference(r#"{"id":266}"#, None, Some("266"));
    check_reference(r#"{"id":""}"#, None, None);
    check_reference(r#"{"id":{"a":1}}"#, None, None);
    check_reference("", Some("https://a.example/entry/7"), Some("https://a.example/entry/7"));
    check_reference(r#"{"id":1}"#, Some("/entry/7"), Some("/entry/7"));
    check_reference(r#"{"id":1}"#, Some(" "), Some("1"));
    check_reference("ok", None, None);
    check_reference(
        &format!(r#"{{"id":"{}"}}"#, "x".repeat(999)),
        None,
        Some(&format!("{}…", "x".repeat(299))),
    );
}

proptest! {
    #[test]
    fn a_message_is_one_short_line(
        body in prop::collection::vec(any::<u8>(), 0..400),
        json in "[\\[\\]{}\",:a-z0-9\\\\<>/ ]{0,80}",
    ) {
        for body in [body, json.into_bytes()] {
            let page = message(Some("text/html"), &body);
            for said in [message(None, &body), page, reference(&body, None)].into_iter().flatten() {
                prop_assert!(!said.is_empty() && said.chars().count() <= 300);
                prop_assert!(!said.chars().any(char::is_control));
            }
        }
    }
}
