//! Conditions against one event, and what is wrong with those that cannot be read.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const ID: &str = "evt_01KZAB0000000000000000000Z";

fn event() -> (EventFacts<'static>, Value) {
    let facts = EventFacts {
        id: ID.parse().unwrap(),
        event_type: "device.score.low",
        source: "lab",
        subject: None,
        time: Timestamp::parse_rfc3339("2026-11-22T14:02:00Z").unwrap(),
    };
    let data = json!({
        "score": 2, "ratio": 0.5, "site": "LIS", "tags": ["slow", "old"],
        "device": {"name": "LAP-17", "a b": true},
        "nothing": null, "big": 18_446_744_073_709_551_615_u64, "since": "2026-11-22T15:00:00+02:00",
        "or_else": 1,
    });
    (facts, data)
}

#[track_caller]
fn check(text: &str, expected: bool) {
    let (facts, data) = event();
    let condition = Condition::parse(text).unwrap_or_else(|fault| panic!("{text}: {}", fault.message));
    assert_eq!(condition.matches(&facts, &data), expected, "{text}");
}

#[test]
fn comparisons() {
    check("data.score < 3 and data.site in [\"LIS\",\"OPO\"]", true);
    check("data.score == 2", true);
    check("data.score == 2.0", true);
    check("data.score != 2", false);
    check("data.score <= 2", true);
    check("data.score > 2", false);
    check("data.score >= 2", true);
    check("data.ratio < 1", true);
    check("3 > data.score", true);
    check("data.big > 9223372036854775807", true);
    check("data.score < -1e3", false);
    check("data.site == \"LIS\"", true);
    check("data.site == \"lis\"", false);
    check("data.site < \"M\"", true);
    check("data.site < 3", false);
    check("data.site != 3", true);
    check("data.site in [\"OPO\"]", false);
    check("data.score in[1,2.0]", true);
    check("\"slow\" in data.tags", true);
    check("\"slow\" in data.site", false);
    check("data.tags contains \"slow\"", true);
    check("data.tags contains \"slo\"", false);
    check("data.site contains \"I\"", true);
    check("data.score contains 2", false);
    check("event.type starts_with \"device.\"", true);
    check("data.score starts_with \"2\"", false);
    check("data.device == {\"name\":\"LAP-17\",\"a b\":true}", true);
}

#[test]
fn paths() {
    check(&format!("event.id == \"{ID}\""), true);
    check("event.source == \"lab\"", true);
    check("event.time == \"2026-11-22T14:02:00Z\"", true);
    check("event.time > \"2026-11-22T15:00:00+02:00\"", true);
    check("data.since < event.time", true);
    check("data.tags.1 == \"old\"", true);
    check("data.tags[0] == \"slow\"", true);
    check("data.device[\"a b\"] == true", true);
    check("data[\"device\"].name == \"LAP-17\"", true);
    check("data.or_else == 1", true);
}

#[test]
fn missing_paths_make_comparisons_false() {
    check("data.missing == null", false);
    check("data.missing != 1", false);
    check("not data.missing == 1", true);
    check("data.missing exists", false);
    check("not data.missing exists", true);
    check("event.subject exists", false);
    check("data.nothing exists", true);
    check("data.nothing == null", true);
    check("data.score.deeper exists", false);
    check("data.tags.2 exists", false);
    check("data exists", true);
}

#[test]
fn logic() {
    check("data.score == 1 or data.score == 2 and data.site == \"OPO\"", false);
    check("(data.score == 1 or data.score == 2) and data.site == \"LIS\"", true);
    check("not (data.score == 1) and not data.score == 3", true);
    check("not not data.score == 2", true);
    check(" \t( data.score==2 )\n", true);
    check(&vec!["data.score == 2"; 90].join(" and "), true);
    check(&format!("{}data.score == 2{}", "(".repeat(31), ")".repeat(31)), true);
}

#[track_caller]
fn check_fault(text: &str, at: &str, what: &str) {
    let fault = Condition::parse(text).unwrap_err();
    assert_eq!(fault.code, "bad_form");
    assert_eq!(fault.message, format!("The condition has an error at “{at}”: {what}"), "{text}");
}

#[test]
fn faults_say_where() {
    let operand = "a path that starts with event. or data., or a JSON value, is expected";
    let comparison = "a comparison such as == is expected";
    check_fault("", "end", operand);
    check_fault("data.score", "end", comparison);
    check_fault("data.score = 2", "= 2", comparison);
    check_fault("data.score ==", "end", operand);
    check_fault("score == 2", "score == 2", operand);
    check_fault("event.name == 2", "event.name == 2", operand);
    check_fault("delivery.id == \"a\"", "delivery.id == \"a\"", operand);
    check_fault("data.score == 2 data", "data", "and, or, or the end is expected");
    check_fault("data.score == 2)", ")", "and, or, or the end is expected");
    check_fault("(data.score == 2", "end", ") is expected");
    check_fault("data.site in \"LIS\"", "\"LIS\"", "a list such as [\"a\", \"b\"] is expected");
    check_fault("data.site starts_with 3", "3", "a text in quotation marks is expected");
    check_fault("data.site == 'LIS'", "'LIS'", operand);
    check_fault("data.site == LIS", "LIS", operand);
    check_fault("3 exists", "exists", "only a path can exist");
    check_fault("data.score == 2 and", "end", operand);
    check_fault("data.a incontains 3", "incontains 3", comparison);
    let deep = format!("{}data.score == 2", "not ".repeat(40));
    check_fault(&deep, "not not not not not not", "brackets and not are nested too deeply");
    assert_eq!(Condition::parse(&"x".repeat(2_001)).unwrap_err().code, "too_long");
    assert!(Condition::parse(&"(".repeat(2_000)).is_err() && Condition::parse(&"[".repeat(2_000)).is_err());
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(
        text in "(data\\.[a-z]|event\\.id|and|or|not|in|==|<|\\(|\\)|[0-9]|\"a\"|\\[1\\]| |\\PC){0,20}",
    ) {
        if let Ok(condition) = Condition::parse(&text) {
            let (facts, data) = event();
            condition.matches(&facts, &data);
        }
    }

    #[test]
    fn numbers_compare_by_value(left in any::<i64>(), right in any::<i64>()) {
        let (facts, _) = event();
        let data = json!({"n": left});
        let holds = |operator: &str| {
            Condition::parse(&format!("data.n {operator} {right}")).unwrap().matches(&facts, &data)
        };
        prop_assert_eq!(holds("<"), left < right);
        prop_assert_eq!(holds("=="), left == right);
        prop_assert_eq!(holds(">="), left >= right);
    }
}
