//! What is closed without a rule of `egress.allow`: the first use of such a rule by a credential is in the audit log.

use serde_json::{Value, json};

use crate::harness::{TestConsign, bearer};
use crate::peers::Tool;

on_both_databases! { the_first_use_of_a_rule_by_a_credential_is_in_the_audit_log }

async fn written(consign: &TestConsign) -> Vec<Value> {
    consign.look_for_notices().await;
    consign.all("/audit-entries?action=egress%20exception").await
}

async fn the_first_use_of_a_rule_by_a_credential_is_in_the_audit_log(mut consign: TestConsign) {
    let tool = Tool::start().await;
    consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    assert!(written(&consign).await.is_empty(), "nothing was sent");
    for n in 1..=2 {
        let sent = consign.event("device.low", &json!({ "n": n })).await;
        consign.until(sent.delivery(), "delivered").await;
        let entries = written(&consign).await;
        assert_eq!(entries.len(), 1, "once: {entries:?}");
        assert_eq!(entries[0]["action"], "Used egress exception");
        assert_eq!((&entries[0]["actor"], &entries[0]["object"]), (&json!("Consign"), &json!("itsm")));
        let address = tool.origin();
        let address = address.trim_start_matches("https://").trim_end_matches('/');
        assert_eq!(entries[0]["changes"], json!({ "rule": "127.0.0.1:*", "address": address }));
    }
    // A restart forgets nothing.
    consign.restart().await;
    let sent = consign.event("device.low", &json!({ "n": 3 })).await;
    consign.until(sent.delivery(), "delivered").await;
    assert_eq!(written(&consign).await.len(), 1);

    // The same place by another credential is another use, as soon as one is tested.
    let other = consign.credential(&bearer("other", &tool.origin(), &consign.canary("token"))).await;
    assert_eq!(written(&consign).await.len(), 1, "it was not used yet");
    consign.act(&format!("/credentials/{other}/tests")).await.expect(201);
    let entries = written(&consign).await;
    assert_eq!((entries.len(), &entries[0]["object"]), (2, &json!("other")), "{entries:?}");
    consign.finish().await;
}
