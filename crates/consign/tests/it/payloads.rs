//! Text that somebody else wrote, stored in every field that is shown, in a browser that would run it: nothing runs,
//! and the browser has nothing to report.

use serde_json::json;

use crate::browser::sign_in;
use crate::harness::{Sent, TestConsign, basic, id_of};
use crate::peers::browser::Browser;
use crate::peers::{Answer, Tool};
use crate::people::someone;

/// Of a key that no server has.
const PIN: &str = "SHA256:w0u3/fXk2wf6SIOaBBCo4kqaaAaGioA9PMv1VINE0Xc";

/// What is tried: elements, attributes, addresses, ways out of quotation, of comments and of templates, and text that
/// is only long or written from right to left.
const PAYLOADS: [&str; 30] = [
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil.example/x.js></sCrIpT>",
    "\"><script>alert(1)</script>",
    "'><img src=x onerror=alert(1)>",
    "<img src=x onerror=alert`1`>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<math><mi//xlink:href=\"data:x,<script>alert(1)</script>\">",
    "<iframe srcdoc=\"<script>alert(1)</script>\"></iframe>",
    "<iframe src=javascript:alert(1)>",
    "<a href=\"javascript:alert(1)\" autofocus onfocus=alert(1) tabindex=0>x</a>",
    "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    "<form action=//evil.example><button>x</button></form>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content=\"0;url=//evil.example\">",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>@import '//evil.example/x.css';</style>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</template><script>alert(1)</script>",
    "--><script>alert(1)</script><!--",
    "\" onmouseover=\"alert(1)\" x=\"",
    "javascript:alert(1)//",
    "{{ 7 * 7 }}{% raw %}{{ config }}",
    "\u{202e}txt.exe\u{2066}&lt;b&gt;&#60;script&#62;",
    "eineinzigesWortDasNiemandTrenntUndDasJedeSpalteSprengenMoechteWeilEsKeinEndeNimmt",
];

/// Before anything of a page runs: notes what the page tries.
const WATCH: &str = "window.seen = [];
    for (const name of ['alert', 'confirm', 'prompt', 'print', 'open']) window[name] = (...all) => seen.push(`${name}: ${all}`);
    document.addEventListener('securitypolicyviolation', (event) =>
        seen.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`));
    window.addEventListener('error', (event) => { if (event.message) seen.push(`error: ${event.message}`); });";

/// What a page was made to do, and what stands on it that nobody of us put there.
const FOUND: &str = "const own = [...document.querySelectorAll('script, style, iframe, base, img, video, math, link, meta, form')]
        .filter((node) => !(node.matches('script[src^=\"/assets/\"]') || node.matches('link[href^=\"/assets/\"], link[rel=icon]')
            || node.matches('meta[charset], meta[name=viewport]')
            || (node.matches('form') && new URL(node.getAttribute('action') || '', location.href).origin === location.origin)));
    const handlers = [...document.querySelectorAll('*')].filter((node) =>
        [...node.attributes].some((attribute) => /^on/i.test(attribute.name)));
    const links = [...document.querySelectorAll('a[href]')].filter((a) => !/^https?:$/.test(a.protocol));
    return [...seen, ...own.concat(handlers, links).map((node) => node.outerHTML)];";

/// What reaches out of a page that must be scrolled sideways.
const TOO_WIDE: &str = "if (document.scrollingElement.scrollWidth <= innerWidth) return null;
    const out = [...document.querySelectorAll('main :not(thead, thead *)')].filter((node) => node.getBoundingClientRect().right > innerWidth);
    return (out.at(-1) || document.body).outerHTML.slice(0, 300);";

/// Objects that hold one payload in each of their fields, and the pages that show them.
async fn store(consign: &TestConsign, tool: &Tool, number: usize) -> Vec<String> {
    let evil = |shift: usize| PAYLOADS[(number + shift) % PAYLOADS.len()];
    let short = |text: &str, chars: usize| text.chars().take(chars).collect::<String>();
    let name = |shift: usize| short(&format!("{number} {}", evil(shift)), 80);
    let mut credential =
        basic(&name(0), &tool.origin(), &evil(1).replace(':', ""), &consign.canary("password"));
    credential["labels"] = json!({ "team": short(evil(2), 60) });
    credential["custom_headers"] = json!([{ "name": "X-Evil", "value": consign.canary("header") }]);
    let credential = consign.credential(&credential).await;
    let webhook = json!({
        "name": name(3), "description": evil(4), "credential": credential, "path": format!("/{number}"),
        "event_types": [format!("type.{number}")], "payload": "template",
        "template": json!({ "text": evil(5).replace("{{", "{") }).to_string(),
        "headers": [{ "name": "X-Text", "value": short(evil(6), 60).replace(|c: char| !c.is_ascii(), "") }],
        "only_when": format!("data.text != {}", json!(evil(7))),
    });
    let webhook = consign.webhook(&webhook).await;
    let answer =
        json!({ "message": evil(8), "error": { "message": evil(9), "detail": evil(10) } }).to_string();
    let headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("server".to_owned(), evil(11).replace(|c: char| !c.is_ascii(), "")),
        ("location".to_owned(), evil(12).replace(|c: char| !c.is_ascii(), "")),
    ];
    let status = if number.is_multiple_of(2) { 400 } else { 201 };
    tool.answer_at(&format!("/{number}"), Answer::Reply(status, headers, answer));
    let exporter = json!({
        "name": name(20), "description": evil(21), "credential": credential, "path": format!("/bulk/{number}"),
        "source": "pushed", "columns": [{ "name": evil(22), "path": "data.a" }],
    });
    let exporter =
        format!("/exporters/{}", id_of(&consign.post("/exporters", &exporter).await.expect(201).json()));
    let records = [("idempotency-key", &*format!("records-{number}"))];
    consign
        .call("POST", &format!("{exporter}/records"), &records, Some(&json!([{ "a": evil(23) }])))
        .await
        .expect(202);
    let refused = json!({ "message": evil(24) }).to_string();
    tool.answer_at(&format!("/bulk/{number}"), Answer::Reply(422, vec![], refused));
    let started = [("idempotency-key", &*format!("run-{number}"))];
    let run = consign.call("POST", &format!("{exporter}/runs"), &started, None).await.expect(201);
    let run = format!("/runs/{}", id_of(&run.json()));
    consign.until_shows(&run, "/state", "failed").await;
    let server = json!({
        "name": name(25), "protocol": "sftp", "hostname": "sftp://files.example.org:22/", "username": evil(26),
        "sftp_server_fingerprint": [PIN], "host_keys_compared_with": evil(27), "authorization_type": "password",
        "password": consign.canary("password"), "labels": { "team": short(evil(28), 60) },
    });
    let server = consign.credential(&server).await;
    let event = json!({
        "type": format!("type.{number}"), "subject": evil(13), "source": evil(14), "id": format!("{number}{}", evil(15)),
        "data": { "text": "a", "more": evil(16) },
    });
    let sent = Sent::read(&consign.post("/events", &event).await.expect(202).json());
    let delivery = sent.delivery().to_owned();
    consign.until(&delivery, if status == 400 { "failed" } else { "delivered" }).await;
    vec![
        format!("/credentials/{credential}"),
        format!("/credentials/{credential}/delete"),
        format!("/webhooks/{webhook}"),
        format!("/webhooks/{webhook}/set-up"),
        format!("/webhooks/{webhook}/test"),
        format!("/webhooks/{webhook}/activity"),
        format!("/webhooks/{webhook}/delete"),
        format!("/deliveries/{delivery}"),
        format!("/deliveries/{delivery}/replay"),
        format!("/events/{}", sent.id),
        exporter.clone(),
        format!("{exporter}/set-up"),
        format!("{exporter}/delete"),
        run,
        format!("/credentials/{server}"),
        format!("/deliveries?q={}", crate::harness::percent(evil(17))),
        format!("/deliveries/replay?preview=1&q={}", crate::harness::percent(evil(18))),
        format!("/credentials?q={}", crate::harness::percent(evil(19))),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_text_runs_nowhere_and_breaks_no_page() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let mut pages: Vec<String> = [
        "/",
        "/credentials",
        "/webhooks",
        "/webhooks/new",
        "/exporters",
        "/exporters/new",
        "/deliveries",
        "/events",
        "/api-keys",
        "/api-keys/new",
        "/users",
        "/audit",
        "/settings",
    ]
    .map(str::to_owned)
    .into();
    for number in 0..PAYLOADS.len() {
        pages.extend(store(&consign, &tool, number).await);
    }
    for payload in PAYLOADS {
        let name: String = payload.chars().take(80).collect();
        let key = consign.post("/api-keys", &json!({ "name": name, "scopes": ["events:read"] })).await;
        let text = key.expect(201).json()["text"].as_str().unwrap().to_owned();
        consign.canaries.shown_once("an API key", text.rsplit('_').next().unwrap());
    }
    consign.patch("/settings", &json!({ "instance_name": "<script>alert(1)</script>" })).await.expect(200);
    let (person, _) = someone(&consign, "bo@acme.example", "viewer").await;
    let person = format!("/users/{}", id_of(&person));
    consign.patch(&person, &json!({ "name": "'><img src=x onerror=alert(1)>" })).await.expect(200);
    pages.push(person);
    let again =
        json!({ "filter": { "q": PAYLOADS[13], "state": ["failed", "delivered"] }, "rate_per_second": 50 });
    let again = consign.call("POST", "/replays", &[("idempotency-key", "k")], Some(&again)).await.expect(202);
    pages.push(format!("/operations/{}", id_of(&again.json())));
    consign.until_idle().await;

    let browser = Browser::start(true).await;
    browser.before_each_page(WATCH).await;
    sign_in(&consign, &browser).await;
    let base = format!("http://{}", consign.address());
    let mut found = Vec::new();
    for path in &pages {
        browser.goto(&format!("{base}{path}")).await;
        let faults = browser.run(FOUND, vec![]).await;
        found.extend(faults.as_array().unwrap().iter().map(|fault| format!("{path}: {fault}")));
    }
    // The watch sees what there is to see.
    browser.run("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(1)><a href=\"javascript:1\">x</a>')", vec![])
        .await;
    let seen = browser.run(FOUND, vec![]).await;
    assert!(seen.as_array().is_some_and(|seen| seen.len() >= 3), "the check finds nothing: {seen}");
    browser.resize(320).await;
    for path in pages.iter().rev().take(40) {
        browser.goto(&format!("{base}{path}")).await;
        let wide = browser.run(TOO_WIDE, vec![]).await;
        if !wide.is_null() {
            found.push(format!("{path}: wider than 320 px: {wide}"));
        }
    }
    browser.close().await;
    assert!(found.is_empty(), "{} of {} pages:\n{}", found.len(), pages.len(), found.join("\n"));
    consign.finish().await;
}
