//! The rotation of the encryption key: everything goes on, every value moves, and the old key can go.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use consign_core::vault::RingKey;
use serde_json::{Value, json};

use crate::grants::Granted;
use crate::harness::process::{Process, admin_key};
use crate::harness::{Folder, Replica, TestConsign, basic, bearer, eventually, merge};
use crate::peers::Tool;
use crate::saml::{credential as saml, server};
use crate::two_step;

pub(crate) fn ring_file(consign: &TestConsign) -> PathBuf {
    consign.folder.join("data").join("keys")
}

pub(crate) async fn keys(consign: &TestConsign) -> Value {
    consign.get("/encryption-keys").await.expect(200).json()
}

/// Waits until every value is under the first key, and gives the keys.
pub(crate) async fn until_moved(consign: &TestConsign) -> Value {
    eventually("every value to move", async || {
        let keys = keys(consign).await;
        (keys["moving"] == false).then_some(keys)
    })
    .await
}

/// Waits until no value is tried again, however long that takes.
pub(crate) async fn until_given_up(consign: &TestConsign) -> Value {
    eventually("it to be given up", async || {
        consign.advance(Duration::from_secs(3_601));
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

/// So much to move that events come in meanwhile: each header is a value.
pub(crate) async fn much_to_move(consign: &TestConsign) {
    for number in 0..25 {
        let mut body = bearer(&format!("c{number}"), "https://tool.example.org/", &consign.canary("token"));
        let headers = (0..8).map(|n| json!({ "name": format!("X-{n}"), "value": consign.canary("header") }));
        merge(&mut body, &json!({ "custom_headers": headers.collect::<Vec<_>>() }));
        consign.credential(&body).await;
    }
}

/// Accepts events until every value has moved; tells how many came while some had not.
async fn events_meanwhile(consign: &TestConsign) -> usize {
    let mut meanwhile = 0;
    while keys(consign).await["moving"] == true {
        consign.event("device.low", &json!({ "n": meanwhile })).await;
        meanwhile += 1;
    }
    meanwhile
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_takes_over_while_everything_goes_on() {
    let mut consign = TestConsign::start().await;
    let (granted, _tool) = every_kind(&consign).await;
    let (mut second_step, _) = two_step::set_up(&consign).await;
    much_to_move(&consign).await;
    let before = keys(&consign).await;
    let old = before["items"][0]["id"].as_str().unwrap().to_owned();
    let values = before["items"][0]["values"].as_u64().unwrap();
    assert!(values > 9 + 225, "{before}");
    assert!(before["items"][0]["first_seen_at"].is_string(), "{before}");

    let form = consign.form("/settings/encryption", "password").await;
    let form = form.with("act", "new_key");
    let wrong = consign.send_form(&form.clone().set("password", "not the password")).await.expect(422).text();
    assert!(wrong.contains("The password is not right"), "{wrong}");
    assert_eq!(keys(&consign).await["items"].as_array().unwrap().len(), 1);
    consign.send_form(&form.set("password", &consign.password.clone())).await.expect(303);
    let sent = granted.tool.count();
    let meanwhile = events_meanwhile(&consign).await;
    assert!(meanwhile > 0, "no event came in while values moved");
    consign.until_idle().await;
    assert_eq!(granted.tool.count(), sent + meanwhile, "each was delivered, with the token that moved");
    let after = until_moved(&consign).await;
    let new = after["items"][0]["id"].as_str().unwrap().to_owned();
    assert_ne!(new, old);
    assert_eq!((&after["items"][1]["id"], &after["items"][1]["values"]), (&json!(old), &json!(0)), "{after}");
    assert_eq!(after["items"][0]["values"], json!(values), "none is lost, none came: {after}");
    let page = consign.page("/settings/encryption").await.expect(200).text();
    assert!(page.contains(&new) && page.contains(&old), "{page}");
    assert!(page.contains(&format!("{values} of {values} done.")) && !page.contains("data-poll"), "{page}");

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
    // The second step of a person, too.
    second_step.wait(&consign, Duration::from_secs(30));
    two_step::enter(&consign, &second_step.code()).await;
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

    // The steps of docs/operations.md, with another machine that has a ring of its own.
    let there = Folder::new("other-machine");
    let old = std::fs::read_to_string(ring_file(&consign)).unwrap();
    let new = RingKey::generate();
    let first = (new.line().as_str().to_owned(), old.clone());
    let (last, only_new) = (format!("{}\n{}", old.trim(), first.0), first.0.clone());
    let first = format!("{}\n{}", first.0, first.1);
    put_ring(&there, &old);
    let mut other = consign.replica_in(&there).await;
    send_at(&consign, &other).await;

    // 1. At the end of every ring, one server after the other: the one that runs serves meanwhile.
    put_ring(&there, &last);
    other = restarted(&consign, other, &there).await;
    put_ring(&consign.folder, &last);
    consign.restart().await;
    send_at(&consign, &other).await;
    assert_eq!(keys(&consign).await["items"][0]["values"], values, "the old one still seals");

    // 2. First in every ring. What this server seals with it, the other opens already.
    put_ring(&consign.folder, &first);
    consign.restart().await;
    let fresh = Tool::start().await;
    consign.bearer_webhook("fresh", &fresh.origin(), &json!({ "event_types": ["fresh"] })).await;
    assert_eq!(keys(&consign).await["items"][0]["id"], new.id());
    send_at(&consign, &other).await;
    fresh.until_asked(1).await;
    put_ring(&there, &first);
    other = restarted(&consign, other, &there).await;
    let started = keys(&consign).await;
    assert_eq!(started["items"][1]["values"], values, "nothing moves unasked: {started}");

    // 3. Every value moves, and the old line goes.
    consign.run(&["key", "rotate", "--no-new-key"]).await.expect(0);
    let moved = until_moved(&consign).await;
    assert_eq!(
        (&moved["items"][0]["id"], &moved["items"][1]["values"], &moved["items"][1]["removable"]),
        (&json!(new.id()), &json!(0), &json!(true)),
        "{moved}"
    );
    let listed = consign.run(&["key", "list"]).await.expect(0).stdout;
    assert!(listed.contains(new.id()), "{listed}");
    send_at(&consign, &other).await;
    put_ring(&there, &only_new);
    other = restarted(&consign, other, &there).await;
    put_ring(&consign.folder, &only_new);
    consign.restart().await;
    consign.run(&["key", "check"]).await.expect(0);
    send_at(&consign, &other).await;
    other.stop().await;
    consign.finish().await;
}

/// A ring for the server over this folder, for its owner alone.
pub(crate) fn put_ring(folder: &Folder, text: &str) {
    let data = folder.join("data");
    std::fs::create_dir_all(&data).unwrap();
    let ring = data.join("keys");
    std::fs::write(&ring, text).unwrap();
    std::fs::set_permissions(&ring, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// The other server after a clean stop and start; this one takes events meanwhile.
async fn restarted(consign: &TestConsign, other: Replica, folder: &Folder) -> Replica {
    other.stop().await;
    consign.event("device.low", &json!("meanwhile")).await;
    consign.until_idle().await;
    consign.replica_in(folder).await
}

/// An event at each of two servers, both delivered.
async fn send_at(consign: &TestConsign, other: &Replica) {
    let authorization = format!("Bearer {}", consign.key);
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    for client in [consign.client.clone(), consign.client.at(other.address)] {
        let body = json!({ "type": "fresh", "data": 1 }).to_string();
        let sent = client.send("POST", "/api/v1/events", &headers, body).await.expect(202).json();
        assert!(!sent["deliveries"].as_array().unwrap().is_empty(), "{sent}");
    }
    consign.until_idle().await;
}

/// Two people press the button at once: there is one new key, and everything opens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_rotations_at_once_the_second_is_refused() {
    let consign = TestConsign::start().await;
    let (_granted, _tool) = every_kind(&consign).await;
    much_to_move(&consign).await;
    let values = keys(&consign).await["items"][0]["values"].clone();
    let rotate = async || consign.post("/encryption-keys/rotations", &json!({})).await;
    let (one, other) = tokio::join!(rotate(), rotate());
    let (done, refused) = if one.status < 300 { (one, other) } else { (other, one) };
    assert!(done.status < 300, "{}", done.text());
    let detail = refused.expect(409).json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("A new key was put in use just now"), "{detail}");
    let after = until_moved(&consign).await;
    assert_eq!(after["items"].as_array().unwrap().len(), 2, "{after}");
    assert_eq!(after["items"][0]["values"], values, "{after}");
    let text = std::fs::read_to_string(ring_file(&consign)).unwrap();
    assert_eq!(text.lines().count(), 2, "one new line");
    consign.run(&["key", "check"]).await.expect(0);
    // The next one is welcome.
    rotate().await.expect(done.status);
    assert_eq!(until_moved(&consign).await["items"].as_array().unwrap().len(), 3);
    consign.run(&["key", "check"]).await.expect(0);
    consign.finish().await;
}

/// A link may lead to a secret that something else manages: the server reads it, and does not put a file in its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ring_that_is_a_link_is_left_to_whoever_made_it() {
    let mut consign = TestConsign::start().await;
    let (file, kept) = (ring_file(&consign), consign.folder.join("elsewhere"));
    consign.stop().await;
    std::fs::rename(&file, &kept).unwrap();
    std::os::unix::fs::symlink(&kept, &file).unwrap();
    let text = std::fs::read_to_string(&kept).unwrap();
    consign.start_again().await;
    let refused = consign.post("/encryption-keys/rotations", &json!({})).await.expect(409).json();
    assert!(refused["detail"].as_str().unwrap().contains("link"), "{refused}");
    assert!(file.is_symlink(), "it is still a link");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), text);
    assert_eq!(keys(&consign).await["items"].as_array().unwrap().len(), 1);
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
    let moved = until_given_up(&consign).await;
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
    const VALUES: u64 = (CREDENTIALS * (HEADERS + 1)) as u64;
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
    for tenths in [9, 7, 5, 3, 1] {
        let left = eventually("some values to move", async || {
            let keys = process.call(&key, "GET", "/encryption-keys", &Value::Null).await.expect(200).json();
            let left = keys["items"][1]["values"].as_u64().unwrap();
            (left <= VALUES * tenths / 10).then_some(left)
        })
        .await;
        drop(process);
        unfinished += usize::from(left > 0);
        process = Process::start(&folder, &[]).await;
        let check =
            process.call(&key, "POST", "/encryption-keys/checks", &Value::Null).await.expect(200).json();
        assert_eq!(check["failed"], 0, "{check}");
        assert!(check["checked"].as_u64().unwrap() > VALUES, "{check}");
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
    // A program takes none, whatever its rights.
    let body = json!({ "passphrase": passphrase });
    let refused = consign.post("/encryption-keys/recovery-files", &body).await.expect(403).json();
    assert_eq!(refused["code"], "not_allowed");
    assert!(
        refused["detail"].as_str().unwrap().starts_with("An API key takes no recovery file."),
        "{refused}"
    );
    std::fs::write(&to, file.text()).unwrap();
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
