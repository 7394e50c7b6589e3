//! OAuth 2.0 as a tool sees it: tokens are fetched once, used while they serve, renewed one at a time, and a broken
//! grant holds what waits without losing it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{TestConsign, eventually, merge};
use crate::peers::authorization_server::{Authentication, AuthorizationServer, Registered, Setup};
use crate::peers::token_endpoint::{MARKER, token};
use crate::peers::{Answer, Tool};

/// The published vector: what form-encoding changes.
const ODD_ID: &str = "1PpG/Q 1";
const ODD_SECRET: &str = "z/tZ9VwFZqApmIQ+ZH1I5pLk/uB4ud:X2/8bL+wfFTt1rFw=";

/// A credential for client credentials.
pub(crate) fn client(name: &str, tool: &Tool, token_url: &str, id: &str, secret: &str) -> Value {
    json!({
        "name": name, "protocol": "https", "url_address": tool.origin(),
        "authorization_type": "oauth2_client_credentials",
        "client_id": id, "client_secret": secret, "access_token_url": token_url,
    })
}

/// A webhook for all events over such a credential, the secret planted.
pub(crate) async fn webhook(
    consign: &TestConsign,
    name: &str,
    tool: &Tool,
    token_url: &str,
    more: &Value,
) -> String {
    let secret = consign.canary(&format!("secret-of-{name}"));
    let credential = consign.credential(&client(name, tool, token_url, "client", &secret)).await;
    let mut webhook =
        json!({ "name": name, "credential": credential, "path": "/hook", "event_types": ["*"] });
    merge(&mut webhook, more);
    consign.webhook(&webhook).await;
    credential
}

/// Token endpoint and tool in one, so that an access token is seen where it is used.
pub(crate) async fn endpoint(consign: &TestConsign, answer: Answer) -> Tool {
    consign.canaries.never_shown("what the token address answers", MARKER);
    let endpoint = Tool::start().await;
    endpoint.answer(answer);
    endpoint
}

pub(crate) fn token_url(endpoint: &Tool) -> String {
    format!("{}token", endpoint.origin())
}

/// An access token that must be found nowhere but on the wire.
pub(crate) fn access(consign: &TestConsign, name: &str, more: &Value) -> (String, Answer) {
    let access = consign.canary(name);
    let mut members = json!({ "access_token": access });
    merge(&mut members, more);
    (format!("Bearer {access}"), token(&members))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certified_server_takes_the_client_in_the_header_and_in_the_body() {
    let consign = TestConsign::start().await;
    let machine = || Registered::machine(ODD_ID, ODD_SECRET);
    for (name, registered, placement, seen) in [
        ("by header", machine(), "header", Authentication::Header),
        ("by body", machine().by_body(), "body", Authentication::Body),
    ] {
        let server = AuthorizationServer::start(&Setup::with(vec![registered])).await;
        let tool = Tool::start().await;
        let mut body = client(name, &tool, &server.token_url(), ODD_ID, ODD_SECRET);
        merge(&mut body, &json!({ "authentication_information": placement, "scope": "read" }));
        let credential = consign.credential(&body).await;
        let kind = placement.to_owned();
        consign
            .webhook(
                &json!({ "name": name, "credential": credential, "path": "/hook", "event_types": [kind] }),
            )
            .await;
        for number in 0..3 {
            let sent = consign.event(placement, &json!(number)).await;
            consign.until(sent.delivery(), "delivered").await;
        }
        let requests = server.token_requests().await;
        assert_eq!(requests.len(), 1, "{requests:?}");
        assert_eq!((requests[0].authentication, requests[0].scope.as_deref()), (seen, Some("read")));
        for asked in tool.asked() {
            let token = asked.header("authorization").strip_prefix("Bearer ").unwrap().to_owned();
            assert!(server.is_valid(&token).await);
            consign.canaries.never_shown("an access token", &token);
        }
        let shown = consign.get(&format!("/credentials/{credential}")).await.expect(200).json();
        assert_eq!(shown["status"]["code"], "working", "{shown}");
        assert_eq!(
            (&shown["token"]["type"], &shown["token"]["renewable"]),
            (&json!("Bearer"), &json!(false))
        );
        assert_eq!(shown["token"]["scope"], "read");
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_request_is_what_the_standard_says_byte_for_byte() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let endpoint = endpoint(&consign, access(&consign, "access", &json!({})).1).await;
    let mut body =
        client("itsm", &tool, &format!("{}oauth/token?tenant=1", endpoint.origin()), ODD_ID, ODD_SECRET);
    let (both, with_token, with_api) =
        (consign.canary("both"), consign.canary("with-token"), consign.canary("with-api"));
    let row = consign.canary("row");
    let more = json!({
        "scope": "read write",
        "oauth_token_requests": [
            { "name": "resource", "value": "https://a.example" },
            { "name": "company", "value": row, "secret": true, "sent_in": "query" },
        ],
        "custom_headers": [
            { "name": "X-Both", "value": both },
            { "name": "X-Token", "value": with_token, "sent_with": "token_request" },
            { "name": "X-Api", "value": with_api, "sent_with": "api_request" },
        ],
    });
    merge(&mut body, &more);
    let credential = consign.credential(&body).await;
    consign
        .webhook(&json!({ "name": "itsm", "credential": credential, "path": "/hook", "event_types": ["*"] }))
        .await;
    let sent = consign.event("a", &json!(1)).await;
    consign.until(sent.delivery(), "delivered").await;
    let asked = &endpoint.asked()[0];
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        ("POST", format!("/oauth/token?tenant=1&company={row}").as_str())
    );
    assert_eq!(
        String::from_utf8_lossy(&asked.body),
        "grant_type=client_credentials&scope=read+write&resource=https%3A%2F%2Fa.example"
    );
    let expected = [
        ("host", format!("127.0.0.1:{}", endpoint.port())),
        ("accept", "application/json".to_owned()),
        ("content-type", "application/x-www-form-urlencoded".to_owned()),
        ("user-agent", concat!("Consign/", env!("CARGO_PKG_VERSION")).to_owned()),
        ("authorization", "Basic MVBwRyUyRlErMTp6JTJGdFo5VndGWnFBcG1JUSUyQlpIMUk1cExrJTJGdUI0dWQlM0FYMiUyRjhiTCUyQndmRlR0MXJGdyUzRA==".to_owned()),
        ("x-both", both.clone()),
        ("x-token", with_token),
        ("content-length", asked.body.len().to_string()),
    ];
    for (name, value) in &expected {
        assert_eq!(asked.header(name), value);
    }
    assert_eq!(asked.headers.len(), expected.len(), "{:?}", asked.headers);
    let asked = &tool.asked()[0];
    assert_eq!((asked.header("x-both"), asked.header("x-api")), (both.as_str(), with_api.as_str()));
    assert!(asked.headers_named("x-token").is_empty());
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_deliveries_at_the_end_of_a_token_ask_once() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let (first, answer) = access(&consign, "first", &json!({ "expires_in": 3600 }));
    let endpoint = endpoint(&consign, answer).await;
    let secret = consign.canary("secret");
    let credential =
        consign.credential(&client("itsm", &tool, &token_url(&endpoint), "client", &secret)).await;
    for number in 0..16 {
        consign
            .webhook(&json!({
                "name": format!("hook {number}"), "credential": credential, "path": "/hook",
                "event_types": ["*"], "max_concurrency": 64,
            }))
            .await;
    }
    let sent = consign.event("a", &json!(0)).await;
    for delivery in &sent.deliveries {
        consign.until(delivery, "delivered").await;
    }
    assert_eq!(endpoint.count(), 1, "sixteen at once, before there is a token");
    assert!(tool.asked().iter().all(|asked| asked.header("authorization") == first));

    consign.advance(Duration::from_secs(3600));
    let (second, answer) = access(&consign, "second", &json!({ "expires_in": 3600 }));
    endpoint.answer(answer.after(Duration::from_millis(300)));
    let events: Value = (0..64).map(|number| json!({ "type": "a", "data": number })).collect();
    let headers = [("idempotency-key", "a-thousand")];
    consign.call("POST", "/events", &headers, Some(&events)).await.expect(202);
    tool.until_asked(16 + 16 * 64).await;
    consign.until_idle().await;
    assert_eq!(endpoint.count(), 2, "one for all of them");
    assert_eq!(tool.count(), 16 + 16 * 64);
    assert!(tool.asked()[16..].iter().all(|asked| asked.header("authorization") == second));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_near_its_end_is_renewed_while_it_serves() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let (first, answer) = access(&consign, "first", &json!({ "expires_in": 3600 }));
    let endpoint = endpoint(&consign, answer).await;
    webhook(&consign, "itsm", &tool, &token_url(&endpoint), &json!({})).await;
    let sent = consign.event("a", &json!(1)).await;
    consign.until(sent.delivery(), "delivered").await;
    consign.advance(Duration::from_secs(2_900));
    // The renewal hangs, and nobody notices.
    endpoint.answer(Answer::Silence);
    for number in 0..3 {
        let sent = consign.event("a", &json!(number)).await;
        consign.until(sent.delivery(), "delivered").await;
    }
    endpoint.until_asked(2).await;
    assert!(tool.asked().iter().all(|asked| asked.header("authorization") == first));
    assert_eq!(endpoint.count(), 2, "one at a time");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_token_is_renewed_once_and_the_request_repeated_in_the_same_attempt() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let (_, answer) = access(&consign, "first", &json!({ "expires_in": 3600 }));
    let endpoint = endpoint(&consign, answer).await;
    webhook(&consign, "itsm", &tool, &token_url(&endpoint), &json!({})).await;
    consign.until(consign.event("a", &json!(1)).await.delivery(), "delivered").await;
    consign.advance(Duration::from_secs(120));
    let (second, answer) = access(&consign, "second", &json!({ "expires_in": 3600 }));
    endpoint.answer(answer);
    tool.answer_next(Answer::status(401));
    let sent = consign.event("a", &json!(2)).await;
    consign.until(sent.delivery(), "delivered").await;
    assert_eq!(consign.attempts(sent.delivery()).await.len(), 1);
    assert_eq!((endpoint.count(), tool.count()), (2, 3));
    let asked = tool.asked();
    assert_eq!(asked[2].header("authorization"), second);
    assert_eq!(asked[1].header("idempotency-key"), asked[2].header("idempotency-key"));
    assert_eq!(asked[1].body, asked[2].body);

    // Some tools say the end of a token with 403 or 404.
    for status in [403, 404] {
        let (third, answer) = access(&consign, &format!("ended-{status}"), &json!({ "expires_in": 0 }));
        endpoint.answer(answer);
        consign.advance(Duration::from_secs(3_600));
        consign.until(consign.event("a", &json!(status)).await.delivery(), "delivered").await;
        assert_eq!(tool.asked().last().unwrap().header("authorization"), third);
        let (fourth, answer) = access(&consign, &format!("after-{status}"), &json!({ "expires_in": 3600 }));
        endpoint.answer(answer);
        tool.answer_next(Answer::status(status));
        consign.until(consign.event("a", &json!(status)).await.delivery(), "delivered").await;
        assert_eq!(tool.asked().last().unwrap().header("authorization"), fourth);
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_that_refuses_every_token_costs_two_token_requests_and_holds() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    tool.answer(Answer::status(401));
    let endpoint = endpoint(&consign, access(&consign, "access", &json!({ "expires_in": 3600 })).1).await;
    let credential =
        webhook(&consign, "itsm", &tool, &token_url(&endpoint), &json!({ "max_concurrency": 8 })).await;
    let mut all = Vec::new();
    for number in 0..20 {
        all.push(consign.event("a", &json!(number)).await);
    }
    for sent in &all {
        let held = consign.until(sent.delivery(), "held").await;
        assert_eq!(
            (&held["hold_reason"], &held["attempts"]),
            (&json!("sign_in_refused"), &json!(0)),
            "{held}"
        );
    }
    assert_eq!(endpoint.count(), 2);
    // The way it is tried again by itself does not hammer the token address either.
    for wait in [61, 240, 600] {
        consign.advance(Duration::from_secs(wait));
        let before = tool.count();
        eventually("a probe", async || (tool.count() > before).then_some(())).await;
    }
    consign.until_shows(&format!("/credentials/{credential}"), "/status/code", "sign_in_refused").await;
    assert!(endpoint.count() <= 2 + 2 * 3, "{}", endpoint.count());
    tool.answer(Answer::status(200));
    consign.advance(Duration::from_secs(3_600));
    for sent in &all {
        consign.until(sent.delivery(), "delivered").await;
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_address_that_is_away_costs_nothing_but_time() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let endpoint = endpoint(&consign, Answer::status(503)).await;
    let credential = webhook(&consign, "itsm", &tool, &token_url(&endpoint), &json!({})).await;
    let events: Value = (0..100).map(|number| json!({ "type": "a", "data": number })).collect();
    let headers = [("idempotency-key", "a-hundred")];
    let sent = consign.call("POST", "/events", &headers, Some(&events)).await.expect(202).json();
    let ids: Vec<String> = sent
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["deliveries"][0]["id"].as_str().unwrap().to_owned())
        .collect();
    for (wait, asked) in [(1, 2), (5, 3), (30, 4)] {
        endpoint.until_asked(asked - 1).await;
        consign.advance(Duration::from_secs(wait));
        endpoint.until_asked(asked).await;
    }
    consign.until_shows(&format!("/credentials/{credential}"), "/status/code", "cannot_reach").await;
    for id in &ids {
        let delivery = consign.delivery(id).await;
        assert_eq!((&delivery["state"], &delivery["attempts"]), (&json!("pending"), &json!(0)), "{delivery}");
    }
    assert_eq!(tool.count(), 0);
    endpoint.answer(access(&consign, "access", &json!({})).1);
    consign.advance(Duration::from_secs(121));
    for id in &ids {
        let delivery = consign.until(id, "delivered").await;
        assert_eq!(delivery["attempts"], 1, "{delivery}");
    }
    assert_eq!(tool.count(), 100);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_client_holds_until_its_secret_is_replaced() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let refusal = json!({ "error": "invalid_client", "error_description": MARKER });
    let endpoint = endpoint(&consign, Answer::json(401, &refusal)).await;
    let credential = webhook(&consign, "itsm", &tool, &token_url(&endpoint), &json!({})).await;
    let sent = [consign.event("a", &json!(1)).await, consign.event("a", &json!(2)).await];
    for sent in &sent {
        let held = consign.until(sent.delivery(), "held").await;
        assert_eq!(
            (&held["hold_reason"], &held["attempts"]),
            (&json!("sign_in_refused"), &json!(0)),
            "{held}"
        );
    }
    assert_eq!(endpoint.count(), 1);
    let shown = consign.get(&format!("/credentials/{credential}")).await.expect(200).json();
    assert_eq!(shown["status"]["reason"], "the token address answered invalid_client", "{shown}");
    assert_eq!(shown["status"]["action"], "Replace secret");
    let (bearer, answer) = access(&consign, "access", &json!({}));
    endpoint.answer(answer);
    let secret = consign.canary("the-right-secret");
    consign
        .patch(&format!("/credentials/{credential}"), &json!({ "client_secret": secret }))
        .await
        .expect(200);
    for sent in &sent {
        consign.until(sent.delivery(), "delivered").await;
    }
    assert!(tool.asked().iter().all(|asked| asked.header("authorization") == bearer));
    assert_eq!(endpoint.count(), 2);
    consign.until_shows(&format!("/credentials/{credential}"), "/status/code", "working").await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_token_address_needs_every_secret_and_takes_no_token_along() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let (one, other) = (
        endpoint(&consign, access(&consign, "one", &json!({})).1).await,
        endpoint(&consign, access(&consign, "other", &json!({})).1).await,
    );
    let credential = webhook(&consign, "itsm", &tool, &token_url(&one), &json!({})).await;
    consign.until(consign.event("a", &json!(1)).await.delivery(), "delivered").await;
    let path = format!("/credentials/{credential}");
    let change = json!({ "access_token_url": token_url(&other) });
    for refused in [
        consign.patch(&path, &change).await.expect(422),
        consign.post(&format!("{path}/tests"), &change).await.expect(422),
    ] {
        let fault = &refused.faults()[0];
        assert_eq!(
            (fault.0.as_str(), fault.1.as_str()),
            ("/client_secret", "secret_needed_for_new_destination")
        );
    }
    assert_eq!(other.connections(), 0, "no byte went there");
    // The same edit behind the program's back: nothing opens there.
    let sql = format!(
        "update credential set plain = replace(plain, '{}', '{}') where id = '{credential}'",
        token_url(&one),
        token_url(&other)
    );
    consign.database.execute(&sql).await;
    consign.database.execute("update revision set number = number + 1").await;
    consign.until_shows(&path, "/status/code", "locked").await;
    let held = consign.event("a", &json!(2)).await;
    let held = consign.until(held.delivery(), "held").await;
    assert_eq!(held["hold_reason"], "credential_locked", "{held}");
    assert_eq!((other.connections(), tool.count()), (0, 1));
    consign.abandon().await;
}
