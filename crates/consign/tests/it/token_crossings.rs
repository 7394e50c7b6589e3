//! Saves that cross what a tool or token address has said: the status and what waits for it stay one story.

use std::time::Duration;

use serde_json::json;

use crate::harness::TestConsign;
use crate::oauth::{access, endpoint, token_url, webhook};
use crate::peers::{Answer, Tool};

on_both_databases! {
    a_refusal_that_crosses_a_save_stays_one
    a_webhook_that_is_saved_while_its_credential_is_repaired_sends
    what_is_held_for_a_credential_that_works_goes_on
}

/// Long enough for someone to have come to the row, and to wait there.
const WAITS: Duration = Duration::from_millis(500);

fn refusal() -> Answer {
    Answer::json(401, &json!({ "error": "invalid_client" }))
}

async fn a_refusal_that_crosses_a_save_stays_one(consign: TestConsign) {
    let tool = Tool::start().await;
    let endpoint = endpoint(&consign, refusal().after(WAITS)).await;
    let credential = webhook(&consign, "itsm", &tool, &token_url(&endpoint), &json!({})).await;
    let path = format!("/credentials/{credential}");
    let sent = consign.event("a", &json!(1)).await;
    endpoint.until_asked(1).await;
    // First comes the refusal and waits for the row, then the save, which has read it as it was before.
    let busy = consign.database.begin("update credential set updated_at = updated_at").await;
    tokio::time::sleep(WAITS * 2).await;
    let labels = json!({ "labels": { "env": "prod" } });
    let (saved, ()) = tokio::join!(consign.patch(&path, &labels), async {
        tokio::time::sleep(WAITS).await;
        busy.commit().await;
    });
    let saved = saved.expect(200).json();
    assert_eq!(saved["status"]["code"], "sign_in_refused", "{saved}");
    assert_eq!(saved["labels"]["env"], "prod");
    let held = consign.until(sent.delivery(), "held").await;
    assert_eq!(held["hold_reason"], "sign_in_refused", "{held}");
    consign.until_shows(&path, "/status/code", "sign_in_refused").await;
    endpoint.answer(access(&consign, "access", &json!({})).1);
    let secret = consign.canary("the-right-secret");
    consign.patch(&path, &json!({ "client_secret": secret })).await.expect(200);
    consign.until(sent.delivery(), "delivered").await;
    consign.finish().await;
}

async fn a_webhook_that_is_saved_while_its_credential_is_repaired_sends(consign: TestConsign) {
    let tool = Tool::start().await;
    let endpoint = endpoint(&consign, access(&consign, "access", &json!({})).1).await;
    let credential = webhook(&consign, "itsm", &tool, &token_url(&endpoint), &json!({})).await;
    for name in ["new", "itsm"] {
        let sql = "update credential set seen_code = 'sign_in_refused'";
        consign.database.execute(sql).await;
        let repair = consign.database.begin("update credential set seen_code = 'not_tested'").await;
        let body = json!({ "name": name, "credential": credential, "path": "/hook", "event_types": ["b"] });
        let save = async {
            match name {
                "new" => consign.post("/webhooks", &body).await.expect(201).json(),
                known => consign.patch(&format!("/webhooks/{known}"), &body).await.expect(200).json(),
            }
        };
        let (saved, ()) = tokio::join!(save, async {
            tokio::time::sleep(WAITS).await;
            repair.commit().await;
        });
        assert_eq!(saved["state"], "active", "{name}: {saved}");
    }
    let sent = consign.event("b", &json!(1)).await;
    assert_eq!(sent.deliveries.len(), 2);
    consign.until_idle().await;
    assert_eq!(tool.count(), 2);
    consign.finish().await;
}

async fn what_is_held_for_a_credential_that_works_goes_on(consign: TestConsign) {
    let tool = Tool::start().await;
    let endpoint = endpoint(&consign, access(&consign, "access", &json!({})).1).await;
    webhook(&consign, "itsm", &tool, &token_url(&endpoint), &json!({})).await;
    for state in
        ["held_sign_in_refused", "held_credential_locked", "held_not_authorized", "held_reconnect_needed"]
    {
        let sql = format!("update connector set state = '{state}'; update revision set number = number + 1");
        consign.database.execute(&sql).await;
        let sent = consign.event("a", &json!(state)).await;
        consign.until(sent.delivery(), "delivered").await;
        consign.until_shows("/webhooks/itsm", "/state", "active").await;
    }
    // What has another reason stays, while one like those before goes on.
    let none = json!({ "event_types": ["none"] });
    webhook(&consign, "other", &tool, &token_url(&endpoint), &none).await;
    let sql = "update connector set state = case name_key when 'itsm' then 'held_not_allowed'
                 else 'held_sign_in_refused' end;
               update revision set number = number + 1";
    consign.database.execute(sql).await;
    consign.until_shows("/webhooks/other", "/state", "active").await;
    let sent = consign.event("a", &json!("not allowed")).await;
    consign.until(sent.delivery(), "held").await;
    assert_eq!(consign.delivery(sent.delivery()).await["hold_reason"], "not_allowed");
    consign.call("DELETE", "/webhooks/itsm/pauses", &[], None).await.expect(200);
    consign.until(sent.delivery(), "delivered").await;
    consign.finish().await;
}
