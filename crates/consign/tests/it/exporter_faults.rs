//! Exporters in a process of their own: killed in the middle of a run, and pushed files that are larger than its memory.

use std::collections::HashMap;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::process::{Process, admin_key};
use crate::harness::{Folder, bearer, eventually, id_of, percent};
use crate::peers::{Answer, Tool};

/// What a server of a debug build may hold in memory at most, however large a file is.
const RESIDENT_BYTES_MAX: u64 = 96 << 20;

struct Server {
    folder: Folder,
    key: String,
    process: Process,
    exporter: String,
}

impl Server {
    async fn start(tool: &Tool, more: &Value) -> Self {
        let folder = Folder::new("exporter");
        let key = admin_key(&folder).await;
        let process = Process::start(&folder, &[]).await;
        process
            .call(&key, "POST", "/credentials", &bearer("Lake", &tool.origin(), "token"))
            .await
            .expect(201);
        let mut body = json!({ "name": "List", "credential": "Lake", "path": "/bulk", "source": "pushed", "format": "ndjson" });
        crate::harness::merge(&mut body, more);
        let exporter = id_of(&process.call(&key, "POST", "/exporters", &body).await.expect(201).json());
        Self { folder, key, process, exporter }
    }

    async fn post(&self, path: &str, content_type: &str, body: impl Into<bytes::Bytes>) -> Value {
        let authorization = format!("Bearer {}", self.key);
        let headers = [
            ("authorization", authorization.as_str()),
            ("idempotency-key", path),
            ("content-type", content_type),
        ];
        let path = format!("/api/v1/exporters/{}{path}", self.exporter);
        let reply = self.process.client.send("POST", &path, &headers, body).await;
        assert!(reply.status < 300, "{path}: {}", reply.text());
        reply.json()
    }

    async fn run(&self, id: &str) -> Value {
        self.process.call(&self.key, "GET", &format!("/runs/{id}"), &Value::Null).await.expect(200).json()
    }

    async fn until_done(&self, id: &str) -> Value {
        let run = eventually("the run to end", async || {
            let run = self.run(id).await;
            run["ended_at"].is_string().then_some(run)
        })
        .await;
        assert_eq!(run["state"], "done", "{run}");
        run
    }

    /// SIGKILL, and another start over the same folder.
    async fn kill_and_start_again(&mut self) {
        kill_process(Pid::from_child(self.process.child()), Signal::KILL).unwrap();
        self.process.ended().await;
        self.process = Process::start(&self.folder, &[]).await;
    }
}

fn records(range: std::ops::Range<u32>) -> String {
    range.map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_a_run_it_goes_on_and_repeats_one_request_at_most() {
    let tool = Tool::start().await;
    tool.answer(Answer::status(200).after(Duration::from_millis(15)));
    let mut server = Server::start(&tool, &json!({ "max_records_per_request": 20 })).await;
    server.post("/records", "application/x-ndjson", records(0..2_000)).await;
    let run = id_of(&server.post("/runs", "application/json", "").await);
    let mut kills = 0;
    for after in [3, 20, 41, 60] {
        tool.until_asked(after).await;
        server.kill_and_start_again().await;
        kills += 1;
    }
    let done = server.until_done(&run).await;
    assert_eq!((&done["sent_records"], &done["requests"]), (&json!(2_000), &json!(100)));
    let mut by_key: HashMap<String, Vec<Vec<u8>>> = HashMap::new();
    for asked in tool.asked() {
        by_key.entry(asked.header("idempotency-key").to_owned()).or_default().push(asked.body);
    }
    assert_eq!(by_key.len(), 100, "each request has a key of its own");
    let again: usize = by_key.values().map(|bodies| bodies.len() - 1).sum();
    assert!(again <= kills, "{again} requests were repeated by {kills} crashes");
    assert!(by_key.values().all(|bodies| bodies.iter().all(|body| *body == bodies[0])), "the same bytes");
    let mut found: Vec<u64> = by_key
        .values()
        .flat_map(|bodies| {
            String::from_utf8(bodies[0].clone()).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .map(|line| serde_json::from_str::<Value>(&line).unwrap()["n"].as_u64().unwrap())
        .collect();
    found.sort_unstable();
    assert_eq!(found, (0..2_000).collect::<Vec<_>>(), "none lost, none in two requests");
    assert!(server.process.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_a_file_leaves_it_sends_the_whole_file_again() {
    let tool = Tool::start().await;
    let mut server = Server::start(&tool, &json!({ "method": "PUT", "compression": "gzip" })).await;
    // Numbers that gzip makes little of, so that the request takes its time.
    let mut seed = 1_u32;
    let content: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    })
    .take(24 << 20)
    .collect();
    let name = percent("devices 2026.bin");
    let run = id_of(&server.post(&format!("/files?file_name={name}"), "text/plain", content.clone()).await);
    for _ in 0..3 {
        eventually("bytes to leave", async || {
            let run = server.run(&run).await;
            (run["sent_bytes"].as_u64() > Some(0) || run["ended_at"].is_string()).then_some(())
        })
        .await;
        server.kill_and_start_again().await;
    }
    server.until_done(&run).await;
    // What the tool counts is whole: it never took a part for a file.
    for asked in tool.asked() {
        let mut whole = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&asked.body[..]), &mut whole).unwrap();
        assert!(whole == content);
    }
    assert!(server.process.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_larger_than_the_memory_passes_through() {
    let tool = Tool::start().await;
    let mut server = Server::start(&tool, &json!({})).await;
    let content = vec![b'a'; 160 << 20];
    let run = id_of(&server.post("/files?file_name=large.bin", "text/plain", content.clone()).await);
    let done = server.until_done(&run).await;
    assert_eq!(done["sent_bytes"], 160 << 20);
    assert!(tool.asked()[0].body == content);
    let most = server.process.resident_bytes_max();
    assert!(most <= RESIDENT_BYTES_MAX, "{most} bytes were held");
    assert!(server.process.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_large_records_pass_through() {
    let tool = Tool::start().await;
    let mut server = Server::start(&tool, &json!({})).await;
    // Eight megabytes a push: what one request of the run holds at most is ten.
    let text = "x".repeat(800 << 10);
    for push in 0..12 {
        let records: String =
            (0..10).map(|n| format!("{{\"n\":{},\"text\":\"{text}\"}}\n", push * 10 + n)).collect();
        let key = [("idempotency-key", &*format!("push-{push}"))];
        let authorization = format!("Bearer {}", server.key);
        let headers = [key[0], ("authorization", &authorization), ("content-type", "application/x-ndjson")];
        let path = format!("/api/v1/exporters/{}/records", server.exporter);
        server.process.client.send("POST", &path, &headers, records).await.expect(202);
    }
    let run = id_of(&server.post("/runs", "application/json", "").await);
    let done = server.until_done(&run).await;
    assert_eq!(done["sent_records"], 120);
    assert!(tool.asked().iter().all(|asked| asked.body.len() <= 10 << 20), "a request holds 10 MiB at most");
    let most = server.process.resident_bytes_max();
    // Pushing and sending each hold ten megabytes a few times.
    assert!(most <= 2 * RESIDENT_BYTES_MAX, "{most} bytes were held");
    assert!(server.process.stop().await.success());
}
