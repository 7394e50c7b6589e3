//! Gateways over the API: how they are set up, changed, paused and deleted, and which API keys they go with.

use serde_json::{Value, json};

use crate::harness::{Reply, TestConsign, bearer, id_of};

on_both_databases!(
    a_gateway_is_made_changed_and_deleted
    a_gateway_without_its_credential_says_so
    keys_and_gateways_choose_each_other
);

/// A credential named “Tool” and its gateway.
async fn gateway(consign: &TestConsign) -> Value {
    consign.credential(&bearer("Tool", "https://tool.example.org/", &consign.canary("token"))).await;
    let body =
        json!({ "name": "Desk", "credential": "Tool", "slug": "desk", "path_prefixes": ["/api/now/", "/b"] });
    consign.post("/gateways", &body).await.expect(201).json()
}

async fn limited_key(consign: &TestConsign) -> Value {
    let keys = consign.get("/api-keys").await.expect(200).json();
    keys["items"].as_array().unwrap().iter().find(|key| key["name"] == "Limited").unwrap().clone()
}

/// The sentences of a refusal, by field.
fn faults(reply: Reply) -> Vec<(String, String, String)> {
    let problem = reply.expect(422).json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let errors = problem["errors"].as_array().unwrap().iter();
    errors.map(|error| (text(&error["pointer"]), text(&error["code"]), text(&error["message"]))).collect()
}

#[track_caller]
fn is_refused(reply: Reply, expected: &[(&str, &str, &str)]) {
    let found = faults(reply);
    let found: Vec<_> =
        found.iter().map(|(place, code, words)| (place.as_str(), code.as_str(), words.as_str())).collect();
    assert_eq!(found, expected);
}

async fn a_gateway_is_made_changed_and_deleted(consign: TestConsign) {
    let made = gateway(&consign).await;
    let path = format!("/gateways/{}", id_of(&made));
    let address = format!("http://{}/gateway/desk/", consign.address());
    let expected = json!({
        "kind": "gateway", "etag": "\"1\"", "address": address, "state": "active", "methods": ["GET"],
        "path_prefixes": ["/api/now", "/b"], "api_keys": [], "timeout_seconds": 60, "idle_seconds": 60,
        "max_request_bytes": 104_857_600, "max_concurrency": 32, "max_per_second": null, "scrub_answers": true,
        "record_calls": true, "warnings": [], "last_24_hours": { "calls": 0, "errors": 0, "is_capped": false },
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&made[key], value, "{key}");
    }
    let wrong = json!({
        "name": "Desk two", "slug": "Help Desk", "methods": [], "path_prefixes": ["api"], "idle_seconds": 0,
    });
    is_refused(
        consign.post("/gateways", &wrong).await,
        &[
            ("/credential", "missing", "Choose a credential"),
            ("/slug", "bad_characters", "Address part must use small letters, digits and hyphens"),
            ("/methods", "missing", "Choose at least one method"),
            ("/path_prefixes", "slash_needed", "Path prefix must start with /"),
            ("/idle_seconds", "out_of_range", "Idle time must be from 1 to 600 seconds"),
        ],
    );
    let mut taken =
        json!({ "name": "Desk two", "credential": "Tool", "slug": "desk", "path_prefixes": ["/"] });
    is_refused(
        consign.post("/gateways", &taken).await,
        &[("/slug", "not_unique", "“desk” is taken. Choose another address part")],
    );
    taken["slug"] = json!("desk-2");
    taken["name"] = json!("DESK");
    let name = "A connector named “DESK” already exists. Choose another name";
    is_refused(consign.post("/gateways", &taken).await, &[("/name", "not_unique", name)]);
    taken["name"] = json!("Desk two");
    let second = consign.post("/gateways", &taken).await.expect(201).json();
    assert_eq!(second["warnings"], json!(["This allows every path of the tool."]));

    let change = json!({ "methods": ["POST", "GET"], "max_request_bytes": "2 MiB" });
    consign.call("PATCH", &path, &[], Some(&change)).await.expect(428);
    consign.call("PATCH", &path, &[("if-match", "\"9\"")], Some(&change)).await.expect(412);
    let changed =
        consign.call("PATCH", &path, &[("if-match", "\"1\"")], Some(&change)).await.expect(200).json();
    assert_eq!((&changed["methods"], &changed["etag"]), (&json!(["GET", "POST"]), &json!("\"2\"")));
    assert_eq!(changed["max_request_bytes"], 2 << 20);
    consign.call("GET", &path, &[("if-none-match", "\"2\"")], None).await.expect(304);
    // What was read can be sent back.
    let same = consign.call("PUT", &path, &[("if-match", "\"2\"")], Some(&changed)).await.expect(200).json();
    for key in expected.as_object().unwrap().keys().filter(|key| *key != "etag") {
        assert_eq!(same[key], changed[key], "{key}");
    }
    let onto = consign.patch(&path, &json!({ "slug": "desk-2" })).await;
    is_refused(onto, &[("/slug", "not_unique", "“desk-2” is taken. Choose another address part")]);

    assert_eq!(consign.act(&format!("{path}/pauses")).await.expect(200).json()["state"], "paused");
    let edited = consign.patch(&path, &json!({ "description": "For the desk" })).await.expect(200).json();
    assert_eq!(edited["state"], "paused", "an edit is no word of going on");
    let resumed = consign.call("DELETE", &format!("{path}/pauses"), &[], None).await.expect(200).json();
    assert_eq!(resumed["state"], "active");
    let listed = consign.all("/gateways?q=for%20the").await;
    assert_eq!((listed.len(), &listed[0]["name"]), (1, &json!("Desk")));
    assert_eq!(consign.all("/connectors?kind=gateway").await.len(), 2);
    assert_eq!(consign.all("/webhooks").await.len() + consign.all("/exporters").await.len(), 0);
    consign.get(&path.replace("gateways", "webhooks")).await.expect(404);
    assert_eq!(consign.get("/gateways/Desk/calls").await.expect(200).json()["items"], json!([]));
    consign.get("/gateways/Desk/calls?method=TRACE").await.expect(400);

    consign.call("DELETE", &path, &[("if-match", "\"1\"")], None).await.expect(412);
    consign.call("DELETE", &path, &[("if-match", "*")], None).await.expect(200);
    consign.get(&path).await.expect(404);
    let done: Vec<_> = consign.all(&format!("/audit-entries?object={}", id_of(&made))).await;
    let done: Vec<_> = done.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    let expected = ["Deleted", "Resumed", "Edited", "Paused", "Edited", "Edited", "Created"];
    assert_eq!(done, expected.map(|deed| format!("{deed} gateway")));
    consign.finish().await;
}

async fn a_gateway_without_its_credential_says_so(consign: TestConsign) {
    let made = gateway(&consign).await;
    let path = format!("/gateways/{}", id_of(&made));
    let usage = consign.get("/credentials/Tool/usage").await.expect(200).json();
    assert_eq!((&usage["items"][0]["kind"], &usage["items"][0]["name"]), (&json!("gateway"), &json!("Desk")));
    consign.call("DELETE", "/credentials/Tool", &[("if-match", "*")], None).await.expect(409);
    let gone = consign.call("DELETE", "/credentials/Tool?linked=hold", &[("if-match", "*")], None).await;
    gone.expect(200);
    let left = consign.get(&path).await.json();
    assert_eq!((&left["state"], &left["credential"]), (&json!("credential_missing"), &Value::Null));
    assert_eq!(left["lost_credential"], "Tool");
    let overview = consign.get("/overview").await.expect(200).json();
    let line = overview["attention"].as_array().unwrap().iter().find(|line| line["kind"] == "gateway");
    let line = line.unwrap_or_else(|| panic!("{overview}"));
    assert_eq!((&line["name"], &line["code"]), (&json!("Desk"), &json!("credential_missing")));
    assert!(line["deliveries"].is_null(), "calls do not wait: {line}");
    consign.credential(&bearer("Other", "https://other.example.org/", &consign.canary("other"))).await;
    let repaired = consign.patch(&path, &json!({ "credential": "Other" })).await.expect(200).json();
    assert_eq!((&repaired["state"], &repaired["lost_credential"]), (&json!("active"), &Value::Null));
    consign.finish().await;
}

const LEADS_ELSEWHERE: &str = "A key with the role Credential manager, or with credentials:write or connectors:write, \
                               may change where a gateway leads. Choose gateways or these, not both";

async fn keys_and_gateways_choose_each_other(consign: TestConsign) {
    let desk = id_of(&gateway(&consign).await);
    let new_key = |name: &str, scopes: &[&str], gateways: Value| json!({ "name": name, "scopes": scopes, "gateways": gateways });
    for (scopes, gateways, code, sentence) in [
        (
            &["events:write"][..],
            json!(["Desk"]),
            "not_together",
            "Choose the scope gateway:call too, or no gateways",
        ),
        (
            &["gateway:call", "admin"],
            json!(["Desk"]),
            "not_together",
            "A key with the scope admin may call every gateway. Choose gateways or admin, not both",
        ),
        (&["gateway:call", "connectors:write"], json!(["Desk"]), "not_together", LEADS_ELSEWHERE),
        (&["gateway:call", "credentials:write"], json!(["Desk"]), "not_together", LEADS_ELSEWHERE),
        (&["gateway:call"], json!(["Tool"]), "unknown", "There is no gateway “Tool”"),
        (&["gateway:call"], json!([7]), "bad_form", "Gateways must be ids or names of gateways"),
    ] {
        let refused = consign.post("/api-keys", &new_key("x", scopes, gateways)).await;
        is_refused(refused, &[("/gateways", code, sentence)]);
    }
    let body = json!({ "name": "x", "role": "credential_manager", "gateways": ["Desk"] });
    let refused = consign.post("/api-keys", &body).await;
    is_refused(refused, &[("/gateways", "not_together", LEADS_ELSEWHERE)]);
    let make = async |body: Value| {
        let made = consign.post("/api-keys", &body).await.expect(201).json();
        let secret = made["text"].as_str().unwrap().rsplit('_').next().unwrap().to_owned();
        consign.canaries.shown_once("an API key", &secret);
        made
    };
    let limited = make(new_key("Limited", &["gateway:call"], json!(["Desk", desk]))).await;
    let only_desk = json!([{ "id": desk, "name": "Desk" }]);
    assert_eq!(limited["gateways"], only_desk);
    let free = make(new_key("Free", &["gateway:call"], json!([]))).await;
    let other = make(new_key("Events", &["events:write"], json!([]))).await;
    let shown = limited_key(&consign).await;
    assert_eq!(shown["gateways"], only_desk);
    let entries = consign.all(&format!("/audit-entries?object={}", id_of(&limited))).await;
    assert_eq!(entries[0]["changes"]["gateways"], only_desk);

    let callers = consign.get("/gateway-callers").await.expect(200).json();
    let names: Vec<_> = callers["items"].as_array().unwrap().iter().map(|key| &key["name"]).collect();
    assert!(names.contains(&&json!("Limited")) && names.contains(&&json!("Free")), "{names:?}");
    assert!(!names.contains(&&json!("Events")), "{names:?}");
    let mut second =
        json!({ "name": "Second", "credential": "Tool", "slug": "second", "path_prefixes": ["/a"] });
    for (key, sentence) in [
        (&limited, "“Limited” may only call the gateways that it was made for"),
        (&other, "“Events” may not call gateways: it lacks the scope gateway:call"),
    ] {
        second["api_keys"] = json!([key["id"]]);
        is_refused(consign.post("/gateways", &second).await, &[("/api_keys", "unknown", sentence)]);
    }
    second["api_keys"] = json!([free["id"]]);
    let second = consign.post("/gateways", &second).await.expect(201).json();
    assert_eq!(second["api_keys"][0]["name"], "Free");
    let narrowed = consign.patch("/gateways/Desk", &json!({ "api_keys": [limited["id"]] })).await;
    assert_eq!(narrowed.expect(200).json()["api_keys"][0]["name"], "Limited");

    // A key that was revoked stays named: without it the gateway would be open for all.
    consign.call("DELETE", &format!("/api-keys/{}", id_of(&free)), &[], None).await.expect(204);
    let left = consign.get("/gateways/Second").await.json();
    assert_eq!((&left["api_keys"][0]["id"], &left["api_keys"][0]["name"]), (&free["id"], &Value::Null));
    consign.call("PUT", "/gateways/Second", &[("if-match", "*")], Some(&left)).await.expect(200);
    consign.call("DELETE", "/gateways/Desk", &[("if-match", "*")], None).await.expect(200);
    let shown = limited_key(&consign).await;
    assert_eq!(shown["gateways"], json!([{ "id": desk, "name": null }]));
    consign.finish().await;
}
