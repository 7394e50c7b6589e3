//! Forms of connectors: away to a new credential and back with all that was typed, on to a test event, and the warning
//! about what is not saved.

use serde_json::{Value, json};

use crate::harness::page::{Form, form_with, unescape};
use crate::harness::{TestConsign, bearer, id_of, parameter};
use crate::peers::Tool;
use crate::peers::browser::Browser;

/// Presses *New credential* in a form: the form of the credential, which knows the way back.
async fn new_credential(consign: &TestConsign, form: &Form) -> Form {
    let away = consign.send_form(&form.clone().with("new_credential", "1")).await.expect(303).location();
    assert!(away.starts_with("/credentials/new?back="), "{away}");
    let first = consign.form(&away, "authorization_type").await;
    assert_eq!(first.value("back"), Some(parameter(&away, "back").as_str()));
    let (form, page) = consign.pressed(first.set("authorization_type", "bearer"), ("show_fields", "1")).await;
    assert!(page.contains(">Cancel</a>"), "{page}");
    form
}

/// Saves it for a tool: where that leads, and its id.
async fn save_credential(consign: &TestConsign, tool: &Tool, form: Form, name: &str) -> (String, String) {
    let form = form.set("name", name).set("url_address", &tool.origin()).set("token", &consign.canary(name));
    let back = consign.send_form(&form).await.expect(303).location();
    let id = id_of(&consign.get(&format!("/credentials/{name}")).await.expect(200).json());
    // The test after a save is over.
    consign.until_shows(&format!("/credentials/{id}"), "/status/code", "not_proven").await;
    (back, id)
}

/// The fields of a connector's form but those of the page itself.
fn typed(form: &Form) -> Vec<(String, String)> {
    let of_page = |name: &str| ["csrf", "once", "credential"].contains(&name);
    form.fields.iter().filter(|(name, _)| !of_page(name)).cloned().collect()
}

const FILLED: &str = "This form is filled in, and not saved yet.";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_credential_leads_back_to_the_form_that_needed_it() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let first = consign.credential(&bearer("first", &tool.origin(), &consign.canary("first"))).await;
    let connector = |name: &str, more: Value| {
        let mut body = json!({ "name": name, "credential": "first" });
        crate::harness::merge(&mut body, &more);
        body
    };
    let made = [
        ("webhooks", connector("Incidents", json!({ "path": "/x", "event_types": ["*"] }))),
        (
            "exporters",
            connector("Nightly", json!({ "path": "/x", "event_types": ["*"], "format": "ndjson" })),
        ),
        ("gateways", connector("Desk", json!({ "slug": "desk", "path_prefixes": ["/x"] }))),
    ];
    for (kind, body) in made {
        let id = id_of(&consign.post(&format!("/{kind}"), &body).await.expect(201).json());
        let field = if kind == "gateways" { "path_prefixes" } else { "path" };
        for here in [format!("/{kind}/new"), format!("/{kind}/{id}/set-up")] {
            let is_new = here.ends_with("/new");
            let name = format!("{kind}-{}", if is_new { "new" } else { "edit" });
            let plain = consign.page(&here).await.expect(200).text();
            assert!(!plain.contains(FILLED) && !plain.contains("data-typed"), "{plain}");
            let form = form_with(&plain, &here, field)
                .set("name", &format!("{name} & more"))
                .set("description", "“by hand” = 100 %")
                .set(field, "/typed");
            let form = if kind == "gateways" && is_new { form.set("slug", "other") } else { form };
            let credential = new_credential(&consign, &form).await;

            // Whoever cancels comes back as well.
            let back = credential.value("back").unwrap().to_owned();
            let cancelled = form_with(&consign.page(&back).await.expect(200).text(), &here, field);
            assert_eq!(typed(&cancelled), typed(&form), "{here}");
            assert_eq!(cancelled.value("credential"), form.value("credential"), "{here}");

            let (back, chosen) = save_credential(&consign, &tool, credential, &name).await;
            assert!(back.starts_with(&format!("{here}?")), "{back}");
            assert_eq!(parameter(&back, "credential"), chosen);
            let page = consign.page(&back).await.expect(200).text();
            assert!(page.contains(FILLED) && page.contains("data-typed"), "{page}");
            let again = form_with(&page, &here, field);
            assert_eq!(again.action, here);
            assert_eq!(typed(&again), typed(&form), "{here}: all that was typed is there");
            assert_eq!(again.value("credential"), Some(chosen.as_str()), "{here}");
            let again = if kind == "exporters" && is_new { again.set("format", "ndjson") } else { again };
            let again = if again.has("event_types") { again.set("event_types", "a.b") } else { again };
            let saved = consign.send_form(&again).await.expect(303).location();
            let saved = consign.get(saved.trim_end_matches("/set-up")).await.expect(200).json();
            assert_eq!(saved["credential"]["id"], json!(chosen), "{saved}");
            assert_eq!(saved["description"], "“by hand” = 100 %", "{saved}");
        }
        // What is stored is shown with another credential, and nothing is saved by looking.
        let page = consign.page(&format!("/{kind}/{id}/set-up?credential=first")).await.expect(200).text();
        assert!(page.contains(FILLED), "{page}");
        let shown = consign.get(&format!("/{kind}/{id}")).await.json();
        let other = form_with(&page, "/", field);
        assert_eq!(other.value("name"), shown["name"].as_str());
        assert_eq!(other.value("credential"), Some(first.as_str()));
        assert_eq!(shown["credential"]["name"], format!("{kind}-edit"));
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_back_keeps_versions_and_stays_on_this_server() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    consign.credential(&bearer("first", &tool.origin(), &consign.canary("first"))).await;
    let body = json!({ "name": "Managed", "credential": "first", "path": "/x", "event_types": ["*"] });
    let id = id_of(&consign.post("/webhooks?field_manager=platform", &body).await.expect(201).json());
    let here = format!("/webhooks/{id}/set-up");
    let shown = consign.page(&here).await.expect(200).text();
    assert!(!shown.contains("name=\"new_credential\""), "its fields are only shown: {shown}");
    // Opened to be edited anyway, it comes back open.
    let form = consign.form(&format!("{here}?edit=anyway"), "path").await.set("path", "/typed");
    let credential = new_credential(&consign, &form).await;
    // Somebody else saves meanwhile.
    let path = format!("/webhooks/{id}?field_manager=platform");
    consign.patch(&path, &json!({ "description": "theirs" })).await.expect(200);
    let (back, _) = save_credential(&consign, &tool, credential, "second").await;
    let again = consign.form(&back, "path").await;
    assert_eq!((again.value("edit"), again.value("etag")), (Some("anyway"), form.value("etag")));
    let conflict = consign.send_form(&again).await.expect(409).text();
    assert!(conflict.contains("while you were editing"), "{conflict}");

    // Too much to carry: nothing is lost, and a link goes on without it.
    let long = "x".repeat(4_500);
    let form = consign.form("/webhooks/new", "path").await.set("only_when", &long);
    let refused = consign.send_form(&form.with("new_credential", "1")).await.expect(422).text();
    assert!(
        refused.contains("What you typed is too long to be kept while you create a credential."),
        "{refused}"
    );
    assert_eq!(form_with(&refused, "/webhooks/new", "path").value("only_when"), Some(long.as_str()));
    assert!(unescape(&refused).contains("href=\"/credentials/new?back=%2Fwebhooks%2Fnew\""), "{refused}");

    for (number, evil) in ["https://evil.example/", "//evil.example/", "/\\evil.example/"].iter().enumerate()
    {
        let form = consign.form("/credentials/new?back=/webhooks/new", "authorization_type").await;
        let form = form.set("authorization_type", "bearer").with("show_fields", "1");
        let page = consign.send_form(&form).await.expect(200).text();
        let form = form_with(&page, "/credentials/new", "token").set("back", evil);
        let (to, id) = save_credential(&consign, &tool, form, &format!("evil-{number}")).await;
        assert!(to.starts_with(&format!("/credentials/{id}")), "{evil}: {to}");
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_saved_and_then_tested() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let credential = consign.credential(&bearer("Tool", &tool.origin(), &consign.canary("token"))).await;
    let new = consign.form(&format!("/webhooks/new?credential={credential}"), "path").await;
    let new = new.set("name", "Incidents").set("path", "/x").set("event_types", "*");
    let saved = consign.send_form(&new.with("send_test", "1")).await.expect(303);
    let test = saved.location();
    let webhook = test.strip_suffix("/test").expect("the page of a test event").to_owned();
    let page = consign.follow(&saved).await.expect(200).text();
    assert!(page.contains("Saved.") && page.contains("Send test event"), "{page}");
    let sent = consign.send_form(&form_with(&page, &test, "event")).await.expect(303).location();
    consign.until(sent.rsplit('/').next().unwrap(), "delivered").await;

    // A new secret comes first, and leads on.
    let set_up = format!("{webhook}/set-up");
    let signed = consign.form(&set_up, "path").await.set("signature", "hmac").with("send_test", "1");
    let secret = unescape(&consign.send_form(&signed).await.expect(200).text());
    let start = secret.find("whsec_").expect("a signing secret");
    let text: String = secret[start..].chars().take_while(|c| !['"', '<'].contains(c)).collect();
    consign.canaries.shown_once("a signing secret", &text);
    assert!(secret.contains(&format!("href=\"{test}\">I have stored it")), "{secret}");
    let again = consign.form(&set_up, "path").await.set("description", "Signed").with("send_test", "1");
    assert_eq!(consign.send_form(&again).await.expect(303).location(), test);

    // Its deliveries lead to all of them, and a pause is told in the list with what ends it.
    let all = format!("/deliveries?connector={}", webhook.trim_start_matches("/webhooks/"));
    let page = unescape(&consign.page(&webhook).await.expect(200).text());
    assert!(page.contains(&format!("href=\"{all}\">All deliveries of this webhook")), "{page}");
    let deliveries = consign.page(&all).await.expect(200).text();
    assert!(deliveries.contains(sent.as_str()), "{deliveries}");
    consign.submit(&format!("{webhook}/pause"), &[]).await.expect(303);
    let list = unescape(&consign.page("/webhooks").await.expect(200).text());
    let state = list.split("data-label=\"State\"").nth(1).unwrap().split("</td>").next().unwrap();
    assert!(state.contains("<time datetime=") && state.contains(">Resume<"), "{state}");
    consign.submit(&format!("{webhook}/resume"), &[]).await.expect(303);
    consign.finish().await;
}

/// Whether leaving the page is asked about.
async fn warns(browser: &Browser) -> Value {
    let script = "const event = new Event('beforeunload', { cancelable: true });
        dispatchEvent(event);
        return event.defaultPrevented";
    browser.run(script, vec![]).await
}

/// Sends a form off, and keeps the page.
async fn send_off(browser: &Browser, selector: &str) {
    let script = "document.addEventListener('submit', (event) => event.preventDefault());
        document.querySelector(arguments[0]).requestSubmit()";
    browser.run(script, vec![json!(selector)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_its_own_form_ends_the_warning_about_what_was_typed() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let webhook = consign.bearer_webhook("Tool", &tool.origin(), &json!({})).await;
    let browser = Browser::start(true).await;
    let base = format!("http://{}", consign.address());
    browser.be(&base, Some(&consign.session)).await;
    browser.goto(&format!("{base}/webhooks/{webhook}/set-up")).await;
    assert_eq!(warns(&browser).await, json!(false), "nothing was typed");
    browser.fill("name", "Typed").await;
    assert_eq!(warns(&browser).await, json!(true));
    for other in ["form[action$='/pause']", "form[action$='/test']", "form[action='/theme']"] {
        send_off(&browser, other).await;
        assert_eq!(warns(&browser).await, json!(true), "{other} does not save it");
    }
    send_off(&browser, "#connector").await;
    assert_eq!(warns(&browser).await, json!(false), "it is on its way");

    // What was refused is not saved.
    browser.goto(&format!("{base}/webhooks/new")).await;
    browser.press_words("Save").await;
    browser.until_shows("There is a problem").await;
    assert_eq!(warns(&browser).await, json!(true));
    browser.press_words("Cancel").await;
    // What comes back from a new credential is not saved either.
    let back = format!("{base}/webhooks/{webhook}/set-up?typed=1&name=Typed&credential=Tool");
    browser.goto(&back).await;
    browser.until_shows(FILLED).await;
    assert_eq!(warns(&browser).await, json!(true));
    browser.press_words("Cancel").await;
    browser.goto(&format!("{base}/webhooks/{webhook}/set-up")).await;
    browser.fill("path", "/typed").await;
    browser.press_words("New credential").await;
    browser.until_at("/credentials/new").await;
    browser.press_words("Cancel").await;
    browser.until_at(&format!("/webhooks/{webhook}/set-up")).await;
    browser.until_shows(FILLED).await;
    let path = browser.run("return document.querySelector('[name=path]').value", vec![]).await;
    assert_eq!(path, json!("/typed"));
    browser.close().await;
    consign.finish().await;
}
