//! What an operator does in the console on a bad day: see what is wrong, repair it, send again. Each without scripts,
//! and where the page does more with them, in a browser too.

use serde_json::{Value, json};

use crate::browser::sign_in;
use crate::harness::page::unescape;
use crate::harness::{TestConsign, eventually, id_of};
use crate::peers::browser::Browser;
use crate::peers::{Answer, Tool};

/// Accepts events that the tool refuses for good.
async fn failures(consign: &TestConsign, tool: &Tool, count: usize) -> Vec<String> {
    tool.answer(Answer::status(400));
    let mut ids = Vec::new();
    for number in 0..count {
        let event = json!({ "type": "a.b", "subject": format!("LT-{number}"), "data": number });
        let sent = consign.post("/events", &event).await.expect(202).json();
        ids.push(id_of(&sent["deliveries"][0]));
    }
    for id in &ids {
        consign.until(id, "failed").await;
    }
    tool.answer(Answer::status(201));
    ids
}

async fn text(consign: &TestConsign, path: &str) -> String {
    unescape(&consign.page(path).await.expect(200).text())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_are_replayed_without_scripts() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let webhook = consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    let failed = failures(&consign, &tool, 3).await;
    let list = text(&consign, &format!("/deliveries?state=failed&connector={webhook}&time=day")).await;
    let replay = format!("/deliveries/replay?state=failed&connector={webhook}&time=day&preview=1");
    assert!(list.contains(&replay), "{list}");
    let page = text(&consign, &replay).await;
    assert!(
        page.contains("Replay 3 deliveries") && page.contains("About 2 seconds at 2 per second."),
        "{page}"
    );
    let form = consign.form(&replay, "created_before").await.set("rate_per_second", "50");
    let operation = consign.send_form(&form).await.expect(303).location();
    assert_eq!(
        consign.send_form(&form).await.expect(303).location(),
        operation,
        "a second click starts nothing"
    );
    let shown = eventually("the operation to be done", async || {
        let page = text(&consign, &operation).await;
        page.contains("Done").then_some(page)
    })
    .await;
    assert!(shown.contains("<b class=\"num\">3</b> of <b class=\"num\">3</b> sent again"), "{shown}");
    consign.until_idle().await;
    assert_eq!(tool.count(), 6);
    let id = operation.rsplit('/').next().unwrap();
    let made = text(&consign, &format!("/deliveries?operation={id}")).await;
    assert_eq!(made.matches("Delivered</span>").count(), 3, "{made}");
    assert!(text(&consign, "/operations").await.contains(&operation));

    let again = consign.send_form(&form.clone().without("once")).await.expect(409);
    assert!(again.text().contains("sent again already are left out"), "{}", again.text());
    let wrong = consign.page(&format!("{replay}&rate_per_second=fast")).await.expect(422);
    assert!(wrong.text().contains("Enter a number from 0.1 to 1,000"), "{}", wrong.text());

    // Ticked rows.
    let nothing = consign.submit("/deliveries/selected", &[("act", "replay")]).await.expect(303);
    assert!(consign.follow(&nothing).await.text().contains("Tick the deliveries first."));
    let evil = [("act", "cancel"), ("back", "https://evil.example/")];
    assert_eq!(consign.submit("/deliveries/selected", &evil).await.location(), "/deliveries");
    let ticked = [("act", "replay"), ("id", failed[0].as_str()), ("id", failed[1].as_str())];
    let preview = consign.submit("/deliveries/selected", &ticked).await.expect(303).location();
    assert!(text(&consign, &preview).await.contains("Nothing to replay"), "both were sent again");
    let ticked = [("act", "cancel"), ("id", failed[0].as_str()), ("back", "/deliveries?state=failed")];
    let told = consign.submit("/deliveries/selected", &ticked).await.expect(303);
    assert_eq!(told.location(), "/deliveries?state=failed");
    assert!(consign.follow(&told).await.text().contains("1 had ended already."));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_shows_its_progress_and_stops_in_a_browser() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    failures(&consign, &tool, 6).await;
    let browser = Browser::start(true).await;
    sign_in(&consign, &browser).await;
    browser.goto(&format!("http://{}/deliveries", consign.address())).await;
    browser
        .run("document.querySelectorAll('[name=id]').forEach((box, at) => at < 5 && box.click())", vec![])
        .await;
    browser.until_shows("5 ticked:").await;
    browser.press_within("//form[@id='picked']", "Replay").await;
    browser.until_at("/deliveries/replay").await;
    browser.until_shows("Replay 5 deliveries").await;
    browser.fill("rate_per_second", "1").await;
    browser.press_words("Preview").await;
    browser.until_shows("About 5 seconds at 1 per second.").await;
    browser.press_words("Replay 5 deliveries").await;
    browser.until_at("/operations/").await;
    browser.run("document.body.dataset.same = 'page'", vec![]).await;
    let first = browser.run("return document.querySelector('progress').value", vec![]).await;
    eventually("progress on the same page", async || {
        let now = browser.run("return document.querySelector('progress').value", vec![]).await;
        (now != first).then_some(())
    })
    .await;
    browser.run("[...document.querySelectorAll('#operation button')].find((b) => b.textContent === 'Stop').focus()", vec![])
        .await;
    browser.until_shows("Done").await;
    let same = browser.run("return document.body.dataset.same", vec![]).await;
    assert_eq!(same, Value::from("page"), "no page was loaded for it");
    let focus = browser.run("return document.activeElement.id", vec![]).await;
    assert_eq!(focus, Value::from("operation"), "where the button was, the focus stays");
    consign.until_idle().await;
    assert_eq!(tool.count(), 11);
    browser.close().await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_overview_tells_what_is_wrong_and_leads_to_its_repair() {
    let mut consign = TestConsign::start().await;
    let empty = consign.page("/").await.expect(200).text();
    assert!(empty.contains("First steps") && empty.contains("New credential"), "{empty}");
    let fine = Tool::start().await;
    consign.bearer_webhook("fine", &fine.origin(), &json!({ "event_types": ["fine.*"] })).await;
    assert!(text(&consign, "/").await.contains("Nothing needs attention."));

    let refusing = Tool::start().await;
    refusing.answer(Answer::status(401));
    let refused = json!({ "event_types": ["refused.*"] });
    let refused = consign.bearer_webhook("refused", &refusing.origin(), &refused).await;
    let careful = Tool::start().await;
    careful.answer(Answer::HangUp);
    let hold = json!({ "event_types": ["careful.*"], "when_no_answer": "hold" });
    let careful_webhook = consign.bearer_webhook("careful", &careful.origin(), &hold).await;
    fine.answer_next(Answer::status(400));
    let failed = consign.event("fine.a", &json!(1)).await;
    consign.until(failed.delivery(), "failed").await;
    let delivered = consign.event("fine.b", &json!(2)).await;
    consign.until(delivered.delivery(), "delivered").await;
    let held = consign.event("refused.a", &json!(3)).await;
    consign.until(held.delivery(), "held").await;
    let unanswered = consign.event("careful.a", &json!(4)).await;
    consign.until(unanswered.delivery(), "held").await;
    consign.event("nobody.cares", &json!(5)).await;

    let page = text(&consign, "/").await;
    let credential = id_of(&consign.get("/credentials/refused").await.json());
    for words in [
        "Sign-in refused".to_owned(),
        format!("href=\"/credentials/{credential}#tool\">Replace secret"),
        "1 webhook, 1 delivery on hold".to_owned(),
        format!("href=\"/deliveries?connector={careful_webhook}&state=held&reason=no_answer\">Decide"),
        "&state=failed&preview=1\">Recover".to_owned(),
        "1 event matched no webhook in the last 24 hours".to_owned(),
        "delivered 1</span>".to_owned(),
        "failed 1</span>".to_owned(),
    ] {
        assert!(page.contains(&words), "{words}\n{page}");
    }
    assert!(!page.contains(&format!("href=\"/webhooks/{refused}\"")), "the cause is told, and once: {page}");
    for path in
        ["/deliveries?state=needs_attention", "/events?match=none", "/credentials?status=needs_attention"]
    {
        assert!(page.contains(&format!("href=\"{path}\"")), "{path}");
    }
    let decide =
        text(&consign, &format!("/deliveries?connector={careful_webhook}&state=held&reason=no_answer")).await;
    assert!(decide.contains(unanswered.delivery()) && !decide.contains(held.delivery()), "{decide}");

    let overview = consign.get("/overview").await.expect(200).json();
    assert_eq!((&overview["delivered"], &overview["failed"]), (&json!(1), &json!(1)), "{overview}");
    assert_eq!(overview["need_attention"]["count"], 3, "{overview}");
    assert_eq!(overview["credentials_need_attention"], 1);
    let kinds: Vec<_> = overview["attention"].as_array().unwrap().iter().map(|line| &line["kind"]).collect();
    assert_eq!(kinds, ["credential", "deliveries", "deliveries"], "causes come first: {overview}");
    let told = consign.run(&["overview"]).await.expect(0);
    assert!(told.stderr.contains("1 delivered, 1 failed"), "{}", told.stderr);
    assert!(told.stdout.contains("Replace secret") && told.stdout.contains("Decide"), "{}", told.stdout);
    // An hour that is over is not counted anew, and leaves with its time.
    consign.advance(std::time::Duration::from_secs(2 * 3_600));
    assert_eq!(consign.get("/overview").await.json()["delivered"], 1);
    consign.advance(std::time::Duration::from_secs(24 * 3_600));
    assert_eq!(consign.get("/overview").await.json()["delivered"], 0);
    consign.allow_open();
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_tested_with_an_event_that_came_in() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let webhook = consign.bearer_webhook("itsm", &tool.origin(), &json!({ "event_types": ["never"] })).await;
    let event = json!({ "type": "device.low", "subject": "LT-0231", "data": { "device": "LT-0231" } });
    let event = id_of(&consign.post("/events", &event).await.expect(202).json());
    let page = format!("/webhooks/{webhook}/test");
    let form = consign.form(&page, "event").await;
    let bad = consign.send_form(&form.clone().set("data", "{")).await.expect(422);
    assert!(bad.text().contains("Data is not JSON: line 1, column"), "{}", bad.text());
    let unknown = consign.send_form(&form.clone().set("type", "a b").without("once")).await.expect(422);
    assert!(unescape(&unknown.text()).contains("“a b” is not an event type"));
    let shown = consign.send_form(&form.clone().set("event", &event)).await.expect(303).location();
    assert_eq!(tool.asked()[0].json(), json!({ "device": "LT-0231" }));
    let delivery = text(&consign, &shown).await;
    assert!(delivery.contains("Test</span>") && delivery.contains("device.low"), "{delivery}");
    let own = form.without("once").set("event", &event).set("data", "[1]").set("type", "x.y");
    consign.send_form(&own).await.expect(303);
    assert_eq!(tool.asked()[1].json(), json!([1]));
    let nothing = json!({ "event": "evt_00000000000000000000000000" });
    let refused = consign.post("/webhooks/itsm/tests", &nothing).await.expect(422);
    assert_eq!(refused.json()["errors"][0]["pointer"], "/event");
    consign.run(&["webhook", "test", "itsm", "--event", &event]).await.expect(0);
    assert_eq!(tool.asked()[2].json(), json!({ "device": "LT-0231" }));

    consign.submit(&format!("/webhooks/{webhook}/pause"), &[]).await.expect(303);
    let activity = text(&consign, &format!("/webhooks/{webhook}/activity")).await;
    for words in ["Created webhook", "Sent test event", "Paused webhook", "Ana Silva"] {
        assert!(activity.contains(words), "{words}");
    }
    let told = consign.run(&["webhook", "history", "itsm"]).await.expect(0);
    assert!(told.stdout.contains("Paused webhook"), "{}", told.stdout);
    let list = text(&consign, "/webhooks").await;
    assert!(list.contains("By hour: 3 delivered, 0 failed"), "{list}");
    let page = text(&consign, &format!("/webhooks/{webhook}")).await;
    assert!(page.contains("delivered 3</span>") && page.contains("As a table"), "{page}");
    assert!(
        page.contains(&format!("/deliveries/replay?connector={webhook}&state=failed&preview=1")),
        "{page}"
    );
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_preview_follows_what_is_typed() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let template = json!({ "payload": "template", "template": "{\"text\": \"{{ data.device }}\"}" });
    let webhook = consign.bearer_webhook("itsm", &tool.origin(), &template).await;
    let sent = consign.event("device.low", &json!({ "device": "LT-0231" })).await;
    consign.until(sent.delivery(), "delivered").await;
    let browser = Browser::start(true).await;
    sign_in(&consign, &browser).await;
    browser.goto(&format!("http://{}/webhooks/{webhook}/set-up", consign.address())).await;
    browser.run("document.body.dataset.same = 'page'", vec![]).await;
    browser.choose("preview_event", &sent.id).await;
    browser.until_shows("\"text\": \"LT-0231\"").await;
    browser.fill("template", "{\"summary\": \"{{ data.device }} is slow\"}").await;
    browser.until_shows("\"summary\": \"LT-0231 is slow\"").await;
    browser.fill("path", "/api/incident").await;
    browser.until_shows(&format!("POST {}api/incident", tool.origin())).await;
    browser.fill("template", "{").await;
    browser.until_shows("No preview yet. The template is not JSON").await;
    browser.choose("payload", "cloudevents").await;
    browser.until_shows("{\n  \"specversion\": \"1.0\",\n").await;
    browser.until_shows("\"data\": {\n    \"device\": \"LT-0231\"\n  }\n}").await;
    let same = browser.run("return document.body.dataset.same", vec![]).await;
    assert_eq!(same, Value::from("page"), "no page was loaded for it");
    let audited = consign.get(&format!("/audit-entries?object={}", sent.id)).await.json();
    let opened = audited["items"].as_array().unwrap().iter().filter(|one| one["action"] == "Opened payload");
    assert_eq!(opened.count(), 1, "once for a sitting, not for each letter: {audited}");
    assert_eq!(tool.count(), 1, "nothing is sent");
    browser.close().await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_page_of_a_delivery_follows_it_to_its_end() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    consign.bearer_webhook("itsm", &tool.origin(), &json!({ "retry_schedule_seconds": [3600] })).await;
    tool.answer_next(Answer::status(500));
    let sent = consign.event("device.low", &json!({ "n": 1 })).await;
    consign.until(sent.delivery(), "retrying").await;
    let browser = Browser::start(true).await;
    sign_in(&consign, &browser).await;
    browser.goto(&format!("http://{}/deliveries/{}", consign.address(), sent.delivery())).await;
    browser.until_shows("Retrying").await;
    let open = "document.body.dataset.same = 'page'; const box = document.querySelector('#delivery-now details.more'); \
                box.open = true; box.querySelector('summary').focus();";
    browser.run(open, vec![]).await;
    consign.run(&["delivery", "attempt", sent.delivery()]).await.expect(0);
    consign.until(sent.delivery(), "delivered").await;
    browser.until_there("#delivery-now:not([data-poll])").await;
    browser.until_shows("Delivered").await;
    let kept = "const box = document.querySelector('#delivery-now details.more'); \
                return [document.body.dataset.same, box.open, document.activeElement.textContent];";
    let kept = browser.run(kept, vec![]).await;
    assert_eq!(
        kept,
        json!(["page", true, "As a curl command"]),
        "no page was loaded, and nothing was closed"
    );
    browser.close().await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_is_found_by_its_address_and_copied_as_a_command() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let webhook = consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    tool.answer(Answer::status(400));
    let sent = consign.event("device.low", &json!({ "n": 1 })).await;
    consign.until(sent.delivery(), "failed").await;
    let page = text(&consign, &format!("/deliveries/{}", sent.delivery())).await;
    let hook = format!("curl -sS -X POST '{}hook'", tool.origin());
    assert!(page.contains(&hook) && page.contains("authorization: $TOKEN"), "{page}");
    assert!(page.contains(&format!("webhook-id: {}", sent.id)));
    let attempts = consign.attempts(sent.delivery()).await;
    assert!(attempts[0]["curl"].as_str().unwrap().starts_with(&hook));

    let finds =
        async |query: &str| text(&consign, &format!("/deliveries?{query}")).await.contains(sent.delivery());
    for query in [
        "state=failed",
        "state=needs_attention",
        "time=hour",
        "type=device.low",
        &format!("q={}", sent.id),
        &format!("connector={webhook}&time=week&state=failed"),
    ] {
        assert!(finds(query).await, "{query}");
    }
    for query in ["state=delivered", "type=device.high", "q=nothing", "state=held", "reason=no_answer"] {
        assert!(!finds(query).await, "{query}");
    }
    // In steps, so that the session does not end for idleness.
    for _ in 0..4 {
        consign.advance(std::time::Duration::from_secs(20 * 60));
        assert!(finds("time=day").await);
    }
    assert!(!finds("time=hour").await);
    consign.finish().await;
}
