//! The main job: a stored credential delivers real events to a real server that judges the sign-in itself.

use serde_json::json;

use crate::harness::{TestConsign, basic, eventually};
use crate::peers::Nginx;

on_both_databases! {
    a_basic_credential_delivers_fifty_events_to_nginx
    a_refused_password_holds_everything_until_it_is_replaced
}

async fn a_basic_credential_delivers_fifty_events_to_nginx(consign: TestConsign) {
    let password = consign.canaries.plant_within("password", "pa$$ w\u{f6}rd ", "\"'`&<");
    let nginx = Nginx::start("consign", &password).await;
    let credential = consign.credential(&basic("nginx", &nginx.origin(), "consign", &password)).await;
    let webhook = json!({ "name": "Incidents", "credential": credential, "path": "/api/now/table/incident",
                          "event_types": ["device.score.*"] });
    let webhook = consign.webhook(&webhook).await;
    let mut events = Vec::new();
    for number in 0..50 {
        events.push(consign.event("device.score.low", &json!({ "number": number })).await);
    }
    consign.until_idle().await;
    for event in &events {
        let delivery = consign.delivery(event.delivery()).await;
        assert_eq!(delivery["state"], "delivered", "{delivery}");
        assert_eq!(delivery["last_status"], 201, "{delivery}");
        assert_eq!(delivery["reference"], "INC0010001", "{delivery}");
    }
    let mut seen: Vec<_> = nginx
        .log()
        .into_iter()
        .map(|line| {
            assert_eq!((line.user.as_str(), line.status), ("consign", 201), "{line:?}");
            assert_eq!(
                (line.method.as_str(), line.path.as_str()),
                ("POST", "/api/now/table/incident"),
                "{line:?}"
            );
            line.event
        })
        .collect();
    let mut sent: Vec<_> = events.iter().map(|event| event.id.clone()).collect();
    seen.sort_unstable();
    sent.sort_unstable();
    assert_eq!(seen, sent, "each event once");
    let shown = consign.get(&format!("/webhooks/{webhook}")).await.json();
    let counts = json!({
        "delivered": 50, "failed": 0, "waiting": 0, "waiting_is_capped": false,
        "retrying": 0, "retrying_is_capped": false, "retrying_status": null,
    });
    assert_eq!(shown["last_24_hours"], counts, "{shown}");
    consign.until_shows(&format!("/credentials/{credential}"), "/status/code", "working").await;
    consign.finish().await;
}

async fn a_refused_password_holds_everything_until_it_is_replaced(consign: TestConsign) {
    let password = consign.canary("password");
    let wrong = consign.canary("wrong-password");
    let nginx = Nginx::start("consign", &password).await;
    let credential = consign.credential(&basic("nginx", &nginx.origin(), "consign", &wrong)).await;
    let webhook = json!({ "name": "Incidents", "credential": "nginx", "path": "/in", "event_types": ["*"],
                          "max_concurrency": 1 });
    let webhook = consign.webhook(&webhook).await;
    let mut events = vec![consign.event("a.b", &json!(0)).await];
    let shown =
        consign.until_shows(&format!("/credentials/{credential}"), "/status/code", "sign_in_refused").await;
    assert_eq!(shown["status"]["label"], "Sign-in refused");
    assert_eq!(shown["status"]["needs_attention"], true);
    consign.until_shows(&format!("/webhooks/{webhook}"), "/state", "held").await;
    for number in 1..5 {
        events.push(consign.event("a.b", &json!(number)).await);
    }
    for event in &events {
        let delivery = consign.until(event.delivery(), "held").await;
        assert_eq!(delivery["hold_reason"], "sign_in_refused", "{delivery}");
        assert_eq!(delivery["hold_text"], "The tool refused the sign-in.");
        assert_eq!(delivery["attempts"], 0, "holds use up nothing: {delivery}");
    }
    assert_eq!(nginx.log().len(), 1, "one refusal is enough: {:?}", nginx.log());
    assert_eq!(nginx.log()[0].status, 401);
    // The result of an attempt is on disk a moment after what it says of the credential.
    let attempts = consign.until_attempted(events[0].delivery(), 1).await;
    assert_eq!(attempts[0]["outcome"], "sign_in", "{attempts:?}");

    let path = format!("/credentials/{credential}/secrets/password");
    consign.call("PUT", &path, &[("if-match", "*")], Some(&json!({ "value": password }))).await.expect(200);
    for event in &events {
        consign.until(event.delivery(), "delivered").await;
    }
    let delivered: Vec<_> =
        nginx.log().into_iter().filter(|line| line.status == 201).map(|line| line.event).collect();
    let sent: Vec<_> = events.iter().map(|event| event.id.clone()).collect();
    assert_eq!(delivered, sent, "oldest first");
    let healthy = eventually("the credential to work", async || {
        let shown = consign.get(&format!("/credentials/{credential}")).await.json();
        (shown["status"]["code"] == "working").then_some(shown)
    });
    assert_eq!(healthy.await["used_by_count"], 1);
    consign.finish().await;
}
