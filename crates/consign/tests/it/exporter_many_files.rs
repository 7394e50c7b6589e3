//! Many small files through one exporter: each is a run of its own, and they leave side by side.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use consign_core::time::Timestamp;
use serde_json::{Value, json};

use crate::exporters::{numbers, post_once, push, run, start, until};
use crate::harness::{TestConsign, eventually, id_of, merge};
use crate::peers::relay::Relay;
use crate::peers::sshd::{KeyPair, Sshd, user};

on_both_databases!(
    small_files_leave_side_by_side
    files_of_one_name_keep_their_order
    numbers_are_taken_once
    numbers_follow_the_order
    one_of_many_is_stopped
);

/// A server behind a relay, and a paused exporter into its inbox.
struct Place {
    relay: Relay,
    sshd: Sshd,
    exporter: String,
}

impl Place {
    async fn new(consign: &TestConsign, more: &Value) -> Self {
        let (host, passphrase) = (KeyPair::generate("ed25519", ""), consign.canary("passphrase"));
        let key = KeyPair::generate("ed25519", &passphrase);
        let sshd = Sshd::start(&[&host], &key.public).await;
        let relay = Relay::start(sshd.port()).await;
        let credential = json!({
            "name": "Files", "protocol": "sftp", "hostname": format!("sftp://127.0.0.1:{}/", relay.port()),
            "sftp_server_fingerprint": [host.public], "authorization_type": "ssh_key", "username": user(),
            "ssh_key": key.private, "passphrase": passphrase,
        });
        consign.credential(&credential).await;
        let mut body = json!({ "name": "List", "credential": "Files", "folder": sshd.inbox(), "source": "pushed",
            "format": "ndjson" });
        merge(&mut body, more);
        let exporter = id_of(&consign.post("/exporters", &body).await.expect(201).json());
        let place = Self { relay, sshd, exporter };
        consign.act(&place.pauses()).await.expect(200);
        place
    }

    fn pauses(&self) -> String {
        format!("/exporters/{}/pauses", self.exporter)
    }

    async fn resume(&self, consign: &TestConsign) {
        consign.call("DELETE", &self.pauses(), &[], None).await.expect(200);
    }

    async fn push(&self, consign: &TestConsign, name: &str, text: &str) -> String {
        let path = format!("/exporters/{}/files?file_name={name}", self.exporter);
        id_of(&post_once(consign, &path, "text/plain", text.to_owned()).await.expect(202).json())
    }

    fn inbox(&self) -> PathBuf {
        PathBuf::from(self.sshd.inbox())
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.inbox().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn names(&self) -> BTreeSet<String> {
        let files = std::fs::read_dir(self.inbox()).unwrap();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }

    async fn running(&self, consign: &TestConsign) -> usize {
        let path = format!("/exporters/{}/runs?state=running&limit=100", self.exporter);
        consign.get(&path).await.json()["items"].as_array().unwrap().len()
    }
}

/// It was sent once, and its log says so in the order of what happened.
fn was_sent_once(run: &Value, name: &str) {
    assert_eq!((&run["file_name"], &run["attempts"]), (&json!(name), &json!(0)), "{run}");
    let lines: Vec<_> =
        run["log"].as_array().unwrap().iter().map(|line| line["line"].as_str().unwrap()).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("A file was pushed by "), "{lines:?}");
    assert!(lines[1].starts_with(&format!("Uploaded {name}: ")), "{lines:?}");
    assert!(lines[2].starts_with(&format!("Sent {name}, ")), "{lines:?}");
}

async fn small_files_leave_side_by_side(consign: TestConsign) {
    let place = Place::new(&consign, &json!({})).await;
    let mut runs = Vec::new();
    for n in 0..150 {
        runs.push(place.push(&consign, &format!("f{n}.txt"), &format!("content {n}")).await);
    }
    // One that is empty, and one that is too large to go with the others.
    let empty = place.push(&consign, "empty.txt", "").await;
    let large = "0123456789abcdef".repeat(20_000);
    let last = place.push(&consign, "large.txt", &large).await;
    place.relay.slow_down(Duration::from_millis(100));
    place.resume(&consign).await;
    eventually("many to be under way at once", async || (place.running(&consign).await > 20).then_some(()))
        .await;
    assert!(place.running(&consign).await <= 129);
    place.relay.slow_down(Duration::ZERO);
    for (n, id) in runs.iter().enumerate() {
        let name = format!("f{n}.txt");
        was_sent_once(&until(&consign, id, "done").await, &name);
        assert_eq!(place.read(&name), format!("content {n}"));
    }
    until(&consign, &empty, "done").await;
    until(&consign, &last, "done").await;
    assert_eq!((place.read("empty.txt").as_str(), place.read("large.txt").as_str()), ("", large.as_str()));
    assert_eq!(place.names().len(), 152, "nothing is left behind: {:?}", place.names());
    assert!(consign.metrics().await.contains("consign_exporter_runs_total{outcome=\"done\"} 152"));
    consign.finish().await;
}

fn at(time: &Value) -> Timestamp {
    Timestamp::parse_rfc3339(time.as_str().unwrap()).unwrap()
}

async fn files_of_one_name_keep_their_order(consign: TestConsign) {
    let place = Place::new(&consign, &json!({ "if_exists": "replace" })).await;
    let mut runs = Vec::new();
    for n in 0..12 {
        runs.push(place.push(&consign, "same.txt", &format!("version {n}")).await);
        runs.push(place.push(&consign, &format!("other-{n}.txt"), "other").await);
    }
    place.resume(&consign).await;
    let mut ends = Vec::new();
    for id in &runs {
        ends.push(until(&consign, id, "done").await);
    }
    assert_eq!(place.read("same.txt"), "version 11", "the last one stays");
    let ended: Vec<_> = ends.iter().step_by(2).map(|run| at(&run["ended_at"])).collect();
    assert!(ended.is_sorted(), "{ended:?}");
    assert_eq!(place.names().len(), 13);

    // Records wait for the files before them, and the files behind them for the records.
    consign.act(&place.pauses()).await.expect(200);
    push(&consign, &place.exporter, &numbers(0..3)).await;
    let records = start(&consign, &place.exporter).await;
    let behind = place.push(&consign, "behind.txt", "behind").await;
    place.relay.slow_down(Duration::from_millis(30));
    place.resume(&consign).await;
    let behind = until(&consign, &behind, "done").await;
    let records = run(&consign, &records).await;
    assert_eq!(records["state"], "done", "{records}");
    assert!(at(&records["ended_at"]) <= at(&behind["started_at"]), "{records} {behind}");
    consign.finish().await;
}

async fn numbers_are_taken_once(consign: TestConsign) {
    let place = Place::new(&consign, &json!({ "if_exists": "number" })).await;
    let mut runs = Vec::new();
    for n in 0..5 {
        runs.push(place.push(&consign, "a.txt", &format!("{n}")).await);
        runs.push(place.push(&consign, &format!("a-{}.txt", n + 2), &format!("other {n}")).await);
    }
    place.resume(&consign).await;
    for id in &runs {
        until(&consign, id, "done").await;
    }
    let contents: BTreeSet<_> = place.names().iter().map(|name| place.read(name)).collect();
    let expected = (0..5).flat_map(|n| [format!("{n}"), format!("other {n}")]).collect();
    assert_eq!(contents, expected, "{:?}", place.names());
    consign.finish().await;
}

async fn numbers_follow_the_order(consign: TestConsign) {
    let place = Place::new(&consign, &json!({ "if_exists": "number" })).await;
    // Large and small in turn. That none is claimed beside an earlier one of its name is held in the tests of the store.
    let content = |n: usize| format!("{n}").repeat(if n.is_multiple_of(2) { 300_000 } else { 1 });
    let mut runs = Vec::new();
    for n in 0..8 {
        runs.push(place.push(&consign, "a.txt", &content(n)).await);
        runs.push(place.push(&consign, &format!("b{n}.txt"), "beside").await);
    }
    place.relay.slow_down(Duration::from_millis(10));
    place.resume(&consign).await;
    for id in &runs {
        until(&consign, id, "done").await;
    }
    for n in 0..8 {
        let name = if n == 0 { "a.txt".to_owned() } else { format!("a-{}.txt", n + 1) };
        assert!(place.read(&name) == content(n), "{name} is not the one that was pushed as number {n}");
    }
    consign.finish().await;
}

async fn one_of_many_is_stopped(consign: TestConsign) {
    let place = Place::new(&consign, &json!({})).await;
    let mut runs = Vec::new();
    for n in 0..40 {
        runs.push(place.push(&consign, &format!("f{n}.txt"), &format!("content {n}")).await);
    }
    place.relay.slow_down(Duration::from_millis(300));
    place.resume(&consign).await;
    eventually("parts to be there", async || (place.names().len() > 10).then_some(())).await;
    // The last of them can hardly have its name yet.
    consign.act(&format!("/runs/{}/cancellation", runs[39])).await.expect(200);
    place.relay.slow_down(Duration::ZERO);
    for (n, id) in runs.iter().enumerate().take(39) {
        was_sent_once(&until(&consign, id, "done").await, &format!("f{n}.txt"));
    }
    assert_eq!(run(&consign, &runs[39]).await["state"], "cancelled");
    eventually("its part to go", async || {
        place.names().iter().all(|name| !name.starts_with('.')).then_some(())
    })
    .await;
    assert_eq!(place.names().len(), 39, "{:?}", place.names());
    assert!(!place.names().contains("f39.txt"));
    consign.finish().await;
}

/// Both take from the same queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_send_each_file_once() {
    let consign = TestConsign::on_postgres().await;
    let place = Place::new(&consign, &json!({})).await;
    let second = consign.second_replica().await;
    let mut runs = Vec::new();
    for n in 0..200 {
        runs.push(place.push(&consign, &format!("f{n}.txt"), &format!("content {n}")).await);
    }
    place.relay.slow_down(Duration::from_millis(20));
    place.resume(&consign).await;
    for (n, id) in runs.iter().enumerate() {
        let name = format!("f{n}.txt");
        was_sent_once(&until(&consign, id, "done").await, &name);
        assert_eq!(place.read(&name), format!("content {n}"));
    }
    assert_eq!(place.names().len(), 200);
    second.stop().await;
    consign.finish().await;
}
