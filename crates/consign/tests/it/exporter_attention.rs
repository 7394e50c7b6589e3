//! Exporters where others look at connectors: the overview, lists to choose from, links, and pages that are left open.

use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::sign_in;
use crate::harness::page::unescape;
use crate::harness::{TestConsign, bearer, eventually, id_of};
use crate::offers::links;
use crate::peers::browser::Browser;
use crate::peers::{Answer, Tool};

on_both_databases! { exporters_that_need_a_person_stand_on_the_overview }

/// An exporter of pushed records, and its page.
async fn exporter(consign: &TestConsign, name: &str, credential: &str) -> String {
    let body = json!({ "name": name, "credential": credential, "path": "/bulk", "source": "pushed",
        "columns": [{ "name": "n" }], "schedule": "0 2 * * *" });
    format!("/exporters/{}", id_of(&consign.post("/exporters", &body).await.expect(201).json()))
}

/// Records for an exporter, and a run that takes them.
async fn run(consign: &TestConsign, exporter: &str, key: &str) -> String {
    let records = json!([{ "n": 1 }, { "n": 2 }]);
    let pushed = [("idempotency-key", &*format!("{key}-records"))];
    consign.call("POST", &format!("{exporter}/records"), &pushed, Some(&records)).await.expect(202);
    let key = [("idempotency-key", key)];
    let run = consign.call("POST", &format!("{exporter}/runs"), &key, None).await.expect(201).json();
    format!("/runs/{}", id_of(&run))
}

/// The lines of the overview, by name.
fn line<'a>(overview: &'a Value, name: &str, kind: &str) -> &'a Value {
    let lines = overview["attention"].as_array().unwrap();
    let found = lines.iter().find(|line| line["name"] == name && line["kind"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} {name} in {overview}"))
}

async fn exporters_that_need_a_person_stand_on_the_overview(consign: TestConsign) {
    let tool = Tool::start().await;
    let (gone, refused) = (consign.canary("gone"), consign.canary("refused"));
    let gone = consign.credential(&bearer("Gone", &tool.origin(), &gone)).await;
    let refused = consign.credential(&bearer("Refused", &tool.origin(), &refused)).await;
    let without = exporter(&consign, "Without", "Gone").await;
    let held = exporter(&consign, "Held", "Refused").await;
    let quiet = exporter(&consign, "Quiet", "Refused").await;
    consign
        .call("DELETE", &format!("/credentials/{gone}?linked=hold"), &[("if-match", "*")], None)
        .await
        .expect(200);
    tool.answer(Answer::status(401));
    run(&consign, &held, "held").await;
    consign.until_shows(&held, "/state", "held").await;

    // What the server works by is a moment behind what is stored.
    let overview = eventually("the hold to be told", async || {
        let overview = consign.get("/overview").await.expect(200).json();
        let lines = overview["attention"].as_array().unwrap();
        lines.iter().any(|line| line["name"] == "Held").then_some(overview)
    })
    .await;
    let first = line(&overview, "Without", "exporter");
    assert_eq!(
        (&first["code"], &first["action"]),
        (&json!("credential_missing"), &json!("Choose a credential"))
    );
    assert_eq!((&first["records"], &first["deliveries"]), (&json!(0), &Value::Null), "{first}");
    assert!(line(&overview, "Held", "exporter")["records"].is_u64(), "{overview}");
    // Its times come and nothing is sent, though nothing waits now.
    assert_eq!(line(&overview, "Quiet", "exporter")["records"], 0);
    assert_eq!(line(&overview, "Refused", "credential")["code"], "sign_in_refused");
    assert_eq!(overview["set_up"]["webhook"], Value::Null, "an exporter is no webhook");
    assert_eq!(overview["set_up"]["connector"]["kind"], "exporter", "{overview}");
    assert_eq!(overview["set_up"]["delivery"], true, "a run was begun: {overview}");

    let page = unescape(&consign.page("/").await.expect(200).text());
    assert!(
        page.contains("Data exporter</span>") && page.contains(&format!("href=\"{without}/set-up\"")),
        "{page}"
    );
    assert!(!page.contains("First steps") && !page.contains("/webhooks/con_"), "{page}");
    for path in ["/", "/credentials", "/deliveries", "/exporters", &without, &held, &quiet] {
        for to in links(&consign.page(path).await.expect(200).text()) {
            let status = consign.page(&to).await.status;
            assert_eq!(status, 200, "{path} leads to {to}");
        }
    }
    let told = consign.run(&["overview", "--plain"]).await.expect(0).stdout;
    assert!(told.contains("Without\tCredential missing"), "{told}");

    // Deliveries are of webhooks alone.
    let list = unescape(&consign.page("/deliveries").await.expect(200).text());
    assert!(!list.contains(">Without<") && !list.contains(">Held<"), "{list}");
    // Who uses a credential is told with its kind.
    let credentials = unescape(&consign.page("/credentials").await.expect(200).text());
    assert!(
        credentials.contains(&format!("href=\"/credentials/{refused}#users\">2 connectors")),
        "{credentials}"
    );
    let one = unescape(&consign.page(&format!("/credentials/{refused}")).await.expect(200).text());
    for (page, name) in [(&held, "Held"), (&quiet, "Quiet")] {
        assert!(one.contains(&format!("<a href=\"{page}\">{name}</a>")), "{one}");
    }
    assert!(one.contains("next run "), "{one}");
    let deleted =
        consign.submit(&format!("/credentials/{refused}/delete"), &[("confirm_name", "Refused")]).await;
    let told = unescape(&consign.follow(&deleted).await.expect(200).text());
    assert!(
        told.contains("2 connectors wait") && told.contains("/exporters?state=credential_missing"),
        "{told}"
    );
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_with_live_progress_keeps_no_session_alive() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    consign.credential(&bearer("Lake", &tool.origin(), &consign.canary("token"))).await;
    let exporter = exporter(&consign, "List", "Lake").await;
    // It waits for as long as anybody looks at it.
    tool.answer_next(Answer::with(503, &[("retry-after", "3600")]));
    let run = run(&consign, &exporter, "one").await;
    eventually("the run to wait", async || {
        let run = consign.get(&run).await.json();
        (run["last_outcome"].is_string() && run["state"] == "waiting").then_some(())
    })
    .await;

    // Whatever these pages ask for by themselves, they say so.
    let browser = Browser::start(true).await;
    let listen = "window.asked = []; const real = window.fetch; window.fetch = (url, options = {}) => {
        window.asked.push([String(url), new Headers(options.headers).get('consign-by-itself')]);
        return real(url, options); };";
    browser.before_each_page(listen).await;
    sign_in(&consign, &browser).await;
    for page in [&run, &exporter] {
        browser.goto(&format!("http://{}{page}", consign.address())).await;
        let asked = eventually("the page to ask twice", async || {
            let asked = browser.run("return window.asked", vec![]).await;
            (asked.as_array()?.len() >= 2).then_some(asked)
        })
        .await;
        for one in asked.as_array().unwrap() {
            assert_eq!((&one[0], &one[1]), (&json!(page), &json!("1")), "{asked}");
        }
    }
    // Its end is shown on the same page.
    browser.goto(&format!("http://{}{run}", consign.address())).await;
    browser.run("document.body.dataset.same = 'page'", vec![]).await;
    consign.call("POST", &format!("{run}/cancellation"), &[], Some(&json!({}))).await.expect(200);
    browser.until_shows("Cancelled").await;
    assert_eq!(browser.run("return document.body.dataset.same", vec![]).await, json!("page"));
    eventually("the end to be said", async || {
        let said = browser.run("return document.getElementById('live').textContent", vec![]).await;
        (said == json!("Cancelled")).then_some(())
    })
    .await;
    browser.close().await;

    // And what says so is not counted as activity of the session.
    let own = [("cookie", consign.session.cookie.as_str())];
    let quiet = [own[0], ("consign-by-itself", "1")];
    consign.advance(Duration::from_secs(20 * 60));
    consign.client.send("GET", &run, &own, "").await.expect(200);
    consign.advance(Duration::from_secs(20 * 60));
    consign.client.send("GET", &run, &quiet, "").await.expect(200);
    consign.advance(Duration::from_secs(11 * 60));
    let ended = consign.client.send("GET", &run, &own, "").await;
    assert_eq!(
        (ended.status, ended.location().starts_with("/sign-in")),
        (303, true),
        "31 minutes after the last deed"
    );
    consign.finish().await;
}
