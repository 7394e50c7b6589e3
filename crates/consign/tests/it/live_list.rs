//! The list of deliveries while new ones come: they are counted, nothing moves by itself, and a press shows them.

use serde_json::{Value, json};

use crate::browser::sign_in;
use crate::harness::{TestConsign, eventually};
use crate::peers::Tool;
use crate::peers::browser::Browser;

async fn rows(browser: &Browser) -> Value {
    browser
        .run("return [document.body.dataset.same, document.querySelectorAll('tbody tr').length];", vec![])
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_deliveries_are_counted_and_shown_when_somebody_asks() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    let browser = Browser::start(true).await;
    sign_in(&consign, &browser).await;
    browser.goto(&format!("http://{}/deliveries", consign.address())).await;
    browser.until_shows("No deliveries yet").await;
    browser.run("document.body.dataset.same = 'page'", vec![]).await;

    // The first one is announced where there was none.
    consign.event("device.low", &json!({ "n": 1 })).await;
    browser.until_shows("Show 1 new").await;
    assert_eq!(rows(&browser).await, json!(["page", 0]), "nothing moves by itself");
    eventually("it to be said to those who do not see it", async || {
        let said = browser.run("return document.getElementById('live').textContent;", vec![]).await;
        (said == "Show 1 new").then_some(())
    })
    .await;
    browser.press_words("Show 1 new").await;
    browser.until_there("tbody tr").await;
    assert_eq!(rows(&browser).await, json!([null, 1]));

    // Paused, and gone on with.
    browser.run("document.body.dataset.same = 'page'", vec![]).await;
    browser.press_words("Pause updates").await;
    browser.until_there("[data-live-pause][aria-pressed='true']").await;
    for n in 2..4 {
        consign.event("device.low", &json!({ "n": n })).await;
    }
    browser.press_words("Resume updates").await;
    browser.until_shows("Show 2 new").await;
    assert_eq!(rows(&browser).await, json!(["page", 1]));
    browser.press_words("Show 2 new").await;
    browser.until_there("tbody tr:nth-child(3)").await;
    browser.close().await;
    consign.finish().await;
}
