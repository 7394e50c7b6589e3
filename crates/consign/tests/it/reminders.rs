//! Reminders that a credential ends soon: each one once, to those who asked for it.

use std::time::Duration;

use serde_json::{Value, json};

use consign_core::sign;

use crate::harness::database::Kind;
use crate::harness::{TestConsign, bearer, eventually, merge};
use crate::peers::Tool;
use crate::saml::{credential as saml, server};

const DAY: Duration = Duration::from_secs(86_400);

on_both_databases! {
    each_reminder_comes_once
    a_restart_says_nothing_twice
    metrics_tell_when_a_credential_ends
    a_certificate_ends_in_its_last_second
}

fn in_days(days: u32) -> String {
    consign_store::local_now().plus(DAY * days).day()
}

fn ending(consign: &TestConsign, name: &str, tool: &Tool, days: u32) -> Value {
    let mut credential = bearer(name, &tool.origin(), &consign.canary(name));
    merge(&mut credential, &json!({ "ends_on": in_days(days) }));
    credential
}

/// The reminders that the tool was told, in order.
async fn told(tool: &Tool, count: usize) -> Vec<Value> {
    tool.until_asked(count).await.iter().map(|asked| asked.json()).collect()
}

async fn each_reminder_comes_once(consign: TestConsign) {
    let (own, other) = (Tool::start().await, Tool::start().await);
    consign.bearer_webhook("reminders", &own.origin(), &json!({ "event_types": ["consign.*"] })).await;
    consign.bearer_webhook("everything", &other.origin(), &json!({ "event_types": ["*"] })).await;
    let id = consign.credential(&ending(&consign, "rotating", &own, 31)).await;
    for (step, days_left, advance) in [(30, 30, 1), (14, 13, 17), (7, 7, 6), (1, 1, 6), (0, 0, 1)] {
        consign.advance(DAY * advance);
        let asked = told(&own, [30, 14, 7, 1, 0].iter().position(|one| *one == step).unwrap() + 1).await;
        let data = asked.last().unwrap();
        assert_eq!((&data["reminder_days"], &data["days_left"]), (&json!(step), &json!(days_left)), "{data}");
        assert_eq!((&data["credential"]["id"], &data["ends"]), (&json!(id), &json!("secret")));
        // A leap of the clock would end the lease of what is on its way.
        consign.until_idle().await;
    }
    consign.advance(DAY);
    consign.event("device.low", &json!({})).await;
    other.until_asked(1).await;
    consign.until_idle().await;
    assert_eq!(other.count(), 1, "what takes everything takes no events of our own");
    assert_eq!(own.count(), 5, "nothing is said of what has ended");
    consign.finish().await;
}

async fn a_restart_says_nothing_twice(mut consign: TestConsign) {
    let tool = Tool::start().await;
    consign.bearer_webhook("reminders", &tool.origin(), &json!({ "event_types": ["consign.*"] })).await;
    consign.credential(&ending(&consign, "rotating", &tool, 31)).await;
    consign.advance(DAY * 18);
    assert_eq!(told(&tool, 1).await[0]["reminder_days"], 14, "those that were missed are not caught up with");
    // The clock begins anew, too. The reminder of another credential tells that a round is over.
    consign.restart().await;
    let marker = consign.credential(&ending(&consign, "marker", &tool, 25)).await;
    consign.advance(DAY * 18);
    eventually("the other reminder", async || {
        tool.asked().iter().any(|asked| asked.json()["days_left"] == 7).then_some(())
    })
    .await;
    let events = consign.all("/events?event_type=consign.credential.ends").await;
    let of_first = events.iter().filter(|event| event["subject"] != json!(marker)).count();
    assert_eq!(of_first, 1, "{events:?}");
    consign.until_idle().await;
    consign.finish().await;
}

async fn metrics_tell_when_a_credential_ends(consign: TestConsign) {
    let tool = Tool::start().await;
    let id = consign.credential(&ending(&consign, "soon", &tool, 10)).await;
    consign.credential(&bearer("endless", &tool.origin(), &consign.canary("endless"))).await;
    let name = "consign_credential_seconds_until_end";
    let rows = async || -> Vec<String> {
        let metrics = consign.metrics().await;
        metrics.lines().filter(|line| line.starts_with(&format!("{name}{{"))).map(str::to_owned).collect()
    };
    let shown = rows().await;
    assert_eq!(shown.len(), 1, "{shown:?}");
    let seconds: i64 =
        shown[0].strip_prefix(&format!("{name}{{credential=\"{id}\"}} ")).unwrap().parse().unwrap();
    // The day itself is still good.
    assert!((10 * 86_400..=11 * 86_400).contains(&seconds), "{seconds}");
    consign.call("DELETE", &format!("/credentials/{id}"), &[("if-match", "*")], None).await.expect(200);
    assert!(rows().await.is_empty(), "a deleted credential leaves nothing");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_give_one_reminder() {
    let consign = TestConsign::on_postgres().await;
    let tool = Tool::start().await;
    consign.bearer_webhook("reminders", &tool.origin(), &json!({ "event_types": ["consign.*"] })).await;
    consign.credential(&ending(&consign, "rotating", &tool, 31)).await;
    let later = consign.credential(&ending(&consign, "later", &tool, 32)).await;
    consign.advance(DAY);
    tool.until_asked(1).await;
    // The second one is a day ahead: what it says of the later end tells that it has looked at both.
    let second = consign.second_replica().await;
    second.app.store.advance(DAY * 2);
    let told = tool.until_asked(2).await;
    assert_eq!(told.last().unwrap().json()["credential"]["id"], json!(later));
    assert_eq!((consign.all("/events").await.len(), tool.count()), (2, 2));
    consign.until_idle().await;
    second.stop().await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_keep_quiet_about_ends_where_that_is_asked_for() {
    let consign = TestConsign::on(Kind::Sqlite, |config| config.server.metrics_credential_ends = false).await;
    let tool = Tool::start().await;
    consign.credential(&ending(&consign, "soon", &tool, 10)).await;
    assert!(!consign.metrics().await.contains("seconds_until_end"));
    consign.finish().await;
}

/// The day on which a certificate ends: good until its last second, ended from then on, everywhere.
async fn a_certificate_ends_in_its_last_second(mut consign: TestConsign) {
    let (tool, server) = (Tool::start().await, server().await);
    consign.bearer_webhook("reminders", &tool.origin(), &json!({ "event_types": ["consign.*"] })).await;
    // Made a year ago less a day, however long that year was: it ends in the last second of this day.
    let today = consign_store::local_now();
    let mut made = (364..=365)
        .map(|days| sign::create("ending", sign::KeySize::Rsa2048, 1, today.minus(DAY * days)).unwrap());
    let (certificate, key) = made.find(|(certificate, _)| certificate.ends.day() == today.day()).unwrap();
    let own = json!({ "certificate": certificate.pem(), "private_key": key.expose() });
    let id = consign.credential(&saml("ending", &tool, &server, &own)).await;
    let at = format!("/credentials/{id}");
    // A start looks at once.
    consign.restart().await;
    let data = told(&tool, 1).await.remove(0);
    assert_eq!((&data["ends"], &data["days_left"]), (&json!("certificate"), &json!(0)), "{data}");
    assert!(
        data["message"].as_str().unwrap().starts_with("The certificate of “ending” ends today"),
        "{data}"
    );
    let shown = consign.get(&at).await.expect(200).json();
    assert_eq!(shown["status"]["reason"], "the certificate ends today", "{shown}");
    assert_eq!(consign.all("/credentials?status=ends_soon").await.len(), 1);
    consign.until_idle().await;
    consign.advance(certificate.ends.since(consign_store::local_now()) + Duration::from_secs(1));
    assert_eq!(consign.get(&at).await.expect(200).json()["status"]["code"], "ended");
    assert_eq!(consign.all("/credentials?status=ended").await.len(), 1);
    assert!(consign.all("/credentials?status=ends_soon").await.is_empty());
    assert!(consign.metrics().await.contains("consign_credentials{status=\"ended\"} 1"));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_sends_them() {
    let consign = TestConsign::start().await;
    let sent = consign.post("/events", &json!({ "type": "consign.credential.ends", "data": {} })).await;
    let (field, code, sentence) = sent.expect(422).faults().remove(0);
    assert_eq!((field.as_str(), code.as_str()), ("/type", "reserved"));
    assert_eq!(
        sentence,
        "Event types that begin with “consign.” are Consign's own. Choose another beginning"
    );
    for (field, value) in
        [("source", "consign"), ("source", " Consign"), ("type", "Consign.x"), ("type", "consign")]
    {
        let mut event = json!({ "type": "a.b", "data": {} });
        event[field] = json!(value);
        let faults = consign.post("/events", &event).await.expect(422).faults();
        assert_eq!((faults[0].0.as_str(), faults[0].1.as_str()), (format!("/{field}").as_str(), "reserved"));
    }
    assert!(consign.all("/events").await.is_empty());
    consign.finish().await;
}
