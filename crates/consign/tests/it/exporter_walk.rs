//! A file server and an exporter to it, from the empty form to the file that arrived and its end, in a browser with and
//! without scripts.

use serde_json::json;

use crate::browser::press_in_confirmation;
use crate::harness::{TestConsign, eventually};
use crate::peers::browser::Browser;
use crate::peers::sshd::{KeyPair, Sshd, user};

/// A drop-down that changes the fields: by itself, or with the button beside it.
async fn choose(browser: &Browser, name: &str, value: &str, scripts: bool, there: &str) {
    browser.choose(name, value).await;
    if !scripts {
        browser.press(&format!("[name='{name}'] ~ [name='show_fields']")).await;
    }
    browser.until_there(there).await;
}

/// A credential for a file server whose key was read from it and compared.
async fn credential(
    consign: &TestConsign,
    browser: &Browser,
    sshd: &Sshd,
    key: &KeyPair,
    scripts: bool,
) -> String {
    let base = format!("http://{}", consign.address());
    browser.goto(&format!("{base}/credentials/new")).await;
    browser.fill("name", "Payroll").await;
    choose(browser, "protocol", "sftp", scripts, "input[name='hostname']").await;
    choose(browser, "authorization_type", "ssh_key", scripts, "textarea[name='ssh_key']").await;
    browser.fill("hostname", &sshd.hostname()).await;
    browser.press_words("Read from server").await;
    browser.until_there("#scan-title").await;
    browser.press("[name='scanned_key']").await;
    browser.press("[name='compared']").await;
    browser.fill("scan_compared_with", "ticket 7").await;
    browser.press_words("Use selected key").await;
    eventually("the key to be taken over", async || {
        let script =
            "return document.querySelector('[name=sftp_server_fingerprint]')?.value.includes('ssh-')";
        (browser.run(script, vec![]).await == json!(true)).then_some(())
    })
    .await;
    browser.fill("username", &user()).await;
    let script = "document.querySelector('[name=ssh_key]').value = arguments[0]";
    browser.run(script, vec![json!(key.private)]).await;
    browser.press_words("Save").await;
    let page = browser.until_elsewhere("/credentials/crd_", "new").await;
    browser.until_shows("It cannot be shown.").await;
    browser.press_words("Test connection").await;
    consign.until_shows(&page, "/status/code", "working").await;
    // Saved untouched, the key stays; and the page is left without a word about it.
    browser.goto(&format!("{base}{page}")).await;
    browser.fill("name", "Payroll files").await;
    browser.press_words("Save").await;
    browser.until_shows("Saved.").await;
    let tested = consign.act(&format!("{page}/tests")).await.expect(201).json();
    assert_ne!(tested["outcome"], "failed", "{tested}");
    page
}

async fn walk(scripts: bool) {
    let consign = TestConsign::start().await;
    let (host, key) = (KeyPair::generate("ed25519", ""), KeyPair::generate("ed25519", ""));
    let sshd = Sshd::start(&[&host], &key.public).await;
    let browser = Browser::start(scripts).await;
    let base = format!("http://{}", consign.address());
    browser.be(&base, Some(&consign.session)).await;
    let credential = credential(&consign, &browser, &sshd, &key, scripts).await;

    browser.press_words("Create a data exporter").await;
    browser.until_at("/exporters/new").await;
    browser.until_there("input[name='folder']").await;
    browser.fill("name", "Device list").await;
    browser.fill("event_types", "device.*").await;
    browser.fill("folder", &sshd.inbox()).await;
    choose(&browser, "format", "json", scripts, "select[name='json_shape']").await;
    choose(&browser, "format", "csv", scripts, "[name='csv.delimiter']").await;
    browser.fill("columns", "n").await;
    browser.press_words("Preview").await;
    browser.until_shows("Every day at").await;
    browser.fill("columns", "n = data.n").await;
    browser.press_words("Save").await;
    let page = browser.until_elsewhere("/exporters/con_", "new").await;
    browser.until_shows("No runs yet").await;
    consign.event("device.low", &json!({ "n": 4 })).await;
    browser.press_words("Run now").await;
    let run = browser.until_at("/runs/run_").await;
    consign.until_shows(&run, "/state", "done").await;
    if !scripts {
        browser.goto(&format!("{base}{run}")).await;
    }
    // With a script the page comes to it by itself.
    browser.until_shows("Done").await;
    assert_eq!(sshd.files(), 1);
    browser.press_words("Run again").await;
    browser.until_elsewhere("/runs/run_", &run).await;
    eventually("the file to be sent again", async || {
        let runs = consign.all(&format!("{page}/runs")).await;
        (runs.len() == 2 && runs.iter().all(|run| !run["ended_at"].is_null())).then_some(())
    })
    .await;

    browser.goto(&format!("{base}{page}/set-up")).await;
    browser.fill("name", "Device list, nightly").await;
    browser.press_words("Save").await;
    browser.until_shows("Saved.").await;
    browser.press_words("Pause").await;
    browser.until_shows("Records keep arriving and wait.").await;
    browser.press_words("Resume").await;
    browser.until_shows("Resumed.").await;
    browser.goto(&format!("{base}/exporters")).await;
    browser.press("a[title^='Delete Device list']").await;
    browser.until_shows("Delete “Device list, nightly”?").await;
    press_in_confirmation(&browser, "Delete data exporter").await;
    browser.until_shows("Deleted Device list, nightly.").await;
    browser.goto(&format!("{base}/credentials")).await;
    browser.press(&format!("a[href='{credential}/delete']")).await;
    browser.until_shows("Delete SFTP credential").await;
    press_in_confirmation(&browser, "Delete credential").await;
    browser.until_shows("Deleted Payroll files.").await;
    browser.close().await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exporter_is_walked_with_scripts() {
    walk(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exporter_is_walked_without_scripts() {
    walk(false).await;
}
