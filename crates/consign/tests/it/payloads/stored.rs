//! Objects that hold text of somebody else in each of their fields, and the pages that show them.

use serde_json::json;

use super::{Page, Press, cut, pairs};
use crate::harness::{Sent, TestConsign, basic, eventually, id_of, merge, percent};
use crate::peers::{Answer, Tool};
use crate::people::invite;
use crate::saml::own;

/// Of a key that no server has.
const PIN: &str = "SHA256:w0u3/fXk2wf6SIOaBBCo4kqaaAaGioA9PMv1VINE0Xc";

/// One set of objects.
pub(super) struct Made {
    pub(super) pages: Vec<Page>,
    /// The link of somebody who was invited.
    pub(super) invitation: String,
    /// The path of the exporter.
    pub(super) exporter: String,
}

/// The texts of one set: another one for each field, and over all sets every text in each field.
struct Texts {
    number: usize,
    pairs: Vec<String>,
}

impl Texts {
    fn of(&self, field: usize) -> &str {
        &self.pairs[(self.number + field) % self.pairs.len()]
    }

    /// The same in a name; `kind` keeps the names of one list apart.
    fn name(&self, kind: char, field: usize) -> String {
        cut(&format!("{kind}{}", self.of(field)), 80)
    }

    fn ascii(&self, field: usize) -> String {
        self.of(field).replace(|c: char| !c.is_ascii(), "")
    }
}

/// Objects of every kind with texts in all of their fields.
pub(super) async fn store(consign: &TestConsign, tool: &Tool, number: usize) -> Made {
    let texts = Texts { number, pairs: pairs() };
    let credential = credential(consign, tool, &texts).await;
    let mut pages = vec![
        Page::at(format!("/credentials/{credential}")),
        Page::at(format!("/credentials/{credential}/delete")),
    ];
    pages.extend(of_credentials(consign, tool, &texts).await);
    // Before anything is sent.
    tool.answer_at(&format!("/{number}"), answer(&texts));
    pages.extend(of_webhook(consign, &credential, &texts).await);
    let exporter = of_exporter(consign, tool, &credential, &texts, &mut pages).await;
    pages.extend(of_gateway(consign, &credential, &texts).await);
    let invitation = of_people(consign, &texts, &mut pages).await;
    pages.extend([
        Page::at(format!("/deliveries?q={}", percent(texts.of(17)))),
        Page::at(format!("/deliveries/replay?preview=1&q={}", percent(texts.of(18)))),
        Page::at(format!("/credentials?q={}", percent(texts.of(19)))),
    ]);
    Made { pages, invitation, exporter }
}

/// The tool answers with text of its own, in every second set that it takes what was sent.
fn answer(texts: &Texts) -> Answer {
    let body = json!({ "message": texts.of(8), "error": { "message": texts.of(9), "detail": texts.of(10) } });
    let headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("server".to_owned(), texts.ascii(11)),
        ("location".to_owned(), texts.ascii(12)),
    ];
    Answer::Reply(if texts.number.is_multiple_of(2) { 400 } else { 201 }, headers, body.to_string())
}

/// The credential that the connectors of the set use.
async fn credential(consign: &TestConsign, tool: &Tool, texts: &Texts) -> String {
    let username = texts.of(1).replace(':', "");
    let mut body = basic(&texts.name('b', 0), &tool.origin(), &username, &consign.canary("password"));
    let text = texts.of(2);
    let end: String = text.chars().skip(text.chars().count().saturating_sub(60)).collect();
    body["labels"] = json!({ "team": cut(text, 60), "stage": end });
    body["custom_headers"] = json!([{ "name": "X-Evil", "value": consign.canary("header") }]);
    consign.credential(&body).await
}

/// Credentials of the other kinds that show what was typed.
async fn of_credentials(consign: &TestConsign, tool: &Tool, texts: &Texts) -> Vec<Page> {
    let server = json!({
        "name": texts.name('s', 25), "protocol": "sftp", "hostname": "sftp://files.example.org:22/",
        "username": texts.of(26), "sftp_server_fingerprint": [PIN], "host_keys_compared_with": texts.of(27),
        "authorization_type": "password", "password": consign.canary("password"),
    });
    let server = consign.credential(&server).await;
    let at_token = format!("/token/{}", texts.number);
    let visible = texts.ascii(29);
    let granted = json!({
        "name": texts.name('o', 28), "protocol": "https", "url_address": tool.origin(),
        "authorization_type": "oauth2_authorization_code", "client_id": visible.trim(),
        "client_secret": consign.canary("client secret"),
        "authorization_code_url": format!("{}authorize", tool.origin()),
        "access_token_url": format!("{}{}", tool.origin().trim_end_matches('/'), at_token),
        "authentication_information": "body", "pkce": "off",
        "scope": texts.ascii(30).replace(['"', '\\'], ""),
        "oauth_token_requests": [{ "name": "resource", "value": texts.of(31), "sent_in": "query" }],
    });
    let granted = consign.credential(&granted).await;
    let refused = json!({ "error": "invalid_grant", "error_description": texts.ascii(32) });
    tool.answer_at(&at_token, Answer::json(400, &refused));
    let mut signed = json!({
        "name": texts.name('a', 33), "protocol": "https", "url_address": tool.origin(),
        "authorization_type": "oauth2_saml_bearer", "recipient": format!("{}token", tool.origin()),
        "name_id": texts.of(34), "issuer": texts.of(35), "audience": texts.of(36),
        "name_qualifier": texts.of(37), "authn_context_class_ref": texts.of(38),
        "oauth_token_requests": [{ "name": "client_id", "value": texts.of(39) }],
        "saml_attributes": [{ "name": texts.of(40), "value": texts.of(41) }],
    });
    merge(&mut signed, &own());
    let signed = consign.credential(&signed).await;
    vec![
        Page::at(format!("/credentials/{server}")),
        Page::at(format!("/credentials/{granted}")),
        Page::at(format!("/credentials/{granted}/authorize")).press(Press::Approval),
        Page::at(format!("/credentials/{granted}/forget-tokens")),
        Page::at(format!("/credentials/{signed}")),
        Page::at(format!("/credentials/{signed}/assertion")),
        Page::at(format!("/credentials/{signed}/certificate/next")),
    ]
}

/// A webhook, an event for it, and its delivery.
async fn of_webhook(consign: &TestConsign, credential: &str, texts: &Texts) -> Vec<Page> {
    let number = texts.number;
    let webhook = json!({
        "name": texts.name('w', 3), "description": texts.of(4), "credential": credential,
        "path": format!("/{number}"), "event_types": [format!("type.{number}")], "signature": "ed25519",
        "payload": "template", "template": json!({ "text": texts.of(5).replace("{{", "{") }).to_string(),
        "headers": [{ "name": "X-Text", "value": texts.ascii(6).trim() }],
        "outputs": [{ "name": cut(texts.of(49), 40), "pointer": "/message" }],
        "only_when": format!("data.text != {}", json!(texts.of(7))),
    });
    let webhook = consign.webhook(&webhook).await;
    let at = format!("/webhooks/{webhook}");
    // The log tells what it was and what it is.
    consign.patch(&at, &json!({ "description": texts.of(42) })).await.expect(200);
    let edited = consign.all(&format!("/audit-entries?object={webhook}")).await;
    let event = json!({
        "type": format!("type.{number}"), "subject": texts.of(13), "source": texts.of(14),
        "id": format!("{number}{}", texts.of(15)), "data": { "text": "a", "more": texts.of(16) },
    });
    let sent = Sent::read(&consign.post("/events", &event).await.expect(202).json());
    let delivery = sent.delivery().to_owned();
    let ends = if number.is_multiple_of(2) { "failed" } else { "delivered" };
    consign.until(&delivery, ends).await;
    vec![
        Page::at(at.clone()),
        Page::at(format!("{at}/set-up")),
        Page::at(format!("{at}/test")),
        Page::at(format!("{at}/signature")),
        Page::at(format!("{at}/signature/change")),
        Page::at(format!("{at}/activity")),
        Page::at(format!("{at}/delete")),
        Page::at(format!("/audit/{}", edited[0]["sequence"])),
        Page::at(format!("/deliveries/{delivery}")).press(Press::Payload),
        Page::at(format!("/deliveries/{delivery}/replay")),
        Page::at(format!("/events/{}", sent.id)).press(Press::Payload),
    ]
}

/// An exporter with a run that the tool refused; its path.
async fn of_exporter(
    consign: &TestConsign,
    tool: &Tool,
    credential: &str,
    texts: &Texts,
    pages: &mut Vec<Page>,
) -> String {
    let number = texts.number;
    let exporter = json!({
        "name": texts.name('e', 20), "description": texts.of(21), "credential": credential,
        "path": format!("/bulk/{number}"), "source": "pushed",
        "columns": [{ "name": texts.of(22), "path": "data.a" }],
    });
    let exporter =
        format!("/exporters/{}", id_of(&consign.post("/exporters", &exporter).await.expect(201).json()));
    let refused = json!({ "message": texts.of(24) }).to_string();
    tool.answer_at(&format!("/bulk/{number}"), Answer::Reply(422, vec![], refused));
    let run = run_of(consign, &exporter, "first", texts.of(23)).await;
    consign.until_shows(&run, "/state", "failed").await;
    pages.extend([
        Page::at(exporter.clone()),
        Page::at(format!("{exporter}/set-up")),
        Page::at(format!("{exporter}/activity")),
        Page::at(format!("{exporter}/delete")),
        Page::at(run),
    ]);
    exporter
}

/// Starts a run with one record: its path.
async fn run_of(consign: &TestConsign, exporter: &str, key: &str, text: &str) -> String {
    let record = json!([{ "a": text }]);
    let pushed = [("idempotency-key", &*format!("{exporter}-{key}"))];
    consign.call("POST", &format!("{exporter}/records"), &pushed, Some(&record)).await.expect(202);
    let started = [("idempotency-key", &*format!("{exporter}-{key}-run"))];
    let run = consign.call("POST", &format!("{exporter}/runs"), &started, None).await.expect(201);
    format!("/runs/{}", id_of(&run.json()))
}

/// A run that waits for a tool that is busy, so that it can be cancelled.
pub(super) async fn waiting_run(consign: &TestConsign, tool: &Tool, exporter: &str) -> String {
    let busy = json!({ "message": pairs()[0] }).to_string();
    tool.answer_at(&format!("/bulk/{}", pairs().len() - 1), Answer::Reply(503, vec![], busy));
    let run = run_of(consign, exporter, "second", "a").await;
    eventually("the run to wait", async || {
        let shown = consign.get(&run).await.json();
        (shown["state"] == "waiting" && shown["last_outcome"].is_string()).then_some(())
    })
    .await;
    run
}

/// A gateway, which is tried on its page.
async fn of_gateway(consign: &TestConsign, credential: &str, texts: &Texts) -> Vec<Page> {
    let number = texts.number;
    let in_path = texts.of(43).replace(['#', '?', '%', '\\'], "");
    let gateway = json!({
        "name": texts.name('g', 44), "description": texts.of(45), "credential": credential,
        "slug": format!("desk-{number}"), "path_prefixes": [format!("/{number}"), format!("/p{in_path}")],
    });
    let at = format!("/gateways/{}", id_of(&consign.post("/gateways", &gateway).await.expect(201).json()));
    vec![
        Page::at(format!("{at}/set-up")),
        Page::at(format!("{at}/try")).press(Press::Trial),
        // With the call that was tried.
        Page::at(at.clone()),
        Page::at(format!("{at}/activity")),
        Page::at(format!("{at}/delete")),
    ]
}

/// A person and an API key; the link of the person.
async fn of_people(consign: &TestConsign, texts: &Texts, pages: &mut Vec<Page>) -> String {
    // Whatever has no white space may stand before the sign of an address, and mark-up needs none.
    let email = format!("{}@acme.example", texts.of(46).replace(char::is_whitespace, "/"));
    let (person, invitation) = invite(consign, &email, "viewer").await;
    let person = format!("/users/{}", id_of(&person));
    consign.patch(&person, &json!({ "name": cut(texts.of(47), 80) })).await.expect(200);
    let key = json!({ "name": cut(texts.of(48), 80), "scopes": ["events:read"] });
    let key = consign.post("/api-keys", &key).await.expect(201).json();
    let text = key["text"].as_str().unwrap();
    consign.canaries.shown_once("an API key", text.rsplit('_').next().unwrap());
    pages.extend([
        Page::at(format!("{person}/invite-again")),
        Page::at(person),
        Page::at(format!("/api-keys/{}/revoke", id_of(&key))),
    ]);
    invitation
}

/// Something that people are told of: a tool that refuses the sign-in.
pub(super) async fn incident(consign: &TestConsign, tool: &Tool) {
    let more = json!({ "path": "/incident", "event_types": ["incident"] });
    let webhook = consign.bearer_webhook("Incidents", &tool.origin(), &more).await;
    tool.answer_at("/incident", Answer::status(401));
    consign.event("incident", &json!({})).await;
    consign.until_shows(&format!("/webhooks/{webhook}"), "/state", "held").await;
}
