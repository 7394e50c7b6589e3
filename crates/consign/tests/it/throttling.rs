//! Waits that tools ask for: the connector is closed for that time, and no attempt is used up.

use std::time::Duration;

use serde_json::json;

use crate::harness::{TestConsign, eventually};
use crate::peers::{Answer, Tool};

/// The delivery waits about so many seconds, and nothing else of its connector is sent meanwhile.
async fn check(
    consign: &TestConsign,
    tool: &Tool,
    name: &str,
    answer: Answer,
    wait: std::ops::RangeInclusive<i64>,
) {
    let (before, path) = (tool.count(), format!("/{name}"));
    tool.answer_next(answer);
    let webhook =
        json!({ "path": path, "event_types": [format!("t.{name}")], "retry_schedule_seconds": [3600] });
    consign.bearer_webhook(name, &tool.origin(), &webhook).await;
    let first = consign.event(&format!("t.{name}"), &json!(1)).await;
    let delivery = consign.until(first.delivery(), "retrying").await;
    assert_eq!(delivery["attempts"], 0, "{name}: throttling uses up nothing: {delivery}");
    let attempts = consign.attempts(first.delivery()).await;
    let at = |value: &serde_json::Value| {
        consign_core::time::Timestamp::parse_rfc3339(value.as_str().unwrap()).unwrap().millis()
    };
    let asked = (at(&delivery["due_at"]) - at(&attempts[0]["started_at"])) / 1_000;
    assert!(wait.contains(&asked), "{name}: due after {asked} s, expected {wait:?}");
    let second = consign.event(&format!("t.{name}"), &json!(2)).await;
    tokio::task::yield_now().await;
    assert_eq!(tool.count(), before + 1, "{name}: the lane is closed");
    consign.advance(Duration::from_secs(u64::try_from(*wait.end()).unwrap() + 5));
    consign.until(first.delivery(), "delivered").await;
    consign.until(second.delivery(), "delivered").await;
    assert_eq!(tool.count(), before + 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_dialect_of_rate_limits_is_understood() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let limited = |headers: &[(&str, &str)]| Answer::with(429, headers);
    let now = || consign_store::local_now();
    check(&consign, &tool, "seconds", limited(&[("retry-after", "120")]), 120..=133).await;
    check(&consign, &tool, "none", limited(&[]), 30..=34).await;
    check(&consign, &tool, "garbage", limited(&[("retry-after", "soon")]), 30..=34).await;
    check(&consign, &tool, "negative", limited(&[("retry-after", "-1")]), 30..=34).await;
    check(&consign, &tool, "forever", limited(&[("retry-after", "999999999")]), 86_400..=95_100).await;
    check(&consign, &tool, "unavailable", Answer::with(503, &[("retry-after", "90")]), 90..=100).await;
    check(&consign, &tool, "forbidden", Answer::with(403, &[("retry-after", "45")]), 45..=51).await;
    check(
        &consign,
        &tool,
        "standard",
        limited(&[("ratelimit-remaining", "0"), ("ratelimit-reset", "75")]),
        75..=84,
    )
    .await;
    check(&consign, &tool, "delta", limited(&[("x-ratelimit-reset", "200")]), 200..=222).await;
    // The clock of this test was moved; what a tool says by its own clock has passed long ago.
    let past = now().to_string();
    check(&consign, &tool, "past", limited(&[("retry-after", &past)]), 30..=34).await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn absolute_times_of_rate_limits_are_understood() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let at = consign_store::local_now().millis() / 1_000 + 300;
    tool.answer_next(Answer::with(429, &[("x-ratelimit-reset", &at.to_string())]));
    consign.bearer_webhook("unix", &tool.origin(), &json!({})).await;
    let sent = consign.event("a", &json!(1)).await;
    let delivery = consign.until(sent.delivery(), "retrying").await;
    let due = delivery["due_at"].as_str().and_then(consign_core::time::Timestamp::parse_rfc3339).unwrap();
    let wait = due.millis() / 1_000 - at;
    assert!((-2..=31).contains(&wait), "{wait} s after the named second");
    consign.advance(Duration::from_secs(340));
    consign.until(sent.delivery(), "delivered").await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_days_of_throttling_are_counted_from_the_first_answer_that_asked_to_wait() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    tool.answer(Answer::with(429, &[("retry-after", "79200")]));
    let webhook = consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    let pauses = format!("/webhooks/{webhook}/pauses");
    consign.act(&pauses).await.expect(200);
    let sent = consign.event("a", &json!(1)).await;
    // Older than three days before the tool is asked at all.
    consign.advance(Duration::from_secs(100 * 3_600));
    consign.call("DELETE", &pauses, &[], None).await.expect(200);
    for count in 1..=3 {
        consign.until_attempted(sent.delivery(), count).await;
        assert_eq!(consign.until(sent.delivery(), "retrying").await["attempts"], 0, "after {count}");
        // 22 hours were asked for; chance adds up to a tenth.
        consign.advance(Duration::from_secs(if count == 3 { 30 } else { 25 } * 3_600));
    }
    let failed = consign.until(sent.delivery(), "failed").await;
    assert_eq!(failed["last_status"], 429, "{failed}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_keeps_its_own_limits() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    tool.answer(Answer::status(200).after(Duration::from_millis(60)));
    consign.bearer_webhook("narrow", &tool.origin(), &json!({ "max_concurrency": 2 })).await;
    for number in 0..10 {
        consign.event("a", &json!(number)).await;
    }
    consign.until_idle().await;
    assert_eq!(tool.count(), 10);
    assert!(tool.connections() <= 2, "{} connections for two at a time", tool.connections());
    eventually("the credential to work", async || {
        let shown = consign.get("/credentials/narrow").await.json();
        (shown["status"]["code"] == "working").then_some(())
    })
    .await;
    consign.finish().await;
}
