use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::Map;

use super::*;
use crate::catalog::Invalid;
use crate::credential::{Credential, Draft, Mode, Save};
use crate::id::EventId;
use crate::vault::{KeyRing, Vault};

const NOW: Timestamp = Timestamp::from_millis(1_795_356_120_500);

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { panic!("not an object: {value}") };
    object
}

fn with(base: Value, changes: Value) -> Map<String, Value> {
    let mut whole = object(base);
    whole.extend(object(changes));
    whole
}

fn credential(kind: &str) -> Credential {
    let own = match kind {
        "basic" => json!({ "username": "ana", "password": "open sesame" }),
        _ => json!({ "url_address": "https://acme.example/services/T0" }),
    };
    let common = json!({
        "name": "Tool", "protocol": "https", "url_address": "https://acme.example/", "authorization_type": kind,
    });
    let draft = Draft::parse(with(common, own), Mode::Create, NOW).unwrap();
    draft.seal(
        &Vault::new(&KeyRing::generate(), "i"),
        &Save { now: NOW, by: "Ana" },
        crate::id::CredentialId::new(NOW),
        None,
    )
}

fn typed() -> Value {
    json!({ "name": "Incidents", "path": "/api/now/table/incident", "event_types": ["device.*"], "credential": "Tool" })
}

fn parse(changes: Value) -> Result<WebhookDraft, Vec<Invalid>> {
    WebhookDraft::parse(with(typed(), changes), Some(&credential("basic")))
}

fn webhook(changes: Value) -> Webhook {
    parse(changes).unwrap().webhook
}

#[track_caller]
fn check(changes: Value, field: &str, code: &str, message: &str) {
    let found = parse(changes).expect_err("this was accepted");
    let found: Vec<_> =
        found.iter().map(|one| (one.field.as_str(), one.code, one.message.as_str())).collect();
    assert_eq!(found, [(field, code, message)]);
}

#[test]
fn what_is_not_sent_has_its_default() {
    let webhook = webhook(json!({}));
    assert_eq!(
        webhook.to_json(),
        json!({
            "method": "POST", "path": "/api/now/table/incident", "event_types": ["device.*"], "only_when": null,
            "payload": "event", "headers": [], "success_when": "status", "outputs": [], "retry_schedule_seconds": null,
            "signature": "off",
            "retry_client_errors": false, "when_no_answer": "retry", "timeout_seconds": 20, "max_concurrency": 4,
            "max_per_second": null, "idempotency_header": true, "template": null, "content_type": "application/json",
        })
    );
    let default = [Duration::from_secs(5)];
    assert_eq!(webhook.retry(&default).schedule, default);
}

#[test]
fn settings_survive_being_stored() {
    let all = json!({
        "method": "PATCH", "path": "/x/{{ data.id }}?a=b", "event_types": ["*", "a.b"], "payload": "template",
        "only_when": "data.score < 3", "template": "{\"id\": {{ data.id }}}", "content_type": "application/vnd.x+json",
        "headers": [{ "name": "accept", "value": "text/plain" }, { "name": "x-a", "value": "b c" }],
        "success_when": "status_and_json", "outputs": [{ "name": "Number", "pointer": "/result/number" }],
        "retry_schedule_seconds": [1, 604_800], "retry_client_errors": true, "when_no_answer": "hold",
        "timeout_seconds": 60, "max_concurrency": 64, "max_per_second": 0.3, "idempotency_header": false,
    });
    let webhook = webhook(all.clone());
    let settings = webhook.to_json();
    assert_eq!(Value::Object(with(settings.clone(), all)), settings);
    assert_eq!(WebhookDraft::parse_stored(object(settings.clone())).unwrap().to_json(), settings);
    assert_eq!(parse(settings).unwrap().webhook.to_json(), webhook.to_json());
    let retry = webhook.retry(&[]);
    assert_eq!(retry.schedule, [Duration::from_secs(1), Duration::from_secs(604_800)]);
    assert!(retry.retry_client_errors && retry.when_no_answer == WhenNoAnswer::Hold);
}

#[test]
fn fields_and_their_sentences() {
    check(json!({ "name": "" }), "name", "missing", "Enter a name");
    let long = "Description must be 500 characters or fewer";
    check(json!({ "description": "x".repeat(501) }), "description", "too_long", long);
    check(json!({ "method": "GET" }), "method", "unknown", "Method must be one of POST, PUT, PATCH");
    check(json!({ "path": "" }), "path", "slash_needed", "Path must start with /");
    check(json!({ "path": "api" }), "path", "slash_needed", "Path must start with /");
    for path in ["//evil.example/", "/\\evil.example/", "https://evil.example/", "javascript:x"] {
        check(json!({ "path": path }), "path", "other_host", "Path must stay on acme.example");
    }
    for path in ["/a/../b", "/%2e%2e/b", "/a#b", "/a\\b", "/a%zz"] {
        check(json!({ "path": path }), "path", "bad_characters", "Path must use plain characters");
    }
    check(json!({ "event_types": [] }), "event_types", "missing", "Enter an event type or choose All");
    check(json!({ "event_types": ["a b"] }), "event_types", "bad_form", "“a b” is not an event type");
    check(json!({ "event_types": ["a", 7] }), "event_types", "bad_form", "“” is not an event type");
    check(json!({ "event_types": "a" }), "event_types", "bad_form", "Event types must be a list");
    let kinds = "Payload must be one of event, cloudevents, template";
    check(json!({ "payload": "xml" }), "payload", "unknown", kinds);
    let choices = "When no answer arrives must be one of retry, hold";
    check(json!({ "when_no_answer": "drop" }), "when_no_answer", "unknown", choices);
    let choices = "Counts as delivered must be one of status, status_and_json";
    check(json!({ "success_when": "201" }), "success_when", "unknown", choices);
    for wrong in [json!(0), json!(61), json!("soon")] {
        let sentence = "Timeout must be from 1 to 60 seconds";
        check(json!({ "timeout_seconds": wrong }), "timeout_seconds", "out_of_range", sentence);
    }
    let sentence = "At most N at a time must be from 1 to 64";
    check(json!({ "max_concurrency": 65 }), "max_concurrency", "out_of_range", sentence);
    check(
        json!({ "max_per_second": 0 }),
        "max_per_second",
        "out_of_range",
        "Enter a number from 0.1 to 1,000",
    );
    let sentence = "Retries must be 0 to 20 waits of 1 to 604,800 seconds";
    for wrong in [json!([0]), json!([604_801]), json!(vec![1; 21]), json!([1.5]), json!("5"), json!([-1])] {
        check(json!({ "retry_schedule_seconds": wrong }), "retry_schedule_seconds", "out_of_range", sentence);
    }
    let sentence = "Retry these too must be true or false";
    check(json!({ "retry_client_errors": 1 }), "retry_client_errors", "bad_form", sentence);
    let near = "“timeout_second” is not known. Did you mean timeout_seconds?";
    check(json!({ "timeout_second": 5 }), "timeout_second", "unknown_field", near);
    check(json!({ "zzzzzz": 5 }), "zzzzzz", "unknown_field", "“zzzzzz” is not known");
    assert_eq!(webhook(json!({ "retry_schedule_seconds": [] })).retry_schedule, Some(Vec::new()));
    assert!(
        parse(json!({ "id": "con_1", "state": "active", "etag": "\"1\"", "description": "Ours" })).is_ok()
    );
}

#[test]
fn templates_and_rows_and_their_sentences() {
    let template = |text: &str| json!({ "payload": "template", "template": text });
    check(template(" "), "template", "missing", "Enter a template");
    let not_json = "The template is not JSON: line 2, expected value";
    check(template("{\n\"a\": }"), "template", "bad_form", not_json);
    let unknown = "“date.x” in the template is not known. Start with event. or data.";
    check(template("{{ date.x }}"), "template", "unknown_path", unknown);
    let unknown = "“date.x” in the path is not known. Start with event. or data.";
    check(json!({ "path": "/{{ date.x }}" }), "path", "unknown_path", unknown);
    let form = "Content type must look like application/json";
    for wrong in ["json", "text/plain\u{e9}", "a\nb/c"] {
        let changes = json!({ "payload": "template", "template": "x", "content_type": wrong });
        let found = parse(changes).unwrap_err();
        assert_eq!((found[0].field.as_str(), found[0].message.as_str()), ("content_type", form));
    }
    let row = |name: &str, value: &str| json!({ "name": name, "value": value });
    let named = "Enter a name for custom header 1 or remove it";
    check(json!({ "headers": [row("", "x")] }), "headers/0/name", "missing", named);
    check(json!({ "headers": [row("X-A", "")] }), "headers/0/value", "missing", "Enter a value for X-A");
    let twice = json!({ "headers": [row("X-A", "x"), row("x-a", "y")] });
    check(twice, "headers/1/name", "listed_twice", "x-a is listed twice");
    for name in ["Authorization", "Idempotency-Key", "webhook-id", "User-Agent"] {
        let sentence = format!("{name} is set automatically");
        check(json!({ "headers": [row(name, "x")] }), "headers/0/name", "reserved", &sentence);
    }
    let one_line = "The value of X-A must use plain characters on one line";
    check(json!({ "headers": [row("X-A", "a\nb")] }), "headers/0/value", "bad_characters", one_line);
    let many: Vec<_> = (0..21).map(|n| row(&format!("X-{n}"), "x")).collect();
    check(json!({ "headers": many }), "headers", "too_many", "Add 20 headers or fewer");
    let near = "“valeu” is not known. Did you mean value?";
    let mistyped = json!({ "headers": [{ "name": "X-A", "value": "x", "valeu": "y" }] });
    check(mistyped, "headers/0/valeu", "unknown_field", near);
    let output = |name: &str, pointer: &str| json!({ "name": name, "pointer": pointer });
    let named = "Enter a name for row 1 or remove it";
    check(json!({ "outputs": [output("", "/a")] }), "outputs/0/name", "missing", named);
    let pointer = "JSON Pointer must start with /, for example /result/number";
    check(json!({ "outputs": [output("a", "result")] }), "outputs/0/pointer", "bad_form", pointer);
    let many: Vec<_> = (0..6).map(|_| output("a", "/a")).collect();
    check(json!({ "outputs": many }), "outputs", "too_many", "Add 5 rows or fewer");
}

#[test]
fn a_credential_is_needed_and_only_no_auth_goes_without_a_path() {
    let without_path = || with(typed(), json!({ "path": "" }));
    let found = WebhookDraft::parse(with(typed(), json!({})), None).unwrap_err();
    assert_eq!((found[0].field.as_str(), found[0].message.as_str()), ("credential", "Choose a credential"));
    assert!(WebhookDraft::parse(without_path(), Some(&credential("basic"))).is_err());
    let draft = WebhookDraft::parse(without_path(), Some(&credential("none"))).unwrap();
    assert_eq!(render(&draft.webhook, &event()).0.path, RemotePath::root());
}

fn event() -> Event {
    Event {
        id: "evt_01KZAB0000000000000000000Z".parse::<EventId>().unwrap(),
        event_type: "device.score.low".to_owned(),
        source: "/dex".to_owned(),
        source_id: "9f1".to_owned(),
        subject: Some("LAP 17".to_owned()),
        time: Timestamp::from_millis(1_795_356_000_000),
        content_type: JSON.to_owned(),
        data: Bytes::from_static(br#"{"id":"a/b c","score":2.10,"big":12345678901234567890123}"#),
        extensions: vec![("tenant".to_owned(), Value::from("acme \"x\""))],
        received_at: NOW,
        received_from: "key_1".to_owned(),
        test: false,
    }
}

fn of(now: Timestamp) -> RenderFor<'static> {
    let id = |text: &str| text.parse().unwrap();
    RenderFor {
        delivery: id("dlv_01KZAB0000000000000000000Y"),
        idempotency_key: id("dlv_01KZAB0000000000000000000X"),
        connector: "Incidents",
        now,
    }
}

fn render(webhook: &Webhook, event: &Event) -> (Message, Bytes) {
    webhook.render(event, &of(NOW)).unwrap()
}

fn headers(message: &Message) -> Vec<(&str, &str)> {
    message.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
}

#[test]
fn the_event_goes_as_received_with_each_header_once() {
    let (message, body) = render(&webhook(json!({ "headers": [{ "name": "X-A", "value": "b" }] })), &event());
    assert_eq!((message.method.as_str(), message.path.as_str()), ("POST", "/api/now/table/incident"));
    assert_eq!(body, event().data);
    let agent = format!("Consign/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        headers(&message),
        [
            ("content-type", "application/json"),
            ("accept", "application/json, */*;q=0.5"),
            ("user-agent", agent.as_str()),
            ("webhook-id", "evt_01KZAB0000000000000000000Z"),
            ("webhook-timestamp", "1795356120"),
            ("idempotency-key", "dlv_01KZAB0000000000000000000X"),
            ("x-a", "b"),
        ]
    );
    let own = json!({ "idempotency_header": false, "headers": [
        { "name": "Accept", "value": "text/plain" }, { "name": "CONTENT-TYPE", "value": "text/csv" },
    ] });
    let (message, _) = render(&webhook(own), &event());
    let found = headers(&message);
    assert!(found.contains(&("accept", "text/plain")) && found.contains(&("content-type", "text/csv")));
    assert!(found.iter().all(|(name, _)| *name != "idempotency-key"));
    assert_eq!(found.iter().map(|(name, _)| name).collect::<HashSet<_>>().len(), found.len());
}

#[test]
fn the_same_event_gives_the_same_bytes_but_for_the_time() {
    for payload in [
        json!({}),
        json!({ "payload": "cloudevents" }),
        json!({ "payload": "template", "template": "{\"a\":{{ data.score }},\"d\":\"{{ delivery.id }}\"}" }),
    ] {
        let webhook = webhook(payload);
        let (first, body) = webhook.render(&event(), &of(NOW)).unwrap();
        let (second, again) = webhook.render(&event(), &of(NOW.plus(Duration::from_secs(86_400)))).unwrap();
        assert_eq!((body, first.path), (again, second.path));
        let differing: Vec<_> = first.headers.iter().zip(&second.headers).filter(|(a, b)| a != b).collect();
        assert_eq!(differing.len(), 1);
        assert_eq!(
            differing[0].1,
            &(HeaderName::from_static("webhook-timestamp"), HeaderValue::from(1_795_442_520))
        );
    }
}

#[test]
fn templates_bring_their_content_type() {
    let form = json!({
        "payload": "template", "template": "id={{ data.id }}", "content_type": "application/x-www-form-urlencoded",
    });
    let (message, body) = render(&webhook(form), &event());
    assert_eq!(
        (headers(&message)[0].1, body),
        ("application/x-www-form-urlencoded", Bytes::from_static(b"id=a%2Fb%20c"))
    );
    let text = json!({ "payload": "template", "template": "{{ data.id }}!", "content_type": "text/plain" });
    assert_eq!(render(&webhook(text), &event()).1, "a/b c!");
    let json = json!({ "payload": "template", "template": "[{{ data.id }}, {{ connector.name }}]" });
    assert_eq!(render(&webhook(json), &event()).1, r#"["a/b c", "Incidents"]"#);
}

fn cloud_event_of(event: &Event) -> Value {
    let (message, body) = render(&webhook(json!({ "payload": "cloudevents" })), event);
    assert_eq!(headers(&message)[0].1, "application/cloudevents+json");
    serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}: {body:?}"))
}

#[test]
fn cloud_events_are_valid_whatever_the_data_is() {
    let whole = cloud_event_of(&event());
    for (key, value) in [
        ("specversion", "1.0"),
        ("id", "evt_01KZAB0000000000000000000Z"),
        ("source", "/dex"),
        ("type", "device.score.low"),
        ("time", "2026-11-22T14:00:00Z"),
        ("subject", "LAP 17"),
        ("datacontenttype", "application/json"),
        ("tenant", "acme \"x\""),
    ] {
        assert_eq!(whole[key], value, "{key}");
    }
    let (_, body) = render(&webhook(json!({ "payload": "cloudevents" })), &event());
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(
        text.ends_with(r#","data":{"id":"a/b c","score":2.10,"big":12345678901234567890123}}"#),
        "{text}"
    );

    let with_data = |content_type: &str, data: &'static [u8]| {
        cloud_event_of(&Event {
            content_type: content_type.to_owned(),
            data: Bytes::from_static(data),
            subject: None,
            ..event()
        })
    };
    let text = with_data("text/plain", b"hello");
    assert_eq!(
        (text["data_base64"].as_str(), text.get("data"), text.get("subject")),
        (Some("aGVsbG8="), None, None)
    );
    assert_eq!(with_data("image/png", b"\xff\x00")["data_base64"], "/wA=");
    assert_eq!(with_data(JSON, b"").get("data"), None);
    // Said to be JSON, and is not: it must not become attributes of the event.
    let injected = with_data(JSON, br#"1,"id":"evil""#);
    assert_eq!(injected["id"], "evt_01KZAB0000000000000000000Z");
    assert_eq!(injected["data_base64"], "MSwiaWQiOiJldmlsIg==");
    assert_eq!(with_data(JSON, b"\xff")["data_base64"], "/w==");
}

#[test]
fn an_attribute_named_data_stays_out() {
    let mut headers = http::HeaderMap::new();
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/s"),
        ("ce-type", "a"),
        ("ce-data", "x"),
        ("ce-tenant", "t"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let (events, _) = crate::event::read_batch(&headers, &Bytes::from_static(b"{}")).unwrap();
    assert_eq!(events[0].extensions, [("tenant".to_owned(), Value::from("t"))]);
}

#[test]
fn types_and_conditions_choose_events() {
    let takes = |changes: Value| webhook(changes).matches(&event());
    assert!(takes(json!({})) && takes(json!({ "event_types": ["x", "*"] })));
    assert!(!takes(json!({ "event_types": ["device", "other.*"] })));
    assert!(
        takes(json!({ "only_when": "data.score < 3" })) && !takes(json!({ "only_when": "data.score > 3" }))
    );
}

#[track_caller]
fn check_path(path: &str, data: Value, expected: Result<&str, &str>) {
    let event = Event { data: Bytes::from(data.to_string()), ..event() };
    let found = webhook(json!({ "path": path })).render(&event, &of(NOW));
    let found = found.map(|(message, _)| message.path.to_string()).map_err(|error| error.to_string());
    assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{path}");
}

#[test]
fn path_templates_fill_one_segment_or_one_query_value() {
    check_path("/t/{{ data.id }}", json!({ "id": "a/b" }), Ok("/t/a%2Fb"));
    check_path(
        "/t/{{ data.id }}?x={{ data.q }}&y=1",
        json!({ "id": 7, "q": "a&b=c#d" }),
        Ok("/t/7?x=a%26b%3Dc%23d&y=1"),
    );
    check_path("/{{ event.subject }}/é f", json!({}), Ok("/LAP%2017/%C3%A9%20f"));
    check_path("/t/{{ data.id }}", json!({}), Err("“data.id” is empty"));
    check_path("/t/{{ data.id }}", json!({ "id": "" }), Err("“data.id” is empty"));
    check_path("/t/{{ data.id }}", json!({ "id": ".." }), Err("“data.id” is a dot segment"));
    check_path("/t/{{ data.id }}", json!({ "id": "." }), Err("“data.id” is a dot segment"));
    check_path("/t/{{ data.id | default(\"none\") }}", json!({}), Ok("/t/none"));
}

#[test]
fn what_cannot_be_sent_is_said_without_values() {
    let kind = Event { content_type: "text/plän".to_owned(), ..event() };
    let error = webhook(json!({})).render(&kind, &of(NOW)).unwrap_err();
    assert_eq!(error.to_string(), "the content type is not a header value");
    let large = Event { data: Bytes::from(json!({ "a": "x".repeat(1 << 20) }).to_string()), ..event() };
    let template = webhook(json!({ "payload": "template", "template": "{\"a\":{{ data.a }}}" }));
    assert_eq!(template.render(&large, &of(NOW)).unwrap_err().to_string(), "it is larger than 1 MiB");
}

proptest! {
    #[test]
    fn any_text_gives_a_valid_cloud_event(
        source in "\\PC{1,40}", subject in "\\PC{1,40}", extension in "\\PC{0,40}",
        data in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let event = Event {
            source: source.clone(), subject: Some(subject.clone()), data: Bytes::from(data),
            extensions: vec![("note".to_owned(), Value::from(extension.clone()))], ..event()
        };
        let whole = cloud_event_of(&event);
        prop_assert_eq!(&whole["id"], "evt_01KZAB0000000000000000000Z");
        prop_assert_eq!(&whole["source"], source.as_str());
        prop_assert_eq!(&whole["subject"], subject.as_str());
        prop_assert_eq!(&whole["note"], extension.as_str());
    }

    /// Hostile values stay in their segment: the path keeps its place and never names a host.
    #[test]
    fn a_filled_path_stays_where_it_is(value in ".{0,40}") {
        let event = Event { data: Bytes::from(json!({ "id": value }).to_string()), ..event() };
        if let Ok((message, _)) = webhook(json!({ "path": "/{{ data.id }}/end?q={{ data.id }}" })).render(&event, &of(NOW)) {
            let path = message.path.without_query();
            prop_assert!(path.starts_with('/') && !path.starts_with("//") && path.ends_with("/end"), "{path}");
            prop_assert_eq!(path.matches('/').count(), 2);
            prop_assert!(message.path.as_str().is_ascii() && !message.path.as_str().contains(['#', '\\', ' ']));
        }
    }
}
