//! API keys that may be used from some addresses only.

use serde_json::{Value, json};

use crate::harness::database::Kind;
use crate::harness::page::unescape;
use crate::harness::{TestConsign, eventually, id_of, merge};

/// A server behind a proxy that is trusted, so that a test says where it comes from.
async fn start() -> TestConsign {
    let trusted = |config: &mut consign::config::Config| {
        config.server.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    };
    TestConsign::on(Kind::Sqlite, trusted).await
}

/// A new key: its text, and how it is shown.
async fn make(consign: &TestConsign, body: &Value) -> (String, Value) {
    let made = consign.post("/api-keys", body).await.expect(201).json();
    let text = made["text"].as_str().unwrap().to_owned();
    consign.canaries.shown_once("an API key", text.rsplit('_').next().unwrap());
    (text, made)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_good_only_where_it_was_made_for() {
    let consign = start().await;
    let body = json!({
        "name": "Site", "scopes": ["events:read", "gateway:call"],
        "allowed_addresses": ["10.20.0.0/16", "2001:db8::1", "10.20.0.0/16"],
    });
    let (key, made) = make(&consign, &body).await;
    assert_eq!(made["allowed_addresses"], json!(["10.20.0.0/16", "2001:db8::1"]));
    assert_eq!(made["last_used_from"], Value::Null);
    let read =
        async |from: &str| consign.call_as(&key, "GET", "/events", &[("x-forwarded-for", from)], "").await;
    for from in ["10.20.255.1", "2001:db8::1", "::ffff:10.20.0.9"] {
        read(from).await.expect(200);
    }
    for from in ["10.21.0.1", "2001:db8::2", "not an address"] {
        let refused = read(from).await.expect(401).json();
        assert_eq!(refused["code"], "key_not_accepted", "{from}");
        assert_eq!(refused["detail"], "This API key may not be used from this address.", "{from}");
    }
    let bearer = format!("Bearer {key}");
    let call = [("authorization", bearer.as_str()), ("x-forwarded-for", "10.21.0.1")];
    let refused = consign.client.send("GET", "/gateway/itsm/x", &call, "").await.expect(401);
    assert_eq!(refused.code(), "key_not_accepted", "a gateway asks the same");

    let used = async |from: &str| {
        read(from).await.expect(200);
        consign.advance(std::time::Duration::from_secs(61));
        eventually(&format!("the use from {from} to be shown"), async || {
            let keys = consign.get("/api-keys").await.expect(200).json();
            let shown =
                keys["items"].as_array().unwrap().iter().find(|key| key["name"] == "Site").unwrap().clone();
            (shown["last_used_from"] == from).then_some(())
        })
        .await;
    };
    used("10.20.0.7").await;
    let page = unescape(&consign.page("/api-keys").await.expect(200).text());
    assert!(page.contains("only from 10.20.0.0/16, 2001:db8::1") && page.contains(">10.20.0.7<"), "{page}");
    let entries = consign.all(&format!("/audit-entries?object={}", id_of(&made))).await;
    assert_eq!(entries[0]["changes"]["allowed_addresses"], json!(["10.20.0.0/16", "2001:db8::1"]));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limited_key_makes_none_for_other_addresses() {
    let consign = start().await;
    let body = json!({ "name": "Site", "scopes": ["admin"], "allowed_addresses": ["10.20.0.0/16"] });
    let (key, _) = make(&consign, &body).await;
    let from = [("x-forwarded-for", "10.20.0.1"), ("content-type", "application/json")];
    for allowed in [json!([]), json!(["0.0.0.0/0"]), json!(["10.20.1.0/24", "10.21.0.1"])] {
        let body = json!({ "name": "Other", "scopes": ["admin"], "allowed_addresses": allowed });
        let refused = consign.call_as(&key, "POST", "/api-keys", &from, body.to_string()).await.expect(422);
        let error = &refused.json()["errors"][0];
        assert_eq!((&error["pointer"], &error["code"]), (&json!("/allowed_addresses"), &json!("not_within")));
    }
    let body = json!({ "name": "Other", "scopes": ["admin"], "allowed_addresses": ["10.20.1.0/24"] });
    let made = consign.call_as(&key, "POST", "/api-keys", &from, body.to_string()).await.expect(201).json();
    consign.canaries.shown_once("an API key", made["text"].as_str().unwrap().rsplit('_').next().unwrap());

    let body = json!({ "name": "Wrong", "scopes": ["events:read"], "allowed_addresses": ["10.0.0.0/33"] });
    let refused = consign.post("/api-keys", &body).await.expect(422).json();
    let sentence = "“10.0.0.0/33” is no address or network such as 192.0.2.7, 10.20.0.0/16 or 2001:db8::/32";
    assert_eq!(refused["errors"][0]["message"], sentence);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_are_entered_line_by_line() {
    let consign = start().await;
    let form = consign.form("/api-keys/new", "name").await.set("name", "Site").with("scopes", "events:read");
    let form = form.set("password", &consign.password);
    let wrong = form.clone().set("allowed_addresses", "10.20.0.0/16\r\nthe office");
    let page = unescape(&consign.send_form(&wrong).await.expect(422).text());
    assert!(page.contains("“the office” is no address or network"), "{page}");
    assert!(
        page.contains("10.20.0.0/16\r\nthe office") || page.contains("10.20.0.0/16\nthe office"),
        "{page}"
    );
    let form = form.set("allowed_addresses", "10.20.0.0/16\r\n192.0.2.7\r\n");
    let made = unescape(&consign.send_form(&form).await.expect(200).text());
    let start = made.find("csg_").expect("the text of the key");
    let key: String = made[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    consign.canaries.shown_once("an API key", key.rsplit('_').next().unwrap());
    assert!(made.contains("only from 10.20.0.0/16, 192.0.2.7"), "{made}");
    consign.call_as(&key, "GET", "/events", &[("x-forwarded-for", "192.0.2.7")], "").await.expect(200);
    consign.call_as(&key, "GET", "/events", &[("x-forwarded-for", "192.0.2.8")], "").await.expect(401);

    let create =
        ["api-key", "create", "--name", "Job", "--scope", "events:read", "--allow-from", "192.0.2.0/24"];
    let made = consign.cli(&create).run().await.expect(0).stdout;
    consign.canaries.shown_once("an API key", made.trim().rsplit('_').next().unwrap());
    let listed = consign.run(&["api-key", "list"]).await.expect(0).stdout;
    assert!(listed.contains("192.0.2.0/24"), "{listed}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_can_have_the_rights_of_a_role() {
    let consign = TestConsign::start().await;
    let made =
        consign.post("/api-keys", &json!({ "name": "Watch", "role": "operator" })).await.expect(201).json();
    assert_eq!(made["role"], "operator", "{made}");
    let key = made["text"].as_str().unwrap();
    consign.call_as(key, "GET", "/deliveries", &[], "").await.expect(200);
    consign.call_as(key, "GET", "/audit-entries", &[], "").await.expect(403);
    // The same scopes one by one are the same role.
    let scopes = json!({ "name": "Same", "scopes": made["scopes"] });
    assert_eq!(consign.post("/api-keys", &scopes).await.expect(201).json()["role"], "operator");
    let fewer = json!({ "name": "Fewer", "scopes": ["events:write"] });
    assert_eq!(consign.post("/api-keys", &fewer).await.expect(201).json()["role"], Value::Null);
    for (wrong, pointer, code) in [
        (json!({ "role": "king" }), "/role", "unknown"),
        (json!({ "role": 7 }), "/role", "unknown"),
        (json!({ "role": "viewer", "scopes": ["events:write"] }), "/role", "not_both"),
        (json!({}), "/scopes", "missing"),
        (json!({ "role": null }), "/scopes", "missing"),
    ] {
        let mut body = json!({ "name": "Wrong" });
        merge(&mut body, &wrong);
        let refused = consign.post("/api-keys", &body).await.expect(422).json();
        assert_eq!(
            (&refused["errors"][0]["pointer"], &refused["errors"][0]["code"]),
            (&json!(pointer), &json!(code)),
            "{wrong}"
        );
    }
    let form = consign.form("/api-keys/new", "once").await.set("name", "By hand").set("role", "auditor");
    let both = form.clone().set("password", &consign.password.clone()).with("scopes", "events:write");
    let refused = unescape(&consign.send_form(&both).await.expect(422).text());
    assert!(refused.contains("Choose a role or scopes, not both"), "{refused}");
    consign.send_form(&form.set("password", &consign.password.clone())).await.expect(200);
    let page = consign.page("/api-keys").await.expect(200).text();
    assert!(page.contains("<span>Auditor</span>") && page.contains("<span>Operator</span>"), "{page}");
    let key = consign
        .run(&["api-key", "create", "--name", "CLI", "--role", "viewer", "--json"])
        .await
        .expect(0)
        .json();
    assert_eq!(key["role"], "viewer", "{key}");
    consign
        .run(&["api-key", "create", "--name", "CLI", "--role", "viewer", "--scope", "admin"])
        .await
        .expect(2);
    consign.run(&["api-key", "create", "--name", "CLI"]).await.expect(2);
    consign.finish().await;
}
