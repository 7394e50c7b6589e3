//! Exact bytes on the wire, and secrets that come back in answers.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use crate::harness::{TestConsign, basic, bearer, merge};
use crate::peers::{Answer, Tool};

/// One event through one credential: the request as it arrived.
async fn sent_with(
    consign: &TestConsign,
    tool: &Tool,
    credential: &Value,
    webhook: &Value,
) -> crate::peers::Asked {
    let before = tool.count();
    let name = credential["name"].as_str().unwrap();
    consign.credential(credential).await;
    let mut body =
        json!({ "name": name, "credential": name, "path": "/hook", "event_types": [format!("for.{name}")] });
    merge(&mut body, webhook);
    consign.webhook(&body).await;
    let event = consign.event(&format!("for.{name}"), &json!({ "n": 1 })).await;
    consign.until(event.delivery(), "delivered").await;
    let asked = tool.until_asked(before + 1).await;
    assert_eq!(asked.len(), before + 1);
    asked[before].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn basic_sends_user_and_password_in_base64_of_utf8() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let password = consign.canaries.plant_within("password", "open sesame: ", "\u{20ac}~!@#$%^&*()");
    let asked =
        sent_with(&consign, &tool, &basic("basic", &tool.origin(), "Al\u{e4}ddin", &password), &json!({}))
            .await;
    let expected = format!("Basic {}", BASE64_STANDARD.encode(format!("Al\u{e4}ddin:{password}")));
    assert_eq!(asked.header("authorization"), expected);
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/hook"));
    assert_eq!(asked.body, b"{\"n\":1}");
    assert_eq!(asked.header("content-type"), "application/json");
    assert_eq!(asked.header("host"), format!("127.0.0.1:{}", tool.port()));
    assert!(asked.header("webhook-id").starts_with("evt_"));
    assert!(asked.header("idempotency-key").starts_with("dlv_"));
    assert!(asked.header("user-agent").starts_with("Consign/"));
    for absent in ["accept-encoding", "cookie", "referer", "origin", "traceparent", "transfer-encoding"] {
        assert!(asked.headers_named(absent).is_empty(), "{absent}: {:?}", asked.headers);
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bearer_token_follows_its_prefix_by_the_published_table() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let rows = [
        ("one", "Bearer", "Bearer "),
        ("two", "", ""),
        ("three", "rest_api_key=", "rest_api_key="),
        ("four", "Token token=", "Token token="),
        ("five", "AR-JWT", "AR-JWT "),
    ];
    for (name, prefix, before) in rows {
        let token = consign.canary(&format!("token-{name}"));
        let mut credential = bearer(name, &tool.origin(), &token);
        credential["header_prefix"] = json!(prefix);
        let asked = sent_with(&consign, &tool, &credential, &json!({})).await;
        assert_eq!(asked.header("authorization"), format!("{before}{token}"));
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_authorization_the_secret_address_is_used_as_it_is() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let secret = consign.canary("hook");
    let address = format!("{}services/T1/{secret}?key=a%20b&x={secret}", tool.origin());
    let credential =
        json!({ "name": "chat", "protocol": "https", "url_address": address, "authorization_type": "none" });
    let asked = sent_with(&consign, &tool, &credential, &json!({ "path": "" })).await;
    assert_eq!(asked.target, format!("/services/T1/{secret}?key=a%20b&x={secret}"));
    assert!(asked.headers_named("authorization").is_empty());
    let shown = consign.get("/credentials/chat").await.expect(200).json();
    assert_eq!(shown["url_address"], tool.origin());
    assert_eq!(shown["url_path"]["set"], true, "{shown}");
    assert!(shown["url_path"]["updated_at"].is_string());
    let delivery = &consign.all("/deliveries").await[0];
    let attempts = consign.attempts(delivery["id"].as_str().unwrap()).await;
    let line = attempts[0]["request_line"].as_str().unwrap();
    assert!(line.contains("•••"), "{line}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custom_headers_go_with_every_request_and_are_kept_by_name() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let (token, key, site) = (consign.canary("token"), consign.canary("api-key"), consign.canary("site"));
    let mut credential = bearer("itsm", &tool.origin(), &token);
    credential["custom_headers"] = json!([
        { "name": "X-Api-Key", "value": key },
        { "name": "X-Site", "value": site, "sent_with": "api_request" },
    ]);
    let asked = sent_with(
        &consign,
        &tool,
        &credential,
        &json!({ "headers": [{ "name": "X-Plain", "value": "seen" }] }),
    )
    .await;
    assert_eq!(asked.header("x-api-key"), key);
    assert_eq!(asked.header("x-site"), site);
    assert_eq!(asked.header("x-plain"), "seen");
    let delivery = consign.all("/deliveries").await;
    let attempts = consign.attempts(delivery[0]["id"].as_str().unwrap()).await;
    let headers = attempts[0]["request_headers"].as_array().unwrap();
    let value = |name: &str| {
        headers.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name}"))["value"].clone()
    };
    assert_eq!(value("authorization"), "hidden");
    assert_eq!(value("x-api-key"), "hidden");
    assert_eq!(value("x-plain"), "hidden");
    assert_eq!(value("content-type"), "application/json");

    // A new row, a kept one, a removed one.
    let rows = json!([{ "name": "x-api-key" }, { "name": "X-New", "value": consign.canary("new") }]);
    consign.patch("/credentials/itsm", &json!({ "custom_headers": rows })).await.expect(200);
    let event = consign.event("for.itsm", &json!(2)).await;
    consign.until(event.delivery(), "delivered").await;
    let asked = tool.asked().pop().unwrap();
    assert_eq!(asked.header("x-api-key"), key);
    assert!(asked.headers_named("x-site").is_empty() && asked.headers_named("x-new").len() == 1);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_that_a_tool_sends_back_are_hidden_everywhere() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let (password, key) =
        (consign.canaries.plant_within("password", "a\"b\\", "/ü"), consign.canary("api-key"));
    let mut credential = basic("echo", &tool.origin(), "consign", &password);
    credential["custom_headers"] = json!([{ "name": "X-Api-Key", "value": key }]);
    consign.credential(&credential).await;
    let webhook = json!({ "name": "echo", "credential": "echo", "path": "/echo", "event_types": ["*"] });
    consign.webhook(&webhook).await;
    for status in [200, 400, 201] {
        tool.answer(Answer::Echo(status));
        let event = consign.event("a", &json!({ "status": status })).await;
        let state = if status < 300 { "delivered" } else { "failed" };
        let delivery = consign.until(event.delivery(), state).await;
        let attempts = consign.attempts(event.delivery()).await;
        let excerpt = attempts[0]["answer_excerpt"].as_str().expect("an excerpt");
        assert!(excerpt.contains("[hidden]") && excerpt.contains("webhook-id"), "{excerpt}");
        consign.page(&format!("/deliveries/{}", event.delivery())).await.expect(200);
        consign.run(&["delivery", "get", event.delivery()]).await.expect(0);
        if status == 400 {
            assert!(delivery["last_message"].as_str().unwrap().contains("[hidden]"), "{delivery}");
        }
    }
    // Headers that may be shown carry no secret either.
    let location = format!("/{key}");
    tool.answer(Answer::with(201, &[("x-request-id", &key), ("retry-after", &key), ("location", &location)]));
    let event = consign.event("a", &json!("header")).await;
    let delivery = consign.until(event.delivery(), "delivered").await;
    assert_eq!(delivery["reference"], "/[hidden]", "{delivery}");
    consign.finish().await;
}
