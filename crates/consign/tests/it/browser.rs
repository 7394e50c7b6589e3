//! A walk through the console in headless Chromium, with and without scripts.

use serde_json::json;

use crate::harness::TestConsign;
use crate::peers::browser::Browser;
use crate::peers::{Answer, Tool};

pub(crate) async fn sign_in(consign: &TestConsign, browser: &Browser) {
    browser.sign_in(consign, &format!("http://{}", consign.address()), "/credentials").await;
}

/// Everything that a person does in the first hour.
async fn walk(consign: &TestConsign, browser: &Browser, scripts: bool) {
    let tool = Tool::start().await;
    let base = format!("http://{}", consign.address());
    sign_in(consign, browser).await;
    let runs = browser.run("return document.documentElement.classList.contains('js')", vec![]).await;
    assert_eq!(runs, json!(scripts), "scripts of the page");

    let (password, header) = (consign.canary("password"), consign.canary("header"));
    browser.press_words("New credential").await;
    browser.until_at("/credentials/new").await;
    browser.fill("name", "Service desk").await;
    browser.choose("authorization_type", "basic").await;
    if !scripts {
        browser.press("[name='authorization_type'] ~ [name='show_fields']").await;
    }
    browser.until_there("input[name='password']").await;
    browser.fill("url_address", "http://tool.example.org/").await;
    browser.fill("username", "consign").await;
    browser.fill("password", &password).await;
    browser.press_words("Save").await;
    browser.until_shows("There is a problem").await;
    browser.until_shows("URL address must start with https://").await;
    browser.until_shows("Entered, not saved yet").await;
    let focused = browser.run("return document.activeElement.className", vec![]).await;
    assert!(
        focused.as_str().is_some_and(|class| class.contains("problem")),
        "the summary has the focus: {focused}"
    );
    browser.fill("url_address", &tool.origin()).await;
    if scripts {
        browser.press("[data-rows-add]").await;
    }
    browser.fill("custom_headers.name", "X-Key").await;
    browser.fill("custom_headers.value", &header).await;
    browser.press_words("Save").await;
    let credential = browser.until_at("/credentials/crd_").await;
    browser.until_shows("It cannot be shown.").await;
    if scripts {
        // The page asks for the result by itself.
        browser.until_shows("Reached, sign-in not proven").await;
    } else {
        let id = credential.rsplit('/').next().unwrap();
        consign.until_shows(&format!("/credentials/{id}"), "/status/code", "not_proven").await;
        browser.goto(&format!("{base}{credential}")).await;
        browser.until_shows("Reached, sign-in not proven").await;
    }
    let source = browser.client.source().await.unwrap();
    consign.shown_elsewhere("the page of the credential", source);

    browser.goto(&format!("{base}/webhooks/new")).await;
    browser.fill("name", "Incidents").await;
    browser.choose("credential", credential.rsplit('/').next().unwrap()).await;
    browser.fill("path", "/incidents").await;
    browser.fill("event_types", "device.*").await;
    browser.press_words("Save").await;
    let webhook = browser.until_at("/webhooks/con_").await;
    tool.answer_next(Answer::json(201, &json!({ "result": { "number": "INC0010001" } })));
    browser.press_words("Send test event").await;
    browser.until_shows("INC0010001").await;
    assert_eq!(tool.asked()[0].header("x-key"), header);
    assert!(tool.asked()[0].header("authorization").starts_with("Basic "));

    tool.answer_next(Answer::json(400, &json!({ "message": "no such field" })));
    let failed = consign.event("device.low", &json!({ "n": 1 })).await;
    consign.until(failed.delivery(), "failed").await;
    browser.goto(&format!("{base}/deliveries")).await;
    browser.until_shows("Failed").await;
    browser.goto(&format!("{base}/deliveries/{}", failed.delivery())).await;
    browser.until_shows("no such field").await;
    browser.press_words("Replay").await;
    browser.until_shows("Send this event again?").await;
    press_in_confirmation(browser, "Replay delivery").await;
    let replay = browser.until_elsewhere("/deliveries/dlv_", failed.delivery()).await;
    consign.until(replay.rsplit('/').next().unwrap(), "delivered").await;
    tool.until_asked(4).await;
    browser.goto(&format!("{base}{replay}")).await;
    browser.until_shows("Delivered").await;

    browser.goto(&format!("{base}{webhook}/delete")).await;
    press_in_confirmation(browser, "Delete webhook").await;
    browser.until_at("/webhooks").await;
    browser.goto(&format!("{base}/credentials")).await;
    browser.press(&format!("a[href='{credential}/delete']")).await;
    browser.until_shows("The saved secrets are destroyed.").await;
    press_in_confirmation(browser, "Delete credential").await;
    browser.until_shows("Deleted Service desk.").await;
    browser.until_shows("No credentials yet").await;
}

/// The button of a confirmation, on a page or in a dialog.
pub(crate) async fn press_in_confirmation(browser: &Browser, words: &str) {
    browser.press_within("//form[contains(@class,'confirm')]", words).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_is_walked_with_scripts() {
    let consign = TestConsign::start().await;
    let browser = Browser::start(true).await;
    walk(&consign, &browser, true).await;
    browser.close().await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_is_walked_without_scripts() {
    let consign = TestConsign::start().await;
    let browser = Browser::start(false).await;
    walk(&consign, &browser, false).await;
    browser.close().await;
    consign.finish().await;
}
