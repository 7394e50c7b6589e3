use serde_json::json;

use super::*;

#[test]
fn secrets_are_variables_and_nothing_ends_the_quotation() {
    let headers = json!([
        { "name": "content-type", "value": "application/json" },
        { "name": "content-length", "value": "17" },
        { "name": "webhook-id", "value": "evt_1'; rm -rf /; echo '" },
        { "name": "authorization", "value": "hidden" },
        { "name": "x-api-key", "value": "hidden" },
    ]);
    let command = curl("POST https://tool.example/a'b", &headers).unwrap();
    let expected = "curl -sS -X POST 'https://tool.example/a'\\''b' \\\n  -H 'content-type: application/json' \\\n  \
                    -H 'webhook-id: evt_1'\\''; rm -rf /; echo '\\''' \\\n  -H \"authorization: $TOKEN\" \\\n  \
                    -H \"x-api-key: $X_API_KEY\" \\\n  --data-binary @payload.json";
    assert_eq!(command, expected);
}

#[test]
fn a_secret_path_is_a_variable() {
    let command = curl("POST https://hooks.example/•••", &json!([])).unwrap();
    assert_eq!(
        command,
        "curl -sS -X POST 'https://hooks.example/'\"$SECRET_PATH\" \\\n  --data-binary @payload.json"
    );
    assert_eq!(curl("", &json!([])), None, "nothing was asked");
}
