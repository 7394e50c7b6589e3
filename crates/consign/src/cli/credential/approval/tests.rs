use serde_json::json;

use super::*;

#[test]
fn an_approval_is_new_when_its_tokens_are() {
    let state =
        |authorized: bool, at: &str| json!({ "authorized": authorized, "token": { "obtained_at": at } });
    let none = json!({ "authorized": false, "token": null });
    assert!(is_new(&none, &state(true, "2026-11-22T13:38:00Z")));
    assert!(!is_new(&none, &none));
    let first = state(true, "2026-11-22T13:38:00Z");
    assert!(!is_new(&first, &first), "what was granted before is not what is waited for");
    assert!(is_new(&first, &state(true, "2026-11-22T13:39:00Z")));
    let ended = state(false, "2026-11-22T13:38:00Z");
    assert!(!is_new(&first, &ended));
    assert!(is_new(&ended, &first), "reconnected");
}

#[test]
fn only_addresses_of_the_web_are_opened() {
    for link in ["", "-version", "file:///etc/passwd", "javascript:alert(1)"] {
        assert!(!open(link), "{link}");
    }
}
