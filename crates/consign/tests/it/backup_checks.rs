//! What is refused of a backup: damaged, made by somebody else, or changed outside.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::backups::{copy_keys, create, download, in_folder, local, with_folder};
use crate::harness::database::Kind;
use crate::harness::http::connect;
use crate::harness::page::unescape;
use crate::harness::process::{Process, admin_key};
use crate::harness::{Folder, TestConsign, eventually};
use crate::peers::Tool;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_refused_everywhere() {
    let consign = with_folder().await;
    let name = create(&consign).await;
    let whole = consign.post("/backups/checks", &json!({ "name": name })).await.expect(200).json();
    assert_eq!(
        (&whole["whole"], &whole["encryption_keys"][0]["loaded"]),
        (&json!(true), &json!(true)),
        "{whole}"
    );
    assert!(whole["message"].as_str().unwrap().contains("has every encryption key"), "{whole}");
    let file = consign.folder.join(&format!("data/backups/{name}"));
    let mut bytes = std::fs::read(&file).unwrap();
    // Behind the manifest, wherever the compressor ends its first block.
    let late = bytes.len() - 8;
    bytes[late] ^= 1;
    let damaged = consign.folder.write("damaged.tar.zst", &bytes);
    let upload = |bytes: Vec<u8>| {
        consign.call_as(
            &consign.key,
            "POST",
            "/backups/checks",
            &[("content-type", "application/zstd")],
            bytes,
        )
    };
    let found = upload(bytes.clone()).await.expect(200).json();
    assert_eq!(found["whole"], false);
    assert!(
        found["message"].as_str().unwrap().starts_with("This file cannot be restored: it is "),
        "{found}"
    );
    let other = upload(b"PK something else".to_vec()).await.expect(200).json();
    assert_eq!(other["message"], "This file cannot be restored: it is not a backup of Consign.");
    for words in [&["backup", "check", &damaged][..], &["backup", "check", "--upload", &damaged]] {
        let said = consign.run(words).await.expect(8).stderr;
        assert!(said.contains("cannot be restored: it is "), "{said}");
    }
    let kept = consign.run(&["backup", "check", "--kept", &name]).await.expect(0).stderr;
    assert!(kept.contains("This backup is whole"), "{kept}");
    let folder = Folder::new("damaged");
    copy_keys(&consign, &folder);
    local(&folder, &["backup", "restore", &damaged]).await.expect(8);
    assert!(!folder.join("data/consign.db").exists());
    let left = std::fs::read_dir(consign.folder.join("data/backups")).unwrap().count();
    assert_eq!(left, 1, "nothing that was unpacked is left");
    consign.post("/backups/checks", &json!({ "name": "../keys" })).await.expect(404);
    consign.act("/backups/..%2Fkeys/downloads").await.expect(404);
    consign.call("DELETE", "/backups/keys", &[], None).await.expect(404);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_too_large_is_told_the_limit_of_files() {
    let consign = TestConsign::on(Kind::Sqlite, |config| {
        in_folder(config);
        config.limits.export_bytes = 4_096;
    })
    .await;
    let folder = consign.folder.join("data/backups");
    std::fs::create_dir_all(&folder).unwrap();
    let send = async |bytes: usize| {
        let head = format!(
            "--xyz\r\ncontent-disposition: form-data; name=\"csrf\"\r\n\r\n{}\r\n--xyz\r\n\
             content-disposition: form-data; name=\"file\"; filename=\"a.tar.zst\"\r\n\r\n",
            consign.session.csrf
        );
        let body = [head.as_bytes(), &vec![b'x'; bytes], b"\r\n--xyz--\r\n"].concat();
        let headers = [
            ("cookie", consign.session.cookie.as_str()),
            ("content-type", "multipart/form-data; boundary=xyz"),
        ];
        consign.client.send("POST", "/settings/backup/check", &headers, body).await
    };
    let fits = unescape(&send(4_096).await.expect(200).text());
    assert!(fits.contains("This file cannot be restored: it is not a backup of Consign."), "{fits}");
    let told = unescape(&send(4_097).await.expect(413).text());
    assert!(told.contains("The file is larger than 4,096 bytes."), "{told}");
    assert!(told.contains("The limit is “Largest file in bytes” in Settings > Delivery."), "{told}");
    assert!(!told.contains("The form is larger"), "{told}");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0, "nothing of it is left");
    consign.finish().await;
}

/// However many files are sent at once, one of them is on the disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_file_is_taken_in_at_a_time() {
    let consign = with_folder().await;
    let folder = consign.folder.join("data/backups");
    std::fs::create_dir_all(&folder).unwrap();
    let files = || std::fs::read_dir(&folder).unwrap().count();
    let kind = [("content-type", "application/zstd")];
    let upload = || consign.call_as(&consign.key, "POST", "/backups/checks", &kind, "something else");
    let address = consign.address();
    let head = format!(
        "POST /api/v1/backups/checks HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
         content-type: application/zstd\r\ncontent-length: 1000\r\n\r\nhalf of it",
        consign.key
    );
    let mut slow = connect(address).await.unwrap();
    slow.write_all(head.as_bytes()).await.unwrap();
    eventually("its file", async || (files() == 1).then_some(())).await;
    let refused = upload().await.expect(429);
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert_eq!(files(), 1);
    drop(slow);
    eventually("the next one to be taken", async || (upload().await.status == 200).then_some(())).await;
    assert_eq!(files(), 0);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_made_is_refused_at_once() {
    let consign = with_folder().await;
    let name = create(&consign).await;
    let file = consign.folder.join(&format!("data/backups/{name}"));
    let folder = Folder::new("hostile");
    let unpacked = folder.join("consign.db");
    let archive = consign::archive::Archive::open(std::fs::File::open(&file).unwrap()).unwrap();
    let mut manifest = archive.extract(&mut std::fs::File::create(&unpacked).unwrap()).unwrap();
    let endless = "drop table payload_key; create view payload_key as
        with recursive c(x) as (select 1 union all select x + 1 from c)
        select x as id, 'v1.k.a.b' as sealed, 0 as created_at from c";
    rusqlite::Connection::open(&unpacked).unwrap().execute_batch(endless).unwrap();
    let hostile = folder.join("hostile.tar.zst");
    let to = std::fs::File::create(&hostile).unwrap();
    manifest = consign::archive::write(manifest, &unpacked, to, &consign::archive::Pace::default()).unwrap();
    assert!(manifest.database_bytes() > 0);
    let bytes = std::fs::read(&hostile).unwrap();
    let kind = [("content-type", "application/zstd")];
    let asked = consign.call_as(&consign.key, "POST", "/backups/checks", &kind, bytes);
    let found = tokio::time::timeout(std::time::Duration::from_secs(20), asked).await.expect("it ends");
    let found = found.expect(200).json();
    let message = found["message"].as_str().unwrap();
    assert!(message.contains("it holds a view that Consign did not make"), "{message}");
    let copy = hostile.display().to_string();
    local(&folder, &["backup", "check", &copy]).await.expect(8);
    let left = std::fs::read_dir(consign.folder.join("data/backups")).unwrap().count();
    assert_eq!(left, 1, "nothing that was unpacked is left");
    consign.finish().await;
}

/// A restore accepts that a backup is old, and nothing else: what was changed outside Consign stays locked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_blesses_nothing_that_was_changed_outside() {
    let consign = with_folder().await;
    let tool = Tool::start().await;
    consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    let invited = json!({ "email": "bo@acme.example", "role": "viewer" });
    let invited = consign.post("/users", &invited).await.expect(201).json();
    consign.canaries.shown_once("an invitation", invited["invitation"]["link"].as_str().unwrap());
    let good = create(&consign).await;
    let good = download(&consign, &good).await;
    let folder = Folder::new("blessed");
    copy_keys(&consign, &folder);
    let copy = folder.write("good.tar.zst", good);
    local(&folder, &["backup", "restore", &copy]).await.expect(0);
    let key = admin_key(&folder).await;
    let process = Process::start(&folder, &[]).await;
    let log = process.call(&key, "GET", "/audit-entries?action=Restored", &Value::Null).await.expect(200);
    let changes = log.json()["items"][0]["changes"].clone();
    assert_eq!(changes["invitations_deleted"], 1, "{changes}");
    assert!(changes["sessions_ended"].as_u64().unwrap() >= 1, "{changes}");
    let people = process.call(&key, "GET", "/users", &Value::Null).await.expect(200).json();
    assert_eq!(people["items"].as_array().unwrap().len(), 1, "{people}");
    process.stop().await;
    // This server has seen a newer state than the backup.
    let older = local(&folder, &["backup", "restore", "--replace", &copy]).await.expect(0).stderr;
    assert!(older.contains("Accepted: the database is older than this server has seen it"), "{older}");
    for part in ["Deleted invitations: 1", "People and API keys are as they were at the time of the backup"] {
        assert!(older.contains(part), "{older}");
    }
    assert!(!older.contains("changed outside Consign"), "{older}");

    consign.database.execute("update credential set name = 'other' where name = 'itsm'").await;
    let name = create(&consign).await;
    let copy = folder.write("misfit.tar.zst", download(&consign, &name).await);
    let misfit = local(&folder, &["backup", "restore", "--replace", &copy]).await.expect(0).stderr;
    assert!(
        misfit.contains("Rows that were changed outside Consign before the backup was made: 1"),
        "{misfit}"
    );
    let key = admin_key(&folder).await;
    let process = Process::start(&folder, &[]).await;
    let shown = process.call(&key, "GET", "/credentials", &Value::Null).await.expect(200).json();
    assert_eq!(shown["items"][0]["status"]["code"], "locked", "{shown}");
    process.stop().await;

    // Somebody who covers their tracks: of a database that lacks a trigger no backup is made.
    let trigger = "create trigger audit_no_delete before delete on audit
         begin select raise(abort, 'the audit log is append only'); end";
    consign.database.execute("drop trigger audit_no_delete; delete from audit where sequence = 3").await;
    let failed = consign.backup().await;
    assert!(failed["problem"].as_str().unwrap().contains("it lacks a trigger that Consign made"), "{failed}");
    consign.database.execute(trigger).await;
    let name = create(&consign).await;
    let copy = folder.write("hole.tar.zst", download(&consign, &name).await);
    let hole = local(&folder, &["backup", "restore", "--replace", &copy]).await.expect(1).stderr;
    assert!(hole.contains("does not fit at entry 3"), "{hole}");
    assert!(hole.contains("The database that was there is now"), "{hole}");
    // Whatever the restore did not do any more is done by the start that accepts the rest.
    let put_back = crate::harness::Database::sqlite(&folder);
    assert!(put_back.number("select count(*) from session").await > 0);
    assert_eq!(put_back.number("select count(*) from installation where key = 'restored'").await, 1);
    let process = Process::start(&folder, &["--accept-changes", "--accept-rollback"]).await;
    process.stop().await;
    assert_eq!(put_back.number("select count(*) from session").await, 0);
    assert_eq!(put_back.number("select count(*) from audit where stored like '%Restored backup%'").await, 1);
    consign.abandon().await;
}
