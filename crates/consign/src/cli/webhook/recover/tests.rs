use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

fn flags(since: Option<&str>, rate: Option<&str>) -> RecoverFlags {
    RecoverFlags {
        name: "Hardware requests".to_owned(),
        since: since.map(str::to_owned),
        until: None,
        state: vec!["failed".to_owned(), "held".to_owned()],
        rate: rate.map(str::to_owned),
        as_first_sent: false,
        dry_run: false,
        yes: true,
        no_wait: false,
    }
}

#[test]
fn flags_become_a_request_of_the_api() {
    let body = body(&flags(Some("2h"), Some("0.5/s")), NOW).unwrap();
    let after = NOW.minus(std::time::Duration::from_secs(7_200));
    let filter =
        json!({ "connector": "Hardware requests", "state": ["failed", "held"], "created_after": after });
    assert_eq!(Value::Object(body), json!({ "filter": filter, "rate_per_second": 0.5 }));
    let mut first = flags(None, None);
    first.as_first_sent = true;
    assert_eq!(super::body(&first, NOW).unwrap()["request"], "as_first_sent");
}

#[test]
fn times_and_ages_are_read_and_nothing_else() {
    let day = std::time::Duration::from_secs(86_400);
    assert_eq!(moment("3d", NOW).unwrap(), NOW.minus(day * 3));
    assert_eq!(moment("90s", NOW).unwrap(), NOW.minus(day / 960));
    let time = "2026-11-22T13:00:00Z";
    assert_eq!(moment(time, NOW).unwrap(), Timestamp::parse_rfc3339(time).unwrap());
    for wrong in ["", "yesterday", "-2h", "2w", "999999999999999999d"] {
        assert!(moment(wrong, NOW).is_err(), "{wrong}");
    }
    assert!(body(&flags(None, Some("fast")), NOW).is_err());
}

#[test]
fn a_preview_is_told_in_a_sentence() {
    let preview = json!({ "count": 1284, "seconds": 642, "rate_per_second": 2.0, "without_payload": 3 });
    assert_eq!(
        told(&preview),
        "1284 deliveries, about 11 minutes at 2 per second. 3 more cannot be: their payloads were removed."
    );
    assert_eq!(told(&json!({ "count": 0 })), "Nothing to send again.");
}
