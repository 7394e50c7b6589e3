use serde_json::Map;

use super::*;
use crate::catalog::Invalid;
use crate::credential::{Credential, Draft, Mode, Save};
use crate::time::Timestamp;
use crate::vault::{KeyRing, Vault};

const NOW: Timestamp = Timestamp::from_millis(1_795_356_120_500);

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { panic!("not an object: {value}") };
    object
}

fn with(base: Value, changes: Value) -> Map<String, Value> {
    let mut whole = object(base);
    whole.extend(object(changes));
    whole
}

fn credential(of: Value) -> Credential {
    let draft = Draft::parse(object(of), Mode::Create, NOW).unwrap();
    let save = Save { now: NOW, by: "Ana" };
    let id = crate::id::CredentialId::new(NOW);
    draft.seal(&Vault::new(&KeyRing::generate(), "i"), &save, id, None)
}

fn tool() -> Credential {
    credential(json!({
        "name": "Tool", "protocol": "https", "url_address": "https://acme.example/",
        "authorization_type": "basic", "username": "ana", "password": "open sesame",
    }))
}

fn typed() -> Value {
    json!({ "name": "Incidents", "credential": "Tool", "slug": "servicenow", "path_prefixes": ["/api/now"] })
}

fn parse(changes: Value) -> Result<GatewayDraft, Vec<Invalid>> {
    GatewayDraft::parse(with(typed(), changes), Some(&tool()))
}

pub(super) fn gateway(changes: Value) -> Gateway {
    parse(changes).unwrap().gateway
}

#[track_caller]
fn check(changes: Value, field: &str, code: &str, message: &str) {
    let found = parse(changes).expect_err("this was accepted");
    let found: Vec<_> =
        found.iter().map(|one| (one.field.as_str(), one.code, one.message.as_str())).collect();
    assert_eq!(found, [(field, code, message)]);
}

fn path(text: &str) -> RemotePath {
    RemotePath::parse(text).unwrap()
}

#[test]
fn what_is_not_sent_has_its_default() {
    assert_eq!(
        gateway(json!({})).to_json(),
        json!({
            "slug": "servicenow", "methods": ["GET"], "path_prefixes": ["/api/now"], "api_keys": [],
            "timeout_seconds": 60, "idle_seconds": 60, "max_request_bytes": 104_857_600, "max_concurrency": 32,
            "max_per_second": null, "scrub_answers": true, "record_calls": true,
        })
    );
}

#[test]
fn settings_survive_being_stored() {
    let (one, two) = (KeyId::new(NOW), KeyId::new(NOW));
    let all = json!({
        "slug": "a-1", "methods": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
        "path_prefixes": ["/", "/api/caf%C3%A9"], "api_keys": [one, two], "timeout_seconds": 600, "idle_seconds": 1,
        "max_request_bytes": 5_368_709_120_u64, "max_concurrency": 64, "max_per_second": 0.3,
        "scrub_answers": false, "record_calls": false,
    });
    let settings = gateway(all.clone()).to_json();
    assert_eq!(settings, all);
    assert_eq!(GatewayDraft::parse_stored(object(settings.clone())).unwrap().to_json(), settings);
    assert_eq!(gateway(settings).to_json(), all);
}

#[test]
fn values_as_forms_and_answers_send_them() {
    let key = KeyId::new(NOW);
    let sent = gateway(json!({
        "slug": " tool ", "methods": ["POST", "GET", "POST"], "path_prefixes": ["/a/", "/a", " /b/c// "],
        "api_keys": [{ "id": key, "name": "nxt-in" }, key], "timeout_seconds": "5", "idle_seconds": "",
        "max_request_bytes": "64 KiB", "max_per_second": "", "scrub_answers": "on", "record_calls": "",
        "address": "https://consign.example/gateway/tool/", "warnings": [], "etag": "\"7\"", "state": "active",
    }));
    assert_eq!(
        sent.to_json(),
        json!({
            "slug": "tool", "methods": ["GET", "POST"], "path_prefixes": ["/a", "/b/c"], "api_keys": [key],
            "timeout_seconds": 5, "idle_seconds": 60, "max_request_bytes": 65_536, "max_concurrency": 32,
            "max_per_second": null, "scrub_answers": true, "record_calls": false,
        })
    );
    for (text, bytes) in [("1", 1), ("2 MiB", 2 << 20), ("5GiB", 5 << 30), ("", 100 << 20)] {
        assert_eq!(gateway(json!({ "max_request_bytes": text })).max_request_bytes, bytes, "{text}");
    }
}

#[test]
fn fields_and_their_sentences() {
    check(json!({ "name": "" }), "name", "missing", "Enter a name");
    let long = "Description must be 500 characters or fewer";
    check(json!({ "description": "x".repeat(501) }), "description", "too_long", long);
    check(json!({ "slug": "" }), "slug", "missing", "Enter an address part");
    let long = "Address part must be 64 characters or fewer";
    check(json!({ "slug": "x".repeat(65) }), "slug", "too_long", long);
    for slug in ["Tool", "a b", "a/b", "a.b", "é", "a_b", "..", "%2e"] {
        let sentence = "Address part must use small letters, digits and hyphens";
        check(json!({ "slug": slug }), "slug", "bad_characters", sentence);
    }
    check(json!({ "methods": [] }), "methods", "missing", "Choose at least one method");
    let of = "Methods must be of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
    for method in ["CONNECT", "TRACE", "get", ""] {
        check(json!({ "methods": ["GET", method] }), "methods", "unknown", of);
    }
    check(json!({ "methods": "GET" }), "methods", "bad_form", "Methods must be a list");
    let first = "Time for the first byte must be from 1 to 600 seconds";
    check(json!({ "timeout_seconds": 601 }), "timeout_seconds", "out_of_range", first);
    check(json!({ "timeout_seconds": 0 }), "timeout_seconds", "out_of_range", first);
    let idle = "Idle time must be from 1 to 600 seconds";
    check(json!({ "idle_seconds": "soon" }), "idle_seconds", "out_of_range", idle);
    let most = "At most N at a time must be from 1 to 64";
    check(json!({ "max_concurrency": 65 }), "max_concurrency", "out_of_range", most);
    let rate = "Enter a number from 0.1 to 1,000";
    check(json!({ "max_per_second": 0 }), "max_per_second", "out_of_range", rate);
    let largest = "Largest request must be from 1 byte to 5 GiB, for example 100 MiB";
    for size in [json!(0), json!(5_368_709_121_u64), json!("6 GiB"), json!("1 MB"), json!("-1"), json!(1.5)] {
        check(json!({ "max_request_bytes": size }), "max_request_bytes", "out_of_range", largest);
    }
    let key = "“nxt-in” is not the id of an API key";
    check(json!({ "api_keys": ["nxt-in"] }), "api_keys", "unknown", key);
    check(
        json!({ "scrub_answers": 1 }),
        "scrub_answers",
        "bad_form",
        "Hide secrets in answers must be true or false",
    );
    let found = parse(json!({ "path_prefix": ["/"] })).unwrap_err();
    assert_eq!((found.len(), found[0].code), (1, "unknown_field"), "{found:?}");
}

#[test]
fn prefixes_and_their_sentences() {
    let field = "path_prefixes";
    check(json!({ field: [] }), field, "missing", "Add at least one path prefix");
    check(json!({ field: ["api"] }), field, "slash_needed", "Path prefix must start with /");
    check(json!({ field: [""] }), field, "slash_needed", "Path prefix must start with /");
    for path in ["//evil.example/", "/\\evil.example/", "https://evil.example/"] {
        check(json!({ field: [path] }), field, "other_host", "Path prefix must stay on acme.example");
    }
    for path in
        ["/a/../b", "/%2e%2e/b", "/a%2fb", "/a%5Cb", "/a%2E", "/a%252e", "/a#b", "/a?b", "/a\\b", "/a%zz"]
    {
        check(json!({ field: [path] }), field, "bad_characters", "Path prefix must use plain characters");
    }
    let many: Vec<_> = (0..51).map(|n| format!("/{n}")).collect();
    check(json!({ field: many }), field, "too_many", "Add 50 path prefixes or fewer");
}

#[test]
fn a_credential_for_https_is_needed() {
    let none = GatewayDraft::parse(object(typed()), None).unwrap_err();
    assert_eq!((none[0].field.as_str(), none[0].message.as_str()), ("credential", "Choose a credential"));
    let sftp = credential(json!({
        "name": "Payroll", "protocol": "sftp", "hostname": "sftp://sftp.acme.example:22/",
        "sftp_server_fingerprint": ["SHA256:w0u3/fXk2wf6SIOaBBCo4kqaaAaGioA9PMv1VINEZwk"],
        "authorization_type": "password", "username": "ana", "password": "open sesame",
    }));
    let found = GatewayDraft::parse(object(typed()), Some(&sftp)).unwrap_err();
    assert_eq!(found[0].code, "wrong_protocol");
    assert_eq!(found[0].message, "“Payroll” is for SFTP. Choose an HTTPS credential");
}

#[test]
fn a_prefix_covers_whole_segments() {
    let prefix = PathPrefix::parse("/api/now/", "acme.example").unwrap();
    assert_eq!(prefix.as_str(), "/api/now");
    for inside in ["/api/now", "/api/now/", "/api/now?a=b", "/api/now/table/incident?x=/y"] {
        assert!(prefix.covers(&path(inside)), "{inside}");
    }
    for outside in ["/", "/api", "/api/nowhere", "/api/NOW", "/apis/now", "/x?/api/now", "/api%2Fnow"] {
        assert!(!prefix.covers(&path(outside)), "{outside}");
    }
    let root = PathPrefix::parse("/", "acme.example").unwrap();
    assert!(root.is_root() && root.as_str() == "/");
    for any in ["/", "/api", "/?a=b"] {
        assert!(root.covers(&path(any)), "{any}");
    }
}

#[test]
fn what_is_taken() {
    let key = KeyId::new(NOW);
    let narrow = gateway(json!({ "methods": ["POST"], "api_keys": [key] }));
    assert!(narrow.takes_key(key) && !narrow.takes_key(KeyId::new(NOW)));
    assert!(narrow.takes_method(&Method::POST) && !narrow.takes_method(&Method::GET));
    assert!(narrow.takes_path(&path("/api/now/x")) && !narrow.takes_path(&path("/")));
    assert_eq!(narrow.warnings(), [""; 0]);
    let wide = gateway(json!({ "path_prefixes": ["/a", "/"] }));
    assert!(wide.takes_key(key) && wide.takes_path(&path("/")));
    assert_eq!(wide.warnings(), ["This allows every path of the tool."]);
    let (one, other) = (ConnectorId::new(NOW), ConnectorId::new(NOW));
    assert!(is_within(&[], one) && is_within(&[other, one], one) && !is_within(&[other], one));
}

#[test]
fn a_taken_address_part_says_so() {
    let fault = Slug::parse("servicenow").unwrap().taken();
    assert_eq!(fault.code, "not_unique");
    assert_eq!(fault.message, "“servicenow” is taken. Choose another address part");
}
