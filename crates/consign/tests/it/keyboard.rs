//! A credential that a person approves, from the empty form to the page after the tool, and a webhook from its form to
//! its end, with nothing but keys. At each stop on the way the focus is visible, and nothing covers it.

use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};
use fantoccini::key::Key;
use serde_json::json;

use crate::harness::{EMAIL, TestConsign, bearer, eventually, id_of};
use crate::peers::authorization_server::{AuthorizationServer, Registered, Setup};
use crate::peers::browser::Browser;
use crate::peers::{Answer, Tool};

/// No page has more places to stop at.
const STOPS_MAX: usize = 120;
const CODE: &str = "oauth2_authorization_code";

/// What has the focus: its name, its words, and whether it can be seen. The parts of a date are the browser's own.
const FOCUS: &str = "const at = document.activeElement;
    const box = at.getBoundingClientRect();
    const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
    const top = document.elementFromPoint(x, y);
    const seen = at.matches(':focus-visible') && getComputedStyle(at).outlineStyle !== 'none'
        && !!top && (at.contains(top) || top.contains(at));
    return { name: at.name || '', words: at.textContent.trim().replace(/\\s+/g, ' '), seen: seen || at.type === 'date', html: at.outerHTML };";

async fn keys(browser: &Browser, keys: impl IntoIterator<Item = char>) {
    let pressed = keys.into_iter().fold(KeyActions::new("keys".to_owned()), |keys, key| {
        keys.then(KeyAction::Down { value: key }).then(KeyAction::Up { value: key })
    });
    browser.client.perform_actions(pressed).await.unwrap();
}

async fn press(browser: &Browser, key: Key) {
    keys(browser, [char::from(key)]).await;
}

/// Goes on with the Tab key to the field of this name, or to what shows these words.
async fn tab_to(browser: &Browser, what: &str) {
    // The pages of the tool are its own affair.
    let ours = browser.run("return !!document.querySelector('link[href*=\"consign\"]')", vec![]).await;
    let mut passed = Vec::new();
    while passed.len() < STOPS_MAX {
        let at = browser.run(FOCUS, vec![]).await;
        let words = at["words"].as_str().unwrap_or_default();
        if at["name"] == what || words == what {
            return;
        }
        press(browser, Key::Tab).await;
        let at = browser.run(FOCUS, vec![]).await;
        assert!(ours != json!(true) || at["seen"] == json!(true), "the focus cannot be seen: {}", at["html"]);
        passed.push(format!("{} {}", at["name"], at["words"]));
    }
    panic!("the Tab key does not lead to “{what}”: {passed:?}");
}

/// Types into a field; what stands there is selected when the Tab key leads to it.
async fn fill(browser: &Browser, name: &str, text: &str) {
    tab_to(browser, name).await;
    keys(browser, text.chars()).await;
}

/// Chooses in a drop-down that has the focus, by the first letter, until the page shows its fields.
async fn choose(browser: &Browser, letter: char, value: &str) {
    for _ in 0..STOPS_MAX {
        keys(browser, [letter]).await;
        let shown = eventually("the fields of the choice", async || {
            let script = "const at = document.activeElement;
                const filled = document.querySelector('[name=started_from]').value.split('/');
                const now = at.name === 'start_from' ? filled[0] : filled[1];
                return at.tagName === 'SELECT' && at.value === now ? now : null";
            browser.run(script, vec![]).await.as_str().map(str::to_owned)
        })
        .await;
        if shown == value {
            return;
        }
    }
    panic!("the key {letter} does not choose {value}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_is_set_up_tested_and_approved_with_keys_alone() {
    let consign = TestConsign::start().await;
    let server = AuthorizationServer::start(&Setup::with(Vec::new())).await;
    let tool = Tool::start().await;
    let browser = Browser::start(true).await;
    let secret = consign.canary("secret");
    browser.goto(&format!("http://{}/credentials/new", consign.address())).await;
    browser.until_at("/sign-in").await;
    browser.until_there("[name=email]").await;
    fill(&browser, "email", EMAIL).await;
    fill(&browser, "password", &consign.password).await;
    press(&browser, Key::Enter).await;
    browser.until_at("/credentials/new").await;
    browser.until_there("#f-start_from").await;

    fill(&browser, "name", "Service desk").await;
    tab_to(&browser, "start_from").await;
    choose(&browser, 's', "servicenow").await;
    fill(&browser, "url_address", &tool.origin()).await;
    tab_to(&browser, "authorization_type").await;
    choose(&browser, 'o', CODE).await;
    let redirect = browser.run("return document.getElementById('f-redirect_url').value", vec![]).await;
    server.register(&Registered::for_person("person", &secret, redirect.as_str().unwrap())).await;
    fill(&browser, "client_id", "person").await;
    fill(&browser, "client_secret", &secret).await;
    fill(&browser, "authorization_code_url", &server.authorization_url()).await;
    fill(&browser, "access_token_url", &server.token_url()).await;
    fill(&browser, "scope", "read").await;
    tab_to(&browser, "Test connection").await;
    press(&browser, Key::Space).await;
    browser.until_shows("The client ID and secret are accepted. Authorize to finish.").await;
    // On from the button that was pressed to the one in the result.
    tab_to(&browser, "Save and authorize").await;
    press(&browser, Key::Enter).await;
    browser.until_shows("You will approve as whoever is signed in there.").await;
    tab_to(&browser, "Continue").await;
    press(&browser, Key::Enter).await;
    browser.until_shows("person wants to: read").await;
    tab_to(&browser, "Approve").await;
    press(&browser, Key::Enter).await;
    browser.until_shows("Service desk is connected.").await;
    tab_to(&browser, "Back to Service desk").await;
    press(&browser, Key::Enter).await;
    browser.until_shows("by itself, with a refresh token").await;
    browser.close().await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_made_tested_sent_again_and_deleted_with_keys_alone() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let browser = Browser::start(true).await;
    let base = format!("http://{}", consign.address());
    consign.credential(&bearer("Service desk", &tool.origin(), &consign.canary("token"))).await;
    browser.be(&base, Some(&consign.session)).await;
    browser.goto(&format!("{base}/webhooks")).await;
    // The key of the page for what is new.
    keys(&browser, ['n']).await;
    browser.until_at("/webhooks/new").await;
    browser.until_there("[name=credential]").await;
    fill(&browser, "name", "Incidents").await;
    fill(&browser, "event_types", "device.*").await;
    tab_to(&browser, "credential").await;
    keys(&browser, ['s']).await;
    eventually("the fields of the choice", async || {
        let said = browser.run("return document.getElementById('live').textContent", vec![]).await;
        said.as_str().is_some_and(|said| said.starts_with("Fields for Service desk")).then_some(())
    })
    .await;
    fill(&browser, "path", "/incidents").await;
    tab_to(&browser, "Save").await;
    press(&browser, Key::Enter).await;
    browser.until_at("/webhooks/con_").await;
    tool.answer_next(Answer::json(400, &json!({ "message": "no such field" })));
    tab_to(&browser, "Send test event").await;
    press(&browser, Key::Enter).await;
    browser.until_shows("no such field").await;
    tab_to(&browser, "Replay").await;
    press(&browser, Key::Enter).await;
    browser.until_shows("Send this event again?").await;
    tab_to(&browser, "Replay delivery").await;
    press(&browser, Key::Enter).await;
    tool.until_asked(2).await;
    let webhook = format!("/webhooks/{}", id_of(&consign.all("/webhooks").await[0]));
    browser.goto(&format!("{base}{webhook}/set-up")).await;
    tab_to(&browser, "Delete this webhook …").await;
    press(&browser, Key::Enter).await;
    browser.until_shows("Delete “Incidents”?").await;
    tab_to(&browser, "Delete webhook").await;
    press(&browser, Key::Enter).await;
    browser.until_shows("Deleted Incidents.").await;
    browser.close().await;
    consign.finish().await;
}
