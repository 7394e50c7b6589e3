//! `Idempotency-Key`: the same request again gets the same answer and is done once.

use serde_json::json;

use crate::harness::{TestConsign, basic};
use crate::peers::Tool;

on_both_databases! {
    the_same_request_is_done_once_and_answered_alike
}

async fn the_same_request_is_done_once_and_answered_alike(consign: TestConsign) {
    let body = basic("itsm", "https://tool.example.org/", "consign", &consign.canary("password"));
    let key = [("idempotency-key", "create-1")];
    let first = consign.call("POST", "/credentials", &key, Some(&body)).await.expect(201);
    assert_eq!(first.header("idempotency-replayed"), None);
    let mut consign = consign;
    let again = consign.call("POST", "/credentials", &key, Some(&body)).await.expect(201);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.json(), first.json());
    assert_eq!(
        (again.header("etag"), again.header("location")),
        (first.header("etag"), first.header("location"))
    );
    consign.restart().await;
    let later = consign.call("POST", "/credentials", &key, Some(&body)).await.expect(201);
    assert_eq!(later.json(), first.json(), "across a restart");
    assert_eq!(consign.all("/credentials").await.len(), 1);

    let other = basic("other", "https://tool.example.org/", "consign", &consign.canary("password"));
    let mismatch = consign.call("POST", "/credentials", &key, Some(&other)).await.expect(422);
    assert_eq!(mismatch.code(), "idempotency_mismatch");
    let elsewhere = consign.call("POST", "/webhooks", &key, Some(&body)).await.expect(422);
    assert_eq!(elsewhere.code(), "idempotency_mismatch");
    // Another caller's key is another key.
    let caller = consign.make_key(&["credentials:write"]).await;
    let headers = [("idempotency-key", "create-1"), ("content-type", "application/json")];
    let theirs =
        consign.call_as(&caller, "POST", "/credentials", &headers, other.to_string()).await.expect(201);
    assert_eq!(theirs.header("idempotency-replayed"), None);
    // A request that was refused may be corrected under the same key.
    let key = [("idempotency-key", "create-2")];
    consign.call("POST", "/credentials", &key, Some(&json!({ "name": "" }))).await.expect(422);
    let third = basic("third", "https://tool.example.org/", "consign", &consign.canary("password"));
    consign.call("POST", "/credentials", &key, Some(&third)).await.expect(201);
    for bad in ["", &"x".repeat(129), "a b"] {
        consign.call("POST", "/credentials", &[("idempotency-key", bad)], Some(&third)).await.expect(400);
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_key_is_shown_again_only_to_a_repeat_of_its_request() {
    let consign = TestConsign::start().await;
    let body = json!({ "name": "repeat", "scopes": ["events:write"] });
    let key = [("idempotency-key", "key-1")];
    let first = consign.call("POST", "/api-keys", &key, Some(&body)).await.expect(201).json();
    let text = first["text"].as_str().unwrap();
    consign.canaries.shown_once("an API key", text.rsplit('_').next().unwrap());
    let again = consign.call("POST", "/api-keys", &key, Some(&body)).await.expect(201).json();
    assert_eq!(again, first);
    assert!(!consign.get("/api-keys").await.expect(200).text().contains(text));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_requests_with_one_key_make_one_object() {
    let consign = TestConsign::start().await;
    let body = json!({ "name": "at once", "scopes": ["events:write"] }).to_string();
    let headers = [("idempotency-key", "at-once"), ("content-type", "application/json")];
    let send = || consign.call_as(&consign.key, "POST", "/api-keys", &headers, body.clone());
    let replies = tokio::join!(send(), send(), send(), send());
    let replies = [replies.0, replies.1, replies.2, replies.3];
    let made = replies.iter().filter(|reply| reply.status == 201).count();
    assert!(made >= 1);
    for reply in &replies {
        if reply.status == 409 {
            assert_eq!(reply.code(), "idempotency_in_progress");
            assert!(reply.header("retry-after").is_some());
        } else {
            assert_eq!(reply.status, 201, "{}", reply.text());
            let text = reply.json()["text"].as_str().unwrap().to_owned();
            consign.canaries.shown_once("an API key", text.rsplit('_').next().unwrap());
        }
    }
    let keys = consign.get("/api-keys").await.expect(200).json();
    let named = keys["items"].as_array().unwrap().iter().filter(|key| key["name"] == "at once").count();
    assert_eq!(named, 1);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_events_is_accepted_once() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    let batch = json!([{ "type": "a", "data": 1 }, { "type": "b", "data": 2 }]);
    let missing = consign.post("/events", &batch).await.expect(400);
    assert_eq!(missing.code(), "idempotency_key_needed");
    let key = [("idempotency-key", "batch")];
    let first = consign.call("POST", "/events", &key, Some(&batch)).await.expect(202);
    let again = consign.call("POST", "/events", &key, Some(&batch)).await.expect(202);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.json(), first.json());
    let minimal = [("idempotency-key", "batch-2"), ("prefer", "return=minimal")];
    let reply = consign.call("POST", "/events", &minimal, Some(&batch)).await.expect(202);
    assert_eq!(reply.header("preference-applied"), Some("return=minimal"));
    assert!(reply.json()[0]["deliveries"].is_null());
    consign.until_idle().await;
    assert_eq!(tool.count(), 4);
    consign.finish().await;
}
