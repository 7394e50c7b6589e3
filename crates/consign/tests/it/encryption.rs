//! The rotation of the encryption key: everything goes on, every value moves, and the old key can go.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use consign_core::vault::RingKey;
use serde_json::{Value, json};

use crate::grants::Granted;
use crate::harness::process::{Process, admin_key};
use crate::harness::{Folder, TestConsign, basic, bearer, eventually, merge};
use crate::peers::Tool;
use crate::saml::{credential as saml, server};

fn ring_file(consign: &TestConsign) -> PathBuf {
    consign.folder.join("data").join("keys")
}

async fn keys(consign: &TestConsign) -> Value {
    consign.get("/encryption-keys").await.expect(200).json()
}

/// Waits until every value is under the first key, and gives the keys.
async fn until_moved(consign: &TestConsign) -> Value {
    eventually("every value to move", async || {
        let keys = keys(consign).await;
        (keys["moving"] == false).then_some(keys)
    })
    .await
}

/// A credential of each kind that holds something: a password, headers, tokens of a grant, a key pair.
async fn every_kind(consign: &TestConsign) -> (Granted, Tool) {
    let granted = Granted::approved(consign, |_| {}, &json!({})).await;
    let (tool, issuer) = (Tool::start().await, server().await);
    let mut with_headers = basic("basic", &tool.origin(), "consign", &consign.canary("password"));
    let headers = [json!({ "name": "X-Key", "value": consign.canary("header") })];
    merge(&mut with_headers, &json!({ "custom_headers": headers }));
    consign.credential(&with_headers).await;
    let generate = json!({ "key_pair": "generate", "key_pair_bits": 2048 });
    consign.credential(&saml("signs", &tool, &issuer, &generate)).await;
    consign.event("device.low", &json!({ "n": 1 })).await;
    consign.until_idle().await;
    (granted, tool)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_takes_over_while_everything_goes_on() {
    let mut consign = TestConsign::start().await;
    let (granted, _tool) = every_kind(&consign).await;
    let before = keys(&consign).await;
    let old = before["items"][0]["id"].as_str().unwrap().to_owned();
    let values = before["items"][0]["values"].as_u64().unwrap();
    assert!(values >= 9, "{before}");
    assert!(before["items"][0]["first_seen_at"].is_string(), "{before}");

    let form = consign.form("/settings/encryption", "password").await;
    let form = form.with("act", "new_key");
    let wrong = consign.send_form(&form.clone().set("password", "not the password")).await.expect(422).text();
    assert!(wrong.contains("The password is not right"), "{wrong}");
    assert_eq!(keys(&consign).await["items"].as_array().unwrap().len(), 1);
    consign.send_form(&form.set("password", &consign.password.clone())).await.expect(303);
    let after = until_moved(&consign).await;
    let new = after["items"][0]["id"].as_str().unwrap().to_owned();
    assert_ne!(new, old);
    assert_eq!((&after["items"][1]["id"], &after["items"][1]["values"]), (&json!(old), &json!(0)), "{after}");
    assert_eq!(after["items"][0]["values"], json!(values), "none is lost, none came: {after}");
    let page = consign.page("/settings/encryption").await.expect(200).text();
    assert!(page.contains(&new) && page.contains(&old), "{page}");

    // The file has both, for its owner alone.
    let file = ring_file(&consign);
    let text = std::fs::read_to_string(&file).unwrap();
    let ids: Vec<_> = text.lines().map(|line| line.split('_').nth(1).unwrap()).collect();
    assert_eq!(ids, [new.as_str(), old.as_str()]);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let entries = consign.all("/audit-entries?object=Encryption").await;
    assert_eq!(entries[1]["changes"]["key"], json!({ "old": old, "new": new }), "{entries:?}");
    assert_eq!(entries[0]["action"], "Re-sealed values");
    assert_eq!(
        (&entries[0]["changes"]["values"], &entries[0]["changes"]["failed"]),
        (&json!(values), &json!(0))
    );

    // Everything goes on with the old key gone, after a restart, too: the tokens of a grant and the other secrets.
    let said = consign.run(&["key", "check"]).await.expect(0);
    assert!(said.stderr.contains(&format!("All {values} values open")), "{}", said.stderr);
    consign.stop().await;
    std::fs::write(&file, text.lines().next().unwrap()).unwrap();
    consign.start_again().await;
    assert_eq!(keys(&consign).await["missing_key_values"], 0);
    consign.run(&["key", "check"]).await.expect(0);
    let renewals = granted.renewals().await;
    consign.event("device.low", &json!({ "n": 2 })).await;
    consign.until_idle().await;
    assert_eq!(granted.renewals().await, renewals, "the token is still there");
    for credential in consign.all("/credentials").await {
        assert_ne!(credential["status"]["code"], "locked", "{credential}");
    }
    consign.finish().await;
}

/// Where other servers may share the database, the operator puts the key in place, and the values are moved to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_replicas_the_operator_puts_the_key_in_place() {
    let mut consign = TestConsign::on_postgres().await;
    let (_granted, _tool) = every_kind(&consign).await;
    let refused = consign.run(&["key", "rotate"]).await.expect(6);
    assert!(refused.stderr.contains("each of them needs a new key before it seals"), "{}", refused.stderr);
    assert!(consign.page("/settings/encryption").await.expect(200).text().contains("Other servers may use"));
    let values = keys(&consign).await["items"][0]["values"].clone();
    consign.stop().await;
    let old = std::fs::read_to_string(ring_file(&consign)).unwrap();
    let new = RingKey::generate();
    std::fs::write(ring_file(&consign), format!("{}\n{old}", new.line().as_str())).unwrap();
    consign.start_again().await;
    let started = keys(&consign).await;
    assert_eq!(started["items"][1]["values"], values, "nothing moves unasked: {started}");
    consign.run(&["key", "rotate", "--no-new-key"]).await.expect(0);
    let moved = until_moved(&consign).await;
    assert_eq!(
        (&moved["items"][0]["id"], &moved["items"][1]["values"]),
        (&json!(new.id()), &json!(0)),
        "{moved}"
    );
    let listed = consign.run(&["key", "list"]).await.expect(0).stdout;
    assert!(listed.contains(new.id()), "{listed}");
    consign.stop().await;
    std::fs::write(ring_file(&consign), new.line().as_str()).unwrap();
    consign.start_again().await;
    consign.run(&["key", "check"]).await.expect(0);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_that_was_changed_meanwhile_is_left_alone() {
    let consign = TestConsign::start().await;
    let file = ring_file(&consign);
    let text = std::fs::read_to_string(&file).unwrap();
    let other = format!("{text}\n{}\n", RingKey::generate().line().as_str());
    std::fs::write(&file, &other).unwrap();
    let refused = consign.post("/encryption-keys/rotations", &json!({})).await.expect(409).json();
    assert!(
        refused["detail"].as_str().unwrap().contains("was changed since it was loaded; restart first"),
        "{refused}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), other);
    std::fs::write(&file, &text).unwrap();
    consign.post("/encryption-keys/rotations", &json!({ "new_kee": true })).await.expect(422);
    assert_eq!(keys(&consign).await["items"].as_array().unwrap().len(), 1);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_does_not_open_is_named() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let ids = [
        consign.credential(&bearer("one", &tool.origin(), &consign.canary("one"))).await,
        consign.credential(&bearer("two", &tool.origin(), &consign.canary("two"))).await,
    ];
    let sql = format!(
        "update credential_secret set sealed = (select sealed from credential_secret where credential_id = '{}')
         where credential_id = '{}'",
        ids[0], ids[1]
    );
    consign.database.execute(&sql).await;
    let said = consign.run(&["key", "check"]).await.expect(8);
    assert!(said.stderr.contains(&format!("token of {}", ids[1])), "{}", said.stderr);
    let check = consign.act("/encryption-keys/checks").await.expect(200).json();
    assert_eq!(check["failed"], 1, "{check}");
    // A rotation leaves it as it is, says so, and moves the rest.
    consign.post("/encryption-keys/rotations", &json!({})).await.expect(200);
    let moved = until_moved(&consign).await;
    assert_eq!(moved["items"][1]["values"], 1, "{moved}");
    let entries = consign.all("/audit-entries?action=Re-sealed").await;
    assert_eq!(entries[0]["changes"]["failed"], 1, "{entries:?}");
    consign.abandon().await;
}

/// kill -9 while values move: every value opens at each start, and in the end none is under the old key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_values_move_none_is_lost() {
    const CREDENTIALS: usize = 60;
    const HEADERS: usize = 8;
    let folder = Folder::new("rotation");
    let mut process = Process::start(&folder, &[]).await;
    process.terminate();
    process.ended().await;
    let key = admin_key(&folder).await;
    process = Process::start(&folder, &[]).await;
    for number in 0..CREDENTIALS {
        let headers: Vec<_> = (0..HEADERS)
            .map(|n| json!({ "name": format!("X-{n}"), "value": format!("{number}-{n}") }))
            .collect();
        let mut body = bearer(&format!("c{number}"), "https://tool.example.org/", &format!("token-{number}"));
        merge(&mut body, &json!({ "custom_headers": headers }));
        process.call(&key, "POST", "/credentials", &body).await.expect(201);
    }
    process.call(&key, "POST", "/encryption-keys/rotations", &json!({})).await.expect(200);
    let mut unfinished = 0;
    for wait in [0, 15, 40, 75, 110, 160] {
        tokio::time::sleep(Duration::from_millis(wait)).await;
        drop(process);
        process = Process::start(&folder, &[]).await;
        let check =
            process.call(&key, "POST", "/encryption-keys/checks", &Value::Null).await.expect(200).json();
        assert_eq!(check["failed"], 0, "{check}");
        assert!(check["checked"].as_u64().unwrap() > (CREDENTIALS * (HEADERS + 1)) as u64, "{check}");
        let keys = process.call(&key, "GET", "/encryption-keys", &Value::Null).await.expect(200).json();
        unfinished += usize::from(keys["items"][1]["values"] != 0);
    }
    assert!(unfinished > 0, "no kill came while values moved");
    let keys = eventually("every value to move", async || {
        let keys = process.call(&key, "GET", "/encryption-keys", &Value::Null).await.expect(200).json();
        (keys["moving"] == false).then_some(keys)
    })
    .await;
    assert_eq!(keys["items"][1]["values"], 0, "{keys}");
    process.stop().await;
}

/// The ring in a file that a passphrase protects: taken from page, API and machine, and put in place elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_file_brings_the_ring_to_another_machine() {
    let mut consign = TestConsign::start().await;
    let tool = Tool::start().await;
    consign.credential(&bearer("one", &tool.origin(), &consign.canary("token"))).await;
    let ring = std::fs::read_to_string(ring_file(&consign)).unwrap();
    assert_eq!(keys(&consign).await["recovery_file_at"], Value::Null);
    let passphrase = consign.canary("passphrase");
    let form = consign.form("/settings/encryption", "passphrase").await;
    let form = form.set("passphrase", "short").set("password", &consign.password.clone());
    let short = consign.send_form(&form).await.expect(422).text();
    assert!(short.contains("Passphrase must be 12 characters or more"), "{short}");
    let form = form.set("passphrase", &passphrase);
    consign.send_form(&form.clone().set("password", "not the password")).await.expect(422);
    let file = consign.send_form(&form).await.expect(200);
    assert_eq!(file.header("content-disposition"), Some("attachment; filename=\"consign-recovery.txt\""));
    assert!(file.text().starts_with("-----BEGIN CONSIGN RECOVERY FILE 1-----"), "{}", file.text());
    assert!(keys(&consign).await["recovery_file_at"].is_string());
    let entries = consign.all("/audit-entries?action=recovery").await;
    assert_eq!(entries[0]["action"], "Took recovery file");

    let kept = consign.folder.write("passphrase.txt", format!("{passphrase}\n"));
    let to = consign.folder.join("recovery.txt").display().to_string();
    let words = ["key", "recovery-file", "--of-server", "-o", &to, "--passphrase-file", &kept];
    consign.run(&words).await.expect(0);
    // On the same machine, after the ring was lost.
    consign.stop().await;
    std::fs::remove_file(ring_file(&consign)).unwrap();
    let data = consign.folder.join("data").display().to_string();
    let local = |words: &[&str]| consign.cli(words).env("CONSIGN_DATA_DIR", &data);
    let other = consign.folder.write("other.txt", "another long passphrase");
    let wrong = local(&["key", "import", &to, "--passphrase-file", &other]);
    let refused = consign.run_as(wrong).await.expect(1).stderr;
    assert!(refused.contains("the passphrase does not open this recovery file"), "{refused}");
    consign.run_as(local(&["key", "import", &to, "--passphrase-file", &kept])).await.expect(0);
    assert_eq!(std::fs::read_to_string(ring_file(&consign)).unwrap().trim(), ring.trim());
    let mode = std::fs::metadata(ring_file(&consign)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let there = local(&["key", "import", &to, "--passphrase-file", &kept]);
    let there = consign.run_as(there).await.expect(1).stderr;
    assert!(there.contains("Move the ring that is there away first"), "{there}");
    let again = consign.folder.join("again.txt").display().to_string();
    let words = ["key", "recovery-file", "-o", &again, "--passphrase-file", &kept];
    consign.run_as(local(&words)).await.expect(0);
    consign.start_again().await;
    consign.run(&["key", "check"]).await.expect(0);
    for file in ["passphrase.txt", "other.txt"] {
        std::fs::remove_file(consign.folder.join(file)).unwrap();
    }
    consign.finish().await;
}
