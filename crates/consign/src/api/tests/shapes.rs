//! What is really answered has the members that are described, and no others.

use consign_core::rights::Rights;

use super::served::Served;
use super::*;

/// The members that a schema describes and those it demands, with what it is made of.
fn members(whole: &Value, schema: &Value) -> (BTreeSet<String>, BTreeSet<String>) {
    let schema = resolve(whole, schema);
    let (mut known, mut needed) = (BTreeSet::new(), BTreeSet::new());
    for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        let (inner_known, inner_needed) = members(whole, part);
        known.extend(inner_known);
        needed.extend(inner_needed);
    }
    let own = schema.get("properties").and_then(Value::as_object);
    known.extend(own.into_iter().flat_map(|properties| properties.keys().cloned()));
    let own = schema.get("required").and_then(Value::as_array);
    needed.extend(own.into_iter().flatten().map(|key| key.as_str().unwrap().to_owned()));
    (known, needed)
}

#[track_caller]
fn check(whole: &Value, name: &str, answered: &Value) {
    let schema = &whole["components"]["schemas"][name];
    assert!(schema.is_object(), "{name} is not described");
    let (known, needed) = members(whole, schema);
    let answered = answered.as_object().unwrap_or_else(|| panic!("{name}: {answered}"));
    let unknown: Vec<_> = answered.keys().filter(|key| !known.contains(*key)).collect();
    let missing: Vec<_> = needed.iter().filter(|key| !answered.contains_key(*key)).collect();
    assert!(
        unknown.is_empty() && missing.is_empty(),
        "{name}: not described {unknown:?}, missing {missing:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_the_members_that_are_described() {
    let whole = description();
    let served = Served::start().await;
    let key = served.key(Rights::all()).await;
    let ask = async |request: &str, body: &str| {
        let reply = served.send(&key, request, &["if-match: *"], body).await;
        assert!(reply.status < 300, "{request}: {}", reply.body);
        reply.body
    };
    let credential = ask(
        "POST /credentials",
        r#"{"name":"Tool","protocol":"https","url_address":"https://tool.example/",
            "authorization_type":"basic","username":"consign","password":"canary-1",
            "custom_headers":[{"name":"X-A","value":"canary-2"}]}"#,
    )
    .await;
    check(&whole, "Credential_basic", &credential);
    check(&whole, "CredentialStatus", &credential["status"]);
    check(&whole, "SecretState", &credential["password"]);
    let other = r#"{"name":"Hook","protocol":"https","url_address":"https://tool.example/a?b",
        "authorization_type":"none"}"#;
    check(&whole, "Credential_none", &ask("POST /credentials", other).await);
    check_oauth(&whole, &ask).await;
    check(&whole, "AuthorizationType", &ask("GET /authorization-types", "").await["items"][0]);
    let preset = &ask("GET /presets", "").await["items"][0];
    check(&whole, "Preset", preset);
    check(&whole, "PresetType", &preset["types"][0]);

    let webhook = r#"{"name":"Tickets","credential":"Tool","path":"/tickets","event_types":["*"]}"#;
    check(&whole, "Preview", &ask("POST /webhooks/preview", webhook).await);
    let webhook = ask("POST /webhooks", webhook).await;
    check(&whole, "Webhook", &webhook);
    let one = format!("/webhooks/{}", webhook["id"].as_str().unwrap());
    ask(&format!("POST {one}/pauses"), "").await;
    check(&whole, "AuditEntry", &ask(&format!("GET {one}/history"), "").await["items"][0]);
    let id = credential["id"].as_str().unwrap();
    check(&whole, "Usage", &ask(&format!("GET /credentials/{id}/usage"), "").await["items"][0]);
    check(&whole, "AuditEntry", &ask(&format!("GET /credentials/{id}/history"), "").await["items"][0]);

    check_exporters(&whole, &served, &key, &ask).await;
    check_gateways(&whole, &ask).await;

    let accepted = ask("POST /events", r#"{"type":"a.b","data":{}}"#).await;
    check(&whole, "Accepted", &accepted);
    let page = ask("GET /events", "").await;
    check(&whole, "Page", &page);
    check(&whole, "EventSummary", &page["items"][0]);
    let event = ask(&format!("GET /events/{}", accepted["id"].as_str().unwrap()), "").await;
    check(&whole, "Event", &event);
    let delivery = format!("/deliveries/{}", accepted["deliveries"][0]["id"].as_str().unwrap());
    check(&whole, "Delivery", &ask(&format!("GET {delivery}"), "").await);
    check(&whole, "Delivery", &ask("GET /deliveries", "").await["items"][0]);
    ask(&format!("POST {delivery}/cancellation"), "").await;
    check_replays(&whole, &served, &key).await;

    let overview = ask("GET /overview", "").await;
    check(&whole, "Overview", &overview);
    check(&whole, "ByHour", &overview["by_hour"]);
    check(&whole, "ByHour", &webhook["by_hour"]);
    check(&whole, "AttentionLine", &overview["attention"][0]);

    check(&whole, "ApiKey", &ask("GET /api-keys", "").await["items"][0]);
    check(&whole, "AuditEntry", &ask("GET /audit-entries", "").await["items"][0]);
    check(&whole, "Me", &ask("GET /me", "").await);
    check(&whole, "Meta", &ask("GET /meta", "").await);
    let problem = served.send(&key, "GET /events/evt_1", &[], "").await;
    check(&whole, "Problem", &problem.body);
    served.app.stop().await;
}

async fn check_gateways(whole: &Value, ask: &impl AsyncFn(&str, &str) -> Value) {
    let caller = ask("POST /api-keys", r#"{"name":"Desk","scopes":["gateway:call"]}"#).await;
    let gateway = json!({
        "name": "Desk", "credential": "Tool", "slug": "desk", "path_prefixes": ["/a"], "api_keys": [caller["id"]],
    });
    let gateway = ask("POST /gateways", &gateway.to_string()).await;
    check(whole, "Gateway", &gateway);
    check(whole, "GatewayKey", &gateway["api_keys"][0]);
    let one = format!("/gateways/{}", gateway["id"].as_str().unwrap());
    check(whole, "Gateway", &ask(&format!("POST {one}/pauses"), "").await);
    check(whole, "AuditEntry", &ask(&format!("GET {one}/history"), "").await["items"][0]);
    for list in ["GET /gateways", "GET /connectors?kind=gateway"] {
        check(whole, "Gateway", &ask(list, "").await["items"][0]);
    }
    // It takes one key, and this is another one: nothing is called.
    let tried = ask(&format!("POST {one}/trials"), r#"{"path":"/a"}"#).await;
    check(whole, "GatewayTrial", &tried);
    assert_eq!(tried["code"], "gateway_not_allowed");
    check(whole, "GatewayCaller", &ask("GET /gateway-callers", "").await["items"][0]);
    let limited = r#"{"name":"Limited","scopes":["gateway:call"],"gateways":["Desk"]}"#;
    let limited = ask("POST /api-keys", limited).await;
    assert_eq!(limited["gateways"], json!([{ "id": gateway["id"], "name": "Desk" }]));
    ask(&format!("DELETE {one}"), "").await;
}

async fn check_exporters(whole: &Value, served: &Served, key: &str, ask: &impl AsyncFn(&str, &str) -> Value) {
    let exporter =
        r#"{"name":"List","credential":"Tool","path":"/bulk","source":"pushed","format":"ndjson"}"#;
    check(whole, "ExporterPreview", &ask("POST /exporters/preview", exporter).await);
    let exporter = ask("POST /exporters", exporter).await;
    check(whole, "Exporter", &exporter);
    let one = format!("/exporters/{}", exporter["id"].as_str().unwrap());
    check(whole, "Exporter", &ask(&format!("POST {one}/pauses"), "").await);
    check(whole, "AuditEntry", &ask(&format!("GET {one}/history"), "").await["items"][0]);
    let again = async |request: &str, body: &str| {
        let idempotency_key = format!("idempotency-key: {}", request.len());
        let headers = [idempotency_key.as_str(), "content-type: application/json"];
        let reply = served.send(key, request, &headers, body).await;
        assert!(reply.status < 300, "{request}: {}", reply.body);
        reply.body
    };
    assert_eq!(again(&format!("POST {one}/records"), r#"[{"a":1},{"a":2}]"#).await["accepted"], 2);
    let keyless = served.send(key, &format!("POST {one}/runs"), &[], "").await;
    assert_eq!(keyless.body["code"], "idempotency_key_needed");
    let run = again(&format!("POST {one}/runs"), "").await;
    check(whole, "Run", &run);
    let listed = ask(&format!("GET {one}/runs"), "").await;
    check(whole, "Run", &listed["items"][0]);
    check(whole, "Exporter", &ask(&format!("GET {one}"), "").await);
    for list in ["GET /exporters", "GET /connectors?kind=exporter"] {
        check(whole, "Exporter", &ask(list, "").await["items"][0]);
    }
    assert_eq!(ask("GET /connectors", "").await["items"].as_array().unwrap().len(), 2);
    assert_eq!(ask("GET /webhooks", "").await["items"].as_array().unwrap().len(), 1);
    let id = run["id"].as_str().unwrap();
    let cancelled = ask(&format!("POST /runs/{id}/cancellation"), r#"{"records":"left_out"}"#).await;
    check(whole, "Run", &cancelled);
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(ask(&format!("GET {one}"), "").await["waiting_records"], 2, "it never collected");
    ask(&format!("DELETE {one}"), "").await;
}

async fn check_replays(whole: &Value, served: &Served, key: &str) {
    let cancelled = r#"{"filter":{"connector":"Tickets","state":["cancelled"]},"rate_per_second":0.1"#;
    let preview = served.send(key, "POST /replays", &[], &format!("{cancelled},\"dry_run\":true}}")).await;
    check(whole, "ReplayPreview", &preview.body);
    check(whole, "ReplayFilter", &preview.body["filter"]);
    assert_eq!(
        (&preview.body["count"], &preview.body["connectors"][0]["name"]),
        (&json!(1), &json!("Tickets"))
    );
    // Whatever says yes is a dry run, and what says neither sends nothing.
    let once = ["idempotency-key: dry"];
    let dry = served.send(key, "POST /replays", &once, &format!("{cancelled},\"dry_run\":\"true\"}}")).await;
    assert_eq!((dry.status, &dry.body["count"]), (200, &json!(1)), "{}", dry.body);
    let unclear = format!("{cancelled},\"dry_run\":\"only look\"}}");
    served.send(key, "POST /replays", &once, &unclear).await.expect(422, "values_not_accepted");
    let none = served.send(key, "GET /operations", &[], "").await;
    assert_eq!(none.body["items"], json!([]), "nothing was sent");
    let body = format!("{cancelled}}}");
    served.send(key, "POST /replays", &[], &body).await.expect(400, "idempotency_key_needed");
    let started = served.send(key, "POST /replays", &["idempotency-key: one"], &body).await;
    assert_eq!(started.status, 202, "{}", started.body);
    check(whole, "Operation", &started.body);
    let again = served.send(key, "POST /replays", &["idempotency-key: one"], &body).await;
    assert_eq!((&again.body, again.status), (&started.body, 202));
    let one = format!("/operations/{}", started.body["id"].as_str().unwrap());
    for list in ["GET /operations", "GET /operations?kind=replay", "GET /replays"] {
        let page = served.send(key, list, &[], "").await;
        assert_eq!(page.body["items"].as_array().unwrap().len(), 1, "{list}");
        check(whole, "Operation", &page.body["items"][0]);
    }
    check(whole, "Operation", &served.send(key, &format!("GET {one}"), &[], "").await.body);
}

async fn check_oauth(whole: &Value, ask: &impl AsyncFn(&str, &str) -> Value) {
    let client = r#"{"name":"Machine","protocol":"https","url_address":"https://tool.example/",
        "authorization_type":"oauth2_client_credentials","client_id":"consign","client_secret":"canary-3",
        "access_token_url":"https://tool.example/token","authentication_information":"header",
        "oauth_token_requests":[{"name":"resource","value":"a"},{"name":"key","value":"canary-4","secret":true}]}"#;
    let made = ask("POST /credentials", client).await;
    check(whole, "Credential_oauth2_client_credentials", &made);
    assert_eq!(made["token"], Value::Null);
    assert!(made.get("redirect_url").is_none());
    let rows = &made["oauth_token_requests"];
    assert_eq!((&rows[0]["value"], &rows[1]["value"]["set"]), (&json!("a"), &json!(true)));
    assert!(!made.to_string().contains("canary"));

    let person = r#"{"name":"Person","protocol":"https","url_address":"https://tool.example/",
        "authorization_type":"oauth2_authorization_code","client_id":"consign","client_secret":"canary-3",
        "authorization_code_url":"https://tool.example/auth","access_token_url":"https://tool.example/token",
        "authentication_information":"header","pkce":"s256","token_lifetime_seconds":3600}"#;
    let made = ask("POST /credentials", person).await;
    check(whole, "Credential_oauth2_authorization_code", &made);
    assert_eq!(made["status"]["code"], "not_authorized");
    let id = made["id"].as_str().unwrap();
    let state = ask(&format!("GET /credentials/{id}/authorizations"), "").await;
    check(whole, "Authorization", &state);
    assert_eq!(state["redirect_url"], made["redirect_url"]);
    let started = ask(&format!("POST /credentials/{id}/authorizations"), "").await;
    assert_eq!(started, state);
    check(whole, "Authorization", &ask(&format!("DELETE /credentials/{id}/authorizations"), "").await);

    let tested = ask(&format!("POST /credentials/{id}/tests"), "").await;
    check(whole, "TestResult", &tested);
    assert_eq!(tested["outcome"], "failed", "the name leads nowhere: {tested}");
    check(whole, "TestStep", &tested["steps"][0]);
    let kept = ask(&format!("GET /credentials/{id}/tests"), "").await;
    assert_eq!(kept["items"][0], tested);
    let unsaved = ask(&format!("POST /credentials/{id}/tests"), r#"{"scope":"read"}"#).await;
    assert_eq!(unsaved["id"], Value::Null);
    check(whole, "TestResult", &ask("POST /credential-tests", &client.replace("Machine", "Other")).await);
}
