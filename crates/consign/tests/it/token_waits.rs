//! Waits for a token: everyone is told until when and why, and a person can end them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::TestConsign;
use crate::harness::page::unescape;
use crate::oauth::{access, endpoint, token_url, webhook};
use crate::peers::{Answer, Tool};

on_both_databases! {
    a_long_wait_for_a_token_is_told_everywhere_and_ended_by_try_now
    a_token_for_a_test_ends_what_the_token_address_began
}

fn busy(seconds: &str) -> Answer {
    Answer::with(429, &[("retry-after", seconds)])
}

async fn credential_of(consign: &TestConsign, id: &str) -> Value {
    consign.get(&format!("/credentials/{id}")).await.expect(200).json()
}

async fn a_long_wait_for_a_token_is_told_everywhere_and_ended_by_try_now(consign: TestConsign) {
    let tool = Tool::start().await;
    let endpoint = endpoint(&consign, busy("100000")).await;
    let credential = webhook(&consign, "itsm", &tool, &token_url(&endpoint), &json!({})).await;
    let first = consign.event("a", &json!(1)).await;
    consign.until_attempted(first.delivery(), 1).await;
    let second = consign.event("a", &json!(2)).await;

    let shown = credential_of(&consign, &credential).await;
    let status = &shown["status"];
    assert_eq!((&status["code"], &status["needs_attention"]), (&json!("cannot_reach"), &json!(true)));
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.contains("429"), "{status}");
    assert_eq!(status["away"]["reason"], reason, "{status}");
    let until = status["away"]["until"].as_str().unwrap();
    assert!(until > shown["created_at"].as_str().unwrap(), "{status}");
    let hook = consign.get("/webhooks/itsm").await.expect(200).json();
    assert_eq!((&hook["state"], &hook["away"]), (&json!("active"), &status["away"]), "{hook}");
    assert_eq!(hook["state_reason"], format!("No token: {reason}."));
    let goes_on = "It goes on by itself when the token address may be asked again, or at once with Try now.";
    for sent in [&first, &second] {
        let delivery = consign.delivery(sent.delivery()).await;
        assert_eq!(delivery["what_happened"], format!("No token: {reason}. {goes_on}"));
        assert_eq!((&delivery["away"], &delivery["due_at"]), (&status["away"], &json!(until)));
        assert_eq!(delivery["actions"], json!(["try_now", "cancel"]));
        let page = unescape(&consign.page(&format!("/deliveries/{}", sent.delivery())).await.text());
        assert!(page.contains("asked again") && page.contains("Try now"), "{page}");
    }
    let hook_page = format!("/webhooks/{}", hook["id"].as_str().unwrap());
    for page in [hook_page, format!("/credentials/{credential}")] {
        let page = unescape(&consign.page(&page).await.text());
        assert!(page.contains("asked again") && page.contains(reason), "{page}");
    }
    // What was read can be sent back.
    consign.call("PUT", "/webhooks/itsm", &[("if-match", "*")], Some(&hook)).await.expect(200);

    endpoint.answer(access(&consign, "access", &json!({})).1);
    consign.act(&format!("/deliveries/{}/attempts", second.delivery())).await.expect(202);
    for sent in [&first, &second] {
        consign.until(sent.delivery(), "delivered").await;
    }
    assert_eq!((endpoint.count(), tool.count()), (2, 2));
    let status = consign.until_shows(&format!("/credentials/{credential}"), "/status/code", "working").await;
    assert_eq!(status["status"]["away"], json!(null));
    let hook = consign.get("/webhooks/itsm").await.expect(200).json();
    assert_eq!((&hook["away"], &hook["state_reason"]), (&json!(null), &json!("")), "{hook}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_wait_for_a_token_is_told_and_needs_nobody() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let endpoint = endpoint(&consign, busy("240")).await;
    let credential = webhook(&consign, "itsm", &tool, &token_url(&endpoint), &json!({})).await;
    let sent = consign.event("a", &json!(1)).await;
    consign.until_attempted(sent.delivery(), 1).await;
    let status = credential_of(&consign, &credential).await["status"].clone();
    assert_eq!((&status["code"], &status["needs_attention"]), (&json!("not_tested"), &json!(false)));
    assert!(status["away"]["reason"].as_str().unwrap().contains("429"), "{status}");
    endpoint.answer(access(&consign, "access", &json!({})).1);
    consign.advance(Duration::from_secs(241));
    consign.until(sent.delivery(), "delivered").await;
    consign.finish().await;
}

async fn a_token_for_a_test_ends_what_the_token_address_began(consign: TestConsign) {
    let tool = Tool::start().await;
    let refusal = Answer::json(401, &json!({ "error": "invalid_client" }));
    let endpoint = endpoint(&consign, busy("100000")).await;
    let credential = webhook(&consign, "itsm", &tool, &token_url(&endpoint), &json!({})).await;
    for (number, answer) in [busy("100000"), refusal].into_iter().enumerate() {
        // The token of the time before is over.
        consign.advance(Duration::from_secs(4_000));
        endpoint.answer(answer);
        let sent = consign.event("a", &json!(number)).await;
        consign.until_attempted(sent.delivery(), 1).await;
        endpoint.answer(access(&consign, &format!("access-{number}"), &json!({})).1);
        // Without a test path the tool proves nothing; that there is a token is proven.
        let tested = consign.act(&format!("/credentials/{credential}/tests")).await.expect(201).json();
        assert_eq!(tested["outcome"], "reached", "{number}: {tested}");
        consign.until(sent.delivery(), "delivered").await;
        consign.until_shows(&format!("/credentials/{credential}"), "/status/code", "working").await;
    }
    // A refusal of the tool itself is not undone by a token.
    consign.advance(Duration::from_secs(4_000));
    tool.answer(Answer::status(401));
    let sent = consign.event("a", &json!("refused")).await;
    consign.until(sent.delivery(), "held").await;
    tool.answer(Answer::status(200));
    let tested = consign.act(&format!("/credentials/{credential}/tests")).await.expect(201).json();
    assert_eq!(tested["outcome"], "reached", "{tested}");
    assert_eq!(credential_of(&consign, &credential).await["status"]["code"], "sign_in_refused");
    assert_eq!(consign.delivery(sent.delivery()).await["state"], "held");
    let secret = consign.canary("the-right-secret");
    consign
        .patch(&format!("/credentials/{credential}"), &json!({ "client_secret": secret }))
        .await
        .expect(200);
    consign.until(sent.delivery(), "delivered").await;
    consign.finish().await;
}
