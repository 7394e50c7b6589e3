//! Credentials over the API: what is accepted, what is shown, what is kept, and who changed it.

use serde_json::{Value, json};

use crate::harness::{TestConsign, basic, bearer, merge};
use crate::peers::Tool;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_can_be_created_read_edited_and_sent_back() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let whole = format!("{}in/{}", tool.origin(), consign.canary("hook"));
    let types = [
        basic("basic", &tool.origin(), "consign", &consign.canary("password")),
        bearer("bearer", &tool.origin(), &consign.canary("token")),
        json!({ "name": "none", "protocol": "https", "url_address": whole, "authorization_type": "none" }),
    ];
    for mut body in types {
        let name = body["name"].as_str().unwrap().to_owned();
        merge(
            &mut body,
            &json!({
                "custom_headers": [{ "name": "X-Key", "value": consign.canary("header"), "sent_with": "both" }],
                "labels": { "team": "itsm" }, "ends_on": "2099-12-31", "max_concurrency": 3, "max_per_second": 7.5,
            }),
        );
        let created = consign.post("/credentials", &body).await.expect(201);
        assert_eq!(created.header("etag"), created.json()["etag"].as_str());
        let id = created.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(created.location(), format!("/api/v1/credentials/{id}"));
        let shown = consign.get(&format!("/credentials/{id}")).await.expect(200).json();
        assert_eq!(shown, consign.get(&format!("/credentials/{name}")).await.json(), "by name too");
        assert_eq!(shown["labels"], json!({ "team": "itsm" }));
        assert_eq!(shown["custom_headers"][0]["value"]["set"], true, "{shown}");
        let by = &shown["custom_headers"][0]["value"]["updated_by"];
        assert_eq!(by, "key for admin", "{shown}");
        assert_eq!((&shown["max_concurrency"], &shown["max_per_second"]), (&json!(3), &json!(7.5)));

        // Read, edit, send back: the secrets stay.
        let mut edited = shown.clone();
        edited["name"] = json!(format!("{name} edited"));
        let etag = shown["etag"].as_str().unwrap();
        let path = format!("/credentials/{id}");
        let saved = consign.call("PUT", &path, &[("if-match", etag)], Some(&edited)).await.expect(200).json();
        assert_eq!(saved["name"], format!("{name} edited"));
        let webhook = json!({ "name": name, "credential": id, "path": if name == "none" { "" } else { "/x" },
                              "event_types": [name] });
        consign.webhook(&webhook).await;
        let sent = consign.event(&name, &json!(1)).await;
        consign.until(sent.delivery(), "delivered").await;
        let history = consign.get(&format!("/credentials/{id}/history")).await.expect(200).json();
        let actions: Vec<_> =
            history["items"].as_array().unwrap().iter().map(|row| row["action"].clone()).collect();
        assert_eq!(actions, ["Edited credential", "Created credential"], "{history}");
        let usage = consign.get(&format!("/credentials/{id}/usage")).await.expect(200).json();
        assert_eq!(usage["items"][0]["name"], name);
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mask_is_never_a_value() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let password = consign.canary("password");
    for mask in ["***", "••••••", "*", "•"] {
        let body = basic("masked", &tool.origin(), "consign", mask);
        let faults = consign.post("/credentials", &body).await.expect(422).faults();
        let sentence = "This looks like a mask, not a password. Leave it out to keep the saved one";
        assert_eq!(faults, [("/password".to_owned(), "mask_value".to_owned(), sentence.to_owned())]);
    }
    consign.credential(&basic("itsm", &tool.origin(), "consign", &password)).await;
    for value in [json!("***"), json!({ "set": "true" }), json!(["x"]), json!(17), json!(null), json!("")] {
        let reply = consign.patch("/credentials/itsm", &json!({ "password": value })).await;
        assert_eq!(reply.status, 422, "{value}: {}", reply.text());
        let value = json!({ "value": value });
        let reply = consign
            .call("PUT", "/credentials/itsm/secrets/password", &[("if-match", "*")], Some(&value))
            .await;
        assert_eq!(reply.status, 422, "{value}: {}", reply.text());
    }
    let shown = json!({ "set": true, "updated_at": "2026-11-03T10:12:00Z", "updated_by": "Ana Silva" });
    consign.patch("/credentials/itsm", &json!({ "password": shown })).await.expect(200);
    let webhook = json!({ "name": "itsm", "credential": "itsm", "path": "/x", "event_types": ["*"] });
    consign.webhook(&webhook).await;
    let sent = consign.event("a", &json!(1)).await;
    consign.until(sent.delivery(), "delivered").await;
    let expected = format!("consign:{password}");
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    assert_eq!(
        tool.asked()[0].header("authorization"),
        format!("Basic {}", BASE64_STANDARD.encode(expected))
    );
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_has_its_place_and_its_sentence() {
    let consign = TestConsign::start().await;
    let origin = "https://tool.example.org/";
    let check = async |change: Value, pointer: &str, code: &str, sentence: &str| {
        let mut body = basic("itsm", origin, "consign", &consign.canary("password"));
        merge(&mut body, &change);
        let faults = consign.post("/credentials", &body).await.expect(422).faults();
        let expected = (pointer.to_owned(), code.to_owned(), sentence.to_owned());
        assert!(faults.contains(&expected), "{change}: {faults:?}");
    };
    check(json!({ "name": " " }), "/name", "missing", "Enter a name").await;
    check(json!({ "name": "x".repeat(81) }), "/name", "too_long", "Name must be 80 characters or fewer")
        .await;
    check(json!({ "name": "a\nb" }), "/name", "bad_characters", "Name must not include line breaks or tabs")
        .await;
    check(json!({ "protocol": "" }), "/protocol", "missing", "Select a protocol: https or sftp").await;
    check(
        json!({ "authorization_type": "" }),
        "/authorization_type",
        "missing",
        "Select an authorization type",
    )
    .await;
    check(json!({ "username": "" }), "/username", "missing", "Enter a username").await;
    check(
        json!({ "username": "a:b" }),
        "/username",
        "bad_characters",
        "Username must not include a colon (:)",
    )
    .await;
    check(
        json!({ "username": "x".repeat(256) }),
        "/username",
        "too_long",
        "Username must be 255 characters or fewer",
    )
    .await;
    check(json!({ "password": "" }), "/password", "missing", "Enter a password").await;
    let long = "x".repeat(1_025);
    check(json!({ "password": long }), "/password", "too_long", "Password must be 1,024 characters or fewer")
        .await;
    check(json!({ "url_address": "" }), "/url_address", "missing", "Enter the URL address").await;
    let http = "http://tool.example.org/";
    check(
        json!({ "url_address": http }),
        "/url_address",
        "https_needed",
        "URL address must start with https://",
    )
    .await;
    let user = "https://me@tool.example.org/";
    let sentence = "URL address must not include a username or password. Use authorization type Basic";
    check(json!({ "url_address": user }), "/url_address", "user_info", sentence).await;
    let path = "https://tool.example.org/api/now";
    let sentence = "URL address must end after the host or port. Put “/api/now” in the webhook";
    check(json!({ "url_address": path }), "/url_address", "path_given", sentence).await;
    check(json!({ "ends_on": "2020-01-01" }), "/ends_on", "past_date", "Ends on must be today or later")
        .await;
    check(
        json!({ "max_concurrency": 65 }),
        "/max_concurrency",
        "out_of_range",
        "Enter a number from 1 to 64",
    )
    .await;
    let rate = "Enter a number from 0.1 to 1,000";
    check(json!({ "max_per_second": 0 }), "/max_per_second", "out_of_range", rate).await;
    check(json!({ "labels": { "A B": "x" } }), "/labels", "bad_form", "Label must look like key=value").await;
    let rows = json!({ "custom_headers": [{ "name": "Authorization", "value": "x" }] });
    check(rows, "/custom_headers/0/name", "reserved", "Authorization is set automatically").await;
    let rows =
        json!({ "custom_headers": [{ "name": "X-A", "value": "1" }, { "name": "x-a", "value": "2" }] });
    check(rows, "/custom_headers/1/name", "listed_twice", "x-a is listed twice").await;
    let rows = json!({ "custom_headers": [{ "name": "X-A" }] });
    check(rows, "/custom_headers/0/value", "missing", "Enter a value for X-A").await;
    let faults = consign.post("/credentials", &json!({ "name": "x" })).await.expect(422).faults();
    assert!(faults.len() >= 3, "all at once: {faults:?}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_fields_are_refused_with_a_suggestion_and_no_value() {
    let consign = TestConsign::start().await;
    let origin = "https://tool.example.org/";
    let typed = consign.canary("password");
    let mut body = basic("itsm", origin, "consign", &consign.canary("password"));
    body["pasword"] = json!(typed);
    let reply = consign.post("/credentials", &body).await.expect(422);
    assert_eq!(reply.code(), "unknown_field");
    let faults = reply.faults();
    assert_eq!((faults[0].0.as_str(), faults[0].1.as_str()), ("/pasword", "unknown_field"));
    assert!(faults[0].2.contains("password"), "{faults:?}");
    let mut body = basic("itsm", origin, "consign", &typed);
    body["token"] = json!(typed);
    let faults = consign.post("/credentials", &body).await.expect(422).faults();
    assert!(faults[0].2.contains("does not belong to Basic"), "{faults:?}");
    let reply = consign.get("/credentials?nmae=x").await.expect(400);
    assert_eq!(reply.code(), "unknown_parameter");
    consign.credential(&basic("itsm", origin, "consign", &typed)).await;
    let webhook = json!({ "name": "x", "credential": "itsm", "pth": "/", "event_types": ["*"] });
    let reply = consign.post("/webhooks", &webhook).await.expect(422);
    assert!(
        reply.faults().iter().any(|fault| fault.0 == "/pth" && fault.2.contains("path")),
        "{}",
        reply.text()
    );
    assert!(consign.all("/webhooks").await.is_empty());
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_unique_without_regard_to_case() {
    let consign = TestConsign::start().await;
    let origin = "https://tool.example.org/";
    consign.credential(&bearer("Jir\u{e4}", origin, &consign.canary("token"))).await;
    for name in ["jir\u{e4}", " JIR\u{c4} ", "Jira\u{308}"] {
        let faults = consign
            .post("/credentials", &bearer(name, origin, &consign.canary("token")))
            .await
            .expect(422)
            .faults();
        assert_eq!(faults[0].1, "not_unique", "{name}");
        assert!(faults[0].2.ends_with("already exists. Choose another name"), "{faults:?}");
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_edited_behind_the_back_of_the_program_does_not_open() {
    let mut consign = TestConsign::start().await;
    let (tool, elsewhere) = (Tool::start().await, Tool::start().await);
    let webhook = consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    consign.stop().await;
    let origin = elsewhere.origin();
    let before = consign
        .database
        .number("select count(*) from credential where origin like 'https://127.0.0.1:%'")
        .await;
    assert_eq!(before, 1);
    consign.database.execute(&format!("update credential set origin = '{}'", origin)).await;
    consign.start_again().await;
    let sent = consign.event("a", &json!(1)).await;
    let delivery = consign.until(sent.delivery(), "held").await;
    assert_eq!(delivery["hold_reason"], "credential_locked", "{delivery}");
    assert_eq!(consign.get("/credentials/itsm").await.json()["status"]["code"], "locked");
    assert_eq!((tool.count(), elsewhere.connections()), (0, 0), "nothing was sent anywhere");
    // Nothing is built on it; saved whole and entered again, it is sealed to where it goes now.
    let token = consign.canary("token");
    let any = [("if-match", "*")];
    let body = json!({ "value": token });
    let refused = consign.call("PUT", "/credentials/itsm/secrets/token", &any, Some(&body)).await.expect(409);
    assert!(refused.text().contains("changed outside Consign"), "{}", refused.text());
    let body = bearer("itsm", &origin, &token);
    consign.call("PUT", "/credentials/itsm", &any, Some(&body)).await.expect(200);
    consign.until(sent.delivery(), "delivered").await;
    assert_eq!(elsewhere.asked()[0].header("authorization"), format!("Bearer {token}"));
    let shown = consign.get(&format!("/webhooks/{webhook}")).await.json();
    assert_eq!(shown["state"], "active");
    consign.finish().await;
}
