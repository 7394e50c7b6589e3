//! Notices: to each person once, whatever becomes of the mail to others, and of all that stops.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::page::unescape;
use crate::harness::{Kind, TestConsign, bearer, eventually, id_of, merge};
use crate::mail::with_mail;
use crate::peers::mail_server::{MailServer, Manners};
use crate::peers::{Answer, Tool};

const HOUR: Duration = Duration::from_secs(3_600);
/// Longer than the first two waits between tries, and shorter than a session lasts.
const RETRY: Duration = Duration::from_secs(300);
const OPS: &str = "ops@acme.example";

/// Every kind of notice, on both databases.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::Kind::Sqlite).await; })*
        }
        mod postgresql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::Kind::PostgreSql).await; })*
        }
    };
}

on_both! {
    a_recipient_that_is_refused_costs_the_others_nothing
    exporters_that_stop_or_fail_are_told
    failed_deliveries_are_told_once_for_each_hour_until_they_are_mailed
}

async fn mailed(kind: Kind) -> (MailServer, TestConsign) {
    let server = MailServer::start(Manners { implicit: true, ..Manners::default() }).await;
    let consign = with_mail(kind, &server, "smtps").await;
    consign.patch("/notifications", &json!({ "emails": [OPS] })).await.expect(200);
    (server, consign)
}

fn refusing(server: &MailServer, command: &str, answer: &str) {
    let refuses = Some((command.to_owned(), answer.to_owned()));
    server.behave(Manners { implicit: true, refuses, ..Manners::default() });
}

fn takes_all(server: &MailServer) {
    server.behave(Manners { implicit: true, ..Manners::default() });
}

fn taken(server: &MailServer) -> Vec<String> {
    server.taken().iter().flat_map(|mail| mail.to.clone()).collect()
}

/// Moves the clock a few minutes into an hour, so that what follows stays in it.
fn into_an_hour(consign: &TestConsign) {
    let past = Duration::from_millis(u64::try_from(consign_store::local_now().millis()).unwrap() % 3_600_000);
    consign.advance(HOUR - past + Duration::from_secs(300));
}

/// A connector whose credential is deleted needs a person.
async fn without_credential(consign: &TestConsign, tool: &Tool, names: &[&str]) {
    let secret = consign.canary(&format!("token-{}", names[0].replace(' ', "-")));
    let credential = consign.credential(&bearer(names[0], &tool.origin(), &secret)).await;
    for name in names {
        exporter(consign, name, names[0]).await;
    }
    let path = format!("/credentials/{credential}?linked=hold");
    consign.call("DELETE", &path, &[("if-match", "*")], None).await.expect(200);
}

async fn exporter(consign: &TestConsign, name: &str, credential: &str) -> String {
    let body = json!({ "name": name, "credential": credential, "path": "/bulk", "source": "pushed",
        "columns": [{ "name": "n" }] });
    format!("/exporters/{}", id_of(&consign.post("/exporters", &body).await.expect(201).json()))
}

/// A record for an exporter, and a run that takes it.
async fn run(consign: &TestConsign, exporter: &str) -> String {
    let name = exporter.replace('/', "-");
    let records_key = format!("{name}-records");
    let key = [("idempotency-key", name.as_str())];
    let pushed = [("idempotency-key", records_key.as_str())];
    let records = json!([{ "n": 1 }]);
    consign.call("POST", &format!("{exporter}/records"), &pushed, Some(&records)).await.expect(202);
    let run = consign.call("POST", &format!("{exporter}/runs"), &key, None).await.expect(201).json();
    format!("/runs/{}", id_of(&run))
}

async fn notices(consign: &TestConsign) -> Vec<Value> {
    consign.get("/notifications").await.expect(200).json()["notices"].as_array().unwrap().clone()
}

async fn a_recipient_that_is_refused_costs_the_others_nothing(kind: Kind) {
    let (server, consign) = mailed(kind).await;
    let tool = Tool::start().await;
    let emails = json!({ "emails": ["gone@acme.example", OPS] });
    consign.patch("/notifications", &emails).await.expect(200);
    without_credential(&consign, &tool, &["First"]).await;
    refusing(&server, "RCPT TO:<GONE", "550 no such person");
    consign.look_for_notices().await;
    for _ in 0..3 {
        consign.advance(RETRY);
        consign.look_for_notices().await;
    }
    assert_eq!(taken(&server), [format!("<{OPS}>")], "once");
    let asked = |start: &str| server.commands().iter().filter(|line| line.starts_with(start)).count();
    assert_eq!(asked("RCPT TO:<gone"), 1, "that was final");
    assert_eq!(notices(&consign).await[0]["mail"], "refused");
    let told = "Notices cannot be mailed. gone@acme.example does not get them. The mail server refused the recipient: 550";
    let page = unescape(&consign.page("/webhooks").await.expect(200).text());
    assert!(page.contains(told), "{page}");

    // What is refused for now is tried again, for that person alone; a forwarding server takes it.
    consign.patch("/notifications", &json!({ "emails": ["busy@acme.example", OPS] })).await.expect(200);
    let page = consign.page("/webhooks").await.expect(200).text();
    assert!(!page.contains("Notices cannot be mailed"), "others are mailed now: {page}");
    without_credential(&consign, &tool, &["Second"]).await;
    refusing(&server, "RCPT TO:<BUSY", "451 later");
    consign.look_for_notices().await;
    consign.advance(RETRY);
    consign.look_for_notices().await;
    assert_eq!((taken(&server).len(), asked("RCPT TO:<busy")), (2, 2));
    refusing(&server, "RCPT TO:<BUSY", "251 forwarded");
    consign.advance(RETRY);
    consign.look_for_notices().await;
    assert_eq!((server.taken().len(), asked("RCPT TO:<busy")), (3, 3));
    assert_eq!(asked("RCPT TO:<ops"), 2);
    assert!(notices(&consign).await.iter().all(|notice| notice["mail"] == "sent"));
    consign.finish().await;
}

async fn exporters_that_stop_or_fail_are_told(kind: Kind) {
    let (server, mut consign) = mailed(kind).await;
    let (refusing, failing) = (Tool::start().await, Tool::start().await);
    for (name, tool) in [("Refused", &refusing), ("Lake", &failing)] {
        consign.credential(&bearer(name, &tool.origin(), &consign.canary(name))).await;
    }
    let held = exporter(&consign, "Nightly", "Refused").await;
    let failed = exporter(&consign, "Hourly", "Lake").await;
    refusing.answer(Answer::status(401));
    failing.answer(Answer::status(400));
    run(&consign, &held).await;
    let run = run(&consign, &failed).await;
    eventually("the exporter to need a person", async || {
        let lines = consign.get("/overview").await.json()["attention"].as_array().unwrap().clone();
        lines.iter().any(|line| line["name"] == "Nightly").then_some(())
    })
    .await;
    consign.until_shows(&run, "/state", "failed").await;
    consign.look_for_notices().await;
    consign.look_for_notices().await;
    let mail = server.taken();
    assert_eq!(mail.len(), 1);
    let text = mail[0].text();
    for told in ["“Nightly”: On hold", held.as_str(), "Run 1 of “Hourly” failed", run.as_str()] {
        assert!(text.contains(told), "{told}: {text}");
    }
    for event_type in ["consign.connector.stopped", "consign.run.failed"] {
        let events = consign.all(&format!("/events?event_type={event_type}")).await;
        assert_eq!(events.len(), 1, "{event_type}: {events:?}");
    }
    consign.allow_open();
    consign.finish().await;
}

async fn failed_deliveries_are_told_once_for_each_hour_until_they_are_mailed(kind: Kind) {
    let (server, consign) = mailed(kind).await;
    let tool = Tool::start().await;
    into_an_hour(&consign);
    for name in ["One", "Two"] {
        consign.bearer_webhook(name, &tool.origin(), &json!({ "event_types": [name] })).await;
    }
    tool.answer(Answer::status(400));
    refusing(&server, "MAIL", "421 away");
    let fails = async |name: &str| {
        let sent = consign.event(name, &json!({})).await;
        consign.until(sent.delivery(), "failed").await;
    };
    for name in ["One", "One", "Two"] {
        fails(name).await;
        consign.look_for_notices().await;
    }
    assert_eq!(notices(&consign).await.len(), 2, "one for each connector");
    consign.advance(HOUR);
    fails("One").await;
    consign.look_for_notices().await;
    consign.look_for_notices().await;
    let events = consign.all("/events?event_type=consign.connector.deliveries_failed").await;
    assert_eq!(events.len(), 3, "{events:?}");
    // They are not news any more, and nobody was told: that is still owed.
    consign.advance(HOUR * 4);
    consign.look_for_notices().await;
    assert_eq!(notices(&consign).await.len(), 3);
    takes_all(&server);
    consign.advance(HOUR * 2);
    consign.look_for_notices().await;
    let mail = server.taken();
    assert_eq!(mail.len(), 1);
    let text = mail[0].text();
    assert_eq!(text.matches("Deliveries of “One” failed").count(), 2, "{text}");
    assert_eq!(text.matches("Deliveries of “Two” failed").count(), 1, "{text}");
    assert!(notices(&consign).await.is_empty());
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_page_of_connectors_is_told() {
    let (server, consign) = mailed(Kind::Sqlite).await;
    let tool = Tool::start().await;
    let names: Vec<_> = (0..23).map(|number| format!("Exporter {number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    without_credential(&consign, &tool, &names).await;
    consign.look_for_notices().await;
    consign.look_for_notices().await;
    assert_eq!(notices(&consign).await.len(), names.len());
    let events = consign.all("/events?event_type=consign.connector.stopped").await;
    assert_eq!((events.len(), server.taken().len()), (names.len(), 1));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_are_mailed() {
    let (server, consign) = mailed(Kind::Sqlite).await;
    let tool = Tool::start().await;
    let ends_on = consign_store::local_now().plus(HOUR * 24 * 10).day();
    let mut credential = bearer("Rotating", &tool.origin(), &consign.canary("token"));
    merge(&mut credential, &json!({ "ends_on": ends_on }));
    let id = consign.credential(&credential).await;
    consign.look_for_notices().await;
    consign.look_for_notices().await;
    assert_eq!(taken(&server).len(), 1);
    let text = server.taken()[0].text();
    assert!(text.contains("Rotating") && text.contains(&format!("/credentials/{id}")), "{text}");
    assert!(server.taken()[0].header("Subject").starts_with("=?UTF-8?B?"), "a name in quotation marks");
    // The next step is news; the engine gives the event of each.
    consign.advance(HOUR * 24 * 4);
    consign.look_for_notices().await;
    assert_eq!(taken(&server).len(), 2);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_fails_is_told_before_it_is_paused() {
    let (server, consign) = mailed(Kind::Sqlite).await;
    let tool = Tool::start().await;
    let webhook = json!({ "event_types": ["device.*"], "retry_schedule_seconds": [1] });
    consign.bearer_webhook("Incidents", &tool.origin(), &webhook).await;
    tool.answer(Answer::status(500));
    let mut told = Vec::new();
    for hours in [0, 59, 2, 22, 2, 22, 2] {
        consign.advance(HOUR * hours);
        let sent = consign.event("device.low", &json!({})).await;
        consign.until(sent.delivery(), "failed").await;
        consign.look_for_notices().await;
        let all = notices(&consign).await;
        let failing = all.iter().find(|notice| notice["type"] == "consign.connector.failing");
        told.push(failing.map(|notice| notice["title"].as_str().unwrap().to_owned()));
    }
    let title = |mark: u32| {
        Some(format!("“Incidents” has only failed for {mark} % of the 5 days after which it is paused"))
    };
    let expected = [None, None, title(50), title(50), title(70), title(70), title(90)];
    assert_eq!(told, expected);
    let events = consign.all("/events?event_type=consign.connector.failing").await;
    assert_eq!(events.len(), 3, "{events:?}");
    let texts: String = server.taken().iter().map(|mail| mail.text()).collect();
    for mark in [50, 70, 90] {
        assert_eq!(texts.matches(&format!("failed for {mark} %")).count(), 1, "{texts}");
    }
    consign.finish().await;
}
