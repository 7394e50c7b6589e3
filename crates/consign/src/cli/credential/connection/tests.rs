use serde_json::json;

use super::*;

#[test]
fn a_line_for_each_step() {
    let steps = [
        json!({ "code": "name", "label": "Name found", "state": "done", "duration_ms": 12, "fact": "192.0.2.1" }),
        json!({ "code": "token", "label": "Access token received", "state": "failed", "host": "auth.example",
            "duration_ms": 240, "fact": "invalid_client" }),
        json!({ "code": "request", "label": "Signed-in request", "state": "skipped", "fact": "" }),
    ];
    let expected = [
        "  ✓ Name found             192.0.2.1 · 12 ms",
        "  ✕ Access token received  auth.example · invalid_client · 240 ms",
        "  – Signed-in request",
    ];
    assert_eq!(steps.each_ref().map(line), expected);
}

#[test]
fn the_next_command_is_the_one_that_helps() {
    let check = |result: Value, status: &str, expected: Option<&str>| {
        let credential = json!({
            "client_id": "id", "client_secret": { "set": true }, "status": { "action_code": status },
            "url_path": { "set": true },
        });
        assert_eq!(next(&result, "Desk", &credential).as_deref(), expected, "{result} {status}");
    };
    let offer =
        json!({ "offer": { "field": "authentication_information", "value": "body", "label": "Body" } });
    let edit = "consign credential edit \"Desk\" --authentication-information body";
    check(offer, "replace_secret", Some(edit));
    let authorize = Some("consign credential authorize \"Desk\"");
    check(json!({}), "authorize_again", authorize);
    check(json!({}), "authorize", authorize);
    let replace = Some("consign credential set-secret \"Desk\" client_secret=prompt");
    check(json!({ "action_code": "replace_secret" }), "authorize", replace);
    check(json!({}), "add_test_path", Some("consign credential edit \"Desk\" --test-path /…"));
    let compare = Some("consign credential scan-host-key --pin \"Desk\"");
    check(json!({}), "compare_keys", compare);
    check(json!({ "action_code": "compare_keys" }), "test_connection", compare);
    check(json!({}), "test_connection", None);
    let unseen = json!({ "action_code": "replace_secret" });
    assert_eq!(next(&unseen, "Desk", &Value::Null), None, "nobody may look at its fields");
}
