//! Lists where each row is a block, because the page is narrow: nothing has the focus unseen, and what the heads of their
//! columns do elsewhere is done without a script.

use serde_json::{Value, json};

use crate::harness::{Sent, TestConsign, bearer, eventually, merge};
use crate::peers::Tool;
use crate::peers::browser::Browser;

/// Those that are sorted.
const SORTED: [&str; 4] = ["/credentials", "/webhooks", "/exporters", "/gateways"];
const OTHERS: [&str; 5] = ["/deliveries", "/events", "/users", "/api-keys", "/audit"];

/// A small phone, and half a window.
const NARROW: [u32; 2] = [320, 868];
/// With the rail beside it: the widest page whose rows are blocks, and one with rows and heads.
const WITH_RAIL: [u32; 2] = [1_192, 1_280];

/// Gives the focus to all that take it, one after another, and tells how many there are and which of them are not seen.
const STOPS: &str =
    "const all = document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]');
    const unseen = [];
    let stops = 0;
    for (const at of [...all].filter((at) => at.tabIndex >= 0)) {
        at.focus({ focusVisible: true });
        if (document.activeElement !== at) continue;
        stops += 1;
        const lines = [...at.getClientRects()];
        const shows = ({ left, top, width, height }) =>
            at.contains(document.elementFromPoint(left + width / 2, top + height / 2));
        if (!lines.some(shows)) unseen.push(at.outerHTML);
    }
    return { stops, unseen };";

/// The event type of a webhook: a long word.
fn type_of(name: &str) -> String {
    format!("device.score.in_the_{name}_building")
}

/// Two of everything that is sorted, and a delivery.
async fn two_of_each(consign: &TestConsign, tool: &Tool) {
    for name in ["alpha", "omega"] {
        consign.credential(&bearer(name, &tool.origin(), &consign.canary(name))).await;
        for (path, more) in [
            ("/webhooks", json!({ "path": "/x", "event_types": [type_of(name)] })),
            ("/exporters", json!({ "path": "/x", "source": "pushed", "columns": [{ "name": "n" }] })),
            ("/gateways", json!({ "slug": name, "path_prefixes": ["/"] })),
        ] {
            let mut body = json!({ "name": format!("{name} of {path}"), "credential": name });
            merge(&mut body, &more);
            consign.post(path, &body).await.expect(201);
        }
    }
    let long = "rooms/".repeat(20);
    let sent = json!({ "type": type_of("alpha"), "source": format!("/{long}"), "subject": long, "data": { "n": 1 } });
    let sent = Sent::read(&consign.post("/events", &sent).await.expect(202).json());
    consign.until(sent.delivery(), "delivered").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_in_a_list_has_the_focus_unseen() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let browser = Browser::start(true).await;
    let base = format!("http://{}", consign.address());
    two_of_each(&consign, &tool).await;
    browser.be(&base, Some(&consign.session)).await;
    let mut unseen = Vec::new();
    for width in NARROW.into_iter().chain(WITH_RAIL) {
        browser.resize(width).await;
        for path in SORTED.into_iter().chain(OTHERS) {
            browser.goto(&format!("{base}{path}")).await;
            let found = browser.run(STOPS, vec![]).await;
            assert!(found["stops"].as_u64().is_some_and(|stops| stops > 3), "{path} at {width}: {found}");
            let found = found["unseen"].as_array().cloned().unwrap_or_default();
            unseen.extend(found.iter().map(|what| format!("{path} at {width} px: {what}")));
        }
    }
    assert!(unseen.is_empty(), "these take the focus and are not seen:\n{}", unseen.join("\n"));
    // It is told, when something is.
    browser.resize(NARROW[0]).await;
    browser.goto(&format!("{base}/webhooks")).await;
    browser.run("document.querySelector('.table thead a').style.display = 'inline'", vec![]).await;
    let found = browser.run(STOPS, vec![]).await;
    assert_eq!(found["unseen"].as_array().map(Vec::len), Some(1), "{found}");
    browser.close().await;
    consign.finish().await;
}

/// The first words of the rows that are shown.
async fn rows(browser: &Browser) -> Value {
    let script = "return [...document.querySelectorAll('.table tbody .name a')].map((name) => name.textContent.split(' ')[0])";
    browser.run(script, vec![]).await
}

/// Presses *Apply*, and waits for these rows at an address with this in its query.
async fn apply(browser: &Browser, query: &str, expected: [&str; 2]) {
    browser.press_words("Apply").await;
    eventually(&format!("the list with {query}"), async || {
        let address = browser.client.current_url().await.ok()?;
        let there = address.query().is_some_and(|asked| asked.split('&').any(|part| part == query));
        (there && rows(browser).await == json!(expected)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_narrow_list_is_sorted_without_a_script() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let browser = Browser::start(false).await;
    let base = format!("http://{}", consign.address());
    two_of_each(&consign, &tool).await;
    browser.be(&base, Some(&consign.session)).await;
    for width in NARROW {
        browser.resize(width).await;
        for path in SORTED {
            browser.goto(&format!("{base}{path}")).await;
            assert_eq!(rows(&browser).await, json!(["alpha", "omega"]), "{path}");
            browser.choose("sort", "-name").await;
            apply(&browser, "sort=-name", ["omega", "alpha"]).await;
            // Another filter keeps the order.
            browser.fill("q", "a").await;
            apply(&browser, "q=a", ["omega", "alpha"]).await;
        }
    }
    // Where heads sort, there is no second way, and a filter keeps the order as well.
    browser.resize(WITH_RAIL[1]).await;
    browser.goto(&format!("{base}/webhooks")).await;
    let shown = "return document.getElementById('sort').checkVisibility()";
    assert_eq!(browser.run(shown, vec![]).await, json!(false));
    browser.press_words("Name").await;
    browser.until_there("[aria-sort=descending]").await;
    browser.fill("q", "a").await;
    apply(&browser, "q=a", ["omega", "alpha"]).await;
    browser.close().await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_show_what_columns_have_no_room_for() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let browser = Browser::start(true).await;
    let base = format!("http://{}", consign.address());
    two_of_each(&consign, &tool).await;
    browser.be(&base, Some(&consign.session)).await;
    let script = "const cells = [...document.querySelectorAll('.table tbody .wide-only')];
        const [room, list] = ['.page-head', '.table'].map((part) => document.querySelector(part).offsetWidth);
        return { shown: cells.map((cell) => cell.checkVisibility()), fits: list <= room };";
    // Blocks, columns with little room, and columns with enough of it. None of them is wider than its page.
    for (width, shown) in [(320, true), (868, true), (1_024, true), (1_210, false), (1_280, true)] {
        browser.resize(width).await;
        for path in SORTED.into_iter().chain(OTHERS) {
            browser.goto(&format!("{base}{path}")).await;
            let found = browser.run(script, vec![]).await;
            let expected = if SORTED.contains(&path) { vec![shown, shown] } else { Vec::new() };
            assert_eq!(found, json!({ "shown": expected, "fits": true }), "{path} at {width} px");
        }
    }
    browser.close().await;
    consign.finish().await;
}
