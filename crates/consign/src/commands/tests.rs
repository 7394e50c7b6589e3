use serde_json::{Value, json};

use super::objects::{OF_EXPORTER, OF_GATEWAY, OF_WEBHOOK};
use super::*;

#[test]
fn a_word_of_the_shell_is_quoted_where_it_must_be() {
    for (text, quoted_text) in [
        ("con_01", "con_01"),
        ("", "''"),
        ("two words", "'two words'"),
        ("it's $HOME", "'it'\\''s $HOME'"),
        ("\"7\"", "'\"7\"'"),
        ("a&b", "'a&b'"),
    ] {
        assert_eq!(quoted(text), quoted_text);
    }
}

#[test]
fn a_list_has_its_filters_in_both() {
    let filters = [
        ("q", "it's $5".to_owned()),
        ("state", String::new()),
        ("needs_attention", "true".to_owned()),
        ("event_type", "-v".to_owned()),
    ];
    let copied = list("delivery", "/deliveries", &filters);
    assert_eq!(copied.command(), "consign delivery list '--q=it'\\''s $5' --needs-attention --event-type=-v");
    assert_eq!(
        copied.curl("https://c.example"),
        "curl -sS 'https://c.example/api/v1/deliveries?q=it%27s+%245&needs_attention=true&event_type=-v' \\\n  \
         -H \"Authorization: Bearer $CONSIGN_TOKEN\""
    );
}

fn webhook() -> Value {
    json!({
        "id": "con_1", "kind": "webhook", "etag": "\"7\"", "name": "Hardware $5", "description": "",
        "credential": { "id": "crd_1", "name": "ServiceNow", "status": { "code": "working" } },
        "method": "POST", "path": "/x", "event_types": ["*"], "only_when": null, "state": "active",
        "last_24_hours": { "delivered": 1 },
    })
}

#[test]
fn a_connector_is_read_saved_and_made_again() {
    let all = connector(&webhook(), true);
    let titles: Vec<_> = all.iter().map(|copied| copied.title).collect();
    assert_eq!(titles, ["Read it", "Save it as it is shown", "Create one like it"]);
    assert_eq!(connector(&webhook(), false).len(), 1, "who may not save it reads it");
    assert_eq!(all[0].command(), "consign webhook get con_1");
    let body = "{\n  \"name\": \"Hardware $5\",\n  \"credential\": \"ServiceNow\",\n  \"method\": \"POST\",\n  \
                \"path\": \"/x\",\n  \"event_types\": [\n    \"*\"\n  ]\n}";
    assert_eq!(
        all[1].command(),
        format!("consign webhook edit con_1 --if-match '\"7\"' --from-file - <<'JSON'\n{body}\nJSON")
    );
    assert_eq!(
        all[2].curl("https://c.example"),
        format!(
            "curl -sS -X POST https://c.example/api/v1/webhooks \\\n  -H \"Authorization: Bearer $CONSIGN_TOKEN\" \\\n  \
             -H 'Content-Type: application/json' \\\n  --data-binary @- <<'JSON'\n{body}\nJSON"
        )
    );
}

#[test]
fn a_gateway_is_saved_with_the_ids_of_its_keys() {
    let shown = json!({
        "id": "con_3", "kind": "gateway", "etag": "\"2\"", "name": "Desk", "slug": "desk", "methods": ["GET"],
        "credential": { "id": "crd_1", "name": "Tool" }, "address": "https://c.example/gateway/desk/", "warnings": [],
        "api_keys": [{ "id": "key_1", "key": "csg_01", "name": "nxt-in" }, { "id": "key_2", "key": "csg_02", "name": null }],
        "path_prefixes": ["/a"], "record_calls": false,
    });
    let all = connector(&shown, true);
    assert_eq!(all[0].command(), "consign gateway get con_3");
    assert_eq!((all[1].method, &*all[1].path), ("PATCH", "/gateways/con_3"));
    let expected = json!({
        "name": "Desk", "credential": "Tool", "slug": "desk", "methods": ["GET"], "path_prefixes": ["/a"],
        "api_keys": ["key_1", "key_2"], "record_calls": false,
    });
    assert_eq!(all[2].body, Body::Json(expected, Vec::new()));
    for copied in &all {
        let known = crate::cli::knows(&copied.arguments);
        assert!(known.is_ok(), "{:?}: {known:?}", copied.arguments);
    }
}

#[test]
fn secrets_are_files() {
    let set = json!({ "set": true });
    let shown = json!({
        "id": "crd_1", "etag": "\"1\"", "name": "Tool", "protocol": "https", "url_address": "https://tool.example/",
        "authorization_type": "basic", "username": "ana", "password": set,
        "custom_headers": [
            { "name": "X-Api-Key", "sent_with": "both", "value": set },
            { "name": "X_Api_Key", "sent_with": "both", "value": set },
            { "name": "X-Other", "sent_with": "api_request", "value": set },
        ],
    });
    let all = credential(&shown, true);
    let saved = all[1].command();
    assert!(!saved.contains("password") && saved.contains("X-Api-Key"), "{saved}");
    let another = all[2].command();
    for part in [
        "--secret password=@password.txt",
        "--custom-header X-Api-Key=@custom_header_x_api_key.txt",
        "--custom-header X_Api_Key=@custom_header_x_api_key-2.txt",
        "--sent-with both",
        "\nJSON\nconsign credential edit Tool",
        "--custom-header X-Other=@custom_header_x_other.txt",
    ] {
        assert!(another.contains(part), "{part} is not in {another}");
    }
    let curl = all[2].curl("https://c.example");
    let jq = "jq --rawfile s1 password.txt --rawfile s2 custom_header_x_api_key.txt --rawfile s3 \
              custom_header_x_api_key-2.txt --rawfile s4 custom_header_x_other.txt '.password = ($s1 | \
              rtrimstr(\"\\n\")) | .custom_headers[0].value = ($s2 | rtrimstr(\"\\n\")) | ";
    assert!(curl.starts_with(jq), "{curl}");
}

/// What the API takes of an object is what is copied of it: a new setting that is not copied is noticed here.
#[test]
fn every_setting_is_copied() {
    let whole = crate::api::description();
    for (schema, keys) in
        [("WebhookSettings", OF_WEBHOOK), ("ExporterSettings", OF_EXPORTER), ("GatewaySettings", OF_GATEWAY)]
    {
        let properties = whole["components"]["schemas"][schema]["properties"].as_object().unwrap();
        let mut described: Vec<_> = properties.keys().map(String::as_str).collect();
        let mut copied = keys.to_vec();
        described.sort_unstable();
        copied.sort_unstable();
        assert_eq!(described, copied, "{schema}");
    }
}

/// What pages offer is what the command line knows.
#[test]
fn commands_are_known() {
    let set = json!({ "set": true });
    let credential_shown = json!({
        "id": "crd_1", "etag": "\"1\"", "name": "Tool", "protocol": "https", "url_address": "https://tool.example/",
        "authorization_type": "oauth2_client_credentials", "client_id": "c", "client_secret": set,
        "oauth_token_requests": [
            { "name": "resource", "value": "x", "secret": false, "sent_in": "query" },
            { "name": "key", "value": set, "secret": true, "sent_in": "body" },
        ],
        "custom_headers": [
            { "name": "X-A", "sent_with": "both", "value": set },
            { "name": "X-B", "sent_with": "api_request", "value": set },
        ],
    });
    let mut exporter = webhook();
    exporter["kind"] = json!("exporter");
    let mut all = credential(&credential_shown, true);
    all.extend(connector(&webhook(), true));
    all.extend(connector(&exporter, true));
    all.push(create_from_file("credential", "/credentials", "credential.json"));
    all.push(list("delivery", "/deliveries", &[("needs_attention", "true".to_owned())]));
    all.extend([new_api_key(), invitation(), egress_check()]);
    for copied in &all {
        for arguments in std::iter::once(&copied.arguments).chain(&copied.then) {
            let known = crate::cli::knows(arguments);
            assert!(known.is_ok(), "{arguments:?}: {known:?}");
        }
    }
    assert!(crate::cli::knows(&["webhook".to_owned(), "list".to_owned(), "--nothing".to_owned()]).is_err());
}
