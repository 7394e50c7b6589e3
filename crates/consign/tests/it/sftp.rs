//! Credentials for file servers: pinned host keys, keys with passphrases, tests, and what follows when a host key changes.

use serde_json::{Value, json};

use crate::harness::page::{form_with, unescape};
use crate::harness::{TestConsign, id_of};
use crate::peers::sshd::{KeyPair, Sshd, user};

/// A credential by key; the passphrase is the canary.
fn by_key(sshd: &Sshd, pins: &[&str], key: &KeyPair, passphrase: &str) -> Value {
    json!({
        "name": "Payroll", "protocol": "sftp", "hostname": sshd.hostname(), "sftp_server_fingerprint": pins,
        "authorization_type": "ssh_key", "username": user(), "ssh_key": key.private, "passphrase": passphrase,
    })
}

fn states(result: &Value) -> Vec<(String, String)> {
    let steps = result["steps"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    steps.map(|step| (text(&step["code"]), text(&step["state"]))).collect()
}

#[track_caller]
fn check(result: &Value, outcome: &str, message: &str, expected: &[(&str, &str)]) {
    assert_eq!((&result["outcome"], &result["message"]), (&json!(outcome), &json!(message)), "{result}");
    let found = states(result);
    let found: Vec<_> = found.iter().map(|(code, state)| (code.as_str(), state.as_str())).collect();
    assert_eq!(found, expected, "{result}");
}

const WORKING: &str = "Working. The server accepted the sign-in.";
const CHANGED: &str =
    "The server showed another host key than the pinned one. Nothing was sent. Compare keys.";

on_both_databases! {
    a_changed_host_key_stops_everything_until_a_person_compares
}

async fn a_changed_host_key_stops_everything_until_a_person_compares(consign: TestConsign) {
    let (old, new) = (KeyPair::generate("ed25519", ""), KeyPair::generate("ed25519", ""));
    let passphrase = consign.canary("passphrase");
    let key = KeyPair::generate("ecdsa", &passphrase);
    let mut sshd = Sshd::start(&[&old], &key.public).await;
    let id = consign.credential(&by_key(&sshd, &[&old.fingerprint()], &key, &passphrase)).await;
    let shown = consign.get(&format!("/credentials/{id}")).await.json();
    assert_eq!(shown["ssh_public_key"]["line"], key.public);
    assert_eq!(shown["host_keys"][0]["fingerprint"], old.fingerprint());
    assert_eq!(shown["ssh_key"]["set"], true);
    let tests = format!("/credentials/{id}/tests");
    let done = [("name", "done"), ("connect", "done"), ("host_key", "done"), ("sign_in", "done")];
    let result = consign.act(&tests).await.expect(201).json();
    check(&result, "working", WORKING, &done);
    assert_eq!(consign.get(&format!("/credentials/{id}")).await.json()["status"]["code"], "working");

    sshd.change_keys(&[&new]).await;
    let before = sshd.sign_ins();
    let result = consign.act(&tests).await.expect(201).json();
    let failed = [("name", "done"), ("connect", "done"), ("host_key", "failed"), ("sign_in", "skipped")];
    check(&result, "failed", CHANGED, &failed);
    assert!(result["details"].as_str().unwrap().contains(&new.fingerprint()), "{result}");
    assert_eq!(sshd.sign_ins(), before, "nothing was offered to it");
    let shown = consign.get(&format!("/credentials/{id}")).await.json();
    assert_eq!(
        (&shown["status"]["code"], &shown["status"]["action"]),
        (&json!("host_key_changed"), &json!("Compare keys"))
    );

    let scan =
        json!({ "hostname": sshd.hostname(), "sftp_server_fingerprint": shown["sftp_server_fingerprint"] });
    let scan = consign.post("/host-key-scans", &scan).await.expect(201).json();
    assert_eq!(scan["keys"][0]["fingerprint"], new.fingerprint());
    // The type of a bare fingerprint is not known before it matched, and then it is no longer bare.
    let pins = json!({ "sftp_server_fingerprint": [new.public], "host_keys_compared_with": "ticket 7" });
    let refused = consign.patch(&format!("/credentials/{id}"), &pins).await.expect(422);
    let codes: Vec<_> = refused.faults().into_iter().map(|(_, code, _)| code).collect();
    assert_eq!(codes, ["secret_needed_for_new_destination"; 2], "{}", refused.text());
    let mut whole = pins.clone();
    whole["ssh_key"] = json!(key.private);
    whole["passphrase"] = json!(passphrase);
    let saved = consign.patch(&format!("/credentials/{id}"), &whole).await.expect(200).json();
    assert_eq!(saved["host_keys"][0]["compared_with"], "ticket 7");
    check(&consign.act(&tests).await.expect(201).json(), "working", WORKING, &done);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_looks_into_a_folder_and_writes_only_when_asked() {
    let consign = TestConsign::start().await;
    let (host, passphrase) = (KeyPair::generate("ecdsa", ""), consign.canary("passphrase"));
    let key = KeyPair::generate("ed25519", &passphrase);
    let sshd = Sshd::start(&[&host], &key.public).await;
    let mut body = by_key(&sshd, &[&host.public], &key, &passphrase);
    body["test_path"] = json!(sshd.inbox());
    let id = consign.credential(&body).await;
    let way = [("name", "done"), ("connect", "done"), ("host_key", "done"), ("sign_in", "done")];
    let result = consign.act(&format!("/credentials/{id}/tests")).await.expect(201).json();
    check(&result, "working", WORKING, &[&way[..], &[("folder", "done")]].concat());
    let result = consign.act(&format!("/credentials/{id}/tests?write=true")).await.expect(201).json();
    check(&result, "working", WORKING, &[&way[..], &[("folder", "done"), ("write", "done")]].concat());
    assert_eq!(sshd.files(), 0, "nothing is left");

    let gone = json!({ "test_path": "/nowhere/at/all" });
    let result = consign.post(&format!("/credentials/{id}/tests"), &gone).await.expect(201).json();
    let message = "The server cannot find the folder: no such file or folder.";
    check(&result, "failed", message, &[&way[..], &[("folder", "failed")]].concat());
    let wrong =
        json!({ "username": "nobody-of-that-name", "ssh_key": key.private, "passphrase": passphrase });
    let result = consign.post(&format!("/credentials/{id}/tests"), &wrong).await.expect(201).json();
    let message = "The server refused the sign-in. Check the username, SSH key and passphrase.";
    let refused = [
        ("name", "done"),
        ("connect", "done"),
        ("host_key", "done"),
        ("sign_in", "failed"),
        ("folder", "skipped"),
    ];
    check(&result, "failed", message, &refused);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_does_not_go_to_a_file_server() {
    let consign = TestConsign::start().await;
    let (host, passphrase) = (KeyPair::generate("ecdsa", ""), consign.canary("passphrase"));
    let key = KeyPair::generate("ed25519", &passphrase);
    let sshd = Sshd::start(&[&host], &key.public).await;
    consign.credential(&by_key(&sshd, &[&host.public], &key, &passphrase)).await;
    let webhook = json!({ "name": "itsm", "credential": "Payroll", "path": "/x", "event_types": ["*"] });
    let refused = consign.post("/webhooks", &webhook).await.expect(422);
    let sentence = "“Payroll” is for SFTP. Choose an HTTPS credential".to_owned();
    assert!(
        refused.faults().contains(&("/credential".to_owned(), "wrong_protocol".to_owned(), sentence)),
        "{}",
        refused.text()
    );
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_entered_and_its_key_compared_without_the_script() {
    let consign = TestConsign::start().await;
    let (host, other) = (KeyPair::generate("ed25519", ""), KeyPair::generate("ecdsa", ""));
    let passphrase = consign.canary("passphrase");
    let key = KeyPair::generate("ed25519", &passphrase);
    let mut sshd = Sshd::start(&[&host, &other], &key.public).await;
    let here = "/credentials/new";
    let first =
        consign.form(here, "authorization_type").await.set("protocol", "sftp").with("show_fields", "1");
    let page = consign.send_form(&first).await.text();
    let form =
        form_with(&page, here, "hostname").set("authorization_type", "ssh_key").with("show_fields", "1");
    let page = consign.send_form(&form).await.text();
    let form = form_with(&page, here, "ssh_key")
        .set("name", "Payroll")
        .set("hostname", &sshd.hostname())
        .set("username", &user())
        .set("ssh_key", &key.private)
        .set("passphrase", &passphrase);
    let page = consign.send_form(&form).await.expect(422).text();
    assert!(page.contains("Enter the SFTP server fingerprint or read it from the server"), "{page}");

    let form = form_with(&page, here, "hostname").with("scan_keys", "1");
    let page = consign.send_form(&form).await.expect(200).text();
    let shown = unescape(&page);
    assert!(shown.contains(&host.fingerprint()) && shown.contains(&other.fingerprint()), "{shown}");
    assert!(page.contains("Anyone between us and the server could have answered."), "{page}");
    let form = form_with(&page, here, "scan_compared_with").with("use_key", "1");
    let again = consign.send_form(&form).await.expect(422).text();
    let page = unescape(&again);
    for sentence in
        ["Select the host key that you compared", "Compare the fingerprint first, and tick that you did"]
    {
        assert!(page.contains(sentence), "{page}");
    }
    let form = form_with(&again, here, "scan_compared_with")
        .with("scanned_key", &host.public)
        .with("compared", "on")
        .set("scan_compared_with", "ticket 7")
        .with("use_key", "1");
    let page = consign.send_form(&form).await.expect(200).text();
    let form = form_with(&page, here, "hostname");
    assert_eq!(form.value("sftp_server_fingerprint"), Some(host.public.as_str()));
    let edit = consign.save_credential(&form).await;
    let id = edit.rsplit('/').next().unwrap();
    let shown = consign.get(&format!("/credentials/{id}")).await.json();
    assert_eq!(shown["host_keys"][0]["compared_with"], "ticket 7", "{shown}");
    let page = unescape(&consign.page(&format!("/credentials/{id}")).await.expect(200).text());
    assert!(
        page.contains(&key.public) && page.contains("Pinned host keys") && page.contains("ticket 7"),
        "{page}"
    );
    let result = consign.until_shows(&format!("/credentials/{id}"), "/status/code", "working").await;
    assert_eq!(result["hostname"], json!(sshd.hostname()));

    // Another key on the server: compared again, the secrets are asked for again.
    let new = KeyPair::generate("ed25519", "");
    sshd.change_keys(&[&new]).await;
    let form = consign.form(&edit, "hostname").await.with("scan_keys", "1");
    let page = consign.send_form(&form).await.expect(200).text();
    assert!(page.contains("differs from the pinned key"), "{page}");
    let form = form_with(&page, &edit, "scan_compared_with")
        .with("scanned_key", &new.public)
        .with("compared", "on")
        .set("scan_compared_with", "Ana")
        .with("use_key", "1");
    let page = consign.send_form(&form).await.expect(200).text();
    let form = form_with(&page, &edit, "hostname");
    assert_eq!(form.value("ssh_key"), Some(""), "the field is open");
    let refused = consign.send_form(&form).await.expect(422).text();
    assert!(
        unescape(&refused).contains(
            "Enter the SSH key again. You changed the host keys, so the saved one is not used with it"
        ),
        "{refused}"
    );
    let form =
        form_with(&refused, &edit, "ssh_key").set("ssh_key", &key.private).set("passphrase", &passphrase);
    assert_eq!(consign.save_credential(&form).await, edit);
    let deletion = consign.page(&format!("/credentials/{id}/delete")).await.expect(200).text();
    assert!(deletion.contains("Delete SFTP credential"), "{deletion}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn host_keys_are_read_compared_and_pinned_by_commands() {
    let consign = TestConsign::start().await;
    let (host, passphrase) = (KeyPair::generate("ecdsa", ""), consign.canary("passphrase"));
    let key = KeyPair::generate("ed25519", &passphrase);
    let mut sshd = Sshd::start(&[&host], &key.public).await;
    let hostname = sshd.hostname();
    let scanned = consign.run(&["credential", "scan-host-key", &hostname, "--json"]).await.expect(0).json();
    assert_eq!(scanned["keys"][0]["fingerprint"], json!(host.fingerprint()));
    let right =
        consign.run(&["credential", "scan-host-key", &hostname, "--expect", &host.fingerprint()]).await;
    assert!(right.expect(0).stdout.contains(&host.fingerprint()));
    let wrong = KeyPair::generate("ecdsa", "").fingerprint();
    consign.run(&["credential", "scan-host-key", &hostname, "--expect", &wrong]).await.expect(8);

    let file = consign.folder.write("key", &key.private);
    let (print, name, key_file) = (host.fingerprint(), user(), format!("ssh-key=@{file}"));
    let words = [
        "credential",
        "create",
        "--name",
        "Payroll",
        "--hostname",
        &hostname,
        "--fingerprint",
        &print,
        "--compared-with",
        "ticket 7",
        "--authorization-type",
        "ssh_key",
        "--username",
        &name,
        "--secret",
        &key_file,
        "--secret",
        "passphrase=env:PASSPHRASE",
        "--test",
    ];
    let made = consign.run_as(consign.cli(&words).env("PASSPHRASE", &passphrase)).await.expect(0);
    assert!(
        made.stderr.contains(WORKING) || made.stdout.contains(WORKING),
        "{} {}",
        made.stdout,
        made.stderr
    );
    let id = id_of(&consign.get("/credentials/Payroll").await.json());

    let new = KeyPair::generate("ecdsa", "");
    sshd.change_keys(&[&new]).await;
    let failed = consign.run(&["credential", "test", "Payroll"]).await.expect(8);
    assert!(failed.stderr.contains("scan-host-key"), "{}", failed.stderr);
    let print = new.fingerprint();
    let words = [
        "credential",
        "scan-host-key",
        "--pin",
        "Payroll",
        "--expect",
        &print,
        "--compared-with",
        "Ana",
        "--yes",
        "--secret",
        &key_file,
        "--secret",
        "passphrase=env:PASSPHRASE",
    ];
    consign.run_as(consign.cli(&words).env("PASSPHRASE", &passphrase)).await.expect(0);
    consign.run(&["credential", "test", "Payroll"]).await.expect(0);
    let shown = consign.get(&format!("/credentials/{id}")).await.json();
    assert_eq!(shown["host_keys"][0]["fingerprint"], json!(print));
    consign.finish().await;
}
