//! The answer of the intake, byte for byte, and what may be sent to it.

use consign_core::id::{ConnectorId, DeliveryId};
use consign_core::time::Timestamp;
use http::HeaderValue;
use serde_json::json;

use super::*;

fn accepted(deliveries: usize) -> AcceptedEvent {
    let now = Timestamp::from_millis(1_795_000_000_000);
    AcceptedEvent {
        exporters: 0,
        id: EventId::new(now),
        duplicate: deliveries == 0,
        deliveries: (0..deliveries).map(|_| (DeliveryId::new(now), ConnectorId::new(now))).collect(),
    }
}

#[track_caller]
fn check(deliveries: &[usize], batch: bool, minimal: bool) {
    let events: Vec<_> = deliveries.iter().map(|count| accepted(*count)).collect();
    let shown = events.iter().map(|event| {
        let mut shown = json!({ "id": event.id, "duplicate": event.duplicate });
        if !minimal {
            let deliveries = event.deliveries.iter();
            shown["deliveries"] = deliveries.map(|(id, to)| json!({ "id": id, "connector": to })).collect();
        }
        shown
    });
    let mut shown: Vec<_> = shown.collect();
    let expected = if batch { Value::Array(shown) } else { shown.remove(0) };
    assert_eq!(written(&events, batch, minimal), expected.to_string());
}

#[test]
fn what_is_written_by_hand_is_json() {
    check(&[0], false, false);
    check(&[2], false, false);
    check(&[1], false, true);
    check(&[1], true, false);
    check(&[2, 0, 1], true, false);
    check(&[2, 0, 1], true, true);
}

#[track_caller]
fn check_headers(headers: &[(&'static str, &'static str)], accepted: bool, minimal: bool) {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    assert_eq!(judge_media_type(&headers).is_ok(), accepted);
    assert_eq!(prefers_minimal(&headers), minimal);
}

#[test]
fn media_types_and_preferences() {
    check_headers(&[], true, false);
    check_headers(&[("content-type", "application/json; charset=utf-8")], true, false);
    check_headers(&[("content-type", "Application/CloudEvents+JSON")], true, false);
    check_headers(&[("content-type", "application/cloudevents-batch+json")], true, false);
    check_headers(&[("content-type", "text/plain")], false, false);
    check_headers(&[("content-type", "application/x-www-form-urlencoded")], false, false);
    check_headers(&[("content-type", "text/plain"), ("ce-specversion", "1.0")], true, false);
    check_headers(&[("prefer", "return=minimal")], true, true);
    check_headers(&[("prefer", "respond-async, Return=Minimal")], true, true);
    check_headers(&[("prefer", "return=representation")], true, false);
}
