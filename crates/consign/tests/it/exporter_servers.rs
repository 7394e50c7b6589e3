//! Data exporters to a file server: whole files under their final names, and what happens where the name is taken, the
//! folder is missing or the host key changes.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::exporters::{numbers, post_once, push, start, until, until_attempted};
use crate::harness::{TestConsign, bearer, eventually, http, id_of, merge};
use crate::peers::sshd::{KeyPair, Sshd, user};
use crate::peers::{Tool, free_port};

on_both_databases!(
    records_are_a_file_on_the_server
    a_name_that_is_taken
    a_foreign_file_of_the_same_size_is_not_taken_for_ours
    a_run_whose_file_may_be_there_does_not_fail_unasked
    a_pushed_file_arrives_as_it_is
    a_changed_host_key_holds_the_exporter_until_the_pin_is_replaced
    what_a_server_does_not_do_is_said_and_tried_again
);

/// A server with one key, a credential for it, and an exporter into its inbox.
pub(crate) struct Place {
    pub(crate) sshd: Sshd,
    key: KeyPair,
    passphrase: String,
    pub(crate) exporter: String,
}

impl Place {
    pub(crate) async fn new(consign: &TestConsign, more: &Value) -> Self {
        let host = KeyPair::generate("ed25519", "");
        let passphrase = consign.canary("passphrase");
        let key = KeyPair::generate("ed25519", &passphrase);
        let sshd = Sshd::start(&[&host], &key.public).await;
        let credential = json!({
            "name": "Files", "protocol": "sftp", "hostname": sshd.hostname(), "sftp_server_fingerprint": [host.public],
            "authorization_type": "ssh_key", "username": user(), "ssh_key": key.private, "passphrase": passphrase,
        });
        consign.credential(&credential).await;
        let mut body = json!({ "name": "Nightly list", "credential": "Files", "folder": sshd.inbox(), "source": "pushed",
            "columns": [{ "name": "n" }], "file_name": "list-{run}.{ext}" });
        merge(&mut body, more);
        let exporter = id_of(&consign.post("/exporters", &body).await.expect(201).json());
        Self { sshd, key, passphrase, exporter }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(self.sshd.inbox()).join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.sshd.inbox()).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

async fn records_are_a_file_on_the_server(consign: TestConsign) {
    let place = Place::new(&consign, &json!({})).await;
    let shown = consign.get(&format!("/exporters/{}", place.exporter)).await.json();
    assert_eq!((&shown["destination"], &shown["if_exists"]), (&json!("sftp"), &json!("fail")));
    assert!(shown.get("path").is_none() && shown.get("method").is_none(), "{shown}");
    push(&consign, &place.exporter, &numbers(0..3)).await;
    let first = start(&consign, &place.exporter).await;
    let done = until(&consign, &first, "done").await;
    assert_eq!((&done["file_name"], &done["sent_records"]), (&json!("list-0001.csv"), &json!(3)));
    assert_eq!(done["message"], "Sent list-0001.csv, 3 records, 8 bytes.");
    let steps: Vec<_> = done["steps"].as_array().unwrap().iter().map(|step| step["step"].clone()).collect();
    assert_eq!(steps, ["collect", "write", "upload", "check", "rename"]);
    assert!(done["steps"].as_array().unwrap().iter().all(|step| step["state"] == "done"), "{done}");
    assert_eq!(place.read("list-0001.csv"), "n\n0\n1\n2\n");
    let credential = consign.get("/credentials/Files").await.json();
    assert_eq!(credential["status"]["code"], "working", "it was used");
    assert!(consign.metrics().await.contains("consign_exporter_rows_total 3"));

    // Compressed, with a size that is known only at its end.
    let path = format!("/exporters/{}", place.exporter);
    consign
        .patch(&path, &json!({ "compression": "gzip", "format": "ndjson", "columns": [] }))
        .await
        .expect(200);
    push(&consign, &place.exporter, &numbers(3..5)).await;
    let second = start(&consign, &place.exporter).await;
    assert_eq!(until(&consign, &second, "done").await["file_name"], "list-0002.ndjson.gz");
    let mut text = String::new();
    let file = std::fs::File::open(place.path("list-0002.ndjson.gz")).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut text).unwrap();
    assert_eq!(text, "{\"n\":3}\n{\"n\":4}\n");
    // Without records there is no file, unless one is asked for.
    until(&consign, &start(&consign, &place.exporter).await, "done").await;
    assert_eq!(place.names(), ["list-0001.csv", "list-0002.ndjson.gz"]);
    let empty = json!({ "when_empty": "send", "compression": "none", "format": "json" });
    consign.patch(&path, &empty).await.expect(200);
    until(&consign, &start(&consign, &place.exporter).await, "done").await;
    assert_eq!(place.read("list-0004.json"), "[]");
    consign.finish().await;
}

async fn a_name_that_is_taken(consign: TestConsign) {
    let place = Place::new(&consign, &json!({ "file_name": "list.csv" })).await;
    let path = format!("/exporters/{}", place.exporter);
    std::fs::write(place.path("list.csv"), "theirs").unwrap();
    push(&consign, &place.exporter, &numbers(0..1)).await;
    let failed = start(&consign, &place.exporter).await;
    let failed = until(&consign, &failed, "failed").await;
    assert_eq!(
        (&failed["message"], &failed["last_outcome"], &failed["records_in_next_run"]),
        (&json!("A file of that name exists already."), &json!("exists"), &json!(true))
    );
    assert_eq!(place.read("list.csv"), "theirs");
    // The same size as ours would have is no sign that it is ours.
    std::fs::write(place.path("list.csv"), "n\n9\n").unwrap();
    let failed = start(&consign, &place.exporter).await;
    until(&consign, &failed, "failed").await;

    consign.patch(&path, &json!({ "if_exists": "number" })).await.expect(200);
    let numbered = start(&consign, &place.exporter).await;
    let done = until(&consign, &numbered, "done").await;
    assert_eq!((&done["file_name"], &done["sent_records"]), (&json!("list-2.csv"), &json!(1)));
    assert_eq!(place.read("list-2.csv"), "n\n0\n", "what the failed runs owed");
    push(&consign, &place.exporter, &numbers(1..2)).await;
    let third = start(&consign, &place.exporter).await;
    assert_eq!(until(&consign, &third, "done").await["file_name"], "list-3.csv");

    consign.patch(&path, &json!({ "if_exists": "replace" })).await.expect(200);
    push(&consign, &place.exporter, &numbers(2..4)).await;
    until(&consign, &start(&consign, &place.exporter).await, "done").await;
    assert_eq!(place.read("list.csv"), "n\n2\n3\n");
    assert_eq!(place.names(), ["list-2.csv", "list-3.csv", "list.csv"], "no part is left");
    consign.finish().await;
}

async fn a_pushed_file_arrives_as_it_is(consign: TestConsign) {
    let place = Place::new(&consign, &json!({ "if_exists": "number" })).await;
    let content: Vec<u8> = (0..1_500_000_u32).map(|n| (n % 251) as u8).collect();
    let path = format!("/exporters/{}/files?file_name=devices.tar", place.exporter);
    for expected in ["devices.tar", "devices-2.tar"] {
        let pushed = post_once(&consign, &path, "application/x-tar", content.clone()).await.expect(202);
        let done = until(&consign, &id_of(&pushed.json()), "done").await;
        assert_eq!((&done["file_name"], &done["sent_bytes"]), (&json!(expected), &json!(1_500_000)));
        assert!(std::fs::read(place.path(expected)).unwrap() == content);
        let digest = done["file"]["sha256"].as_str().unwrap();
        assert!(done["log"].to_string().contains(digest), "what was sent is what was pushed: {done}");
    }
    // One that breaks off on its way in is no run; the same request again is, once.
    let cut = format!("/api/v1/exporters/{}/files?file_name=cut.bin", place.exporter);
    let head = format!(
        "POST {cut} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\nidempotency-key: cut\r\n\
         content-type: text/plain\r\ncontent-length: {}\r\n\r\n",
        consign.address(),
        consign.key,
        content.len()
    );
    let mut stream = http::connect(consign.address()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&content[..700_000]).await.unwrap();
    drop(stream);
    let runs = format!("/exporters/{}/runs", place.exporter);
    assert_eq!(consign.all(&runs).await.len(), 2);
    let headers = [("idempotency-key", "cut"), ("content-type", "text/plain")];
    let path = format!("/exporters/{}/files?file_name=cut.bin", place.exporter);
    let again = eventually("the key to be free again", async || {
        let again = consign.call_as(&consign.key, "POST", &path, &headers, content.clone()).await;
        (again.status != 409).then_some(again)
    })
    .await;
    let id = id_of(&again.expect(202).json());
    let again = consign.call_as(&consign.key, "POST", &path, &headers, content.clone()).await.expect(202);
    assert_eq!(id_of(&again.json()), id);
    until(&consign, &id, "done").await;
    assert!(std::fs::read(place.path("cut.bin")).unwrap() == content);
    assert_eq!(consign.all(&runs).await.len(), 3);

    let path = format!("/exporters/{}/files?file_name=devices.tar", place.exporter);
    let exporter = format!("/exporters/{}", place.exporter);
    consign.patch(&exporter, &json!({ "compression": "zstd" })).await.expect(200);
    let pushed = post_once(&consign, &path, "application/x-tar", content.clone()).await.expect(202);
    let done = until(&consign, &id_of(&pushed.json()), "done").await;
    assert_eq!(done["file_name"], "devices.tar.zst");
    let file = std::fs::read(place.path("devices.tar.zst")).unwrap();
    assert!(zstd::decode_all(&file[..]).unwrap() == content);
    let long = format!("/exporters/{}/files?file_name={}", place.exporter, "x".repeat(198));
    let refused = post_once(&consign, &long, "text/plain", "x").await.expect(422).json();
    assert_eq!(refused["errors"][0]["pointer"], "/file_name", "with .zst it is too long");
    consign.finish().await;
}

async fn a_changed_host_key_holds_the_exporter_until_the_pin_is_replaced(mut consign: TestConsign) {
    let mut place = Place::new(&consign, &json!({})).await;
    let path = format!("/exporters/{}", place.exporter);
    push(&consign, &place.exporter, &numbers(0..1)).await;
    until(&consign, &start(&consign, &place.exporter).await, "done").await;
    let new = KeyPair::generate("ed25519", "");
    place.sshd.change_keys(&[&new]).await;
    // The session with the old server would still stand.
    consign.restart().await;
    let sign_ins = place.sshd.sign_ins();
    push(&consign, &place.exporter, &numbers(1..2)).await;
    let waiting = start(&consign, &place.exporter).await;
    let held = consign.until_shows(&path, "/state", "held").await;
    assert_eq!(held["hold_reason"], "host_key_changed");
    let credential = consign.get("/credentials/Files").await.json();
    assert_eq!(
        (&credential["status"]["code"], &credential["status"]["label"]),
        (&json!("host_key_changed"), &json!("Host key changed"))
    );
    let shown = until(&consign, &waiting, "waiting").await;
    assert_eq!((&shown["hold_reason"], &shown["attempts"]), (&json!("host_key_changed"), &json!(0)));
    // However long it takes, nothing is offered to the other server: another run that is due then, and is done, tells that
    // this one had its chance.
    consign.advance(Duration::from_secs(7_200));
    let (tool, token) = (Tool::start().await, consign.canary("token-of-the-lake"));
    consign.credential(&bearer("Lake", &tool.origin(), &token)).await;
    let body = json!({ "name": "Beside", "credential": "Lake", "path": "/bulk", "source": "pushed", "format": "ndjson" });
    let beside = id_of(&consign.post("/exporters", &body).await.expect(201).json());
    push(&consign, &beside, &numbers(0..1)).await;
    until(&consign, &start(&consign, &beside).await, "done").await;
    assert_eq!(place.sshd.sign_ins(), sign_ins);
    assert_eq!(place.names(), ["list-0001.csv"]);

    let pins = json!({ "sftp_server_fingerprint": [new.public], "ssh_key": place.key.private,
        "passphrase": place.passphrase, "host_keys_compared_with": "ticket 7" });
    consign.patch("/credentials/Files", &pins).await.expect(200);
    until(&consign, &waiting, "done").await;
    assert_eq!(place.read("list-0002.csv"), "n\n1\n");
    assert_eq!(consign.get(&path).await.json()["state"], "active");
    consign.finish().await;
}

/// A file of the same size is ours only where ours may have got its name, and was written when ours was.
async fn a_foreign_file_of_the_same_size_is_not_taken_for_ours(consign: TestConsign) {
    let place = Place::new(&consign, &json!({ "file_name": "list.csv" })).await;
    let path = format!("/exporters/{}", place.exporter);
    for (number, tried, state) in [
        (1, "", "failed"),
        (2, ", made_bytes = 4, made_at = 1", "failed"),
        (3, ", made_bytes = 4, made_at = 1000000000", "done"),
    ] {
        let folder = place.path(&format!("later-{number}"));
        consign.patch(&path, &json!({ "folder": folder })).await.expect(200);
        push(&consign, &place.exporter, &numbers(0..1)).await;
        let id = start(&consign, &place.exporter).await;
        until_attempted(&consign, &id, 1).await;
        let sql = format!("update run set file_name = 'list.csv'{tried} where id = '{id}'");
        consign.database.execute(&sql).await;
        std::fs::create_dir(&folder).unwrap();
        let foreign = folder.join("list.csv");
        std::fs::write(&foreign, "n\n9\n").unwrap();
        let written = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        std::fs::File::options().write(true).open(&foreign).unwrap().set_modified(written).unwrap();
        consign.advance(Duration::from_secs(3_600));
        let run = until(&consign, &id, state).await;
        assert_eq!(std::fs::read_to_string(&foreign).unwrap(), "n\n9\n", "{run}");
    }
    consign.finish().await;
}

/// Where nobody knows whether a file has its name, its records do not go with another run: the server is asked again.
async fn a_run_whose_file_may_be_there_does_not_fail_unasked(consign: TestConsign) {
    let (host, passphrase) = (KeyPair::generate("ed25519", ""), consign.canary("passphrase"));
    let key = KeyPair::generate("ed25519", &passphrase);
    let credential = json!({
        "name": "Files", "protocol": "sftp", "hostname": format!("sftp://127.0.0.1:{}/", free_port()),
        "sftp_server_fingerprint": [host.public], "authorization_type": "ssh_key", "username": user(),
        "ssh_key": key.private, "passphrase": passphrase,
    });
    consign.credential(&credential).await;
    let body = json!({ "name": "List", "credential": "Files", "folder": "in", "source": "pushed",
        "columns": [{ "name": "n" }], "file_name": "list.csv" });
    let exporter = id_of(&consign.post("/exporters", &body).await.expect(201).json());
    for (tried, state) in [("", "failed"), (", made_bytes = 4, made_at = 1", "waiting")] {
        push(&consign, &exporter, &numbers(0..1)).await;
        let id = start(&consign, &exporter).await;
        // While it is tried, what is written here would be written over.
        until_attempted(&consign, &id, 1).await;
        let lines = |run: &Value| run["log"].as_array().unwrap().len();
        let mut before = 0;
        let run = eventually("the last attempt", async || {
            let run = consign.get(&format!("/runs/{id}")).await.expect(200).json();
            if run["state"] == "waiting" && run["attempts"] != 99 {
                // The last of its attempts is next.
                let sql =
                    format!("update run set file_name = 'list.csv', attempts = 99{tried} where id = '{id}'");
                consign.database.execute(&sql).await;
                consign.advance(Duration::from_secs(86_400));
                before = lines(&run);
                return None;
            }
            (run["state"] != "running" && lines(&run) > before).then_some(run)
        })
        .await;
        assert_eq!(run["state"], state, "{run}");
        if state == "waiting" {
            assert_eq!(run["records_in_next_run"], false, "{run}");
            consign.act(&format!("/runs/{id}/cancellation")).await.expect(200);
        }
    }
    consign.finish().await;
}

async fn what_a_server_does_not_do_is_said_and_tried_again(consign: TestConsign) {
    let place = Place::new(&consign, &json!({})).await;
    let path = format!("/exporters/{}", place.exporter);
    let gone = format!("{}/gone", place.sshd.inbox());
    consign.patch(&path, &json!({ "folder": gone })).await.expect(200);
    push(&consign, &place.exporter, &numbers(0..1)).await;
    let id = start(&consign, &place.exporter).await;
    let waiting = until_attempted(&consign, &id, 1).await;
    assert_eq!(waiting["message"], "The server cannot find the folder: no such file or folder.");
    std::fs::create_dir(&gone).unwrap();
    consign.advance(Duration::from_secs(3_600));
    until(&consign, &id, "done").await;
    assert_eq!(place.read("gone/list-0001.csv"), "n\n0\n");

    // What is for the other protocol is refused in words.
    let (tool, token) = (Tool::start().await, consign.canary("token-of-the-lake"));
    let lake = consign.credential(&bearer("Lake", &tool.origin(), &token)).await;
    for (body, sentence) in [
        (json!({ "path": "/x" }), "“Files” is for SFTP. Method and path belong to HTTPS"),
        (json!({ "folder": "a/../b" }), "Folder must not include .."),
        (json!({ "file_name": "../x" }), "File name must not include / or start with a dot"),
    ] {
        let refused = consign.patch(&path, &body).await.expect(422).json();
        assert_eq!(refused["errors"][0]["message"], sentence);
    }
    let moved = json!({ "credential": lake, "path": "/bulk" });
    let moved = consign.patch(&path, &moved).await.expect(200).json();
    assert_eq!((&moved["destination"], moved.get("folder")), (&json!("https"), None));
    let preview = json!({ "name": "Nightly list", "credential": "Files", "source": "pushed", "columns": [{ "name": "n" }],
        "folder": "in" });
    let preview = consign.post("/exporters/preview", &preview).await.expect(200).json();
    assert!(preview["file_name"].as_str().unwrap().starts_with("nightly-list-"), "{preview}");
    consign.finish().await;
}
