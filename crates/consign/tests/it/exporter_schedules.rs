//! The clock starts runs of exporters: each tick one, with any number of replicas.

use std::time::Duration;

use serde_json::{Value, json};

use crate::exporters::{exporter, lines, numbers, push, pushed, run, until, with};
use crate::harness::{TestConsign, eventually};
use crate::peers::{Answer, Tool};

on_both_databases! { the_clock_starts_runs }

async fn the_clock_starts_runs(consign: TestConsign) {
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &with(pushed(), json!({ "schedule": "hourly" }))).await;
    let path = format!("/exporters/{exporter}");
    let shown = consign.get(&path).await.json();
    assert_eq!(shown["schedule_in_words"], "Every hour, UTC");
    let next = shown["next_run_at"].as_str().unwrap().to_owned();
    push(&consign, &exporter, &numbers(0..1)).await;
    // Hours that were missed are one run.
    consign.advance(Duration::from_secs(5 * 3_600));
    tool.until_asked(1).await;
    let runs = consign.all(&format!("{path}/runs")).await;
    assert_eq!((runs.len(), &runs[0]["cause"]), (1, &json!("schedule")));
    until(&consign, runs[0]["id"].as_str().unwrap(), "done").await;
    assert_ne!(consign.get(&path).await.json()["next_run_at"], json!(next));

    // A tick while the run is not finished is noted and makes no other.
    push(&consign, &exporter, &numbers(1..2)).await;
    tool.answer(Answer::status(503));
    consign.advance(Duration::from_secs(3_600));
    tool.until_asked(2).await;
    let id = consign.all(&format!("{path}/runs")).await[0]["id"].as_str().unwrap().to_owned();
    // A leap of the clock would end the lease of what is on its way.
    until(&consign, &id, "waiting").await;
    consign.advance(Duration::from_secs(2 * 3_600));
    let skipped = "Runs of the schedule are skipped until this one is finished.";
    eventually("the tick to be noted", async || {
        run(&consign, &id).await["log"].to_string().contains(skipped).then_some(())
    })
    .await;
    assert_eq!(consign.all(&format!("{path}/runs")).await.len(), 2);
    until(&consign, &id, "waiting").await;
    tool.answer(Answer::status(200));
    consign.advance(Duration::from_secs(86_400));
    until(&consign, &id, "done").await;
    consign.patch(&path, &json!({ "schedule": "by_hand" })).await.expect(200);
    assert_eq!(consign.get(&path).await.json()["next_run_at"], Value::Null);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_make_one_run_of_one_tick() {
    let consign = TestConsign::on_postgres().await;
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &with(pushed(), json!({ "max_records_per_request": 1 }))).await;
    let second = consign.second_replica().await;
    push(&consign, &exporter, &numbers(0..20)).await;
    let path = format!("/exporters/{exporter}");
    consign.patch(&path, &json!({ "schedule": "* * * * *" })).await.expect(200);
    consign.advance(Duration::from_secs(61));
    second.app.store.advance(Duration::from_secs(61));
    second.app.engine.wake_all();
    tool.until_asked(20).await;
    let runs = consign.all(&format!("{path}/runs")).await;
    assert_eq!(runs.len(), 1, "{runs:?}");
    until(&consign, runs[0]["id"].as_str().unwrap(), "done").await;
    assert_eq!(Value::from(lines(&tool.asked())), numbers(0..20), "each once, in their order");
    consign.patch(&path, &json!({ "schedule": "by_hand" })).await.expect(200);
    second.stop().await;
    consign.finish().await;
}
