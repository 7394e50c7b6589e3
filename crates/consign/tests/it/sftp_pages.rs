//! The pages of file servers in headless Chromium, each in the states it has, judged by the accessibility checker.

use serde_json::json;

use crate::harness::TestConsign;
use crate::peers::browser::Browser;
use crate::peers::free_port;
use crate::peers::sshd::{KeyPair, Sshd, user};
use crate::tours::Tour;

/// A new credential for a file server, with its host keys read and none compared.
async fn read_keys(browser: &Browser, base: &str, hostname: &str) {
    browser.goto(&format!("{base}/credentials/new")).await;
    choose_keys(browser, hostname).await;
}

/// On the form of a new credential.
pub(crate) async fn choose_keys(browser: &Browser, hostname: &str) {
    browser.choose("protocol", "sftp").await;
    browser.until_there("input[name='hostname']").await;
    browser.choose("authorization_type", "ssh_key").await;
    browser.until_there("textarea[name='ssh_key']").await;
    browser.fill("hostname", hostname).await;
    browser.press_words("Read from server").await;
    browser.until_there("#scan-title").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_file_servers_are_accessible_in_every_scheme_and_at_320_pixels() {
    let consign = TestConsign::start().await;
    let (host, other) = (KeyPair::generate("rsa", ""), KeyPair::generate("ecdsa", ""));
    let passphrase = consign.canary("passphrase");
    let key = KeyPair::generate("ed25519", &passphrase);
    let mut sshd = Sshd::start(&[&host, &other], &key.public).await;
    let body = json!({
        "name": "Payroll", "protocol": "sftp", "hostname": sshd.hostname(), "authorization_type": "ssh_key",
        "sftp_server_fingerprint": [host.public, other.fingerprint()], "host_keys_compared_with": "ticket 7",
        "username": user(), "ssh_key": key.private, "passphrase": passphrase,
    });
    let id = consign.credential(&body).await;
    let page = format!("/credentials/{id}");
    consign.act(&format!("{page}/tests")).await.expect(201);
    let browser = Browser::start(true).await;
    let base = format!("http://{}", consign.address());
    browser.be(&base, Some(&consign.session)).await;

    let pages = [page.clone(), format!("{page}/delete")];
    let mut tour = Tour::start("file servers", &browser, &base).await;
    tour.look(&pages).await;
    let refused = async || {
        browser.goto(&format!("{base}/credentials/new")).await;
        browser.choose("protocol", "sftp").await;
        browser.until_there("input[name='hostname']").await;
        browser.choose("authorization_type", "password").await;
        browser.until_there("input[name='password']").await;
        browser.press_words("Save").await;
        browser.until_shows("Enter the SFTP server fingerprint or read it from the server").await;
    };
    tour.look_at("a refused file server", refused).await;
    let compared = async || {
        read_keys(&browser, &base, &sshd.hostname()).await;
        browser.press_words("Use selected key").await;
        browser.until_shows("Compare the fingerprint first, and tick that you did").await;
    };
    tour.look_at("keys that were read", compared).await;
    let nobody = format!("sftp://127.0.0.1:{}/", free_port());
    let unread = async || read_keys(&browser, &base, &nobody).await;
    tour.look_at("keys that cannot be read", unread).await;

    sshd.change_keys(&[&KeyPair::generate("rsa", "")]).await;
    consign.act(&format!("{page}/tests")).await.expect(201);
    let changed = async || {
        browser.goto(&format!("{base}{page}")).await;
        browser.until_shows("Host key changed").await;
        browser.press_words("Read from server").await;
        browser.until_shows("differs from the pinned key").await;
    };
    tour.look_at("another key", changed).await;
    tour.look(&["/credentials".to_owned()]).await;
    tour.end();
    browser.close().await;
    consign.finish().await;
}
