use super::*;

#[test]
fn prints_and_reads_rfc_3339() {
    let time = Timestamp::from_millis(1_763_820_120_000);
    assert_eq!(time.to_string(), "2025-11-22T14:02:00Z");
    assert_eq!(Timestamp::parse_rfc3339("2025-11-22T15:02:00+01:00"), Some(time));
    assert_eq!(Timestamp::parse_rfc3339("yesterday"), None);
    assert_eq!(time.day(), "2025-11-22");
}

#[test]
fn arithmetic_stays_in_range() {
    let end = Timestamp::from_millis(i64::MAX);
    assert_eq!(end.plus(Duration::from_secs(1)), end);
    assert_eq!(Timestamp::from_millis(5).since(Timestamp::from_millis(9)), Duration::ZERO);
    assert!(!end.to_string().is_empty());
}

#[test]
fn spans_are_said_as_people_say_them() {
    let check = |millis: u64, expected: &str| assert_eq!(in_words(Duration::from_millis(millis)), expected);
    check(0, "0 ms");
    check(184, "184 ms");
    check(1_234, "1.2 s");
    check(59_999, "59.9 s");
    check(60_000, "1 min");
    check(199_975, "3 min 19 s");
    check(3_600_000, "1 h");
    check(7_500_000, "2 h 5 min");
    check(273_600_000, "3 d 4 h");
}
