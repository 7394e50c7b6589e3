//! Pictures of the pages, for README and docs: a desk with a good day behind it and some trouble in front of it. The
//! stand-in tools of a test are on loopback; the pictures show the names that such tools have.
//!
//! `cargo xtask screenshots` names the folder and takes them all; the gate takes two, to see that it works.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::browser::sign_in;
use crate::harness::{TestConsign, basic, bearer, eventually, id_of};
use crate::peers::browser::Browser;
use crate::peers::{Answer, Tool};

const WIDTH: u32 = 1_280;
const HEIGHT_MAX: u32 = 1_400;

/// The origins of the stand-ins are shown as these.
const NAMES: [&str; 3] = [
    "https://acme.service-now.example/",
    "https://acme-sandbox.freshservice.example/",
    "https://jira.acme.example/",
];

/// Puts one text in the place of another, wherever the page shows it.
const RENAME: &str = "const [from, to] = arguments;
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) walk.currentNode.data = walk.currentNode.data.replaceAll(from, to);
    for (const line of document.querySelectorAll('.middle')) {
        const text = line.title.replaceAll(from, to);
        line.title = text;
        line.children[0].textContent = text.slice(0, -10);
        line.children[1].textContent = text.slice(-10);
    }
    for (const field of document.querySelectorAll('input, textarea')) field.value = field.value.replaceAll(from, to);";

struct Desk {
    tools: [Tool; 3],
    pages: Vec<(&'static str, String)>,
}

/// Credentials, webhooks and deliveries as there are on a day with some trouble.
async fn desk(consign: &TestConsign) -> Desk {
    let tools = [Tool::start().await, Tool::start().await, Tool::start().await];
    let [now, fresh, jira] = &tools;
    let credential = async |body: Value| consign.credential(&body).await;
    let password = consign.canary("password");
    let mut snow = basic("ServiceNow production", &now.origin(), "consign.integration", &password);
    snow["labels"] = json!({ "team": "itsm" });
    let snow = credential(snow).await;
    let sandbox = credential(bearer("Freshservice sandbox", &fresh.origin(), &consign.canary("fresh"))).await;
    let desk = credential(bearer("Jira service desk", &jira.origin(), &consign.canary("jira"))).await;
    let webhook = async |name: &str, credential: &str, path: &str, types: &str, more: Value| {
        let mut body =
            json!({ "name": name, "credential": credential, "path": path, "event_types": [types] });
        crate::harness::merge(&mut body, &more);
        consign.webhook(&body).await
    };
    let template = "{\n  \"short_description\": \"Device {{ data.device }} is slow\",\n  \"urgency\": {{ data.urgency | default(3) }},\n  \"correlation_id\": \"{{ event.id }}\"\n}";
    let hardware = json!({ "payload": "template", "template": template, "description": "A ticket for each slow device",
                           "when_no_answer": "hold" });
    let hardware =
        webhook("Hardware requests", &snow, "/api/now/table/incident", "device.score.*", hardware).await;
    webhook("Freshservice mirror", &sandbox, "/api/v2/tickets", "ticket.*", json!({})).await;
    webhook("Duty room", &desk, "/rest/api/3/issue", "duty.*", json!({})).await;

    let event = async |kind: &str, subject: String, data: Value| {
        let body = json!({ "type": kind, "subject": subject, "data": data });
        consign.post("/events", &body).await.expect(202).json()
    };
    let ticket = |number: usize| {
        Answer::json(201, &json!({ "result": { "number": format!("INC{:07}", 10_231 + number) } }))
    };
    // The hours before this one.
    for hour in 0..9 {
        for number in 0..(3 + hour * 5 % 7) {
            now.answer(ticket(hour * 10 + number));
            let data = json!({ "device": format!("LT-{:04}", 200 + number), "score": 2.1 });
            event("device.score.low", format!("LT-{:04}", 200 + number), data).await;
        }
        consign.until_idle().await;
        if hour < 8 {
            consign.advance(std::time::Duration::from_secs(3_500));
        }
    }
    now.answer(Answer::json(
        400,
        &json!({ "error": { "message": "Invalid update", "detail": "urgency is not a choice" } }),
    ));
    let mut failed = String::new();
    for number in 0..4 {
        let data = json!({ "device": format!("LT-{:04}", 231 + number), "score": 1.4, "urgency": 9 });
        let sent = event("device.score.low", format!("LT-{:04}", 231 + number), data).await;
        failed = id_of(&sent["deliveries"][0]);
        consign.until(&failed, "failed").await;
    }
    now.answer(Answer::HangUp);
    let unanswered = event("device.score.low", "LT-0277".to_owned(), json!({ "device": "LT-0277" })).await;
    let unanswered = id_of(&unanswered["deliveries"][0]);
    consign.until(&unanswered, "held").await;
    now.answer(ticket(99));
    fresh.answer(Answer::json(
        401,
        &json!({ "code": "invalid_credentials", "message": "You have to be logged in" }),
    ));
    for number in 0..3 {
        event("ticket.created", format!("T-{}", 4_100 + number), json!({ "ticket": 4_100 + number })).await;
    }
    jira.answer(Answer::status(503));
    let retrying = event("duty.changed", "Duty room 2".to_owned(), json!({ "room": 2 })).await;
    consign.until(&id_of(&retrying["deliveries"][0]), "retrying").await;
    event("badge.printed", "B-77".to_owned(), json!({})).await;
    consign.until_shows("/webhooks/Freshservice%20mirror", "/state", "held").await;
    let again = json!({ "filter": { "state": ["delivered"], "q": "LT-020" }, "rate_per_second": 0.4 });
    let again = consign.call("POST", "/replays", &[("idempotency-key", "k")], Some(&again)).await.expect(202);
    let operation = format!("/operations/{}", id_of(&again.json()));
    eventually("some progress", async || {
        (consign.get(&operation).await.json()["done"].as_u64() >= Some(3)).then_some(())
    })
    .await;
    let event_page = format!("/events/{}", consign.delivery(&failed).await["event"]["id"].as_str().unwrap());
    let pages = vec![
        ("overview", "/".to_owned()),
        ("deliveries", "/deliveries".to_owned()),
        ("delivery", format!("/deliveries/{failed}")),
        ("delivery-on-hold", format!("/deliveries/{unanswered}")),
        ("replay", format!("/deliveries/replay?state=failed&connector={hardware}&preview=1")),
        ("operation", operation),
        ("operations", "/operations".to_owned()),
        ("events", "/events".to_owned()),
        ("event", event_page),
        ("webhooks", "/webhooks".to_owned()),
        ("webhook", format!("/webhooks/{hardware}")),
        ("webhook-set-up", format!("/webhooks/{hardware}/set-up")),
        ("webhook-test", format!("/webhooks/{hardware}/test")),
        ("webhook-activity", format!("/webhooks/{hardware}/activity")),
        ("credentials", "/credentials".to_owned()),
        ("credential", format!("/credentials/{sandbox}")),
        ("credential-delete", format!("/credentials/{snow}/delete")),
        ("new-credential", "/credentials/new".to_owned()),
        ("webhook-delete", format!("/webhooks/{hardware}/delete")),
        ("delivery-replay", format!("/deliveries/{failed}/replay")),
        ("audit", "/audit".to_owned()),
        ("audit-entry", "/audit/3".to_owned()),
        ("users", "/users".to_owned()),
        ("invite", "/users/new".to_owned()),
        ("api-keys", "/api-keys".to_owned()),
        ("new-api-key", "/api-keys/new".to_owned()),
        ("settings", "/settings".to_owned()),
        ("settings-egress", "/settings/egress".to_owned()),
        ("settings-about", "/settings/about".to_owned()),
        ("account", "/account".to_owned()),
        ("help", "/help".to_owned()),
        ("not-found", "/nowhere".to_owned()),
    ];
    Desk { tools, pages }
}

/// What a person chooses before a page tells something.
async fn choose(browser: &Browser, name: &str) {
    if name == "new-credential" {
        browser.choose("start_from", "jira").await;
        browser.until_there("#f-url_address[value^='https']").await;
        browser.choose("authorization_type", "oauth2_authorization_code").await;
        browser.until_there("#f-client_secret").await;
        browser.run("document.activeElement.blur(); scrollTo(0, 0)", vec![]).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the developer's command names the folder")]
fn folder() -> Option<PathBuf> {
    std::env::var_os("CONSIGN_SCREENSHOTS").map(PathBuf::from)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_pictured_in_light_and_dark() {
    let mut consign = TestConsign::start().await;
    let desk = desk(&consign).await;
    let folder = folder();
    let browser = Browser::start(true).await;
    browser.resize(WIDTH).await;
    sign_in(&consign, &browser).await;
    let few = if folder.is_some() { usize::MAX } else { 2 };
    for (name, path) in desk.pages.iter().take(few) {
        let mut taken = Vec::new();
        for scheme in ["light", "dark"] {
            browser.prefer(scheme).await;
            browser.goto(&format!("http://{}{path}", consign.address())).await;
            choose(&browser, name).await;
            for (tool, shown) in desk.tools.iter().zip(NAMES) {
                browser.run(RENAME, vec![Value::from(tool.origin()), Value::from(shown)]).await;
            }
            let own = format!("http://{}", consign.address());
            browser.run(RENAME, vec![Value::from(own), Value::from("https://consign.acme.example")]).await;
            let picture = browser.picture(WIDTH, HEIGHT_MAX).await;
            assert!(picture.starts_with(b"RIFF") && &picture[8..12] == b"WEBP", "{name} is no WebP");
            assert!(picture.len() > 6_000, "{name} in {scheme} is empty: {} bytes", picture.len());
            if let Some(folder) = &folder {
                std::fs::create_dir_all(folder).unwrap();
                std::fs::write(folder.join(format!("{name}-{scheme}.webp")), &picture).unwrap();
            }
            taken.push(picture);
        }
        assert_ne!(taken[0], taken[1], "{name} looks the same in light and dark");
    }
    browser.close().await;
    consign.allow_open();
    consign.finish().await;
}
