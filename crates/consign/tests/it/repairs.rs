//! Repairs and pauses: what a person decides stands, and is not undone by an answer that comes late.

use std::time::Duration;

use serde_json::json;

use crate::harness::{TestConsign, bearer};
use crate::peers::{Answer, Tool};

const LATE: Duration = Duration::from_millis(400);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resuming_while_the_tool_still_refuses_asks_it_once() {
    let mut consign = TestConsign::start().await;
    let tool = Tool::start().await;
    tool.answer(Answer::status(401));
    let webhook = consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    let sent = consign.event("a", &json!(1)).await;
    consign.until(sent.delivery(), "held").await;
    assert_eq!(tool.count(), 1);
    let path = format!("/webhooks/{webhook}");
    consign.call("DELETE", &format!("{path}/pauses"), &[], None).await.expect(200);
    tool.until_asked(2).await;
    consign.until_shows(&path, "/state", "held").await;
    // Another event finds the lane closed.
    let later = consign.event("a", &json!(2)).await;
    consign.until(later.delivery(), "held").await;
    assert_eq!(tool.count(), 2, "one request for one word of a person");
    consign.allow_open();
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_old_secret_met_says_nothing_about_the_new_one() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    consign.credential(&bearer("itsm", &tool.origin(), &consign.canary("old"))).await;
    let webhook = json!({ "name": "itsm", "credential": "itsm", "path": "/t", "event_types": ["*"] });
    consign.webhook(&webhook).await;
    tool.answer_next(Answer::status(401).after(LATE));
    tool.answer(Answer::status(200));
    let sent = consign.event("a", &json!(1)).await;
    tool.until_asked(1).await;
    consign.patch("/credentials/itsm", &json!({ "token": consign.canary("new") })).await.expect(200);
    consign.until(sent.delivery(), "delivered").await;
    assert_eq!(consign.get("/webhooks/itsm").await.json()["state"], "active");
    assert_eq!(consign.get("/credentials/itsm").await.json()["status"]["code"], "working");
    assert_eq!(tool.count(), 2);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_outlasts_a_late_403_and_a_change_of_credential() {
    let mut consign = TestConsign::start().await;
    let tool = Tool::start().await;
    consign.credential(&bearer("first", &tool.origin(), &consign.canary("first"))).await;
    consign.credential(&bearer("second", &tool.origin(), &consign.canary("second"))).await;
    let webhook = json!({ "name": "itsm", "credential": "first", "path": "/t", "event_types": ["*"] });
    consign.webhook(&webhook).await;
    tool.answer(Answer::status(403).after(LATE));
    let sent = consign.event("a", &json!(1)).await;
    tool.until_asked(1).await;
    consign.act("/webhooks/itsm/pauses").await.expect(200);
    consign.until_attempted(sent.delivery(), 1).await;
    assert_eq!(consign.get("/webhooks/itsm").await.json()["state"], "paused");
    consign.call("DELETE", "/credentials/first?linked=hold", &[("if-match", "*")], None).await.expect(200);
    consign.patch("/webhooks/itsm", &json!({ "credential": "second" })).await.expect(200);
    assert_eq!(consign.get("/webhooks/itsm").await.json()["state"], "paused");
    assert_eq!(tool.count(), 1);
    consign.allow_open();
    consign.finish().await;
}
