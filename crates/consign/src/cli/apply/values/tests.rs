use serde_json::json;

use super::*;

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

#[test]
fn secrets_that_stand_in_a_document_are_found() {
    let check = |spec: Value, expected: &[&str]| {
        assert_eq!(literals(&object(spec.clone())), expected, "{spec}");
    };
    check(json!({ "username": "ana", "password": { "value_from": { "env": "X" } } }), &[]);
    check(json!({ "username": "ana", "password": "canary" }), &["password"]);
    check(json!({ "password": 7 }), &["password"]);
    check(json!({ "password": { "set": true }, "token": null }), &[]);
    check(json!({ "private_key_passphrase": "canary" }), &["private_key_passphrase"]);
    check(
        json!({ "custom_headers": [{ "name": "A", "value": { "value_from": {} } }, { "name": "B", "value": "c" }] }),
        &["custom_headers[1].value"],
    );
    check(
        json!({ "oauth_token_requests": [{ "name": "a", "value": "b" }, { "name": "c", "value": "d", "secret": true }] }),
        &["oauth_token_requests[1].value"],
    );
    let address = |kind: &str, address: &str| json!({ "authorization_type": kind, "url_address": address });
    check(address("none", "https://hooks.example/services/T0"), &["url_address"]);
    check(address("none", "https://hooks.example/"), &[]);
    check(address("bearer", "https://hooks.example/services/T0"), &[]);
}

#[test]
fn values_from_elsewhere_are_filled_in_and_nothing_else() {
    let folder = std::env::temp_dir().join(format!("consign-values-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("secret"), "p$ss \"wörd\"\n\n").unwrap();
    let mut values = Values { folder: &folder, faults: Vec::new() };
    let mut sent = json!({
        "password": { "value_from": { "file": "secret" } },
        "username": "$HOME",
        "custom_headers": [{ "name": "X", "value": { "value_from": { "file": "secret" } } }],
    });
    values.fill("spec", "spec", &mut sent);
    assert_eq!(values.faults, Vec::<String>::new());
    // Exactly one line break went.
    assert_eq!(sent["password"], "p$ss \"wörd\"\n");
    assert_eq!(sent["custom_headers"][0]["value"], "p$ss \"wörd\"\n");
    assert_eq!(sent["username"], "$HOME");

    let mut faults = |from: Value| {
        values.fill("spec.password", "password", &mut json!({ "value_from": from }));
        values.faults.drain(..).collect::<Vec<_>>().join("; ")
    };
    let form = "spec.password: value_from takes { env: NAME } or { file: PATH }";
    assert_eq!(faults(json!("X")), form);
    assert_eq!(faults(json!({ "env": "A", "file": "B" })), form);
    assert_eq!(faults(json!({ "server_file": "B" })), form);
    assert_eq!(
        faults(json!({ "env": "CONSIGN_TEST_NOT_SET" })),
        "spec.password: the variable CONSIGN_TEST_NOT_SET is not set"
    );
    assert!(faults(json!({ "file": "nowhere" })).contains("nowhere cannot be read"));
    std::fs::remove_dir_all(&folder).unwrap();
}
