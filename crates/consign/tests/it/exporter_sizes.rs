//! What waits for an exporter to a file server leaves in files of a bounded size, one run behind the other.

use serde_json::json;

use crate::exporter_servers::Place;
use crate::exporters::{push, start, until};
use crate::harness::{Kind, TestConsign, eventually};

const LIMIT: u64 = 255 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_file_may_hold_is_several_files() {
    let consign = TestConsign::on(Kind::Sqlite, |config| config.limits.export_bytes = LIMIT).await;
    let more = json!({ "format": "ndjson", "columns": [] });
    let place = Place::new(&consign, &more).await;
    let records: Vec<_> = (0..7).map(|n| json!({ "n": n, "text": "x".repeat(100_000) })).collect();
    push(&consign, &place.exporter, &json!(records)).await;
    let first = start(&consign, &place.exporter).await;
    let done = until(&consign, &first, "done").await;
    assert_eq!(done["sent_records"], 2, "{done}");
    let log = consign.get(&format!("/runs/{first}")).await.expect(200).text();
    assert!(log.contains("as many as one file may hold. More wait"), "{log}");
    // Nobody asks for the rest, and no time has come.
    let path = format!("/exporters/{}/runs", place.exporter);
    let runs = eventually("four runs are done", async || {
        let runs = consign.all(&path).await;
        (runs.len() == 4 && runs.iter().all(|run| run["state"] == "done")).then_some(runs)
    })
    .await;
    let counts: Vec<_> = runs.iter().rev().map(|run| run["sent_records"].as_u64().unwrap()).collect();
    assert_eq!(counts, [2, 2, 2, 1], "{runs:?}");
    assert!(runs.iter().all(|run| run["cause"] == "hand"), "{runs:?}");
    let log = consign.get(&format!("/runs/{}", runs[0]["id"].as_str().unwrap())).await.expect(200).text();
    assert!(log.contains("It takes what had no room in the file of run 3."), "{log}");
    let files: Vec<_> = place.names();
    assert_eq!(files.len(), 4);
    let all: String = files.iter().map(|name| place.read(name)).collect();
    let sent: Vec<serde_json::Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(sent, records, "each once, in their order");
    assert!(files.iter().all(|name| place.read(name).len() as u64 <= LIMIT));

    // A file that takes the place of the one before it is not cut in two.
    let replace = json!({ "if_exists": "replace", "file_name": "list.{ext}" });
    consign.patch(&format!("/exporters/{}", place.exporter), &replace).await.expect(200);
    push(&consign, &place.exporter, &json!(records)).await;
    let whole = until(&consign, &start(&consign, &place.exporter).await, "done").await;
    assert_eq!(whole["sent_records"], 7, "{whole}");
    assert_eq!(consign.all(&path).await.len(), 5);
    consign.finish().await;
}
