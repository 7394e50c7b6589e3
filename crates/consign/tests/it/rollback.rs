//! A database that was put back to an older state, row by row or as a whole, while nobody looked.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::harness::process::{Process, admin_key, free_address, options};
use crate::harness::{Cli, Folder, Ran, TestConsign, bearer};
use crate::peers::Tool;

on_both_databases! {
    a_credential_that_was_put_back_is_locked_and_the_others_go_on
    a_webhook_that_was_put_back_is_held
    keys_and_people_that_were_put_back_let_nobody_in
    a_signing_secret_that_was_put_back_signs_nothing
}

/// Keeps a copy of these rows inside the database.
async fn keep(consign: &TestConsign, table: &str, which: &str) {
    consign
        .database
        .execute(&format!("create table old_{table} as select * from {table} where {which}"))
        .await;
}

/// Puts the kept rows back in the place of those that are there now.
async fn put_back(consign: &TestConsign, table: &str, which: &str) {
    for sql in [
        format!("delete from {table} where {which}"),
        format!("insert into {table} select * from old_{table}"),
        format!("drop table old_{table}"),
    ] {
        consign.database.execute(&sql).await;
    }
}

async fn a_credential_that_was_put_back_is_locked_and_the_others_go_on(mut consign: TestConsign) {
    let (tool, other) = (Tool::start().await, Tool::start().await);
    consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    consign.bearer_webhook("other", &other.origin(), &json!({})).await;
    let (row, secrets) = ("name = 'itsm'", "credential_id = (select id from credential where name = 'itsm')");
    keep(&consign, "credential", row).await;
    keep(&consign, "credential_secret", secrets).await;
    let token = consign.canary("the-new-token");
    let any = [("if-match", "*")];
    let body = json!({ "value": token });
    consign.call("PUT", "/credentials/itsm/secrets/token", &any, Some(&body)).await.expect(200);
    consign.stop().await;
    put_back(&consign, "credential", row).await;
    consign.database.execute(&format!("delete from credential_secret where {secrets}")).await;
    put_back(&consign, "credential_secret", "1 = 0").await;

    consign.start_again().await;
    let shown = consign.get("/credentials/itsm").await.expect(200).json();
    assert_eq!(shown["status"]["code"], "locked", "{shown}");
    let reason = shown["status"]["reason"].as_str().unwrap();
    assert!(reason.contains("changed outside Consign"), "{reason}");
    assert!(consign.page("/credentials").await.expect(200).text().contains("changed outside Consign"));
    let sent = consign.event("a", &json!(1)).await;
    consign.until_idle().await;
    for id in &sent.deliveries {
        let delivery = consign.delivery(id).await;
        let held = delivery["connector"]["name"] == "itsm";
        assert_eq!(delivery["shown_state"], if held { "held" } else { "delivered" }, "{delivery}");
        if held {
            assert_eq!(delivery["hold_reason"], "credential_locked");
        }
    }
    assert_eq!((tool.connections(), other.count()), (0, 1));
    for (method, path, body) in [
        ("PATCH", "/credentials/itsm", json!({ "ends_on": "2099-01-01" })),
        (
            "PUT",
            "/credentials/itsm",
            json!({ "name": "itsm", "protocol": "https", "url_address": tool.origin(),
            "authorization_type": "bearer", "token": { "set": true } }),
        ),
    ] {
        let refused = consign.call(method, path, &any, Some(&body)).await.expect(409);
        assert!(refused.text().contains("changed outside Consign"), "{}", refused.text());
    }
    let body = bearer("itsm", &tool.origin(), &token);
    consign.call("PUT", "/credentials/itsm", &any, Some(&body)).await.expect(200);
    for id in &sent.deliveries {
        consign.until(id, "delivered").await;
    }
    assert_eq!(tool.asked()[0].header("authorization"), format!("Bearer {token}"));
    consign.finish().await;
}

async fn a_webhook_that_was_put_back_is_held(mut consign: TestConsign) {
    let (tool, other) = (Tool::start().await, Tool::start().await);
    let webhook = consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    consign.bearer_webhook("other", &other.origin(), &json!({})).await;
    keep(&consign, "connector", "name = 'itsm'").await;
    let path = format!("/webhooks/{webhook}");
    consign.patch(&path, &json!({ "path": "/elsewhere" })).await.expect(200);
    consign.stop().await;
    // Who pauses and resumes is in the log, but no state of the row that was saved.
    put_back(&consign, "connector", "name = 'itsm'").await;

    consign.start_again().await;
    let shown = consign.get(&path).await.expect(200).json();
    assert_eq!((&shown["state"], &shown["path"]), (&json!("held"), &json!("/hook")), "{shown}");
    let sent = consign.event("a", &json!(1)).await;
    consign.until_idle().await;
    let held = consign.all("/deliveries?state=held").await;
    assert_eq!((held.len(), &held[0]["hold_reason"]), (1, &json!("not_as_saved")), "{held:?}");
    assert_eq!((tool.connections(), other.count(), sent.deliveries.len()), (0, 1, 2));
    consign.call("DELETE", &format!("{path}/pauses"), &[], None).await.expect(409);
    consign.patch(&path, &json!({ "description": "x" })).await.expect(409);
    // A person who sends all of its settings says what it should be.
    let body = json!({ "name": "itsm", "credential": "itsm", "path": "/elsewhere", "event_types": ["*"] });
    consign.call("PUT", &path, &[("if-match", "*")], Some(&body)).await.expect(200);
    for id in &sent.deliveries {
        consign.until(id, "delivered").await;
    }
    assert_eq!(tool.asked()[0].target, "/elsewhere");

    // A row that is put right goes on by itself.
    keep(&consign, "connector", "name = 'itsm'").await;
    consign.stop().await;
    consign.database.execute("update connector set settings = replace(settings, 'elsewhere', 'hook')").await;
    consign.start_again().await;
    assert_eq!(consign.get(&path).await.json()["state"], "held");
    consign.stop().await;
    put_back(&consign, "connector", "name = 'itsm'").await;
    consign.start_again().await;
    assert_eq!(consign.get(&path).await.json()["state"], "active");
    consign.finish().await;
}

async fn a_signing_secret_that_was_put_back_signs_nothing(mut consign: TestConsign) {
    let tool = Tool::start().await;
    let webhook = consign.bearer_webhook("itsm", &tool.origin(), &json!({ "signature": "hmac" })).await;
    let path = format!("/webhooks/{webhook}");
    keep(&consign, "signing_key", "1 = 1").await;
    let made = consign.post(&format!("{path}/signing-keys"), &json!({ "old_ends_in_hours": 0 })).await;
    let made = made.expect(201).json();
    consign.canaries.shown_once("a signing secret", made["signing_secret"].as_str().unwrap());
    consign.stop().await;
    put_back(&consign, "signing_key", "1 = 1").await;
    consign.start_again().await;
    assert_eq!(consign.get(&path).await.expect(200).json()["state"], "held");
    let sent = consign.event("a", &json!(1)).await;
    consign.until_idle().await;
    assert_eq!(tool.connections(), 0);
    let shown =
        json!({ "webhook_id": "a", "webhook_timestamp": "1", "webhook_signature": "v1,aaaa", "body": "" });
    consign.post(&format!("{path}/signature-checks"), &shown).await.expect(409);
    // Saved whole, it signs with a key that nobody has seen.
    let body = json!({ "name": "itsm", "credential": "itsm", "path": "/hook", "event_types": ["*"] });
    let saved = consign.call("PUT", &path, &[("if-match", "*")], Some(&body)).await.expect(200).json();
    let secret = saved["signing_secret"].as_str().unwrap();
    assert_ne!(json!(secret), made["signing_secret"]);
    consign.canaries.shown_once("a signing secret", secret);
    assert_eq!(consign.database.number("select count(*) from signing_key").await, 1);
    consign.until(sent.delivery(), "delivered").await;

    // Keys that end go with a record of it.
    let made = consign.post(&format!("{path}/signing-keys"), &json!({ "old_ends_in_hours": 0 })).await;
    let made = made.expect(201).json();
    consign.canaries.shown_once("a signing secret", made["signing_secret"].as_str().unwrap());
    consign.restart().await;
    crate::harness::eventually("the ended key to go", async || {
        (consign.database.number("select count(*) from signing_key").await == 1).then_some(())
    })
    .await;
    consign.restart().await;
    assert_eq!(consign.get(&path).await.expect(200).json()["state"], "active");
    let entries = consign.all(&format!("/audit-entries?object={webhook}")).await;
    assert!(entries.iter().any(|entry| entry["action"] == "Destroyed ended signing secrets"), "{entries:?}");
    consign.finish().await;
}

async fn keys_and_people_that_were_put_back_let_nobody_in(mut consign: TestConsign) {
    let key = consign.make_key(&["events:write"]).await;
    let id = consign.get("/api-keys").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
    let which = format!("id = '{id}'");
    keep(&consign, "api_key", &which).await;
    consign.call("DELETE", &format!("/api-keys/{id}"), &[], None).await.expect(204);
    consign.stop().await;
    put_back(&consign, "api_key", &which).await;
    consign.start_again().await;
    consign.call_as(&key, "POST", "/events", &[], json!({ "type": "a" }).to_string()).await.expect(401);
    consign.get("/me").await.expect(200);

    consign.page("/credentials").await.expect(200);
    consign.stop().await;
    consign.database.execute("update users set password_hash = 'another'").await;
    consign.start_again().await;
    consign.page("/credentials").await.expect(303);
    consign.stop().await;
    // Rights that nobody gave are none.
    consign.database.execute("update api_key set rights = 'events:write' where rights like '%admin%'").await;
    consign.start_again().await;
    consign.get("/me").await.expect(401);
    consign.abandon().await;
}

/// A command over a data folder.
async fn run(folder: &Folder, words: &[&str]) -> Ran {
    let mut command = Cli::new(folder.path(), words);
    for (name, value) in options(folder, free_address()) {
        command = command.env(&name, &value);
    }
    command.run().await
}

async fn a_change(process: &Process, key: &str, name: &str) {
    let body = bearer(name, "https://tool.example.org/", "a-token-of-this-test");
    process.call(key, "POST", "/credentials", &body).await.expect(201);
}

async fn names(process: &Process, key: &str) -> Vec<String> {
    let list = process.call(key, "GET", "/credentials", &Value::Null).await.expect(200).json();
    list["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_database_is_refused_until_somebody_accepts_it() {
    let folder = Folder::new("older");
    let key = admin_key(&folder).await;
    let (database, anchor) = (folder.join("data/consign.db"), folder.join("data/audit-anchor"));
    assert_eq!(std::fs::metadata(&anchor).unwrap().permissions().mode() & 0o777, 0o600);
    let process = Process::start(&folder, &[]).await;
    a_change(&process, &key, "first").await;
    assert!(process.stop().await.success());
    let (old, old_anchor) = (std::fs::read(&database).unwrap(), std::fs::read(&anchor).unwrap());
    let process = Process::start(&folder, &[]).await;
    a_change(&process, &key, "second").await;
    assert!(process.stop().await.success());
    assert_ne!(std::fs::read(&anchor).unwrap(), old_anchor, "the anchor follows the log");

    // Killed between the commit and the anchor: the log is further than the anchor, and that is fine.
    std::fs::write(&anchor, &old_anchor).unwrap();
    let process = Process::start(&folder, &[]).await;
    assert_eq!(names(&process, &key).await.len(), 2);
    assert!(process.stop().await.success());

    std::fs::write(&database, &old).unwrap();
    for words in [&["serve"][..], &["admin", "api-key", "--name", "x", "--scope", "admin"]] {
        let refused = run(&folder, words).await.expect(1);
        for part in ["older than this server has seen it", "--accept-rollback"] {
            assert!(refused.stderr.contains(part), "{words:?}: {}", refused.stderr);
        }
    }
    assert_eq!(std::fs::read(&database).unwrap(), old, "refused, it stays as it is");
    // That it was changed is another thing than that it is older.
    run(&folder, &["serve", "--accept-changes"]).await.expect(1);
    let process = Process::start(&folder, &["--accept-rollback"]).await;
    assert_eq!(names(&process, &key).await, ["first"]);
    let entries = process.call(&key, "GET", "/audit-entries", &Value::Null).await.expect(200).json();
    let accepted = entries["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["action"] == "Accepted the database as it is");
    let why = accepted.expect("the log says so")["changes"]["why"].as_str().unwrap().to_owned();
    assert!(why.contains("older than this server has seen it"), "{why}");
    assert!(process.stop().await.success());
    let process = Process::start(&folder, &[]).await;
    a_change(&process, &key, "third").await;
    assert!(process.stop().await.success());
    // Nothing is wrong: the flag says nothing.
    let process = Process::start(&folder, &["--accept-rollback"]).await;
    let again = process.call(&key, "GET", "/audit-entries", &Value::Null).await.expect(200).text().to_owned();
    assert_eq!(again.matches("Accepted the database").count(), 1);
    assert!(process.stop().await.success());
}

/// As a restore leaves it that was cut off after the exchange. Whoever writes the database could write the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_database_says_of_a_restore_does_not_get_it_past_the_anchor() {
    let folder = Folder::new("cut-off");
    let key = admin_key(&folder).await;
    let database = crate::harness::Database::sqlite(&folder);
    let file = folder.join("data/consign.db");
    let old = std::fs::read(&file).unwrap();
    let process = Process::start(&folder, &[]).await;
    a_change(&process, &key, "first").await;
    assert!(process.stop().await.success());
    std::fs::write(&file, &old).unwrap();
    database.execute("insert into installation values ('restored', '{}')").await;
    let refused = run(&folder, &["serve"]).await.expect(1).stderr;
    for part in
        ["older than this server has seen it", "a restore was cut off", "consign serve --accept-rollback"]
    {
        assert!(refused.contains(part), "{refused}");
    }
    let process = Process::start(&folder, &["--accept-rollback"]).await;
    assert!(entry(&process, &key, "Restored").await.is_object());
    assert!(process.stop().await.success());
    assert_eq!(database.number("select count(*) from installation where key = 'restored'").await, 0);
    let process = Process::start(&folder, &[]).await;
    assert!(process.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_with_a_hole_is_refused_until_somebody_accepts_it() {
    let folder = Folder::new("hole");
    let key = admin_key(&folder).await;
    let process = Process::start(&folder, &[]).await;
    for name in ["first", "second", "third"] {
        a_change(&process, &key, name).await;
    }
    assert!(process.stop().await.success());
    let database = crate::harness::Database::sqlite(&folder);
    database.execute("drop trigger audit_no_delete; delete from audit where sequence = 3").await;
    for words in [&["serve"][..], &["serve", "--accept-rollback"]] {
        let refused = run(&folder, words).await.expect(1);
        for part in ["does not fit at entry 3", "--accept-changes"] {
            assert!(refused.stderr.contains(part), "{words:?}: {}", refused.stderr);
        }
    }
    let process = Process::start(&folder, &["--accept-changes"]).await;
    assert_eq!(names(&process, &key).await.len(), 3);
    let changes = entry(&process, &key, "Accepted").await;
    assert_eq!(changes["broken_at"], json!(["3"]), "{changes}");
    assert!(process.stop().await.success());
    let process = Process::start(&folder, &[]).await;
    assert_eq!(names(&process, &key).await.len(), 3);
    assert!(process.stop().await.success());
}

/// Who takes the record of a change away and puts the row back as it was before leaves a row that fits an older record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_missing_entry_may_have_changed_is_named_when_it_is_accepted() {
    let folder = Folder::new("reverted");
    let key = admin_key(&folder).await;
    let process = Process::start(&folder, &[]).await;
    let created =
        process.call(&key, "POST", "/api-keys", &json!({ "name": "tool", "scopes": ["events:write"] })).await;
    let id = created.expect(201).json()["id"].as_str().unwrap().to_owned();
    assert!(process.stop().await.success());
    let database = crate::harness::Database::sqlite(&folder);
    let before = database.number("select max(sequence) from audit").await;
    database.execute("create table kept as select * from api_key").await;
    let process = Process::start(&folder, &[]).await;
    process.call(&key, "DELETE", &format!("/api-keys/{id}"), &Value::Null).await.expect(204);
    for name in ["first", "second", "third", "fourth"] {
        a_change(&process, &key, name).await;
    }
    assert!(process.stop().await.success());
    let (revoked, later) = (before + 1, before + 3);
    database
        .execute(&format!(
            "drop trigger audit_no_delete; delete from audit where sequence in ({revoked}, {later});
             delete from api_key; insert into api_key select * from kept; drop table kept"
        ))
        .await;
    let refused = run(&folder, &["serve"]).await.expect(1);
    let places = format!("does not fit at entries {revoked}, {later}");
    assert!(refused.stderr.contains(&places), "{}", refused.stderr);

    let process = Process::start(&folder, &["--accept-changes"]).await;
    let changes = entry(&process, &key, "Accepted").await;
    assert_eq!(changes["broken_at"], json!([revoked.to_string(), later.to_string()]), "{changes}");
    let named = format!("api_key {id}");
    assert!(changes["unproven_rows"].as_array().unwrap().contains(&json!(named)), "{changes}");
    assert!(process.output().contains(&named), "the log of the process tells it, too");
    assert!(process.stop().await.success());
}

/// Somebody, with a session and a second step under way, as a database holds them; and another who was invited.
const PEOPLE: &str = "insert into users (id, name, email, email_key, password_hash, theme, created_at, role)
      values ('usr_01JDK3V7Q2W8Y5N4T9B6C1D0E1', 'Mallory', 'm@acme.example', 'm@acme.example', 'tampered', '', 1, 'administrator');
    insert into users (id, name, email, email_key, password_hash, theme, created_at, role, invite_hash, invite_until)
      values ('usr_01JDK3V7Q2W8Y5N4T9B6C1D0E2', '', 'b@acme.example', 'b@acme.example', '', '', 1, 'administrator', 'hash', 9999999999999);
    insert into session (hash, proof, user_id, csrf, created_at, seen_at) values ('hash', '', 'usr_01JDK3V7Q2W8Y5N4T9B6C1D0E1', 'x', 1, 1);";

async fn entry(process: &Process, key: &str, action: &str) -> Value {
    let path = format!("/audit-entries?action={action}");
    let found = process.call(key, "GET", &path, &Value::Null).await.expect(200).json();
    found["items"][0]["changes"].clone()
}

/// What somebody put into an older copy is not accepted with it: the copy of PostgreSQL has no other way back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_database_lets_nobody_in_whom_it_knows() {
    let folder = Folder::new("laundered");
    let key = admin_key(&folder).await;
    let database = crate::harness::Database::sqlite(&folder);
    let file = folder.join("data/consign.db");
    let old = std::fs::read(&file).unwrap();
    let process = Process::start(&folder, &[]).await;
    a_change(&process, &key, "first").await;
    assert!(process.stop().await.success());
    std::fs::write(&file, &old).unwrap();
    database.execute(PEOPLE).await;
    let process = Process::start(&folder, &["--accept-rollback"]).await;
    let changes = entry(&process, &key, "Accepted").await;
    assert_eq!(
        (&changes["sessions_ended"], &changes["invitations_deleted"]),
        (&json!(1), &json!(1)),
        "{changes}"
    );
    assert_eq!(changes["changed_rows"], Value::Null);
    process
        .call(&key, "POST", "/users/usr_01JDK3V7Q2W8Y5N4T9B6C1D0E1/suspension", &Value::Null)
        .await
        .expect(409);
    assert!(process.stop().await.success());
    assert_eq!(database.number("select count(*) from session").await, 0);
    assert_eq!(database.number("select count(*) from users").await, 1);

    // Only this flag takes what was changed as saved, and says what that is.
    let process = Process::start(&folder, &["--accept-changes"]).await;
    let changes = entry(&process, &key, "Accepted").await;
    assert_eq!(changes["changed_rows"], json!(["user usr_01JDK3V7Q2W8Y5N4T9B6C1D0E1"]), "{changes}");
    assert!(
        process.output().contains("user usr_01JDK3V7Q2W8Y5N4T9B6C1D0E1"),
        "the log of the process tells it, too"
    );
    assert!(process.stop().await.success());

    // On another machine nothing tells how old it is: whoever put it back says so.
    std::fs::remove_file(folder.join("data/audit-anchor")).unwrap();
    database.execute("insert into session (hash, proof, user_id, csrf, created_at, seen_at) values ('hash', '', 'usr_01JDK3V7Q2W8Y5N4T9B6C1D0E1', 'x', 1, 1)").await;
    let process = Process::start(&folder, &["--accept-rollback"]).await;
    let changes = entry(&process, &key, "Accepted").await;
    assert_eq!(changes["sessions_ended"], 1, "{changes}");
    assert!(changes["why"].as_str().unwrap().contains("how new the database should be"), "{changes}");
    assert!(process.stop().await.success());
}

/// A restore that was cut off behind the exchange is finished by whatever starts next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_was_cut_off_is_finished_by_the_next_start() {
    let folder = Folder::new("cut-off");
    let key = admin_key(&folder).await;
    let database = crate::harness::Database::sqlite(&folder);
    database.execute(PEOPLE).await;
    let mark =
        r#"insert into installation values ('restored', '{"made_at":"2026-11-27T03:00:00Z","schema":7}')"#;
    database.execute(mark).await;
    std::fs::remove_file(folder.join("data/audit-anchor")).unwrap();
    let process = Process::start(&folder, &[]).await;
    let changes = entry(&process, &key, "Restored").await;
    assert_eq!(changes["made_at"], "2026-11-27T03:00:00Z");
    assert_eq!(
        (&changes["sessions_ended"], &changes["invitations_deleted"]),
        (&json!(1), &json!(1)),
        "{changes}"
    );
    assert!(process.stop().await.success());
    assert_eq!(database.number("select count(*) from session").await, 0);
    assert_eq!(database.number("select count(*) from installation where key = 'restored'").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_is_judged_before_a_newer_program_migrates() {
    let folder = Folder::new("migrates");
    admin_key(&folder).await;
    let right = std::fs::read_to_string(folder.join("data/keys")).unwrap();
    let wrong = run(&folder, &["key", "new"]).await.expect(0).stdout;
    // What this program would run again is what a newer one would run for the first time: it cannot go unnoticed.
    let file = crate::harness::Database::sqlite(&folder);
    file.execute("delete from schema_version; insert into schema_version values (0, 0)").await;
    let before = std::fs::read(folder.join("data/consign.db")).unwrap();
    folder.write("data/keys", &wrong);
    let refused = run(&folder, &["serve", "--strict-key"]).await.expect(1);
    assert!(refused.stderr.contains("was sealed with key"), "{}", refused.stderr);
    assert!(std::fs::read(folder.join("data/consign.db")).unwrap() == before, "nothing was touched");
    folder.write("data/keys", &right);
    let migrated = run(&folder, &["serve"]).await.expect(1);
    assert!(
        migrated.stderr.contains("already exists"),
        "with the right key it migrates: {}",
        migrated.stderr
    );
    // A database that is too new is refused before any key is looked at.
    file.execute("insert into schema_version values (999, 0)").await;
    for keys in [&right, &wrong] {
        folder.write("data/keys", keys);
        let refused = run(&folder, &["serve"]).await.expect(1);
        assert!(refused.stderr.contains("999"), "{}", refused.stderr);
    }
}
