//! Many deliveries sent again: what the preview counts is what is sent, at the pace, once each, over restarts and with
//! several replicas.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Reply, TestConsign, eventually, id_of};
use crate::peers::{Answer, Tool};

on_both_databases! {
    the_preview_counts_what_is_sent_again_once_each
    an_operation_goes_on_after_a_restart
}

/// Accepts events that the tool refuses for good.
async fn failures(consign: &TestConsign, tool: &Tool, count: usize) -> Vec<String> {
    tool.answer(Answer::status(400));
    let mut ids = Vec::new();
    for number in 0..count {
        ids.push(consign.event("a.b", &json!(number)).await.delivery().to_owned());
    }
    for id in &ids {
        consign.until(id, "failed").await;
    }
    tool.answer(Answer::status(201));
    ids
}

async fn replay(consign: &TestConsign, key: &str, body: &Value) -> Reply {
    consign.call("POST", "/replays", &[("idempotency-key", key)], Some(body)).await
}

async fn ended(consign: &TestConsign, operation: &str) -> Value {
    eventually("the operation to end", async || {
        let shown = consign.get(&format!("/operations/{operation}")).await.expect(200).json();
        (shown["state"] != "running").then_some(shown)
    })
    .await
}

/// How often each event arrived.
fn arrivals(tool: &Tool) -> HashMap<String, usize> {
    let mut arrivals = HashMap::new();
    for asked in tool.asked() {
        *arrivals.entry(asked.header("webhook-id").to_owned()).or_default() += 1;
    }
    arrivals
}

async fn the_preview_counts_what_is_sent_again_once_each(consign: TestConsign) {
    let tool = Tool::start().await;
    let webhook = consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    let failed = failures(&consign, &tool, 7).await;
    let fine = consign.event("a.b", &json!("fine")).await;
    consign.until(fine.delivery(), "delivered").await;
    tool.answer_next(Answer::status(400));
    let test = consign.post("/webhooks/itsm/tests", &json!({})).await.expect(201).json();
    consign.until(&id_of(&test), "failed").await;

    let body = json!({ "filter": { "connector": "itsm" }, "rate_per_second": 50 });
    let mut dry = body.clone();
    dry["dry_run"] = json!(true);
    let preview = consign.post("/replays", &dry).await.expect(200).json();
    assert_eq!((&preview["count"], &preview["seconds"]), (&json!(7), &json!(1)), "{preview}");
    assert_eq!(preview["connectors"], json!([{ "id": webhook, "name": "itsm", "count": 7 }]));
    assert_eq!(preview["oldest_created_at"], consign.delivery(&failed[0]).await["created_at"]);
    assert_eq!(consign.get("/operations").await.json()["items"], json!([]), "a dry run starts nothing");

    consign
        .call_as(&consign.key, "POST", "/replays", &[("content-type", "application/json")], body.to_string())
        .await
        .expect(400);
    let started = replay(&consign, "once", &body).await.expect(202);
    let operation = id_of(&started.json());
    assert_eq!(started.header("location"), Some(format!("/api/v1/operations/{operation}").as_str()));
    let again = replay(&consign, "once", &body).await.expect(202);
    assert_eq!(id_of(&again.json()), operation, "the same request starts no second one");
    let done = ended(&consign, &operation).await;
    assert_eq!(
        (&done["state"], &done["done"], &done["total"]),
        (&json!("done"), &json!(7), &json!(7)),
        "{done}"
    );
    consign.until_idle().await;
    let shown = consign.get(&format!("/operations/{operation}")).await.json();
    assert_eq!(shown["result"]["delivered"], 7, "{shown}");
    let arrivals = arrivals(&tool);
    let twice = arrivals.values().filter(|count| **count == 2).count();
    assert_eq!((twice, arrivals.len()), (7, 9), "those that failed, and neither the test nor what arrived");

    let made = consign.all(&format!("/deliveries?operation={operation}")).await;
    let mut of: Vec<_> = made.iter().map(|one| one["replay_of"].as_str().unwrap().to_owned()).collect();
    of.sort();
    let mut expected = failed.clone();
    expected.sort();
    assert_eq!(of, expected);
    let audited = consign.get(&format!("/audit-entries?object={operation}")).await.json();
    assert_eq!(audited["items"][0]["action"], "Started replay");
    assert_eq!(audited["items"][0]["changes"]["deliveries"], 7);

    let refused = replay(&consign, "twice", &body).await.expect(409);
    assert!(refused.text().contains("sent again already are left out"), "{}", refused.text());
    let with_test = json!({ "filter": { "test": true }, "dry_run": true });
    assert_eq!(
        consign.post("/replays", &with_test).await.json()["count"],
        1,
        "the test, when it is asked for"
    );
    let delivered = json!({ "filter": { "state": ["delivered"] }, "dry_run": true });
    assert_eq!(consign.post("/replays", &delivered).await.json()["count"], 8);
    let unknown = json!({ "filter": { "connector": "nothing" }, "dry_run": true });
    let unknown = consign.post("/replays", &unknown).await.expect(422);
    assert_eq!(unknown.json()["errors"][0]["pointer"], "/filter/connector");
    consign.finish().await;
}

async fn an_operation_goes_on_after_a_restart(mut consign: TestConsign) {
    let tool = Tool::start().await;
    consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    failures(&consign, &tool, 12).await;
    let body = json!({ "rate_per_second": 4 });
    let started = consign_store::local_now();
    let operation = id_of(&replay(&consign, "k", &body).await.expect(202).json());
    let path = format!("/operations/{operation}");
    eventually("a first portion", async || {
        (consign.get(&path).await.json()["done"].as_u64() >= Some(2)).then_some(())
    })
    .await;
    consign.restart().await;
    let done = ended(&consign, &operation).await;
    assert_eq!(
        (&done["state"], &done["done"], &done["total"]),
        (&json!("done"), &json!(12), &json!(12)),
        "{done}"
    );
    let took = consign_store::local_now().since(started);
    assert!(took > Duration::from_millis(2_500), "the pace is kept: {took:?}");
    consign.until_idle().await;
    assert!(arrivals(&tool).values().all(|count| *count == 2), "{:?}", arrivals(&tool));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_stops() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    failures(&consign, &tool, 5).await;
    let operation =
        id_of(&replay(&consign, "k", &json!({ "rate_per_second": 0.1 })).await.expect(202).json());
    let path = format!("/operations/{operation}");
    eventually("the first one", async || (consign.get(&path).await.json()["done"] == 1).then_some(())).await;
    let stopped = consign.call("DELETE", &path, &[], None).await.expect(200).json();
    assert_eq!((&stopped["state"], &stopped["done"]), (&json!("stopped"), &json!(1)), "{stopped}");
    consign.call("DELETE", &path, &[], None).await.expect(409);
    // What is under way when an hour passes at once is taken for lost, and sent again.
    consign.until_idle().await;
    consign.advance(Duration::from_secs(3_600));
    consign.until_idle().await;
    assert_eq!(consign.get(&path).await.json()["done"], 1);
    assert_eq!(tool.count(), 6, "five that failed, and one again");
    let audited = consign.get(&format!("/audit-entries?object={operation}")).await.json();
    assert_eq!(audited["items"][0]["action"], "Stopped replay");
    let rest = json!({ "dry_run": true });
    assert_eq!(consign.post("/replays", &rest).await.json()["count"], 4, "the rest is as it was");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_send_each_again_once() {
    let consign = TestConsign::on_postgres().await;
    let tool = Tool::start().await;
    consign.bearer_webhook("itsm", &tool.origin(), &json!({ "max_concurrency": 16 })).await;
    failures(&consign, &tool, 60).await;
    let second = consign.second_replica().await;
    let operation = id_of(&replay(&consign, "k", &json!({ "rate_per_second": 30 })).await.expect(202).json());
    let done = ended(&consign, &operation).await;
    assert_eq!((&done["done"], &done["total"]), (&json!(60), &json!(60)), "{done}");
    consign.until_idle().await;
    let arrivals = arrivals(&tool);
    assert!(arrivals.len() == 60 && arrivals.values().all(|count| *count == 2), "{arrivals:?}");
    second.stop().await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_recover_a_webhook_and_watch_over_it() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    consign.bearer_webhook("Hardware requests", &tool.origin(), &json!({})).await;
    failures(&consign, &tool, 3).await;
    let dry =
        consign.run(&["webhook", "recover", "Hardware requests", "--since", "2h", "--dry-run", "--json"]);
    assert_eq!(dry.await.expect(0).json()["count"], 3);
    let older =
        consign.run(&["webhook", "recover", "Hardware requests", "--until", "2h", "--yes"]).await.expect(0);
    assert!(older.stderr.contains("Nothing to send again."), "{}", older.stderr);
    consign.run(&["webhook", "recover", "Hardware requests"]).await.expect(2);
    let done = consign
        .run(&[
            "webhook",
            "recover",
            "Hardware requests",
            "--state",
            "failed,held",
            "--rate",
            "50/s",
            "--yes",
            "--json",
        ])
        .await
        .expect(0)
        .json();
    assert_eq!((&done["state"], &done["done"]), (&json!("done"), &json!(3)), "{done}");
    consign.until_idle().await;
    assert_eq!(tool.count(), 6);
    let id = id_of(&done);
    let listed = consign.run(&["operation", "list", "--plain", "--no-header"]).await.expect(0);
    assert!(listed.stdout.starts_with(&id), "{}", listed.stdout);
    let shown = consign.run(&["operation", "get", &id, "--json"]).await.expect(0).json();
    assert_eq!(shown["result"]["delivered"], 3, "{shown}");
    consign.run(&["operation", "stop", &id]).await.expect(6);
    let nobody = consign.run(&["webhook", "recover", "nobody", "--dry-run"]).await.expect(7);
    assert!(nobody.stderr.contains("There is no webhook “nobody”"), "{}", nobody.stderr);
    consign.finish().await;
}
