//! What no address alone leads to: answers of buttons, open dialogs, and pages that say no.

use consign_core::vault::RingKey;
use serde_json::json;

use super::Tour;
use crate::encryption::put_ring;
use crate::harness::process::Process;
use crate::harness::{Folder, TestConsign, form};
use crate::people::someone;

/// States of the pages of connectors and of what they use; `pages` are those that are there.
pub(super) async fn of_connectors(tour: &mut Tour<'_>, consign: &TestConsign, pages: &[String]) {
    let (browser, base) = (tour.browser, tour.base);
    let at = |start: &str, end: &str| {
        let found = pages.iter().find(|path| path.starts_with(start) && path.ends_with(end));
        found.unwrap_or_else(|| panic!("no page {start}…{end}")).as_str()
    };
    for list in ["webhooks", "exporters", "gateways"] {
        let refused = async || {
            browser.goto(&format!("{base}/{list}/new")).await;
            browser.press_words("Save").await;
            browser.until_shows("There is a problem").await;
        };
        tour.look_at(&format!("a refused form of {list}"), refused).await;
    }
    let set_up = at("/gateways/", "/set-up");
    let gateway = set_up.trim_end_matches("/set-up");
    let conflict = async || {
        browser.goto(&format!("{base}{set_up}")).await;
        consign.patch(gateway, &json!({ "description": "theirs" })).await.expect(200);
        browser.fill("description", "mine").await;
        browser.press_words("Save").await;
        browser.until_shows("while you were editing").await;
    };
    tour.look_at("a conflict", conflict).await;
    let tried = async || {
        browser.goto(&format!("{base}{gateway}/try")).await;
        browser.press_words("Send").await;
        browser.until_shows("Answer to GET").await;
    };
    tour.look_at("the answer through a gateway", tried).await;
    let signature = at("/webhooks/", "/signature");
    let checked = async || {
        browser.goto(&format!("{base}{signature}")).await;
        let typed = [
            ("webhook_id", "msg"),
            ("webhook_timestamp", "1"),
            ("webhook_signature", "v1,AAAA"),
            ("body", "{}"),
        ];
        for (name, text) in typed {
            browser.fill(name, text).await;
        }
        browser.press_within("//section[@aria-labelledby='check']", "Check").await;
        browser.until_there("[aria-labelledby=check] .note").await;
    };
    tour.look_at("a checked signature", checked).await;
    shown_once(tour, consign).await;
    let deletion = async || {
        browser.goto(&format!("{base}/credentials")).await;
        browser.press("a[title='Delete Incidents']").await;
        browser.until_there("dialog[open]").await;
    };
    tour.look_at("the dialog before a deletion", deletion).await;
    let keys = async || {
        browser.goto(&format!("{base}/webhooks")).await;
        let press = "document.body.dispatchEvent(new KeyboardEvent('keydown', { key: '?', bubbles: true }))";
        browser.run(press, vec![]).await;
        browser.until_there("#keys[open]").await;
    };
    tour.look_at("the list of shortcuts", keys).await;
}

/// Pages that show a secret once.
async fn shown_once(tour: &mut Tour<'_>, consign: &TestConsign) {
    let (browser, base) = (tour.browser, tour.base);
    let signed = json!({ "name": "Signed", "credential": "Incidents", "path": "/signed", "event_types": ["signed"],
                         "signature": "hmac" });
    let signed = consign.post("/webhooks", &signed).await.expect(201).json();
    consign.canaries.shown_once("a signing secret", signed["signing_secret"].as_str().unwrap());
    let secret = async || {
        let id = signed["id"].as_str().unwrap();
        browser.goto(&format!("{base}/webhooks/{id}/signature/change")).await;
        browser.press_words("Change signing secret").await;
        browser.until_shows("This secret is shown once").await;
    };
    tour.look_at("a signing secret", secret).await;
    let key = async || {
        browser.goto(&format!("{base}/api-keys/new")).await;
        browser.fill("name", "Reporting").await;
        browser.press("[name='scopes'][value='events:read']").await;
        browser.fill("password", &consign.password).await;
        browser.press_words("Create key").await;
        browser.until_shows("This key is shown once").await;
    };
    tour.look_at("a new API key", key).await;
}

/// States of the pages of administration; at the end the pages that say no.
pub(super) async fn of_administration(tour: &mut Tour<'_>, consign: &TestConsign) {
    let (browser, base) = (tour.browser, tour.base);
    let opened = async || {
        browser.goto(&format!("{base}/settings/encryption")).await;
        browser.press_words("Check all secrets can be opened").await;
        browser.until_shows("values open").await;
    };
    tour.look_at("a check of the secrets", opened).await;
    let whole = async || {
        browser.goto(&format!("{base}/settings/backup")).await;
        browser.press("form[action='/settings/backup/check'] button").await;
        browser.until_shows("This backup is whole").await;
    };
    tour.look_at("a check of a backup", whole).await;
    let suspension = async || {
        browser.goto(&format!("{base}/users")).await;
        browser.press("a[href$='/suspend']").await;
        browser.until_there("dialog[open]").await;
    };
    tour.look_at("the dialog before a suspension", suspension).await;
    let too_large = async || {
        browser.goto(&format!("{base}/settings/egress")).await;
        let send = "const field = document.querySelector('[name=address]');
            field.value = 'x'.repeat(1 << 20);
            setTimeout(() => field.form.requestSubmit());";
        browser.run(send, vec![]).await;
        browser.until_shows("The form is larger than").await;
    };
    tour.look_at("a form that is too large", too_large).await;
    let (_, viewer) = someone(consign, "vera@acme.example", "viewer").await;
    let not_allowed = async || {
        browser.be(base, Some(&viewer)).await;
        browser.goto(&format!("{base}/settings")).await;
        browser.until_shows("This page is not for your role").await;
    };
    tour.look_at("a page for other roles", not_allowed).await;
    browser.be(base, Some(&consign.session)).await;
    consign.database.execute("alter table connector rename to elsewhere").await;
    let failed = async || {
        browser.goto(&format!("{base}/webhooks")).await;
        browser.until_shows("Something went wrong").await;
    };
    tour.look_at("a page that failed", failed).await;
    consign.database.execute("alter table elsewhere rename to connector").await;
}

/// A server that waits for its first administrator; it is at `there`.
pub(super) async fn not_set_up(tour: &mut Tour<'_>, there: &str) {
    let browser = tour.browser;
    let open = async || {
        browser.goto(&format!("{there}/credentials")).await;
        browser.until_shows("Not set up yet").await;
    };
    tour.look_at("not set up yet", open).await;
}

/// A server without the key that sealed what is in this folder.
pub(super) async fn locked(tour: &mut Tour<'_>, folder: &Folder) {
    let browser = tour.browser;
    put_ring(folder, &RingKey::generate().line());
    let server = Process::start(folder, &[]).await;
    let open = async || {
        browser.goto(&format!("http://{}/credentials", server.client.address)).await;
        browser.until_shows("Credentials are locked").await;
    };
    tour.look_at("locked", open).await;
    server.stop().await;
}

/// Somebody guesses passwords. Nobody signs in from here afterwards.
pub(super) async fn too_many_tries(tour: &mut Tour<'_>, consign: &TestConsign) {
    const TRIES: usize = 60;
    let (browser, base) = (tour.browser, tour.base);
    let guess = form(&[("email", "eve@acme.example"), ("password", "a guess, and a wrong one")]);
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
    let mut last = 0;
    for _ in 0..TRIES {
        last = consign.client.send("POST", "/sign-in", &headers, guess.clone()).await.status;
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429, "after {TRIES} tries");
    browser.be(base, None).await;
    let braked = async || {
        browser.goto(&format!("{base}/sign-in")).await;
        browser.fill("email", "eve@acme.example").await;
        browser.fill("password", "a guess, and a wrong one").await;
        browser.press_words("Sign in").await;
        browser.until_shows("Too many tries").await;
    };
    tour.look_at("too many tries", braked).await;
}
