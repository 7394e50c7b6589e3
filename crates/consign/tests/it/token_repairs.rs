//! Repairs while tokens are asked for: what waits goes on at once and by itself, whatever the token address said to
//! the credential as it was.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::page::unescape;
use crate::harness::{Reply, TestConsign};
use crate::oauth::{access, client, endpoint, token_url, webhook};
use crate::peers::{Answer, Tool};

on_both_databases! {
    a_refusal_of_the_old_secret_is_none_of_the_new_one
    a_token_address_that_asks_to_wait_is_waited_for_until_a_repair
}

const LATE: Duration = Duration::from_millis(500);

fn refusal() -> Answer {
    Answer::json(401, &json!({ "error": "invalid_client" }))
}

/// Minutes and hours that nobody waits for in these tests.
fn busy() -> Answer {
    Answer::with(429, &[("retry-after", "7200")])
}

async fn a_refusal_of_the_old_secret_is_none_of_the_new_one(consign: TestConsign) {
    let tool = Tool::start().await;
    let (bearer, good) = access(&consign, "access", &json!({}));
    let endpoint = endpoint(&consign, good).await;
    endpoint.answer_next(refusal().after(LATE));
    let credential = webhook(&consign, "itsm", &tool, &token_url(&endpoint), &json!({})).await;
    let sent = consign.event("a", &json!(1)).await;
    endpoint.until_asked(1).await;
    let secret = consign.canary("the-right-secret");
    let path = format!("/credentials/{credential}");
    consign.patch(&path, &json!({ "client_secret": secret })).await.expect(200);
    consign.until(sent.delivery(), "delivered").await;
    assert_eq!(consign.delivery(sent.delivery()).await["attempts"], 1);
    assert_eq!((endpoint.count(), tool.asked()[0].header("authorization")), (2, bearer.as_str()));
    consign.until_shows(&path, "/status/code", "working").await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_was_asked_for_with_the_old_scope_is_not_used() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let (bearer, good) = access(&consign, "new", &json!({}));
    let endpoint = endpoint(&consign, good).await;
    endpoint.answer_next(access(&consign, "old", &json!({})).1.after(LATE));
    let credential = webhook(&consign, "itsm", &tool, &token_url(&endpoint), &json!({})).await;
    let sent = consign.event("a", &json!(1)).await;
    endpoint.until_asked(1).await;
    consign.patch(&format!("/credentials/{credential}"), &json!({ "scope": "write" })).await.expect(200);
    consign.until(sent.delivery(), "delivered").await;
    assert_eq!((endpoint.count(), tool.count()), (2, 1));
    assert_eq!(tool.asked()[0].header("authorization"), bearer);
    assert_eq!(endpoint.asked()[1].body, b"grant_type=client_credentials&scope=write");

    // Another name changes nothing about what was asked.
    consign.advance(Duration::from_secs(3_600));
    endpoint.answer(access(&consign, "third", &json!({})).1.after(LATE));
    let sent = consign.event("a", &json!(2)).await;
    endpoint.until_asked(3).await;
    consign.patch(&format!("/credentials/{credential}"), &json!({ "name": "renamed" })).await.expect(200);
    consign.until(sent.delivery(), "delivered").await;
    assert_eq!(endpoint.count(), 3);
    consign.finish().await;
}

async fn a_token_address_that_asks_to_wait_is_waited_for_until_a_repair(consign: TestConsign) {
    let tool = Tool::start().await;
    let endpoint = endpoint(&consign, busy()).await;
    let mut body = client("itsm", &tool, &token_url(&endpoint), "client", &consign.canary("secret"));
    body["test_path"] = json!("/ping");
    let credential = consign.credential(&body).await;
    let path = format!("/credentials/{credential}");
    let hook = json!({ "name": "itsm", "credential": credential, "path": "/hook", "event_types": ["*"],
                       "max_concurrency": 1 });
    let hook = consign.webhook(&hook).await;
    for (number, repair) in ["secret", "choice", "test", "resume", "time"].into_iter().enumerate() {
        endpoint.answer(busy());
        // A token that was fetched for the last one is over.
        consign.advance(Duration::from_secs(3_600));
        let (asked, delivered) = (endpoint.count(), tool.asked_at("/hook").len());
        let mut sent = vec![consign.event("a", &json!([number, 0])).await];
        consign.until_attempted(sent[0].delivery(), 1).await;
        for later in 1..4 {
            sent.push(consign.event("a", &json!([number, later])).await);
        }
        // Long enough for the queue to be looked at.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        for sent in &sent {
            let delivery = consign.delivery(sent.delivery()).await;
            assert_eq!((&delivery["state"], &delivery["attempts"]), (&json!("pending"), &json!(0)));
            let (due, made) = (delivery["due_at"].as_str(), delivery["created_at"].as_str());
            assert!(due > made, "{repair}: it says how long it waits: {delivery}");
        }
        assert_eq!(endpoint.count(), asked + 1, "{repair}: asked once, and told to wait");
        assert_eq!(consign.attempts(sent[0].delivery()).await.len(), 1, "{repair}");
        endpoint.answer(access(&consign, &format!("after-{repair}"), &json!({ "expires_in": 3600 })).1);
        match repair {
            "secret" => {
                let secret = consign.canary("the-next-secret");
                consign.patch(&path, &json!({ "client_secret": secret })).await.expect(200);
            }
            "choice" => {
                let body = json!({ "authentication_information": "body" });
                consign.patch(&path, &body).await.expect(200);
            }
            "test" => {
                let result = consign.act(&format!("{path}/tests")).await.expect(201).json();
                assert_eq!(result["outcome"], "working", "{result}");
            }
            "resume" => {
                consign.call("DELETE", &format!("/webhooks/{hook}/pauses"), &[], None).await.expect(200);
            }
            _ => consign.advance(Duration::from_secs(7_201)),
        }
        for sent in &sent {
            consign.until(sent.delivery(), "delivered").await;
        }
        let order: Vec<Value> =
            tool.asked_at("/hook")[delivered..].iter().map(crate::peers::Asked::json).collect();
        assert_eq!(order, (0..4).map(|later| json!([number, later])).collect::<Vec<_>>(), "{repair}");
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_way_of_signing_in_is_a_repair() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let endpoint = endpoint(&consign, refusal()).await;
    let credential = webhook(&consign, "itsm", &tool, &token_url(&endpoint), &json!({})).await;
    let path = format!("/credentials/{credential}");
    let (_, good) = access(&consign, "access", &json!({ "expires_in": 3600 }));
    let row = json!([{ "name": "tenant", "value": "acme" }]);
    for (number, change) in [
        json!({ "authentication_information": "body" }),
        json!({ "scope": "write" }),
        json!({ "client_id": "another" }),
        json!({ "oauth_token_requests": row }),
    ]
    .into_iter()
    .enumerate()
    {
        endpoint.answer(refusal());
        // The token of the change before is over.
        consign.advance(Duration::from_secs(3_600));
        let sent = consign.event("a", &json!(number)).await;
        let held = consign.until(sent.delivery(), "held").await;
        assert_eq!(held["hold_reason"], "sign_in_refused", "{change}: {held}");
        let asked = endpoint.count();
        // Its name has nothing to do with it.
        consign.patch(&path, &json!({ "name": format!("itsm {number}") })).await.expect(200);
        consign.until_shows(&path, "/status/code", "sign_in_refused").await;
        endpoint.answer(good.clone().after(LATE));
        let saved = consign.patch(&path, &change).await.expect(200).json();
        assert_eq!(saved["status"]["code"], "not_tested", "{change}");
        consign.until(sent.delivery(), "delivered").await;
        assert_eq!(endpoint.count(), asked + 1, "{change}");
        consign.until_shows(&path, "/status/code", "working").await;
    }
    let last = String::from_utf8_lossy(&endpoint.asked().last().unwrap().body).into_owned();
    assert!(last.contains("client_id=another") && last.ends_with("&tenant=acme"));
    consign.finish().await;
}

/// A credential that a person approves at `endpoint`, which also gives the tokens.
pub(crate) async fn granted(consign: &TestConsign, tool: &Tool, endpoint: &Tool) -> String {
    let credential = json!({
        "name": "itsm", "protocol": "https", "url_address": tool.origin(),
        "authorization_type": "oauth2_authorization_code", "client_id": "client",
        "client_secret": consign.canary("secret"), "access_token_url": token_url(endpoint),
        "authorization_code_url": format!("{}authorize", endpoint.origin()),
    });
    let credential = consign.credential(&credential).await;
    let hook = json!({ "name": "itsm", "credential": credential, "path": "/hook", "event_types": ["*"] });
    consign.webhook(&hook).await;
    credential
}

/// A person comes back from the tool with a code.
pub(crate) async fn approve(consign: &TestConsign, credential: &str) -> Reply {
    come_back(consign, credential, &format!("code={}", consign.canary("code"))).await
}

/// A person comes back from the tool with whatever it says.
pub(crate) async fn come_back(consign: &TestConsign, credential: &str, with: &str) -> Reply {
    let page = consign.page(&format!("/credentials/{credential}/authorize")).await.expect(200).text();
    let page = unescape(&page);
    let (_, state) = page.split_once("&state=").expect("a way to the tool");
    let state = state.split(['&', '"']).next().unwrap();
    consign.page(&format!("/oauth/callback/{credential}?{with}&state={state}")).await
}

/// An answer with both tokens.
pub(crate) fn both(consign: &TestConsign, name: &str) -> (String, String, Answer) {
    let refresh = consign.canary(&format!("refresh-{name}"));
    let members = json!({ "expires_in": 600, "refresh_token": refresh });
    let (bearer, answer) = access(consign, name, &members);
    (bearer, refresh, answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_refresh_token_outlives_a_replaced_secret() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let endpoint = endpoint(&consign, both(&consign, "first").2).await;
    let credential = granted(&consign, &tool, &endpoint).await;
    assert!(approve(&consign, &credential).await.text().contains("is connected"));
    consign.until(consign.event("a", &json!(1)).await.delivery(), "delivered").await;
    let asked = endpoint.count();

    consign.advance(Duration::from_secs(600));
    let (_, rotated, second) = both(&consign, "second");
    let (third, _, last) = both(&consign, "third");
    endpoint.answer_each(vec![second.after(LATE), last]);
    let sent = consign.event("a", &json!(2)).await;
    endpoint.until_asked(asked + 1).await;
    let path = format!("/credentials/{credential}");
    let secret = consign.canary("the-next-secret");
    consign.patch(&path, &json!({ "client_secret": secret })).await.expect(200);
    consign.until(sent.delivery(), "delivered").await;
    assert_eq!(endpoint.count(), asked + 2);
    let renewal = String::from_utf8_lossy(&endpoint.asked()[asked + 1].body).into_owned();
    assert!(renewal.contains(&format!("refresh_token={rotated}")), "the new one, with the new secret");
    assert_eq!(tool.asked().last().unwrap().header("authorization"), third);

    // That the grant has ended is true whoever asked.
    consign.advance(Duration::from_secs(600));
    let ended = Answer::json(400, &json!({ "error": "invalid_grant" }));
    endpoint.answer(ended.after(LATE));
    let sent = consign.event("a", &json!(3)).await;
    endpoint.until_asked(asked + 3).await;
    let secret = consign.canary("one-more-secret");
    consign.patch(&path, &json!({ "client_secret": secret })).await.expect(200);
    let held = consign.until(sent.delivery(), "held").await;
    assert_eq!(held["hold_reason"], "reconnect_needed", "{held}");
    let status = consign.get(&path).await.json()["status"].clone();
    assert_eq!(status["reason"], "refresh token was refused (invalid_grant)", "{status}");
    assert_eq!(endpoint.count(), asked + 3);
    endpoint.answer(both(&consign, "fourth").2);
    approve(&consign, &credential).await.expect(200);
    consign.until(sent.delivery(), "delivered").await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_goes_past_a_wait_that_the_token_address_asked_for() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let endpoint = endpoint(&consign, both(&consign, "first").2).await;
    let credential = granted(&consign, &tool, &endpoint).await;
    approve(&consign, &credential).await.expect(200);
    consign.until(consign.event("a", &json!(1)).await.delivery(), "delivered").await;
    consign.advance(Duration::from_secs(600));
    endpoint.answer(busy());
    let sent = consign.event("a", &json!(2)).await;
    consign.until_attempted(sent.delivery(), 1).await;
    let later = consign.event("a", &json!(3)).await;
    let (second, _, answer) = both(&consign, "second");
    endpoint.answer(answer);
    assert!(approve(&consign, &credential).await.text().contains("is connected"));
    for sent in [&sent, &later] {
        consign.until(sent.delivery(), "delivered").await;
    }
    assert_eq!(tool.asked().last().unwrap().header("authorization"), second);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_gone_is_not_shown() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let endpoint = endpoint(&consign, access(&consign, "access", &json!({})).1).await;
    let credential = webhook(&consign, "machine", &tool, &token_url(&endpoint), &json!({})).await;
    let path = format!("/credentials/{credential}");
    consign.until(consign.event("a", &json!(1)).await.delivery(), "delivered").await;
    assert_eq!(consign.get(&path).await.json()["token"]["type"], "Bearer");
    let secret = json!({ "client_secret": consign.canary("the-next-secret") });
    assert_eq!(consign.patch(&path, &secret).await.expect(200).json()["token"], json!(null));

    endpoint.answer(both(&consign, "first").2);
    let credential = granted(&consign, &tool, &endpoint).await;
    approve(&consign, &credential).await.expect(200);
    let path = format!("/credentials/{credential}");
    assert!(consign.get(&path).await.json()["token"]["ends_at"].is_string());
    let secret = json!({ "client_secret": consign.canary("one-more-secret") });
    let token = consign.patch(&path, &secret).await.expect(200).json()["token"].clone();
    assert_eq!((&token["ends_at"], &token["renewable"]), (&json!(null), &json!(true)), "{token}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_without_a_new_refresh_token_warns_though_the_old_one_is_kept() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let (_, refresh, first) = both(&consign, "first");
    let endpoint = endpoint(&consign, first).await;
    let credential = granted(&consign, &tool, &endpoint).await;
    assert!(approve(&consign, &credential).await.text().contains("renewed automatically"));
    endpoint.answer(access(&consign, "second", &json!({ "expires_in": 600 })).1);
    let page = approve(&consign, &credential).await.text();
    assert!(page.contains("The tool did not give a new refresh token."), "{page}");
    assert!(!page.contains("renewed automatically"), "{page}");
    // The one before is tried all the same.
    consign.advance(Duration::from_secs(600));
    let asked = endpoint.count();
    endpoint.answer(both(&consign, "third").2);
    consign.until(consign.event("a", &json!(1)).await.delivery(), "delivered").await;
    let renewal = endpoint.asked()[asked..].iter().find(|asked| asked.target == "/token").unwrap().clone();
    assert!(String::from_utf8_lossy(&renewal.body).contains(&format!("refresh_token={refresh}")));
    consign.finish().await;
}
