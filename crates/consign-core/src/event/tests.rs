use http::HeaderValue;

use super::*;

#[track_caller]
fn check_pattern(pattern: &str, event_type: &str, fits: bool) {
    assert_eq!(TypePattern::parse(pattern).unwrap().matches(event_type), fits, "{pattern} {event_type}");
}

#[test]
fn patterns() {
    check_pattern("*", "anything", true);
    check_pattern("*", "consign.credential.ends", false);
    check_pattern("consign.*", "consign.credential.ends", true);
    check_pattern("*", "Consign.credential.ends", false);
    check_pattern("*", "consigned", true);
    check_pattern("device.*", "device.score.low", true);
    check_pattern("device.*", "device", false);
    check_pattern("device.*", "devices.score", false);
    check_pattern("device.score", "device.score", true);
    check_pattern("device.score", "device.score.low", false);
    for wrong in ["", ".*", "a..b", "a b", "de*", "*.a"] {
        assert_eq!(TypePattern::parse(wrong).unwrap_err().message, format!("“{wrong}” is not an event type"));
    }
}

fn read(content_type: &'static str, body: &str) -> Result<(Vec<NewEvent>, bool), EventFault> {
    let mut headers = http::HeaderMap::new();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    read_batch(&headers, &Bytes::copy_from_slice(body.as_bytes()))
}

#[test]
fn the_plain_form_keeps_the_bytes_of_the_data() {
    let body = r#"{"type":"a.b","data":{"z":1.0,"a":12345678901234567890123}, "subject":"s"}"#;
    let (events, many) = read("application/json", body).unwrap();
    assert!(!many);
    assert_eq!(events[0].data, r#"{"z":1.0,"a":12345678901234567890123}"#);
    assert_eq!(events[0].subject.as_deref(), Some("s"));
    assert_eq!((events[0].source.as_ref(), events[0].time), (None, None));
}

#[test]
fn an_attribute_that_is_sent_twice_is_refused() {
    let mut headers = http::HeaderMap::new();
    for (name, value) in [("ce-specversion", "1.0"), ("ce-type", "a"), ("ce-source", "s"), ("ce-id", "1")] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    read_batch(&headers, &Bytes::from_static(b"1")).unwrap();
    headers.append("ce-type", HeaderValue::from_static("b"));
    let Err(EventFault::Invalid(invalid)) = read_batch(&headers, &Bytes::from_static(b"1")) else {
        panic!("accepted")
    };
    assert_eq!((invalid[0].field.as_str(), invalid[0].code), ("type", "duplicate"));
}

#[track_caller]
fn check_fault(content_type: &'static str, body: &str, field: &str, code: &str) {
    let Err(EventFault::Invalid(invalid)) = read(content_type, body) else { panic!("accepted: {body}") };
    assert_eq!((invalid[0].field.as_str(), invalid[0].code), (field, code), "{body}");
}

#[test]
fn what_is_wrong_is_named() {
    check_fault("application/json", r#"{"data":1}"#, "type", "missing");
    check_fault("application/json", r#"{"type":"a b"}"#, "type", "bad_form");
    check_fault("application/json", r#"{"type":"a","tpye":1}"#, "tpye", "unknown_field");
    check_fault("application/json", r#"{"type":"a","time":"noon"}"#, "time", "bad_form");
    check_fault("application/json", r#"[{"type":"a"},{"type":""}]"#, "1/type", "missing");
    check_fault("application/json", r#"{"type":"a","data":1,"type":"b"}"#, "type", "duplicate");
    check_fault(
        "application/json",
        r#"[{"type":"a"},{"type":"a","dat\u0061":1,"data":2}]"#,
        "1/data",
        "duplicate",
    );
    check_fault("application/json", "[]", "", "out_of_range");
    let deep = format!(r#"{{"type":"a","data":{}{}}}"#, "[".repeat(101), "]".repeat(101));
    check_fault("application/json", &deep, "data", "too_deep");
    check_fault(
        "application/cloudevents+json",
        r#"{"specversion":"1.0","type":"a","id":"1"}"#,
        "source",
        "missing",
    );
    check_fault(
        "application/cloudevents+json",
        r#"{"type":"a","id":"1","source":"s"}"#,
        "specversion",
        "bad_form",
    );
    assert!(matches!(read("application/json", "{"), Err(EventFault::NotReadable(_))));
    assert!(matches!(read("application/json", "7"), Err(EventFault::NotReadable(_))));
}

#[test]
fn cloud_events_in_three_modes() {
    let one = r#"{"specversion":"1.0","id":"9f1","source":"/dex","type":"device.score.low",
        "time":"2026-11-22T13:56:54Z","datacontenttype":"application/json","data":{"score":2.1},"tenant":"acme"}"#;
    let (events, _) = read("application/cloudevents+json", one).unwrap();
    assert_eq!(events[0].source_id.as_deref(), Some("9f1"));
    assert_eq!(events[0].extensions, [("tenant".to_owned(), Value::from("acme"))]);

    let (events, many) = read("application/cloudevents-batch+json", &format!("[{one},{one}]")).unwrap();
    assert!(many && events.len() == 2);

    let mut headers = http::HeaderMap::new();
    for (name, value) in [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "a.b")]
    {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    let (events, _) = read_batch(&headers, &Bytes::from_static(b"hello")).unwrap();
    assert_eq!((events[0].data.as_ref(), events[0].content_type.as_str()), (&b"hello"[..], "text/plain"));

    let base64 = r#"{"specversion":"1.0","id":"1","source":"/s","type":"a","datacontenttype":"application/x","data_base64":"AAEC"}"#;
    let (events, _) = read("application/cloudevents+json", base64).unwrap();
    assert_eq!(events[0].data.as_ref(), [0, 1, 2]);
}
