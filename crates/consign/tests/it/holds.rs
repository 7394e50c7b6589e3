//! Deliveries that wait for a person or a repaired credential: nothing is lost, and nothing is sent twice by itself.

use std::time::Duration;

use serde_json::json;

use crate::harness::{TestConsign, bearer};
use crate::peers::{Answer, Tool};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unanswered_request_waits_for_a_person_when_the_webhook_says_so() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    tool.answer(Answer::HangUp);
    let hold = json!({ "when_no_answer": "hold", "retry_schedule_seconds": [1, 1, 1] });
    consign.bearer_webhook("careful", &tool.origin(), &hold).await;
    let mut held = Vec::new();
    for number in 0..3 {
        let sent = consign.event("a", &json!(number)).await;
        let delivery = consign.until(sent.delivery(), "held").await;
        assert_eq!(delivery["hold_reason"], "no_answer", "{delivery}");
        assert_eq!(delivery["hold_text"], "No answer came. It may have been processed.");
        assert_eq!(delivery["actions"], json!(["send_again", "mark_delivered", "cancel"]));
        held.push(sent.delivery().to_owned());
    }
    // Days may pass, and the program may start again: nothing is sent by itself.
    consign.advance(Duration::from_secs(10 * 86_400));
    let mut consign = consign;
    consign.restart().await;
    consign.advance(Duration::from_secs(10 * 86_400));
    tool.answer(Answer::status(201));
    consign.page("/deliveries").await.expect(303);
    assert_eq!(tool.count(), 3);

    let resolution = |id: &str| format!("/deliveries/{id}/resolution");
    consign.post(&resolution(&held[0]), &json!({ "as": "send_again" })).await.expect(200);
    consign.until(&held[0], "delivered").await;
    consign.post(&resolution(&held[1]), &json!({ "as": "delivered" })).await.expect(200);
    consign.until(&held[1], "delivered").await;
    consign.act(&format!("/deliveries/{}/cancellation", held[2])).await.expect(200);
    consign.until(&held[2], "cancelled").await;
    assert_eq!(tool.count(), 4, "only the one that was to be sent again");
    let wrong = consign.post(&resolution(&held[1]), &json!({ "as": "send_again" })).await.expect(409);
    assert_eq!(wrong.code(), "wrong_state");
    let unknown = consign.post(&resolution(&held[1]), &json!({ "as": "whatever" })).await;
    assert_eq!(unknown.status, 422, "{}", unknown.text());
    consign.finish().await;
}

on_both_databases! {
    a_deleted_credential_holds_its_deliveries_until_another_is_chosen
}

async fn a_deleted_credential_holds_its_deliveries_until_another_is_chosen(consign: TestConsign) {
    let tool = Tool::start().await;
    tool.answer(Answer::status(500));
    let webhook = json!({ "retry_schedule_seconds": [3600] });
    let webhook = consign.bearer_webhook("itsm", &tool.origin(), &webhook).await;
    let first = consign.event("a", &json!(1)).await;
    consign.until(first.delivery(), "retrying").await;
    let refused = consign.call("DELETE", "/credentials/itsm", &[("if-match", "*")], None).await.expect(409);
    assert_eq!(refused.code(), "still_used");
    assert_eq!(refused.json()["connectors"][0]["name"], "itsm");
    let deleted = consign.call("DELETE", "/credentials/itsm?linked=hold", &[("if-match", "*")], None).await;
    assert_eq!(deleted.expect(200).json()["connectors"][0]["waiting"], 1);
    consign.get("/credentials/itsm").await.expect(404);
    assert_eq!(
        consign.database.number("select count(*) from credential_secret").await,
        0,
        "secrets are destroyed"
    );
    let shown = consign.get(&format!("/webhooks/{webhook}")).await.expect(200).json();
    assert_eq!(
        (&shown["state"], &shown["lost_credential"]),
        (&json!("credential_missing"), &json!("itsm")),
        "{shown}"
    );
    assert_eq!(shown["credential"], json!(null));
    let second = consign.event("a", &json!(2)).await;
    consign.advance(Duration::from_secs(8_000));
    tool.answer(Answer::status(200));
    for sent in [&first, &second] {
        let delivery = consign.until(sent.delivery(), "held").await;
        assert_eq!(delivery["hold_reason"], "credential_missing", "{delivery}");
    }
    assert_eq!(tool.count(), 1, "nothing is sent without its sign-in");

    let token = consign.canary("the-new-token");
    let other = consign.credential(&bearer("itsm again", &tool.origin(), &token)).await;
    consign.patch(&format!("/webhooks/{webhook}"), &json!({ "credential": other })).await.expect(200);
    consign.until(first.delivery(), "delivered").await;
    consign.until(second.delivery(), "delivered").await;
    let asked = tool.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked[1..].iter().all(|asked| asked.header("authorization") == format!("Bearer {token}")));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_was_there_at_five_crashes_waits_and_the_rest_goes_on() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let webhook = consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    consign.act(&format!("/webhooks/{webhook}/pauses")).await.expect(200);
    let poison = consign.event("a", &json!("poison")).await;
    let other = consign.event("a", &json!("harmless")).await;
    // Five leases that nobody ended: four on record, and the one that is running out.
    let sql = format!(
        "update delivery set crashes = 4, lease_until = 1, lease_by = 'gone', fence = 5 where id = '{}'",
        poison.delivery()
    );
    consign.database.execute(&sql).await;
    consign.call("DELETE", &format!("/webhooks/{webhook}/pauses"), &[], None).await.expect(200);
    let delivery = consign.until(poison.delivery(), "held").await;
    assert_eq!(delivery["hold_reason"], "repeated_crash", "{delivery}");
    assert_eq!(delivery["hold_text"], "Sending it stopped the program five times.");
    consign.until(other.delivery(), "delivered").await;
    assert_eq!(tool.count(), 1, "the poison was not sent");
    let again = json!({ "as": "send_again" });
    consign.post(&format!("/deliveries/{}/resolution", poison.delivery()), &again).await.expect(200);
    consign.until(poison.delivery(), "delivered").await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_ran_out_counts_as_an_attempt_and_is_sent_again() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let webhook = consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    let careful = json!({ "when_no_answer": "hold", "path": "/careful" });
    let careful = consign.bearer_webhook("careful", &tool.origin(), &careful).await;
    for webhook in [&webhook, &careful] {
        consign.act(&format!("/webhooks/{webhook}/pauses")).await.expect(200);
    }
    let sent = consign.event("a", &json!(1)).await;
    consign.database.execute("update delivery set lease_until = 1, lease_by = 'gone', fence = 1").await;
    for webhook in [&webhook, &careful] {
        consign.call("DELETE", &format!("/webhooks/{webhook}/pauses"), &[], None).await.expect(200);
    }
    for id in &sent.deliveries {
        let delivery = consign.delivery(id).await;
        if delivery["connector"]["name"] == "careful" {
            assert_eq!(consign.until(id, "held").await["hold_reason"], "no_answer");
            consign.act(&format!("/deliveries/{id}/cancellation")).await.expect(200);
        } else {
            assert_eq!(consign.until(id, "delivered").await["attempts"], 2);
        }
    }
    assert!(tool.asked_at("/careful").is_empty(), "it may have been processed");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_webhook_loses_nothing() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let webhook = consign.bearer_webhook("itsm", &tool.origin(), &json!({ "max_concurrency": 1 })).await;
    let paused = consign.act(&format!("/webhooks/{webhook}/pauses")).await.expect(200).json();
    assert_eq!((&paused["state"], &paused["state_label"]), (&json!("paused"), &json!("Paused")), "{paused}");
    let mut events = Vec::new();
    for number in 0..5 {
        let sent = consign.event("a", &json!(number)).await;
        let delivery = consign.until(sent.delivery(), "held").await;
        assert_eq!(delivery["hold_reason"], "connector_paused");
        events.push(sent);
    }
    let test = consign.act(&format!("/webhooks/{webhook}/tests")).await.expect(409);
    assert_eq!(test.code(), "wrong_state");
    assert_eq!(tool.count(), 0);
    consign.call("DELETE", &format!("/webhooks/{webhook}/pauses"), &[], None).await.expect(200);
    for sent in &events {
        consign.until(sent.delivery(), "delivered").await;
    }
    let asked: Vec<_> = tool.asked().iter().map(|asked| asked.header("webhook-id").to_owned()).collect();
    assert_eq!(asked, events.iter().map(|sent| sent.id.clone()).collect::<Vec<_>>(), "oldest first");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_event_is_one_attempt_with_its_whole_result() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let webhook =
        consign.bearer_webhook("itsm", &tool.origin(), &json!({ "retry_schedule_seconds": [1, 1] })).await;
    let bystander =
        consign.bearer_webhook("bystander", &tool.origin(), &json!({ "path": "/bystander" })).await;
    tool.answer_next(Answer::json(200, &json!({ "id": 17 })));
    let sample = json!({ "type": "device.score.low", "data": { "device": "LT-1" } });
    let passed = consign.post(&format!("/webhooks/{webhook}/tests"), &sample).await.expect(201).json();
    assert_eq!(
        (&passed["state"], &passed["test"], &passed["reference"]),
        (&json!("delivered"), &json!(true), &json!("17")),
        "{passed}"
    );
    assert_eq!(passed["attempt_list"][0]["status"], 200, "{passed}");
    tool.answer_next(Answer::json(503, &json!({ "message": "maintenance" })));
    let failed = consign.act(&format!("/webhooks/{webhook}/tests")).await.expect(201).json();
    assert_eq!((&failed["state"], &failed["last_status"]), (&json!("failed"), &json!(503)), "{failed}");
    assert_eq!(failed["last_message"], "maintenance");
    consign.advance(Duration::from_secs(10));
    assert_eq!(tool.count(), 2, "no retries, and no other webhook");
    assert_eq!(tool.asked()[0].json(), json!({ "device": "LT-1" }));
    let shown = consign.get(&format!("/webhooks/{bystander}")).await.json();
    assert_eq!(shown["last_24_hours"]["delivered"], 0);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_403_holds_one_webhook_and_not_the_other_of_the_same_credential() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    consign.credential(&bearer("shared", &tool.origin(), &consign.canary("token"))).await;
    for name in ["good", "bad"] {
        let webhook =
            json!({ "name": name, "credential": "shared", "path": format!("/{name}"), "event_types": ["*"] });
        consign.webhook(&webhook).await;
    }
    tool.answer_at("/bad", Answer::status(403));
    for number in 0..3 {
        consign.event("a", &json!(number)).await;
    }
    consign.until_shows("/webhooks/bad", "/state", "held").await;
    crate::harness::eventually("the good webhook to deliver", async || {
        (consign.get("/webhooks/good").await.json()["last_24_hours"]["delivered"] == 3).then_some(())
    })
    .await;
    tool.answer_at("/bad", Answer::status(200));
    consign.call("DELETE", "/webhooks/bad/pauses", &[], None).await.expect(200);
    consign.until_idle().await;
    assert_eq!(consign.all("/deliveries?state=delivered").await.len(), 6);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_rendered_is_held_and_goes_on_after_an_edit() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let webhook = json!({ "path": "/devices/{{ data.device }}/tickets" });
    let webhook = consign.bearer_webhook("itsm", &tool.origin(), &webhook).await;
    for device in ["", ".", "..", "x/../../admin"] {
        let sent = consign.event("a", &json!({ "device": device })).await;
        let delivery = consign.until(sent.delivery(), "held").await;
        assert_eq!(delivery["hold_reason"], "not_rendered", "{device}: {delivery}");
    }
    let fine = consign.event("a", &json!({ "device": "LT 1/\u{fc}?#" })).await;
    consign.until(fine.delivery(), "delivered").await;
    assert_eq!(tool.asked()[0].target, "/devices/LT%201%2F%C3%BC%3F%23/tickets");
    consign.patch(&format!("/webhooks/{webhook}"), &json!({ "path": "/tickets" })).await.expect(200);
    consign.until_idle().await;
    assert_eq!(consign.all("/deliveries?state=delivered").await.len(), 5);
    assert_eq!(tool.asked_at("/tickets").len(), 4);
    consign.finish().await;
}
