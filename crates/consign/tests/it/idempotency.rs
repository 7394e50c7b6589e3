//! `Idempotency-Key`: the same request again gets the same answer and is done once.

use serde_json::json;

use crate::harness::{Kind, TestConsign, basic};
use crate::peers::{Answer, Tool};

on_both_databases! {
    the_same_request_is_done_once_and_answered_alike
    nothing_is_done_whose_answer_is_not_kept_with_it
    a_test_event_whose_answer_was_lost_is_sent_once
}

/// What a crash would do between a change and its answer: the one is written, the other is not.
async fn refuse_answers(consign: &TestConsign) {
    let sql = match consign.database.kind {
        Kind::Sqlite => {
            "create trigger no_answers before update on idempotency begin select raise(abort, 'no'); end"
        }
        Kind::PostgreSql => {
            "create function no_answers() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
             create trigger no_answers before update on idempotency for each row execute function no_answers()"
        }
    };
    consign.database.execute(sql).await;
}

async fn accept_answers(consign: &TestConsign) {
    let on = if consign.database.kind == Kind::Sqlite { "" } else { " on idempotency" };
    consign.database.execute(&format!("drop trigger no_answers{on}")).await;
}

async fn nothing_is_done_whose_answer_is_not_kept_with_it(consign: TestConsign) {
    let tool = Tool::start().await;
    tool.answer(Answer::status(400));
    let webhook = consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    let failed = consign.event("a", &json!(1)).await;
    consign.until(failed.delivery(), "failed").await;
    tool.answer(Answer::status(200));
    let path = format!("/webhooks/{webhook}");
    consign.act(&format!("{path}/pauses")).await.expect(200);
    let open = consign.event("b", &json!(1)).await;
    consign.call("DELETE", &format!("{path}/pauses"), &[], None).await.expect(200);
    consign.until(open.delivery(), "delivered").await;
    let credential = basic("new", "https://tool.example.org/", "consign", &consign.canary("password"));
    let hook = json!({ "name": "new", "credential": "itsm", "path": "/x", "event_types": ["b"] });
    let asked = [
        ("/credentials".to_owned(), Some(credential), 201),
        ("/webhooks".to_owned(), Some(hook), 201),
        ("/api-keys".to_owned(), Some(json!({ "name": "new", "scopes": ["events:write"] })), 201),
        (format!("/deliveries/{}/replays", failed.delivery()), None, 201),
        (format!("{path}/pauses"), None, 200),
    ];
    let numbers = async || {
        let rows =
            "select (select count(*) from credential) * 1000000 + (select count(*) from connector) * 10000
           + (select count(*) from api_key) * 100 + (select count(*) from delivery) as n";
        let paused = "select count(*) from connector where state = 'paused'";
        let audit = "select count(*) from audit";
        (
            consign.database.number(rows).await,
            consign.database.number(paused).await,
            consign.database.number(audit).await,
        )
    };
    refuse_answers(&consign).await;
    let before = numbers().await;
    for (index, (path, body, _)) in asked.iter().enumerate() {
        let key = format!("once-{index}");
        let refused = consign.call("POST", path, &[("idempotency-key", &key)], body.as_ref()).await;
        refused.expect(500);
        assert_eq!(numbers().await, before, "{path}: nothing is done");
    }
    accept_answers(&consign).await;
    for (index, (path, body, status)) in asked.iter().enumerate() {
        let key = format!("once-{index}");
        let headers = [("idempotency-key", key.as_str())];
        let first = consign.call("POST", path, &headers, body.as_ref()).await.expect(*status);
        let again = consign.call("POST", path, &headers, body.as_ref()).await.expect(*status);
        assert_eq!(again.header("idempotency-replayed"), Some("true"), "{path}");
        assert_eq!(again.json(), first.json(), "{path}");
        for reply in [&first, &again].into_iter().filter(|_| path == "/api-keys") {
            let text = reply.json()["text"].as_str().unwrap().to_owned();
            consign.canaries.shown_once("an API key", text.rsplit('_').next().unwrap());
        }
    }
    let after = numbers().await;
    assert_eq!((after.0 - before.0, after.1 - before.1), (1_010_101, 1), "each once");
    consign.call("DELETE", &format!("{path}/pauses"), &[], None).await.expect(200);
    consign.until_idle().await;
    consign.finish().await;
}

async fn a_test_event_whose_answer_was_lost_is_sent_once(consign: TestConsign) {
    let tool = Tool::start().await;
    let webhook = consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    let path = format!("/webhooks/{webhook}/tests");
    let send = async |key: &str| {
        consign.call("POST", &path, &[("idempotency-key", key)], None).await.expect(201).json()
    };
    let first = send("test-1").await;
    consign.database.execute("delete from idempotency").await;
    let again = send("test-1").await;
    assert_eq!((&again["id"], tool.count()), (&first["id"], 1), "the same delivery");
    assert_ne!(send("test-2").await["id"], first["id"]);
    assert_eq!(tool.count(), 2);
    consign.finish().await;
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
