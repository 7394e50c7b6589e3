//! Two replicas on one PostgreSQL: each delivery is sent once, and a clean stop changes nothing about that.

use std::collections::HashMap;

use serde_json::json;

use crate::harness::{Sent, TestConsign, eventually};
use crate::peers::{Answer, Tool};

/// How often each event arrived.
fn arrivals(tool: &Tool) -> HashMap<String, usize> {
    let mut arrivals = HashMap::new();
    for asked in tool.asked() {
        *arrivals.entry(asked.header("webhook-id").to_owned()).or_default() += 1;
    }
    arrivals
}

/// Accepts so many events, in batches, by turns at two addresses.
async fn accept(consign: &TestConsign, other: std::net::SocketAddr, batches: usize) -> Vec<String> {
    let mut ids = Vec::new();
    let authorization = format!("Bearer {}", consign.key);
    for batch in 0..batches {
        let client = if batch % 2 == 0 { consign.client.clone() } else { consign.client.at(other) };
        let body: serde_json::Value = (0..25).map(|n| json!({ "type": "a", "data": [batch, n] })).collect();
        let key = format!("batch-{batch}");
        let headers = [("authorization", authorization.as_str()), ("idempotency-key", key.as_str())];
        let reply =
            client.send("POST", "/api/v1/events", &headers, body.to_string()).await.expect(202).json();
        for event in reply.as_array().unwrap() {
            let sent = Sent::read(event);
            assert_eq!(sent.deliveries.len(), 1, "each replica knows the webhook: {event}");
            ids.push(sent.id);
        }
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_events_are_each_delivered_once() {
    let consign = TestConsign::on_postgres().await;
    let tool = Tool::start().await;
    consign.bearer_webhook("itsm", &tool.origin(), &json!({ "max_concurrency": 16 })).await;
    let second = consign.second_replica().await;
    let ids = accept(&consign, second.address, 20).await;
    consign.until_idle().await;
    let arrivals = arrivals(&tool);
    assert_eq!(ids.len(), 500);
    assert!(ids.iter().all(|id| arrivals.get(id) == Some(&1)), "each once: {:?}", arrivals.values().max());
    assert_eq!(arrivals.len(), 500);
    second.stop().await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_stops_leaves_its_work_to_the_other() {
    let consign = TestConsign::on_postgres().await;
    let tool = Tool::start().await;
    tool.answer(Answer::status(200).after(std::time::Duration::from_millis(10)));
    consign.bearer_webhook("itsm", &tool.origin(), &json!({ "max_concurrency": 8 })).await;
    let second = consign.second_replica().await;
    let ids = accept(&consign, second.address, 12).await;
    second.stop().await;
    consign.until_idle().await;
    let arrivals = arrivals(&tool);
    assert_eq!(arrivals.len(), ids.len());
    assert!(arrivals.values().all(|count| *count == 1), "no duplicate from a clean stop");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_at_one_replica_reaches_the_other() {
    let consign = TestConsign::on_postgres().await;
    let tool = Tool::start().await;
    let second = consign.second_replica().await;
    let there = consign.client.at(second.address);
    consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    let authorization = format!("Bearer {}", consign.key);
    let headers = [("authorization", authorization.as_str())];
    let send = async || {
        let body = json!({ "type": "a" }).to_string();
        Sent::read(&there.send("POST", "/api/v1/events", &headers, body).await.expect(202).json())
    };
    eventually("the other replica to know the webhook", async || {
        (!send().await.deliveries.is_empty()).then_some(())
    })
    .await;
    // A revoked key is refused there too.
    let key = consign.make_key(&["events:read"]).await;
    let asked = format!("Bearer {key}");
    let ask = async || there.send("GET", "/api/v1/events", &[("authorization", &asked)], "").await.status;
    eventually("the other replica to know the key", async || (ask().await == 200).then_some(())).await;
    let keys = consign.get("/api-keys").await.json();
    let row = keys["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["name"] == "key for events:read")
        .cloned()
        .unwrap();
    consign
        .call("DELETE", &format!("/api-keys/{}", crate::harness::id_of(&row)), &[], None)
        .await
        .expect(204);
    eventually("the other replica to forget the key", async || (ask().await == 401).then_some(())).await;
    // An edit of the same object at both: one wins.
    let etag = consign.get("/webhooks/itsm").await.header("etag").unwrap().to_owned();
    let change = json!({ "description": "here" }).to_string();
    let here = [("authorization", authorization.as_str()), ("if-match", etag.as_str())];
    let (one, two) = tokio::join!(
        consign.client.send("PATCH", "/api/v1/webhooks/itsm", &here, change.clone()),
        there.send("PATCH", "/api/v1/webhooks/itsm", &here, change.clone())
    );
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412], "{} {}", one.text(), two.text());
    consign.until_idle().await;
    second.stop().await;
    consign.finish().await;
}
