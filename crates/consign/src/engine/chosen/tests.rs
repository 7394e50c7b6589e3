//! What the operator set comes before what was chosen, and that before the default.

use super::*;

fn rules() -> DeliveryRules {
    DeliveryRules {
        retry_schedule_seconds: vec![5, 300],
        timeout_seconds: 20,
        event_bytes: 1 << 20,
        export_bytes: 5 << 30,
        payload_days: 14,
        delivery_days: 90,
        gateway_days: 14,
    }
}

#[test]
fn what_was_chosen_holds_where_the_operator_gave_nothing() {
    let chosen = DeliveryChoice {
        retry_schedule_seconds: Some(vec![1]),
        timeout_seconds: Some(30),
        event_bytes: Some(2_048),
        export_bytes: Some(4_096),
        payload_days: Some(3),
        delivery_days: Some(30),
        ..DeliveryChoice::default()
    };
    let whole = DeliveryRules {
        retry_schedule_seconds: vec![1],
        timeout_seconds: 30,
        event_bytes: 2_048,
        export_bytes: 4_096,
        payload_days: 3,
        delivery_days: 30,
        gateway_days: 14,
    };
    let open = DeliverySet { rules: rules(), fixed: Vec::new() };
    assert_eq!(open.with(&chosen), whole);
    assert_eq!(open.with(&DeliveryChoice::default()), rules());
    let closed = DeliverySet { rules: rules(), fixed: DeliverySet::OPTIONS.to_vec() };
    assert_eq!(closed.with(&chosen), rules());
    let timeout = DeliverySet { rules: rules(), fixed: vec!["delivery.timeout_seconds"] };
    assert_eq!(timeout.with(&chosen), DeliveryRules { timeout_seconds: 20, ..whole });
}

#[test]
fn texts_of_older_and_newer_programs_are_read() {
    let read = |text: &str| serde_json::from_str::<GeneralChoice>(text).unwrap_or_default();
    let old = read(r#"{"revision":3,"instance_name":"Lab"}"#);
    assert_eq!((old.revision, old.instance_name.as_str(), old.time_zone.as_str()), (3, "Lab", ""));
    assert_eq!(read(r#"{"instance_name":"Lab","colour":"red"}"#).instance_name, "Lab");
    assert_eq!(read(""), GeneralChoice::default());
    assert_eq!(read("{"), GeneralChoice::default());
}
