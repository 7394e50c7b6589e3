//! Uploads that are cut and killed in the middle: whoever reads final names never sees a part, and the run ends whole.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use consign_core::hex::hex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::exporters::{numbers, post_once, push, run as run_of, start, until};
use crate::harness::process::{Process, admin_key};
use crate::harness::{Folder, TestConsign, eventually, id_of};
use crate::peers::rekeying::Rekeying;
use crate::peers::relay::Relay;
use crate::peers::sshd::{KeyPair, Sshd, user};

const FILE_BYTES: usize = 1_200_000;
/// What a server of a debug build may hold in memory at most, however large a file is.
const RESIDENT_BYTES_MAX: u64 = 96 << 20;

/// Bytes that do not repeat.
fn content(mut state: u32) -> Vec<u8> {
    let bytes = (0..FILE_BYTES).map(|_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as u8
    });
    bytes.collect()
}

/// Reads what has a final name, again and again, like a program that takes every file it sees.
struct Consumer {
    over: Arc<AtomicBool>,
    parts: Arc<AtomicUsize>,
    reading: Option<JoinHandle<()>>,
}

impl Consumer {
    /// Every file under a final name must be one of these, whole.
    fn start(inbox: PathBuf, whole: Vec<Vec<u8>>) -> Self {
        let (over, parts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (until, seen) = (over.clone(), parts.clone());
        let digests: Vec<_> = whole.iter().map(|bytes| digest(&SHA256, bytes).as_ref().to_vec()).collect();
        let reading = std::thread::spawn(move || {
            let mut looked: HashMap<String, u32> = HashMap::new();
            while !until.load(Ordering::Relaxed) {
                for file in std::fs::read_dir(&inbox).unwrap() {
                    let file = file.unwrap();
                    let name = file.file_name().into_string().unwrap();
                    if name.starts_with('.') {
                        seen.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    let times = looked.entry(name.clone()).or_default();
                    *times += 1;
                    if *times > 5 {
                        continue;
                    }
                    let bytes = std::fs::read(file.path()).unwrap();
                    let found = digest(&SHA256, &bytes).as_ref().to_vec();
                    assert!(digests.contains(&found), "{name} was seen with {} bytes", bytes.len());
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Self { over, parts, reading: Some(reading) }
    }

    /// Ends, and tells how often a part was seen beside the files: otherwise the test looked at nothing.
    fn end(mut self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        self.reading.take().unwrap().join().expect("only whole files have final names");
        self.parts.load(Ordering::Relaxed)
    }
}

fn credential(port: u16, host: &KeyPair, key: &KeyPair, passphrase: &str) -> Value {
    json!({
        "name": "Files", "protocol": "sftp", "hostname": format!("sftp://127.0.0.1:{port}/"),
        "sftp_server_fingerprint": [host.public], "authorization_type": "ssh_key", "username": user(),
        "ssh_key": key.private, "passphrase": passphrase,
    })
}

fn exporter(inbox: &str) -> Value {
    json!({ "name": "List", "credential": "Files", "folder": inbox, "source": "pushed", "format": "ndjson" })
}

fn names(inbox: &Path) -> Vec<String> {
    let files = std::fs::read_dir(inbox).unwrap();
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_at_many_places_the_file_is_whole_or_not_there() {
    let consign = TestConsign::start().await;
    let (host, passphrase) = (KeyPair::generate("ed25519", ""), consign.canary("passphrase"));
    let key = KeyPair::generate("ed25519", &passphrase);
    let sshd = Sshd::start(&[&host], &key.public).await;
    let relay = Relay::start(sshd.port()).await;
    relay.slow_down(Duration::from_micros(200));
    consign.credential(&credential(relay.port(), &host, &key, &passphrase)).await;
    let exporter = id_of(&consign.post("/exporters", &exporter(&sshd.inbox())).await.expect(201).json());
    let inbox = PathBuf::from(sshd.inbox());
    let content = content(7);
    let consumer = Consumer::start(inbox.clone(), vec![content.clone()]);
    let end = FILE_BYTES as u64;
    // From the handshake to the rename, and past it.
    let places: Vec<u64> = [500, 2_000, 4_000].into_iter().chain((65_536..end).step_by(65_536)).collect();
    let last = (end - 2_000..end + 12_000).step_by(1_000);
    let places: Vec<u64> = places.into_iter().chain(last).collect();
    for (number, place) in places.iter().enumerate() {
        relay.cut_in(*place);
        let path = format!("/exporters/{exporter}/files?file_name=file-{number}.bin");
        let pushed = post_once(&consign, &path, "text/plain", content.clone()).await.expect(202);
        let id = id_of(&pushed.json());
        eventually("the run to go on or end", async || {
            let run = consign.get(&format!("/runs/{id}")).await.json();
            if run["state"] == "waiting" && run["attempts"] != 0 {
                consign.advance(Duration::from_secs(10));
            }
            run["ended_at"].is_string().then_some(())
        })
        .await;
        let done = until(&consign, &id, "done").await;
        assert_eq!(done["file_name"], json!(format!("file-{number}.bin")), "cut after {place}: {done}");
        assert!(std::fs::read(inbox.join(format!("file-{number}.bin"))).unwrap() == content);
    }
    relay.cut_in(0);
    assert!(relay.cuts() > 15, "{} connections were cut", relay.cuts());
    assert!(consumer.end() > 0, "parts were there to be seen");
    assert_eq!(names(&inbox).len(), places.len(), "{:?}", names(&inbox));
    consign.finish().await;
}

/// A server that takes new keys in the middle and cannot prove that they are its own: each session ends there, and a new one
/// goes on from what arrived.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_keys_without_a_proof_only_cost_a_session() {
    let consign = TestConsign::start().await;
    let host = KeyPair::generate("ed25519", "");
    let server = Rekeying::start(&host, 256 << 10).await;
    let inbox = Folder::new("inbox");
    consign
        .credential(&json!({
            "name": "Files", "protocol": "sftp", "hostname": format!("sftp://127.0.0.1:{}/", server.port()),
            "sftp_server_fingerprint": [host.public], "authorization_type": "password", "username": "ana",
            "password": consign.canary("password"),
        }))
        .await;
    let inbox = inbox.path();
    let body = exporter(&inbox.display().to_string());
    let exporter = id_of(&consign.post("/exporters", &body).await.expect(201).json());
    let whole: Vec<u8> = (1..6).flat_map(content).collect();
    let path = format!("/exporters/{exporter}/files?file_name=large.bin");
    let pushed = post_once(&consign, &path, "text/plain", whole.clone()).await.expect(202);
    let done = until_done_at_once(&consign, &id_of(&pushed.json())).await;
    assert!(std::fs::read(inbox.join("large.bin")).unwrap() == whole);
    assert!(server.connections() > 2, "{} sessions for 6 MB", server.connections());
    let line = uploaded(&done);
    assert!(line.contains(&hex(digest(&SHA256, &whole).as_ref())), "{line}");

    // Records are made again, the same bytes, as far as they arrived.
    let records: String =
        (0..10_000).map(|n| format!("{{\"n\":{n},\"text\":\"{}\"}}\n", "a record ".repeat(30))).collect();
    for lines in records.as_bytes().split_inclusive(|byte| *byte == b'\n').collect::<Vec<_>>().chunks(5_000) {
        let path = format!("/exporters/{exporter}/records");
        post_once(&consign, &path, "application/x-ndjson", lines.concat()).await.expect(202);
    }
    let before = server.connections();
    let done = until_done_at_once(&consign, &start(&consign, &exporter).await).await;
    assert_eq!(done["sent_records"], 10_000);
    let name = done["file_name"].as_str().unwrap();
    assert!(std::fs::read_to_string(inbox.join(name)).unwrap() == records);
    let line = uploaded(&done);
    assert!(line.contains(&hex(digest(&SHA256, records.as_bytes()).as_ref())), "the whole file: {line}");
    assert!(server.connections() > before, "new keys came in the middle");
    assert!(names(inbox).iter().all(|name| !name.starts_with('.')), "{:?}", names(inbox));

    // Small files, which are together three times what a session takes: they go one by one in the end.
    let before = server.connections();
    let mut runs = Vec::new();
    for n in 0..40 {
        let path = format!("/exporters/{exporter}/files?file_name=small-{n}.bin");
        let pushed = post_once(&consign, &path, "text/plain", whole[..20_000 + n].to_vec()).await.expect(202);
        runs.push(id_of(&pushed.json()));
    }
    for (n, run) in runs.iter().enumerate() {
        until_done_at_once(&consign, run).await;
        assert!(std::fs::read(inbox.join(format!("small-{n}.bin"))).unwrap() == whole[..20_000 + n]);
    }
    assert!(server.connections() > before, "new keys came between them");
    assert!(names(inbox).iter().all(|name| !name.starts_with('.')), "{:?}", names(inbox));
    consign.finish().await;
}

/// What the log says of the file.
fn uploaded(run: &Value) -> &str {
    let mut lines = run["log"].as_array().unwrap().iter().map(|line| line["line"].as_str().unwrap());
    lines.find(|line| line.starts_with("Uploaded")).unwrap()
}

/// The run is done, and no session that ended counted as an attempt.
async fn until_done_at_once(consign: &TestConsign, run: &str) -> Value {
    let done = eventually("the run to be done", async || {
        let run = run_of(consign, run).await;
        assert_eq!(run["attempts"], 0, "{run}");
        (run["state"] == "done").then_some(run)
    })
    .await;
    assert!(!done["log"].to_string().contains("The next attempt is at"), "{done}");
    done
}

/// The run is stopped when its file is whole and has no name yet: it never gets one, and its records go once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_run_names_nothing() {
    let consign = TestConsign::start().await;
    let (host, passphrase) = (KeyPair::generate("ed25519", ""), consign.canary("passphrase"));
    let key = KeyPair::generate("ed25519", &passphrase);
    let sshd = Sshd::start(&[&host], &key.public).await;
    let relay = Relay::start(sshd.port()).await;
    // What comes after the last byte of the file is some requests, one after the other.
    relay.slow_down(Duration::from_millis(300));
    consign.credential(&credential(relay.port(), &host, &key, &passphrase)).await;
    let exporter = id_of(&consign.post("/exporters", &exporter(&sshd.inbox())).await.expect(201).json());
    let inbox = PathBuf::from(sshd.inbox());
    push(&consign, &exporter, &numbers(0..3)).await;
    let id = start(&consign, &exporter).await;
    let part = eventually("the file to be whole", async || {
        let name = names(&inbox).pop()?;
        let text = std::fs::read_to_string(inbox.join(&name)).ok()?;
        (text == "{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n").then_some(name)
    })
    .await;
    assert!(part.ends_with(".part"), "{part}");
    consign.act(&format!("/runs/{id}/cancellation")).await.expect(200);
    eventually("the part to go", async || (names(&inbox) != [part.as_str()]).then_some(())).await;
    assert!(names(&inbox).is_empty(), "{:?}", names(&inbox));
    relay.slow_down(Duration::ZERO);
    let next = start(&consign, &exporter).await;
    let done = until(&consign, &next, "done").await;
    assert_eq!(done["sent_records"], 3, "{done}");
    assert_eq!(names(&inbox).len(), 1);
    consign.finish().await;
}

struct Server {
    folder: Folder,
    key: String,
    process: Process,
}

impl Server {
    async fn post(&self, exporter: &str, path: &str, content_type: &str, body: Vec<u8>) -> Value {
        let authorization = format!("Bearer {}", self.key);
        let key = hex(digest(&SHA256, &[path.as_bytes(), &body].concat()).as_ref());
        let headers = [
            ("authorization", authorization.as_str()),
            ("idempotency-key", key.as_str()),
            ("content-type", content_type),
        ];
        let path = format!("/api/v1/exporters/{exporter}{path}");
        let reply = self.process.client.send("POST", &path, &headers, body).await;
        assert!(reply.status < 300, "{path}: {}", reply.text());
        reply.json()
    }

    async fn run(&self, id: &str) -> Value {
        self.process.call(&self.key, "GET", &format!("/runs/{id}"), &Value::Null).await.expect(200).json()
    }

    async fn until_done(&self, id: &str) {
        let run = eventually("the run to end", async || {
            let run = self.run(id).await;
            run["ended_at"].is_string().then_some(run)
        })
        .await;
        assert_eq!(run["state"], "done", "{run}");
    }

    async fn kill_and_start_again(&mut self) {
        kill_process(Pid::from_child(self.process.child()), Signal::KILL).unwrap();
        self.process.ended().await;
        self.process = Process::start(&self.folder, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_many_places_the_file_is_whole_or_not_there() {
    let host = KeyPair::generate("ed25519", "");
    let key = KeyPair::generate("ed25519", "passphrase");
    let sshd = Sshd::start(&[&host], &key.public).await;
    let relay = Relay::start(sshd.port()).await;
    relay.slow_down(Duration::from_millis(2));
    let folder = Folder::new("exporter");
    let admin = admin_key(&folder).await;
    let process = Process::start(&folder, &[]).await;
    let mut server = Server { folder, key: admin, process };
    let credential = credential(relay.port(), &host, &key, "passphrase");
    server.process.call(&server.key, "POST", "/credentials", &credential).await.expect(201);
    let body = exporter(&sshd.inbox());
    let made = server.process.call(&server.key, "POST", "/exporters", &body).await.expect(201);
    let exporter = id_of(&made.json());
    let inbox = PathBuf::from(sshd.inbox());
    let file = content(11);
    let records: String = (0..30_000).map(|n| format!("{{\"n\":{n},\"text\":\"a record\"}}\n")).collect();
    let whole = vec![file.clone(), records.clone().into_bytes()];
    let consumer = Consumer::start(inbox.clone(), whole);

    let end = FILE_BYTES as u64;
    let last = [end - 20_000, end, end + 3_000];
    let places = [500, 3_000].into_iter().chain((65_536..end).step_by(65_536)).chain(last);
    for (number, place) in places.enumerate() {
        let name = format!("file-{number}.bin");
        let path = format!("/files?file_name={name}");
        let place = relay.passed() + place;
        let run = id_of(&server.post(&exporter, &path, "text/plain", file.clone()).await);
        eventually("bytes to leave", async || {
            let over = relay.passed() >= place && !inbox.join(&name).exists();
            (over || server.run(&run).await["ended_at"].is_string()).then_some(())
        })
        .await;
        server.kill_and_start_again().await;
        server.until_done(&run).await;
        assert!(std::fs::read(inbox.join(&name)).unwrap() == file, "killed after {place} bytes");
    }
    // Records: all of them, once, in the one file.
    for lines in records.as_bytes().split_inclusive(|byte| *byte == b'\n').collect::<Vec<_>>().chunks(10_000)
    {
        server.post(&exporter, "/records", "application/x-ndjson", lines.concat()).await;
    }
    let run = id_of(&server.post(&exporter, "/runs", "application/json", Vec::new()).await);
    for place in [100_000, 400_000] {
        eventually("records to leave", async || {
            (relay.passed() >= place || server.run(&run).await["ended_at"].is_string()).then_some(())
        })
        .await;
        server.kill_and_start_again().await;
    }
    server.until_done(&run).await;
    let name = server.run(&run).await["file_name"].as_str().unwrap().to_owned();
    assert_eq!(std::fs::read_to_string(inbox.join(name)).unwrap(), records);
    assert!(consumer.end() > 0, "parts were there to be seen");
    let left: Vec<_> = names(&inbox).into_iter().filter(|name| name.starts_with('.')).collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(server.process.stop().await.success());
}

/// The benchmark pushes two gigabytes through a release build; here it is enough that the size does not show.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_larger_than_the_memory_passes_to_a_server() {
    let (host, key) = (KeyPair::generate("ed25519", ""), KeyPair::generate("ed25519", "passphrase"));
    let sshd = Sshd::start(&[&host], &key.public).await;
    let folder = Folder::new("exporter");
    let admin = admin_key(&folder).await;
    let process = Process::start(&folder, &[]).await;
    let mut server = Server { folder, key: admin, process };
    let credential = credential(sshd.port(), &host, &key, "passphrase");
    server.process.call(&server.key, "POST", "/credentials", &credential).await.expect(201);
    let body = exporter(&sshd.inbox());
    let made = server.process.call(&server.key, "POST", "/exporters", &body).await.expect(201);
    let content = content(3).repeat(250);
    let path = "/files?file_name=large.bin";
    let run = id_of(&server.post(&id_of(&made.json()), path, "text/plain", content.clone()).await);
    server.until_done(&run).await;
    assert!(std::fs::read(PathBuf::from(sshd.inbox()).join("large.bin")).unwrap() == content);
    let most = server.process.resident_bytes_max();
    assert!(most <= RESIDENT_BYTES_MAX, "{most} bytes were held");
    assert!(server.process.stop().await.success());
}
