//! Events: what is accepted, recognised as a repeat, matched, and passed on in which form.

use serde_json::{Value, json};

use crate::harness::{Sent, TestConsign};
use crate::peers::Tool;

on_both_databases! {
    a_repeated_event_is_accepted_once
}

async fn a_repeated_event_is_accepted_once(consign: TestConsign) {
    let tool = Tool::start().await;
    consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    let body = json!({ "type": "a.b", "source": "/dex", "id": "9f1", "data": { "n": 1 } });
    let first = Sent::read(&consign.post("/events", &body).await.expect(202).json());
    assert!(!first.duplicate);
    let again = Sent::read(&consign.post("/events", &body).await.expect(202).json());
    assert_eq!((again.duplicate, &again.id, again.deliveries.len()), (true, &first.id, 0));
    // In one batch, and at the same time.
    let batch = json!([body, { "type": "a.b", "source": "/dex", "id": "new" }, { "type": "a.b", "source": "/dex", "id": "new" }]);
    let headers = [("idempotency-key", "batch-1")];
    let reply = consign.call("POST", "/events", &headers, Some(&batch)).await.expect(202).json();
    let rows: Vec<_> = reply.as_array().unwrap().iter().map(Sent::read).collect();
    assert_eq!(rows.iter().map(|row| row.duplicate).collect::<Vec<_>>(), [true, false, true], "{reply}");
    assert_eq!(rows[1].id, rows[2].id);
    let at_once = json!({ "type": "a.b", "source": "/dex", "id": "at once" });
    let replies = futures(8, || consign.post("/events", &at_once)).await;
    assert_eq!(replies.iter().filter(|sent| !sent.duplicate).count(), 1, "{replies:?}");
    assert!(replies.iter().all(|sent| sent.id == replies[0].id));
    consign.until_idle().await;
    assert_eq!(tool.count(), 3);
    consign.finish().await;
}

/// Several of the same at once.
async fn futures<F: Future<Output = crate::harness::Reply>>(count: usize, make: impl Fn() -> F) -> Vec<Sent> {
    let mut waiting: Vec<_> = (0..count).map(|_| Box::pin(make())).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        waiting.retain_mut(|one| match one.as_mut().poll(context) {
            std::task::Poll::Ready(reply) => {
                done.push(Sent::read(&reply.expect(202).json()));
                false
            }
            std::task::Poll::Pending => true,
        });
        if waiting.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cloudevents_come_in_all_three_forms() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    consign.bearer_webhook("itsm", &tool.origin(), &json!({ "payload": "cloudevents" })).await;
    let structured = |id: &str| {
        json!({ "specversion": "1.0", "id": id, "source": "/dex", "type": "device.low", "subject": "LT-1",
                "time": "2026-11-22T13:56:54Z", "datacontenttype": "application/json", "tenant": "acme",
                "data": { "score": 2.1 } })
    };
    let send = async |content_type: &str, more: &[(&str, &str)], body: String| {
        let mut headers = vec![("content-type", content_type)];
        headers.extend_from_slice(more);
        consign.call_as(&consign.key, "POST", "/events", &headers, body).await
    };
    let one = send("application/cloudevents+json", &[], structured("1").to_string()).await.expect(202);
    let batch = json!([structured("2"), structured("3")]).to_string();
    let missing = send("application/cloudevents-batch+json", &[], batch.clone()).await.expect(400);
    assert_eq!(missing.code(), "idempotency_key_needed");
    let many =
        send("application/cloudevents-batch+json", &[("idempotency-key", "b")], batch).await.expect(202);
    assert_eq!(many.json().as_array().unwrap().len(), 2);
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", "4"),
        ("ce-source", "/dex"),
        ("ce-type", "device.low"),
        ("ce-subject", "LT-1"),
        ("ce-time", "2026-11-22T13:56:54Z"),
        ("ce-tenant", "acme"),
    ];
    let four = send("application/json", &binary, "{\"score\":2.1}".to_owned()).await.expect(202);
    consign.until_idle().await;
    let asked = tool.asked();
    assert_eq!(asked.len(), 4);
    for asked in &asked {
        assert_eq!(asked.header("content-type"), "application/cloudevents+json");
        let event = asked.json();
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["id"], asked.header("webhook-id"));
        assert_eq!((&event["type"], &event["source"]), (&json!("device.low"), &json!("/dex")));
        assert_eq!((&event["subject"], &event["tenant"]), (&json!("LT-1"), &json!("acme")));
        assert_eq!(event["data"], json!({ "score": 2.1 }));
    }
    for reply in [one, four] {
        let id = Sent::read(&reply.json()).id;
        let event = consign.get(&format!("/events/{id}")).await.expect(200).json();
        assert_eq!(event["data"], json!({ "score": 2.1 }), "{event}");
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_match_by_type_and_condition_and_silence_is_visible() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let rows = [
        ("exact", json!({ "event_types": ["device.score.low"] })),
        ("below", json!({ "event_types": ["device.*"] })),
        (
            "when",
            json!({ "event_types": ["device.*"], "only_when": "data.score < 3 and data.site in [\"LIS\", \"OPO\"]" }),
        ),
    ];
    for (name, settings) in &rows {
        consign.bearer_webhook(name, &tool.origin(), settings).await;
    }
    let events = [
        ("device.score.low", json!({ "score": 2, "site": "LIS" }), 3),
        ("device.score.low", json!({ "score": 4, "site": "LIS" }), 2),
        ("device.score", json!({ "score": 1 }), 1),
        ("device", json!({}), 0),
        ("devices.x", json!({}), 0),
    ];
    for (event_type, data, count) in &events {
        assert_eq!(consign.event(event_type, data).await.deliveries.len(), *count, "{event_type} {data}");
    }
    consign.until_idle().await;
    let unmatched = consign.all("/events?unmatched=true").await;
    assert_eq!(unmatched.len(), 2, "{unmatched:?}");
    // A webhook made later gets nothing from before.
    consign.bearer_webhook("later", &tool.origin(), &json!({})).await;
    assert_eq!(tool.count(), 6);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn templates_are_filled_in_and_always_parse() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let template = r#"{ "short": "Device {{ data.device }} is slow", "urgency": {{ data.urgency | default(3) }},
        "tags": {{ data.tags }}, "by": "{{ event.id }}", "missing": {{ data.nothing }} }"#;
    let webhook = json!({ "payload": "template", "template": template, "path": "/t?x={{ data.device }}" });
    consign.bearer_webhook("itsm", &tool.origin(), &webhook).await;
    let hostile = "a\"b\\c</script>\u{2028}\n{{ data.tags }}";
    let sent = consign.event("a", &json!({ "device": hostile, "tags": ["x", 1, null] })).await;
    consign.until(sent.delivery(), "delivered").await;
    let body = tool.asked()[0].json();
    assert_eq!(body["short"], format!("Device {hostile} is slow"));
    assert_eq!((&body["urgency"], &body["tags"]), (&json!(3), &json!(["x", 1, null])));
    assert_eq!((&body["by"], &body["missing"]), (&json!(sent.id), &Value::Null));
    let bad = json!({ "name": "bad", "credential": "itsm", "path": "/x", "event_types": ["*"], "payload": "template" });
    for (template, code) in
        [("{ \"a\": ", "bad_form"), ("{ \"a\": {{ device }} }", "unknown_path"), ("", "missing")]
    {
        let mut body = bad.clone();
        body["template"] = json!(template);
        let faults = consign.post("/webhooks", &body).await.expect(422).faults();
        assert_eq!((faults[0].0.as_str(), faults[0].1.as_str()), ("/template", code), "{faults:?}");
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_do_not_fit_are_refused_whole() {
    let consign = TestConsign::start().await;
    let rows = [
        (json!({ "data": 1 }), "/type"),
        (json!({ "type": "a b" }), "/type"),
        (json!({ "type": "a", "time": "yesterday" }), "/time"),
        (json!({ "type": "a", "subject": "x".repeat(257) }), "/subject"),
        (json!({ "type": "a", "dat": 1 }), "/dat"),
    ];
    for (body, pointer) in rows {
        let reply = consign.post("/events", &body).await.expect(422);
        assert_eq!(reply.faults()[0].0, pointer, "{}", reply.text());
    }
    let batch = json!([{ "type": "good" }, { "type": "" }]);
    let reply = consign.call("POST", "/events", &[("idempotency-key", "k")], Some(&batch)).await.expect(422);
    assert_eq!(reply.faults()[0].0, "/1/type", "{}", reply.text());
    let too_many: Value = (0..501).map(|_| json!({ "type": "a" })).collect();
    consign.call("POST", "/events", &[("idempotency-key", "k")], Some(&too_many)).await.expect(422);
    let big = json!({ "type": "a", "data": "x".repeat(1 << 20) });
    assert_eq!(consign.post("/events", &big).await.expect(413).code(), "too_large");
    let deep = format!("{{\"type\":\"a\",\"data\":{}{}}}", "[".repeat(120), "]".repeat(120));
    let reply =
        consign.call_as(&consign.key, "POST", "/events", &[("content-type", "application/json")], deep).await;
    assert!(reply.status == 422 || reply.status == 400, "{}", reply.text());
    let unreadable =
        consign.call_as(&consign.key, "POST", "/events", &[("content-type", "application/json")], "{").await;
    assert_eq!(unreadable.expect(400).code(), "not_readable");
    // Programs differ in which of two members they read.
    let json = [("content-type", "application/json")];
    let twice = r#"{"type":"a","type":"b"}"#;
    let reply = consign.call_as(&consign.key, "POST", "/events", &json, twice).await.expect(422);
    let faults = reply.faults();
    assert_eq!((faults[0].0.as_str(), faults[0].1.as_str()), ("/type", "duplicate"), "{faults:?}");
    for (path, body, name) in [
        (
            "/credentials",
            r#"{"name":"a","url_address":"https://a.example","url_address":"https://b.example"}"#,
            "url_address",
        ),
        ("/webhooks", r#"{"name":"a","headers":[{"name":"X","name":"Y"}]}"#, "name"),
    ] {
        let reply = consign.call_as(&consign.key, "POST", path, &json, body).await.expect(400);
        assert_eq!(reply.code(), "not_readable");
        assert!(reply.text().contains(&format!("“{name}” stands twice in one object")), "{}", reply.text());
    }
    let text =
        consign.call_as(&consign.key, "POST", "/events", &[("content-type", "text/plain")], "hello").await;
    assert_eq!(text.expect(415).code(), "media_type_not_accepted");
    assert!(consign.all("/events").await.is_empty(), "nothing was accepted");
    consign.finish().await;
}
