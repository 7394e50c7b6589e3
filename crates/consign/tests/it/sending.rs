//! A stop for everything that is sent, and what is said about it.

use serde_json::json;

use crate::harness::{TestConsign, eventually, id_of};
use crate::peers::Tool;

on_both_databases! {
    while_all_sending_is_paused_everything_waits
    what_is_kept_is_counted
}

async fn while_all_sending_is_paused_everything_waits(mut consign: TestConsign) {
    let tool = Tool::start().await;
    consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    let exporter = json!({ "name": "Nightly", "credential": "itsm", "path": "/x", "source": "pushed",
        "columns": [{ "name": "n" }] });
    let exporter = id_of(&consign.post("/exporters", &exporter).await.expect(201).json());
    assert_eq!(consign.get("/sending-pauses").await.expect(200).json()["paused"], false);
    let asked = consign.page("/settings/delivery/pause").await.expect(200).text();
    assert!(asked.contains("Every webhook and data exporter stops"), "{asked}");
    let reply = consign.submit("/settings/delivery/pause", &[]).await.expect(303);
    assert!(consign.follow(&reply).await.text().contains("Nothing new leaves from now on."));
    let paused = consign.act("/sending-pauses").await.expect(200).json();
    assert_eq!(
        (&paused["paused"], &paused["by"]),
        (&json!(true), &json!("Ana Silva")),
        "the first one stays"
    );

    let sent = consign.event("device.low", &json!({ "n": 1 })).await;
    let path = format!("/exporters/{exporter}");
    let key = [("idempotency-key", "records")];
    consign.call("POST", &format!("{path}/records"), &key, Some(&json!([{ "n": 1 }]))).await.expect(202);
    let key = [("idempotency-key", "run")];
    let run = id_of(&consign.call("POST", &format!("{path}/runs"), &key, None).await.expect(201).json());
    // It outlasts a restart, and no retry, tick or start lets anything out.
    consign.restart().await;
    consign.advance(std::time::Duration::from_secs(600));
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    assert_eq!(tool.count(), 0);
    let delivery = consign.delivery(sent.delivery()).await;
    assert_eq!(delivery["shown_state"], "waiting");
    let said = delivery["what_happened"].as_str().unwrap();
    assert!(said.starts_with("All sending is paused since") && said.contains("by Ana Silva"), "{said}");
    let page = consign.page("/webhooks").await.expect(200).text();
    assert!(page.contains("All sending is paused since") && page.contains("by Ana Silva."), "{page}");
    assert_eq!(consign.get("/settings").await.json()["sending_pause"]["paused"], true);
    consign.act("/credentials/itsm/tests").await.expect(201);
    assert!(tool.count() >= 1, "a test is a person's own doing");
    let tested = tool.count();

    let reply = consign.submit("/settings/delivery/resume", &[("back", "/webhooks")]).await.expect(303);
    assert_eq!(reply.location(), "/webhooks");
    assert!(!consign.page("/webhooks").await.text().contains("All sending is paused"));
    consign.until(sent.delivery(), "delivered").await;
    consign.until_shows(&format!("/runs/{run}"), "/state", "done").await;
    assert_eq!(tool.count(), tested + 2);
    let entries = consign.all("/audit-entries?action=all%20sending").await;
    let actions: Vec<_> = entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["Resumed all sending", "Paused all sending"]);

    let refused = consign.run(&["settings", "pause-sending"]).await.expect(2).stderr;
    assert!(refused.contains("Add --yes"), "{refused}");
    consign.run(&["settings", "pause-sending", "--yes"]).await.expect(0);
    assert_eq!(consign.run(&["settings", "sending", "--json"]).await.expect(0).json()["paused"], true);
    consign.run(&["settings", "resume-sending"]).await.expect(0);
    let operator = consign.make_key(&["deliveries:operate"]).await;
    consign.call_as(&operator, "POST", "/sending-pauses", &[], "").await.expect(403);
    consign.finish().await;
}

async fn what_is_kept_is_counted(consign: TestConsign) {
    let tool = Tool::start().await;
    consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    for n in 0..3 {
        consign.event("device.low", &json!({ "n": n })).await;
    }
    consign.until_idle().await;
    let kept = consign.get("/storage").await.expect(200).json();
    assert_eq!((&kept["deliveries"], &kept["events"]), (&json!(3), &json!(3)), "{kept}");
    assert_eq!((&kept["deliveries_last_24_hours"], &kept["forecast_deliveries"]), (&json!(3), &json!(270)));
    assert!(kept["database_bytes"].as_u64().unwrap() > 100_000 && kept["forecast_bytes"].is_null(), "{kept}");
    assert!(kept["counted_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{kept}");
    let page = consign.page("/settings/delivery").await.expect(200).text();
    assert!(
        page.contains("270 deliveries after 90 days") && page.contains("name=\"delivery_days\""),
        "{page}"
    );
    let said = consign.run(&["settings", "storage", "--json"]).await.expect(0).json();
    assert_eq!(said["deliveries"], 3);
    consign.finish().await;
}

/// The other server follows within a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_holds_for_every_replica() {
    let consign = TestConsign::on_postgres().await;
    let tool = Tool::start().await;
    consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    let other = consign.second_replica().await;
    consign.act("/sending-pauses").await.expect(200);
    eventually("the other replica to know", async || {
        other.app.engine.snapshot().sending_pause().is_some().then_some(())
    })
    .await;
    let sent = consign.event("device.low", &json!({ "n": 1 })).await;
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    assert_eq!(tool.count(), 0);
    consign.call("DELETE", "/sending-pauses", &[], None).await.expect(200);
    consign.until(sent.delivery(), "delivered").await;
    other.stop().await;
    consign.finish().await;
}
