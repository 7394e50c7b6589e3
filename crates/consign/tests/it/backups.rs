//! Backups: made while events arrive, checked, carried away, and put back elsewhere; what is damaged or sealed with
//! another key is refused, and nothing secret can be read in one.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use consign::config::{Config, Source};
use consign_core::vault::RingKey;
use serde_json::{Value, json};

use crate::harness::database::Kind;
use crate::harness::process::{Process, admin_key, free_address, options};
use crate::harness::{Cli, Folder, Ran, TestConsign, basic, eventually, id_of, merge};
use crate::peers::Tool;

const DAY_SECONDS: u64 = 86_400;

pub(crate) fn in_folder(config: &mut Config) {
    config.backup.dir = Some(config.data.dir.join("backups"));
    config.backup.keep = 3;
    config.sources.insert("backup.dir", Source::File);
}

pub(crate) async fn with_folder() -> TestConsign {
    TestConsign::on(Kind::Sqlite, in_folder).await
}

pub(crate) async fn create(consign: &TestConsign) -> String {
    let operation = consign.backup().await;
    let made = &operation["result"];
    assert_eq!(made["left_out"], "Not in the backup: the encryption key. Keep it separately", "{operation}");
    made["name"].as_str().unwrap().to_owned()
}

/// The types of what is told at present.
async fn notices(consign: &TestConsign) -> Vec<String> {
    consign.look_for_notices().await;
    let shown = consign.get("/notifications").await.expect(200).json();
    let all = shown["notices"].as_array().unwrap().iter();
    all.map(|notice| notice["type"].as_str().unwrap().to_owned()).collect()
}

pub(crate) async fn download(consign: &TestConsign, name: &str) -> Vec<u8> {
    let reply = consign.act(&format!("/backups/{name}/downloads")).await.expect(200);
    assert_eq!(reply.header("content-type"), Some("application/zstd"));
    reply.body.to_vec()
}

/// The program over a data folder of its own.
pub(crate) async fn local(folder: &Folder, words: &[&str]) -> Ran {
    let command = options(folder, free_address())
        .iter()
        .fold(Cli::new(folder.path(), words), |command, (name, value)| command.env(name, value));
    command.run().await
}

pub(crate) fn copy_keys(from: &TestConsign, to: &Folder) {
    let keys = std::fs::read(from.folder.join("data/keys")).unwrap();
    std::fs::create_dir_all(to.join("data")).unwrap();
    to.write("data/keys", keys);
    std::fs::set_permissions(to.join("data/keys"), std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_while_events_arrive_and_restored_elsewhere() {
    let consign = with_folder().await;
    let tool = Tool::start().await;
    let mut with_header = basic("basic", &tool.origin(), "consign", &consign.canary("password"));
    let headers = [json!({ "name": "X-Key", "value": consign.canary("header") })];
    merge(&mut with_header, &json!({ "custom_headers": headers }));
    consign.credential(&with_header).await;
    consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    let payload = consign.canary("payload");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let sending = async {
        let mut sent = 0;
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            consign.event("device.low", &json!({ "text": payload })).await;
            sent += 1;
        }
        sent
    };
    let making = async {
        let names = [create(&consign).await, create(&consign).await];
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        names
    };
    let (sent, [_, name]) = tokio::join!(sending, making);
    assert!(sent > 0, "events arrived meanwhile");
    consign.until_idle().await;
    let file = consign.folder.join(&format!("data/backups/{name}"));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    // Elsewhere, with a copy of the key ring.
    let folder = Folder::new("restored");
    let bytes = download(&consign, &name).await;
    let copy = folder.write(&name, &bytes);
    let checked = local(&folder, &["backup", "check", &copy, "--json"]).await.expect(0).json();
    let unlocked = local(&folder, &["backup", "restore", &copy]).await.expect(1).stderr;
    assert!(unlocked.contains("there is no encryption key at"), "{unlocked}");
    copy_keys(&consign, &folder);
    let restored = local(&folder, &["backup", "restore", &copy]).await.expect(0).stderr;
    assert!(restored.contains("Restored the backup"), "{restored}");
    let again = local(&folder, &["backup", "restore", &copy]).await.expect(1).stderr;
    assert!(again.contains("is there already") && again.contains("--replace"), "{again}");
    let key = admin_key(&folder).await;
    let process = Process::start(&folder, &[]).await;
    let all = process.call(&key, "POST", "/encryption-keys/checks", &Value::Null).await.expect(200).json();
    assert_eq!(all["failed"], 0, "{all}");
    assert!(all["checked"].as_u64().unwrap() >= 5, "{all}");
    let listed = process.call(&key, "GET", "/credentials?count=true", &Value::Null).await.expect(200).json();
    assert_eq!(listed["count"], checked["counts"]["credential"], "{checked}");
    let events = process.call(&key, "GET", "/events?count=true", &Value::Null).await.expect(200).json();
    assert_eq!(events["count"], checked["counts"]["event"], "{checked}");
    let log = process.call(&key, "GET", "/audit-entries?action=Restored", &Value::Null).await.expect(200);
    assert_eq!(log.json()["items"][0]["changes"]["made_at"], checked["made_at"]);
    process.call(&key, "POST", "/audit-entries/verification", &Value::Null).await.expect(200);
    let busy = local(&folder, &["backup", "restore", "--replace", &copy]).await.expect(1).stderr;
    assert!(busy.contains("A running Consign uses the data folder"), "{busy}");
    process.stop().await;
    let replaced = local(&folder, &["backup", "restore", "--replace", &copy]).await.expect(0).stderr;
    assert!(replaced.contains("The database that was there is now"), "{replaced}");
    let process = Process::start(&folder, &[]).await;
    process.call(&consign.key, "GET", "/credentials", &Value::Null).await.expect(200);
    process.stop().await;

    // Nothing in it that was planted.
    let tar = zstd::decode_all(bytes.as_slice()).unwrap();
    consign.shown_elsewhere("the backup", tar);
    consign.shown_elsewhere("the output of restore", restored + &replaced + &unlocked);
    consign.finish().await;
}

/// Whoever steals a backup has no key: the server that is started on it stays locked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_key_a_backup_stays_locked() {
    let consign = with_folder().await;
    let tool = Tool::start().await;
    consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    let name = create(&consign).await;
    let folder = Folder::new("stolen");
    let copy = folder.write(&name, download(&consign, &name).await);
    let other = RingKey::generate();
    std::fs::create_dir_all(folder.join("data")).unwrap();
    folder.write("data/keys", other.line().as_bytes());
    std::fs::set_permissions(folder.join("data/keys"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let needed = consign.get("/encryption-keys").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    let refused = local(&folder, &["backup", "restore", &copy]).await.expect(1).stderr;
    assert!(refused.contains(&format!("it needs {needed}")) && refused.contains(other.id()), "{refused}");
    assert!(!folder.join("data/consign.db").exists(), "nothing was changed");
    let tar = zstd::decode_all(std::fs::File::open(&copy).unwrap()).unwrap();
    let mut child = std::process::Command::new("tar")
        .args(["-x", "-f", "-", "-C"])
        .arg(folder.join("data"))
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), &tar).unwrap();
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    let process = Process::start(&folder, &[]).await;
    for path in ["/credentials", "/encryption-keys", "/backups"] {
        let locked = process.call(&consign.key, "GET", path, &Value::Null).await.expect(503);
        assert_eq!(locked.json()["code"], "locked");
        assert!(!locked.text().contains("itsm"));
    }
    process.stop().await;
    consign.finish().await;
}

/// The entry comes first; what could not be removed then goes at the next start, and nothing that somebody else names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_deleted_when_the_log_says_so() {
    let mut consign = with_folder().await;
    let (first, second) = (create(&consign).await, create(&consign).await);
    let path = |name: &str| consign.folder.join(&format!("data/backups/{name}"));
    let (one, other) = (path(&first), path(&second));
    let refuse = "create trigger refuse before insert on audit begin select raise(abort, 'no'); end";
    consign.database.execute(refuse).await;
    consign.call("DELETE", &format!("/backups/{first}"), &[], None).await.expect(500);
    assert!(one.exists(), "without an entry it stays");
    consign.database.execute("drop trigger refuse").await;
    // Something in its place that cannot be removed as a file.
    std::fs::remove_file(&one).unwrap();
    std::fs::create_dir(&one).unwrap();
    let refused = consign.call("DELETE", &format!("/backups/{first}"), &[], None).await.expect(409);
    assert!(refused.text().contains("tried again when the server starts"), "{}", refused.text());
    let entries = consign.all("/audit-entries?action=Deleted%20backup").await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    std::fs::remove_dir(&one).unwrap();
    std::fs::write(&one, "it is back").unwrap();
    let forged = format!("insert into installation values ('backup_going/{second}', 'forged')");
    consign.database.execute(&forged).await;
    consign.restart().await;
    assert!(!one.exists() && other.exists());
    let left = "select count(*) from installation where key like 'backup_going/%'";
    assert_eq!(consign.database.number(left).await, 1, "what somebody else wrote");
    consign.database.execute("delete from installation where value = 'forged'").await;
    consign.finish().await;
}

/// As one is that was killed between the name of its file and its entry. What the log knows stays, whoever says otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_without_an_entry_is_none() {
    let mut consign = with_folder().await;
    let file = consign.database.sqlite_file().unwrap().to_owned();
    let fill = "insert into installation with recursive n(i) as (select 1 union all select i + 1 from n where i < 500)
         select 'filler/' || i, hex(randomblob(32768)) from n";
    consign.database.execute(fill).await;
    let begin = async || {
        let begun = eventually("the one before to be done with", async || {
            let reply = consign.act("/backups").await;
            (reply.status == 202).then(|| id_of(&reply.json()))
        })
        .await;
        let noted = eventually("its note", async || {
            let db = rusqlite::Connection::open(&file).unwrap();
            let text = "select key, value from installation where key like 'backup_coming/%'";
            db.query_row(text, [], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).ok()
        })
        .await;
        (format!("/operations/{begun}"), noted)
    };
    let (good, note) = begin().await;
    consign.until_shows(&good, "/state", "done").await;
    let notes = "select count(*) from installation where key like 'backup_coming/%'";
    assert_eq!(consign.database.number(notes).await, 0);

    let (failed, coming) = begin().await;
    let refuse = "create trigger refuse before delete on installation when old.key like 'backup_coming/%'
         begin select raise(abort, 'no'); end";
    consign.database.execute(refuse).await;
    consign.until_shows(&failed, "/state", "failed").await;
    let path = |key: &str| consign.folder.join(&format!("data/backups/{}", &key["backup_coming/".len()..]));
    let (kept, lost) = (path(&note.0), path(&coming.0));
    assert!(kept.exists() && !lost.exists(), "a file without an entry does not stay");
    assert_eq!(consign.database.number(notes).await, 1);
    // Killed before that: the file is there, and so is the note. One note is put back, and one made up.
    std::fs::write(&lost, "without an entry").unwrap();
    let other = consign.folder.join("data/backups/consign-20200101T000000000Z.tar.zst");
    std::fs::write(&other, "of somebody").unwrap();
    let more = format!(
        "drop trigger refuse; delete from installation where key like 'filler/%';
         insert into installation values ('{}', '{}');
         insert into installation values ('backup_coming/consign-20200101T000000000Z.tar.zst', 'forged');",
        note.0, note.1
    );
    consign.database.execute(&more).await;
    consign.restart().await;
    assert!(kept.exists(), "the log knows it");
    assert!(!lost.exists());
    assert!(other.exists(), "nobody proved that");
    assert_eq!(consign.database.number(notes).await, 1, "what somebody else wrote");
    let entries = consign.all("/audit-entries?action=Created%20backup").await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    consign.database.execute("delete from installation where value = 'forged'").await;
    consign.finish().await;
}

/// A file of somebody else is looked at as such: nothing in it runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backups_come_by_themselves_and_old_ones_go() {
    let mut consign = TestConsign::on(Kind::Sqlite, |config| {
        in_folder(config);
        config.backup.keep = 2;
    })
    .await;
    let names = async || {
        let listed = consign.get("/backups").await.expect(200).json();
        listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert!(names().await.is_empty());
    let mut seen: Vec<String> = Vec::new();
    for day in 1..=3 {
        consign.advance(std::time::Duration::from_secs(DAY_SECONDS));
        let found = eventually("a backup of the day, and the newest two to stay", async || {
            let found = names().await;
            (found.first() != seen.first() && found.len() == day.min(2)).then_some(found)
        })
        .await;
        seen = found;
    }
    let listed = consign.get("/backups").await.expect(200).json();
    assert!(listed["last_success_at"].is_string() && listed["next_at"].is_string(), "{listed}");
    let metrics = consign.metrics().await;
    let line =
        metrics.lines().find(|line| line.starts_with("consign_backup_last_success_timestamp_seconds "));
    assert!(line.unwrap().split(' ').nth(1).unwrap().parse::<f64>().unwrap() > 1e9);
    let entries = consign.all("/audit-entries?action=Created%20backup").await;
    assert_eq!((entries.len(), &entries[0]["actor"]), (3, &json!("Consign")));
    // The one that went because it is old stands there, too.
    let gone = consign.all("/audit-entries?action=Deleted%20backup").await;
    assert_eq!((gone.len(), &gone[0]["actor"]), (1, &json!("Consign")), "{gone:?}");
    assert_eq!(gone[0]["object"], entries[2]["object"]);
    assert_eq!(gone[0]["changes"], json!({ "backup.keep": 2 }));
    // What a crash left of a restore or a check.
    let left = consign.folder.join("data/.consign-req_left");
    std::fs::write(&left, "a whole copy").unwrap();
    consign.restart().await;
    assert!(!left.exists());
    assert_eq!(consign.get("/backups").await.json()["last_success_at"], listed["last_success_at"]);

    // A folder that cannot be written is said, and is worth a banner after two days.
    let folder = consign.folder.join("data/backups");
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    let refused = consign.act("/backups").await.expect(409).json();
    let detail = refused["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("No backup was made: the folder") && detail.contains("backup.dir"),
        "{detail}"
    );
    let page = consign.page("/").await.expect(200).text();
    assert!(!page.contains("No backup for") && page.contains("The last backup was not made: "), "{page}");
    assert_eq!(notices(&consign).await, ["consign.server.backup_failed"]);
    // The clock went back with the restart: three days to where it was, and three more.
    consign.advance(std::time::Duration::from_secs(6 * DAY_SECONDS + 3_600));
    consign.session = consign.sign_in_again().await;
    let page = consign.page("/").await.expect(200).text();
    assert!(page.contains("No backup for 3 days"), "{page}");
    assert_eq!(notices(&consign).await, ["consign.server.backup_overdue"]);
    let page = consign.page("/settings/backup").await.expect(200).text();
    assert!(page.contains("The last backup was not made"), "{page}");
    std::fs::remove_file(&folder).unwrap();
    create(&consign).await;
    eventually("the banner to go", async || {
        let page = consign.page("/").await.expect(200).text();
        (!page.contains("No backup for") && !page.contains("was not made")).then_some(())
    })
    .await;
    assert!(notices(&consign).await.is_empty());
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_makes_checks_gives_away_and_deletes() {
    let consign = with_folder().await;
    let page = consign.page("/settings/backup").await.expect(200).text();
    assert!(page.contains("Not in the backup: the encryption key. Keep it separately."), "{page}");
    let reply = consign.submit("/settings/backup", &[]).await.expect(303);
    assert!(reply.location().starts_with("/operations/op_"), "{}", reply.location());
    let page = eventually("the backup to be made", async || {
        let page = consign.follow(&reply).await.expect(200).text();
        (!page.contains("data-poll")).then_some(page)
    })
    .await;
    assert!(page.contains("consign-20") && page.contains("Keep it separately"), "{page}");
    let name = consign.get("/backups").await.json()["items"][0]["name"].as_str().unwrap().to_owned();
    let checked = consign.submit("/settings/backup/check", &[("name", &name)]).await.expect(200).text();
    assert!(checked.contains("This backup is whole."), "{checked}");
    let at = format!("/settings/backup/{name}/download");
    let form = consign.form(&at, "password").await;
    let wrong = consign.send_form(&form.clone().set("password", "not the password")).await.expect(422).text();
    assert!(wrong.contains("The password is not right"), "{wrong}");
    let file = consign.send_form(&form.set("password", &consign.password.clone())).await.expect(200);
    assert_eq!(file.header("content-disposition"), Some(&*format!("attachment; filename=\"{name}\"")));
    assert_eq!(file.body, std::fs::read(consign.folder.join(&format!("data/backups/{name}"))).unwrap());

    let send = async |csrf: &str, bytes: &[u8]| {
        let head = format!(
            "--xyz\r\ncontent-disposition: form-data; name=\"csrf\"\r\n\r\n{csrf}\r\n--xyz\r\n\
             Content-Disposition: form-data; name=\"file\"; filename=\"<b>.tar.zst\"\r\n\r\n"
        );
        let body = [head.as_bytes(), bytes, b"\r\n--xyz--\r\n"].concat();
        let headers = [
            ("cookie", consign.session.cookie.as_str()),
            ("content-type", "multipart/form-data; boundary=xyz"),
        ];
        consign.client.send("POST", "/settings/backup/check", &headers, body).await
    };
    let checked = send(&consign.session.csrf, &file.body).await.expect(200).text();
    assert!(checked.contains("This backup is whole."), "{checked}");
    send("another", &file.body).await.expect(403);
    let damaged = send(&consign.session.csrf, &file.body[..500]).await.expect(200).text();
    assert!(damaged.contains("This file cannot be restored"), "{damaged}");
    let entries = consign.all("/audit-entries?action=backup").await;
    let actions: Vec<_> = entries.iter().rev().map(|entry| entry["action"].as_str().unwrap()).collect();
    let expected =
        ["Created backup", "Checked backup", "Downloaded backup", "Checked backup", "Checked backup"];
    assert_eq!(actions, expected);

    consign.submit(&format!("/settings/backup/{name}/delete"), &[]).await.expect(303);
    assert!(!consign.folder.join(&format!("data/backups/{name}")).exists());
    let listed = consign.run(&["backup", "list"]).await.expect(0);
    assert!(listed.stderr.contains("There is no backup."), "{}", listed.stderr);
    let to = consign.folder.join("mine.tar.zst").display().to_string();
    consign.run(&["backup", "create", "--output", &to]).await.expect(0);
    consign.run(&["backup", "check", &to]).await.expect(0);
    assert_eq!(std::fs::metadata(Path::new(&to)).unwrap().permissions().mode() & 0o777, 0o600);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_folder_and_on_postgresql_it_says_what_to_do() {
    let consign = TestConsign::start().await;
    let refused = consign.run(&["backup", "create"]).await.expect(6).stderr;
    assert!(refused.contains("Set backup.dir in the configuration and restart"), "{refused}");
    assert!(
        consign.page("/settings/backup").await.expect(200).text().contains("No folder for backups is set")
    );
    consign.finish().await;
    let consign = TestConsign::on_postgres().await;
    let refused = consign.run(&["backup", "create"]).await.expect(6).stderr;
    assert!(refused.contains("pg_dump --format=custom --file=consign.dump"), "{refused}");
    let listed = consign.get("/backups").await.expect(200).json();
    assert_eq!(listed["manifest"]["counts"]["users"], 1, "{listed}");
    let key = consign.get("/encryption-keys").await.json()["items"][0]["id"].clone();
    assert_eq!(listed["manifest"]["encryption_keys"], json!([key]));
    let page = consign.page("/settings/backup").await.expect(200).text();
    assert!(page.contains("pg_dump") && page.contains("encryption_keys"), "{page}");
    consign.finish().await;
}

/// A database that takes a while: it is told how far it is, it can be stopped, and nothing of it stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_is_an_operation_that_can_be_stopped() {
    let mut consign = with_folder().await;
    consign
        .database
        .execute(
            "insert into event
                 (id, event_type, source, source_id, time, content_type, received_at, received_from, test, deliveries,
                  payload_key, sealed_data)
             with recursive n(i) as (select 1 union all select i + 1 from n where i < 4000)
             select 'evt_filler_' || i, 'filler', 'filler', i, 0, 'text/plain', 0, 'filler', 0, 0, 0,
                    randomblob(65536)
             from n",
        )
        .await;
    let started = consign.act("/backups").await.expect(202);
    let operation = id_of(&started.json());
    let path = format!("/operations/{operation}");
    assert_eq!(started.header("location"), Some(format!("/api/v1{path}").as_str()));
    let refused = consign.act("/backups").await.expect(409).json();
    assert!(refused["detail"].as_str().unwrap().starts_with("A backup is being made now"), "{refused}");
    let viewer = consign.make_key(&["deliveries:operate", "deliveries:read"]).await;
    consign.call_as(&viewer, "DELETE", &path, &[], "").await.expect(403);
    consign.call_as(&viewer, "GET", &path, &[], "").await.expect(403);
    let seen = consign.call_as(&viewer, "GET", "/operations", &[], "").await.expect(200).json();
    assert_eq!(seen["items"], json!([]), "who may not make backups does not see them");
    let shown = eventually("some progress", async || {
        let shown = consign.get(&path).await.expect(200).json();
        assert_eq!(shown["state"], "running", "it is too fast to be stopped: {shown}");
        (shown["done"].as_u64() > Some(0)).then_some(shown)
    })
    .await;
    assert_eq!((&shown["kind"], &shown["unit"]), (&json!("backup"), &json!("bytes")), "{shown}");
    assert!(shown["total"].as_u64() > Some(500_000_000) && shown["step"].is_string(), "{shown}");
    let page = consign.page(&path).await.expect(200).text();
    assert!(page.contains("data-poll") && page.contains(&format!("{path}/stop")), "{page}");
    let stopped = consign.run(&["operation", "stop", &operation]).await.expect(0).stderr;
    assert!(stopped.contains("No backup was made: it was stopped at"), "{stopped}");
    let folder = consign.folder.join("data/backups");
    eventually("what was begun to go", async || {
        (std::fs::read_dir(&folder).unwrap().count() == 0).then_some(())
    })
    .await;
    let listed = consign.get("/backups").await.expect(200).json();
    assert!(listed["last_failure"].is_null() && listed["last_success_at"].is_null(), "{listed}");
    let audited = consign.all("/audit-entries?action=Stopped%20backup").await;
    assert_eq!(audited.len(), 1);

    // One that the end of the server cut off has come to nothing, and says so.
    consign.database.execute("delete from event where source = 'filler'").await;
    let made = eventually("the next one to be allowed", async || {
        let reply = consign.act("/backups").await;
        (reply.status == 202).then(|| id_of(&reply.json()))
    })
    .await;
    consign.until_shows(&format!("/operations/{made}"), "/state", "done").await;
    consign
        .database
        .execute("update operation set state = 'running', ended_at = null where kind = 'backup'")
        .await;
    consign.restart().await;
    let cut_off = consign.get(&format!("/operations/{made}")).await.expect(200).json();
    assert_eq!((&cut_off["state"], &cut_off["result"]), (&json!("failed"), &Value::Null), "{cut_off}");
    assert!(cut_off["problem"].as_str().unwrap().starts_with("The server stopped"), "{cut_off}");
    let words = ["backup", "create", "--no-wait"];
    assert!(consign.run(&words).await.expect(0).stderr.contains("Started: op_"));
    consign.finish().await;
}
