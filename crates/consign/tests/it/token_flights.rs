//! Token requests under way: what is asked when, by whom, and what is not lost on the way to the disk.

use std::time::Duration;

use serde_json::json;

use crate::harness::{TestConsign, eventually};
use crate::oauth::{access, endpoint, token_url, webhook};
use crate::peers::{Answer, Tool};
use crate::token_repairs::{approve, both, granted};

/// While this lasts the database takes no tokens.
const REFUSE: &str = "create trigger no_tokens before update on token when new.sealed_access is not null \
                      begin select raise(abort, 'no tokens today'); end";

/// Lets writes fail for a while once the endpoint was asked so often.
async fn fail_for_a_while(consign: &TestConsign, endpoint: &Tool, asked: usize) {
    endpoint.until_asked(asked).await;
    eventually("a write that failed", async || {
        let log = String::from_utf8_lossy(&crate::harness::logs::logged()).into_owned();
        log.contains("new tokens are not on disk yet").then_some(())
    })
    .await;
    consign.database.execute("drop trigger no_tokens").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_the_database_does_not_take_are_written_again() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let endpoint = endpoint(&consign, access(&consign, "access", &json!({})).1).await;
    webhook(&consign, "itsm", &tool, &token_url(&endpoint), &json!({})).await;
    consign.database.execute(REFUSE).await;
    let sent = consign.event("a", &json!(1)).await;
    fail_for_a_while(&consign, &endpoint, 1).await;
    consign.until(sent.delivery(), "delivered").await;
    assert_eq!((endpoint.count(), tool.count()), (1, 1), "the token was not lost");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_that_the_database_does_not_take_is_written_again() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let endpoint = endpoint(&consign, both(&consign, "first").2).await;
    let credential = granted(&consign, &tool, &endpoint).await;
    consign.database.execute(REFUSE).await;
    let (page, ()) = tokio::join!(approve(&consign, &credential), fail_for_a_while(&consign, &endpoint, 1));
    assert!(page.text().contains("is connected"), "a code is good once: {}", page.text());
    consign.until(consign.event("a", &json!(1)).await.delivery(), "delivered").await;
    assert_eq!(endpoint.asked().iter().filter(|asked| asked.target == "/token").count(), 1);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_saved_elsewhere_is_not_asked_for_as_it_was() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let endpoint = endpoint(&consign, access(&consign, "access", &json!({})).1).await;
    webhook(&consign, "itsm", &tool, &token_url(&endpoint), &json!({})).await;
    // Another replica saved it, and this one has not heard of it yet.
    consign.database.execute("update credential set revision = revision + 1").await;
    let sent = consign.event("a", &json!(1)).await;
    let attempts = consign.until_attempted(sent.delivery(), 2).await;
    let words = "No token: the credential was saved meanwhile.";
    assert!(attempts.iter().all(|attempt| attempt["message"] == words), "{attempts:?}");
    assert_eq!(
        (endpoint.connections(), consign.delivery(sent.delivery()).await["attempts"].clone()),
        (0, json!(0))
    );
    consign.database.execute("update credential set revision = revision - 1").await;
    consign.until(sent.delivery(), "delivered").await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_refusal_of_a_token_that_was_replaced_forces_nothing() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let (_, first) = access(&consign, "first", &json!({ "expires_in": 3600 }));
    let endpoint = endpoint(&consign, first).await;
    webhook(&consign, "itsm", &tool, &token_url(&endpoint), &json!({})).await;
    consign.until(consign.event("a", &json!(0)).await.delivery(), "delivered").await;
    let (second, answer) = access(&consign, "second", &json!({ "expires_in": 3600 }));
    endpoint.answer(answer);
    consign.advance(Duration::from_secs(61));
    tool.answer_next(Answer::status(401).after(Duration::from_millis(2_500)));
    let slow = consign.event("a", &json!("slow")).await;
    tool.until_asked(2).await;
    tool.answer_next(Answer::status(401));
    consign.until(consign.event("a", &json!("quick")).await.delivery(), "delivered").await;
    assert_eq!(endpoint.count(), 2);
    // So late that another renewal could be forced.
    consign.advance(Duration::from_secs(61));
    consign.until(slow.delivery(), "delivered").await;
    assert_eq!((endpoint.count(), tool.count()), (2, 5), "what was fetched meanwhile is taken");
    assert_eq!(tool.asked()[4].header("authorization"), second);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unused_grant_is_kept_alive_once_and_only_as_it_was_saved() {
    const EIGHT_DAYS: Duration = Duration::from_secs(8 * 86_400);
    /// So long the replicas look for such grants once a second.
    const LOOKS: Duration = Duration::from_millis(2_500);
    let consign = TestConsign::on_postgres().await;
    let tool = Tool::start().await;
    let (_, refresh, first) = both(&consign, "first");
    let endpoint = endpoint(&consign, first).await;
    let credential = granted(&consign, &tool, &endpoint).await;
    approve(&consign, &credential).await.expect(200);
    let second = consign.second_replica().await;
    let advance = || {
        consign.advance(EIGHT_DAYS);
        second.app.store.advance(EIGHT_DAYS);
    };
    let asked = endpoint.count();
    let (_, rotated, answer) = both(&consign, "second");
    // Slow enough for both to want it.
    endpoint.answer(answer.after(Duration::from_millis(1_500)));
    advance();
    endpoint.until_asked(asked + 1).await;
    tokio::time::sleep(LOOKS).await;
    assert_eq!(endpoint.count(), asked + 1, "once over both replicas");
    let body = String::from_utf8_lossy(&endpoint.asked()[asked].body).into_owned();
    assert!(body.contains(&format!("refresh_token={refresh}")), "the grant is used");

    let sql = format!(
        "update credential set plain = replace(plain, '\"client\"', '\"other\"') where id = '{credential}'"
    );
    consign.database.execute(&sql).await;
    consign.database.execute("update revision set number = number + 1").await;
    // Both have heard of it.
    tokio::time::sleep(LOOKS).await;
    advance();
    tokio::time::sleep(LOOKS).await;
    assert_eq!(endpoint.count(), asked + 1, "it was changed outside Consign");
    let sql = format!(
        "update credential set plain = replace(plain, '\"other\"', '\"client\"') where id = '{credential}'"
    );
    consign.database.execute(&sql).await;
    consign.database.execute("update revision set number = number + 1").await;
    advance();
    endpoint.until_asked(asked + 2).await;
    let body = String::from_utf8_lossy(&endpoint.asked()[asked + 1].body).into_owned();
    assert!(body.contains(&format!("refresh_token={rotated}")), "as it was saved it is kept alive again");
    tokio::time::sleep(Duration::from_millis(1_700)).await;
    second.stop().await;
    consign.abandon().await;
}
