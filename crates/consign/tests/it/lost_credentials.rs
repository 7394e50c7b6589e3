//! A new credential of the name that connectors lost: its page offers it to them, and one button gives it.

use serde_json::{Value, json};

use crate::harness::page::unescape;
use crate::harness::{TestConsign, bearer, id_of};
use crate::peers::Tool;

const PIN: &str = "SHA256:w0u3/fXk2wf6SIOaBBCo4kqaaAaGioA9PMv1VINE0Xc";

on_both_databases! {
    a_credential_is_given_to_all_that_lost_one_of_its_name
    whom_it_does_not_fit_stays_and_is_told
}

async fn delete(consign: &TestConsign, credential: &str) {
    let path = format!("/credentials/{credential}?linked=hold");
    consign.call("DELETE", &path, &[("if-match", "*")], None).await.expect(200);
}

async fn page(consign: &TestConsign, credential: &str) -> String {
    unescape(&consign.page(&format!("/credentials/{credential}")).await.expect(200).text())
}

async fn a_credential_is_given_to_all_that_lost_one_of_its_name(consign: TestConsign) {
    let tool = Tool::start().await;
    let webhook = consign.bearer_webhook("Desk", &tool.origin(), &json!({})).await;
    let exporter =
        json!({ "name": "List", "credential": "Desk", "path": "/x", "source": "pushed", "format": "ndjson" });
    let exporter = id_of(&consign.post("/exporters", &exporter).await.expect(201).json());
    let gateway = json!({ "name": "Calls", "credential": "Desk", "slug": "calls", "path_prefixes": ["/a"] });
    let gateway = id_of(&consign.post("/gateways", &gateway).await.expect(201).json());
    let connectors = [
        (format!("/webhooks/{webhook}"), "Edited webhook"),
        (format!("/exporters/{exporter}"), "Edited exporter"),
        (format!("/gateways/{gateway}"), "Edited gateway"),
    ];
    delete(&consign, "Desk").await;
    let waits = consign.event("a", &json!(1)).await;
    consign.until(waits.delivery(), "held").await;
    let other = bearer("Other", &tool.origin(), &consign.canary("other"));
    let other = consign.credential(&other).await;
    assert!(!page(&consign, &other).await.contains("that lost"), "it has another name");

    // Names are the same without regard to case.
    let new = consign.credential(&bearer("desk", &tool.origin(), &consign.canary("new"))).await;
    let shown = page(&consign, &new).await;
    for words in ["3 connectors that lost “desk”", ">Use it for 3 connectors</button>", ">List</a>"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let give = format!("/credentials/{new}/connectors");
    let given = consign.submit(&give, &[]).await.expect(303);
    let shown = unescape(&consign.follow(&given).await.expect(200).text());
    assert!(shown.contains("3 connectors use it now.") && !shown.contains("that lost"), "{shown}");
    consign.until(waits.delivery(), "delivered").await;
    for (path, action) in &connectors {
        let now = consign.get(path).await.expect(200).json();
        assert_eq!(now["credential"]["id"], new.as_str(), "{now}");
        assert_eq!((&now["state"], &now["lost_credential"]), (&json!("active"), &Value::Null), "{now}");
        let entries = consign.all(&format!("/audit-entries?object={}", id_of(&now))).await;
        assert_eq!((&entries[0]["action"], &entries[0]["actor"]), (&json!(action), &json!("Ana Silva")));
    }
    // A second click finds nobody left.
    let again = consign.submit(&give, &[]).await.expect(303);
    assert!(consign.follow(&again).await.text().contains("No connector waits for it any more."));
    consign.submit("/credentials/none/connectors", &[]).await.expect(404);
    consign.finish().await;
}

async fn whom_it_does_not_fit_stays_and_is_told(consign: TestConsign) {
    let tool = Tool::start().await;
    let webhook = consign.bearer_webhook("Desk", &tool.origin(), &json!({})).await;
    let managed = json!({ "name": "Managed", "credential": "Desk", "path": "/x", "event_types": ["b"] });
    let managed = consign.post("/webhooks?field_manager=platform", &managed).await.expect(201).json();
    delete(&consign, "Desk").await;
    let files = json!({
        "name": "Desk", "protocol": "sftp", "hostname": "sftp://files.example.org:22/", "username": "consign",
        "sftp_server_fingerprint": [PIN], "host_keys_compared_with": "ticket 7", "authorization_type": "password",
        "password": consign.canary("password"),
    });
    let files = consign.credential(&files).await;
    let shown = page(&consign, &files).await;
    assert!(
        shown.contains("2 connectors that lost “Desk”") && shown.contains("Use it for 1 connector<"),
        "{shown}"
    );
    assert!(shown.contains("Managed from a file (platform): its next apply chooses"), "{shown}");
    let refused = consign.submit(&format!("/credentials/{files}/connectors"), &[]).await.expect(422);
    let refused = unescape(&refused.text());
    let words = "“Desk” still has no credential: “Desk” is for SFTP. Choose an HTTPS credential";
    assert!(refused.contains(words) && !refused.contains("“Managed” still"), "{refused}");
    for id in [&webhook, &id_of(&managed)] {
        let left = consign.get(&format!("/webhooks/{id}")).await.json();
        assert_eq!(
            (&left["state"], &left["lost_credential"]),
            (&json!("credential_missing"), &json!("Desk"))
        );
    }
    // What loses this one lost its name once more: any of that name will do.
    delete(&consign, &files).await;
    let new = consign.credential(&bearer("Desk", &tool.origin(), &consign.canary("new"))).await;
    let given = consign.submit(&format!("/credentials/{new}/connectors"), &[]).await.expect(303);
    let shown = unescape(&consign.follow(&given).await.expect(200).text());
    assert!(
        shown.contains("1 connector uses it now.") && shown.contains("1 connector that lost “Desk”"),
        "{shown}"
    );
    assert!(!shown.contains("Use it for"), "what a file manages is left to it: {shown}");
    consign.finish().await;
}
