//! What people know from the page that this console grew out of, one behaviour a test, in a browser.

use fantoccini::Locator;
use fantoccini::key::Key;
use serde_json::{Value, json};

use crate::harness::{TestConsign, bearer, eventually, id_of};
use crate::peers::browser::Browser;

/// The console of a new Consign, in the browser of its administrator.
struct Desk {
    consign: TestConsign,
    browser: Browser,
    base: String,
}

impl Desk {
    async fn open(path: &str) -> Self {
        let consign = TestConsign::start().await;
        let browser = Browser::start(true).await;
        let base = format!("http://{}", consign.address());
        browser.be(&base, Some(&consign.session)).await;
        let desk = Self { consign, browser, base };
        desk.goto(path).await;
        desk
    }

    async fn goto(&self, path: &str) {
        self.browser.goto(&format!("{}{path}", self.base)).await;
    }

    async fn run(&self, script: &str) -> Value {
        self.browser.run(script, vec![]).await
    }

    /// The names of the fields that are shown, in their order.
    async fn fields(&self) -> Vec<String> {
        let script = "return [...document.querySelectorAll('#credential [name]')]
            .filter((field) => field.checkVisibility() && !field.matches('button')).map((field) => field.name)";
        self.run(script)
            .await
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    }

    async fn close(self) -> TestConsign {
        let source = self.browser.client.source().await.unwrap();
        self.consign.shown_elsewhere("the last page", source);
        self.browser.close().await;
        self.consign
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_list_leads_to_the_first_credential() {
    let desk = Desk::open("/credentials").await;
    desk.browser.until_shows("No credentials yet").await;
    let drawn = desk.run("return document.querySelectorAll('main .empty svg').length").await;
    assert_eq!(drawn, json!(1), "a drawing");
    desk.browser.press_words("New credential").await;
    desk.browser.until_at("/credentials/new").await;
    desk.close().await.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn protocol_and_authorization_type_change_the_fields() {
    let desk = Desk::open("/credentials/new").await;
    let ways: [(&str, &str, &[&str], &[&str]); 6] = [
        ("https", "basic", &["url_address", "username", "password"], &["hostname", "token", "client_id"]),
        ("https", "bearer", &["url_address", "token"], &["username", "password"]),
        (
            "https",
            "oauth2_client_credentials",
            &["client_id", "client_secret", "access_token_url"],
            &["token"],
        ),
        ("https", "none", &["url_address"], &["client_id", "username"]),
        (
            "sftp",
            "password",
            &["hostname", "sftp_server_fingerprint", "username", "password"],
            &["url_address"],
        ),
        ("sftp", "ssh_key", &["hostname", "username", "ssh_key", "passphrase"], &["url_address", "token"]),
    ];
    desk.browser.fill("name", "stays").await;
    for (protocol, kind, there, gone) in ways {
        let now = desk.run("return document.querySelector('[name=protocol]').value").await;
        if now != json!(protocol) {
            desk.browser.choose("protocol", protocol).await;
            desk.browser.until_there(&format!("[name=authorization_type] option[value={kind}]")).await;
        }
        desk.browser.choose("authorization_type", kind).await;
        eventually(&format!("the fields of {kind}"), async || {
            let fields = desk.fields().await;
            let has = |name: &&str| fields.iter().any(|field| field == name);
            (there.iter().all(has) && !gone.iter().any(has)).then_some(())
        })
        .await;
        let focus = desk.run("return document.activeElement.name").await;
        assert_eq!(focus, json!("authorization_type"), "the focus stays where the choice was made");
        eventually("the change to be said", async || {
            let said = desk.run("return document.getElementById('live').textContent").await;
            said.as_str().is_some_and(|said| said.starts_with("Fields for ")).then_some(())
        })
        .await;
    }
    assert_eq!(desk.run("return document.querySelector('[name=name]').value").await, json!("stays"));
    desk.close().await.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_redirect_url_is_copied_by_its_button() {
    let desk = Desk::open("/credentials/new").await;
    desk.browser.choose("authorization_type", "oauth2_authorization_code").await;
    desk.browser.until_there("#f-redirect_url").await;
    let shown = desk.run("return document.getElementById('f-redirect_url').value").await;
    let shown = shown.as_str().unwrap().to_owned();
    assert!(shown.contains("/oauth/callback/crd_"), "{shown}");
    desk.browser.press("[data-copy=f-redirect_url]").await;
    desk.browser.until_shows("Copied").await;
    let name = desk.browser.client.find(Locator::Css("[name=name]")).await.unwrap();
    name.send_keys(&format!("{}v", char::from(Key::Control))).await.unwrap();
    let pasted = desk.run("return document.querySelector('[name=name]').value").await;
    assert_eq!(pasted, json!(shown), "what was copied is what was shown");
    desk.close().await.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_custom_header_is_added_and_thrown_into_the_trash() {
    let desk = Desk::open("/credentials/new").await;
    desk.browser.choose("authorization_type", "basic").await;
    desk.browser.until_there("[name=password]").await;
    let rows = "return document.querySelectorAll('#custom-headers [data-rows-list] > [data-row]').length";
    assert_eq!(desk.run(rows).await, json!(0));
    desk.browser.press("#custom-headers [data-rows-add]").await;
    assert_eq!(desk.run(rows).await, json!(1));
    let focus = desk.run("return document.activeElement.name").await;
    assert_eq!(focus, json!("custom_headers.name"), "on to its first field");
    desk.browser.press("#custom-headers [data-rows-remove]").await;
    assert_eq!(desk.run(rows).await, json!(0));
    let focus = desk.run("return 'rowsAdd' in document.activeElement.dataset").await;
    assert_eq!(focus, json!(true), "back to the button");
    desk.close().await.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn save_keeps_what_was_typed_and_shows_it_in_the_list() {
    let desk = Desk::open("/credentials/new").await;
    desk.browser.choose("authorization_type", "basic").await;
    desk.browser.until_there("[name=password]").await;
    desk.browser.fill("name", "Service desk").await;
    desk.browser.fill("url_address", "https://tool.example.org/").await;
    desk.browser.fill("username", "consign").await;
    desk.browser.fill("password", &desk.consign.canary("password")).await;
    desk.browser.press_words("Save").await;
    let page = desk.browser.until_at("/credentials/crd_").await;
    desk.browser.until_shows("It cannot be shown.").await;
    let id = page.rsplit('/').next().unwrap();
    let saved = desk.consign.get(&format!("/credentials/{id}")).await.expect(200).json();
    assert_eq!(
        (&saved["name"], &saved["username"], &saved["password"]["set"]),
        (&json!("Service desk"), &json!("consign"), &json!(true)),
        "{saved}"
    );
    assert_eq!(saved["url_address"], "https://tool.example.org/", "{saved}");
    desk.goto("/credentials").await;
    desk.browser.until_there("a[title='Edit Service desk']").await;
    desk.close().await.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn error_messages_stand_above_the_form_and_at_their_fields() {
    let desk = Desk::open("/credentials/new").await;
    desk.browser.choose("authorization_type", "basic").await;
    desk.browser.until_there("[name=password]").await;
    desk.browser.fill("name", "Service desk").await;
    desk.browser.fill("url_address", "http://tool.example.org/").await;
    desk.browser.fill("password", &desk.consign.canary("password")).await;
    desk.browser.press_words("Save").await;
    desk.browser.until_shows("There is a problem").await;
    // Each sentence leads to a field that says the same.
    let told = "return [...document.querySelectorAll('.problem a')].map((link) => {
        const field = document.querySelector(link.getAttribute('href'));
        const described = (field.getAttribute('aria-describedby') || '').split(' ');
        const said = described.map((id) => document.getElementById(id)).filter((said) => said);
        return [field.name, link.textContent, field.getAttribute('aria-invalid'),
            said.some((said) => said.textContent.includes(link.textContent))];
    }).sort()";
    let expected = json!([
        ["url_address", "URL address must start with https://", "true", true],
        ["username", "Enter a username", "true", true],
    ]);
    assert_eq!(desk.run(told).await, expected);
    let focus = desk.run("return document.activeElement.className").await;
    assert!(focus.as_str().is_some_and(|class| class.contains("problem")), "the summary is read: {focus}");
    assert_eq!(desk.consign.all("/credentials").await.len(), 0, "nothing was saved");
    // What was typed stays, a secret out of sight.
    assert_eq!(desk.run("return document.querySelector('[name=name]').value").await, json!("Service desk"));
    desk.browser.until_shows("Entered, not saved yet").await;
    desk.browser.press(".problem a[href='#f-username']").await;
    eventually("the field to have the focus", async || {
        (desk.run("return document.activeElement.name").await == json!("username")).then_some(())
    })
    .await;
    desk.browser.fill("username", "consign").await;
    desk.browser.fill("url_address", "https://tool.example.org/").await;
    desk.browser.press_words("Save").await;
    desk.browser.until_at("/credentials/crd_").await;
    let saved = desk.consign.all("/credentials").await;
    assert_eq!((saved.len(), &saved[0]["password"]["set"]), (1, &json!(true)), "{saved:?}");
    desk.close().await.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_clears_what_was_typed() {
    let desk = Desk::open("/credentials/new").await;
    desk.browser.choose("authorization_type", "basic").await;
    desk.browser.until_there("[name=password]").await;
    desk.browser.fill("name", "Never mind").await;
    desk.browser.fill("password", &desk.consign.canary("password")).await;
    desk.browser.press_words("Cancel").await;
    desk.browser.until_at("/credentials").await;
    desk.browser.until_shows("No credentials yet").await;
    desk.goto("/credentials/new").await;
    assert_eq!(desk.run("return document.querySelector('[name=name]').value").await, json!(""));
    assert_eq!(desk.consign.all("/credentials").await.len(), 0);
    desk.close().await.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pencil_opens_the_form_and_its_secrets_cannot_be_copied() {
    let desk = Desk::open("/docs").await;
    let token = desk.consign.canary("token");
    let mut body = bearer("Service desk", "https://tool.example.org/", &token);
    body["custom_headers"] = json!([{ "name": "X-Key", "value": desk.consign.canary("header") }]);
    let id = desk.consign.credential(&body).await;
    desk.goto("/credentials").await;
    desk.browser.press("a[title='Edit Service desk']").await;
    desk.browser.until_at(&format!("/credentials/{id}")).await;
    desk.browser.until_shows("It cannot be shown.").await;
    // All that can be marked and copied, and all that fields hold.
    let all = "getSelection().selectAllChildren(document.body);
        return [String(getSelection()), ...[...document.querySelectorAll('input, textarea')].map((field) => field.value)]";
    desk.consign.shown_elsewhere("what can be copied of the form", desk.run(all).await.to_string());
    let secrets = "return [...document.querySelectorAll('[data-secret]')].map((field) => field.value)";
    let held = desk.run(secrets).await;
    assert!(
        held.as_array().is_some_and(|held| held.len() >= 2 && held.iter().all(|one| one == "")),
        "{held}"
    );
    // Opened to be replaced, it is as empty.
    desk.browser.press("details.secret > summary").await;
    assert_eq!(desk.run(secrets).await[0], json!(""));
    desk.browser.press_words("Save").await;
    desk.browser.until_shows("Saved.").await;
    let saved = desk.consign.get(&format!("/credentials/{id}")).await.json();
    assert_eq!(saved["token"]["set"], true, "an empty field keeps what was saved: {saved}");
    desk.close().await.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trash_can_asks_in_a_pop_up_and_deletes_though_a_connector_is_linked() {
    let desk = Desk::open("/docs").await;
    let webhook = desk.consign.bearer_webhook("Service desk", "https://tool.example.org/", &json!({})).await;
    let id = id_of(&desk.consign.get("/credentials/Service%20desk").await.json());
    desk.goto("/credentials").await;
    let trash = "a[title='Delete Service desk']";
    let open = "const box = document.querySelector('dialog[open]');
        return box && document.getElementById(box.getAttribute('aria-labelledby')).textContent";
    desk.browser.press(trash).await;
    desk.browser.until_there("dialog[open]").await;
    assert_eq!(desk.run(open).await, json!("Delete webhook credential"));
    desk.browser.until_shows("1 connector uses it and will stop sending:").await;
    assert_eq!(
        desk.run("return document.activeElement.textContent").await,
        json!("Cancel"),
        "nothing by accident"
    );
    let pressed = desk.browser.client.find(Locator::Css("dialog [data-dialog-close]")).await.unwrap();
    pressed.send_keys(&char::from(Key::Escape).to_string()).await.unwrap();
    assert_eq!(desk.run(open).await, Value::Null);
    let back = desk.run("return document.activeElement.title").await;
    assert_eq!(back, json!("Delete Service desk"), "the focus is where it was");
    desk.browser.press(trash).await;
    desk.browser.until_there("dialog[open]").await;
    desk.browser.fill("confirm_name", "Service desk").await;
    desk.browser.press_within("//dialog", "Delete credential").await;
    desk.browser.until_shows("Deleted Service desk. 1 connector waits for a credential.").await;
    desk.consign.get(&format!("/credentials/{id}")).await.expect(404);
    let left = desk.consign.get(&format!("/webhooks/{webhook}")).await.json();
    assert_eq!(left["state"], "credential_missing", "{left}");
    desk.close().await.finish().await;
}
