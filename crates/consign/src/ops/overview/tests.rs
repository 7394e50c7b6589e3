use super::*;

fn at(hour: i64, delivered: u64, failed: u64, connector: ConnectorId) -> HourCount {
    HourCount { hour, connector, delivered, failed }
}

#[test]
fn hours_are_summed_for_one_and_for_all() {
    let zero = Timestamp::from_millis(0);
    let (one, two) = (ConnectorId::new(zero), ConnectorId::new(zero));
    let counts = vec![at(100, 3, 1, one), at(100, 4, 0, two), at(123, 5, 0, one), at(124, 9, 9, one)];
    let hours = ByHour { first: 100, counts };
    assert_eq!((hours.of(None)[0], hours.of(None)[23]), ((7, 1), (5, 0)));
    assert_eq!((hours.of(Some(two))[0], hours.of(Some(two))[23]), ((4, 0), (0, 0)));
    let shown = hours.show(Some(one));
    assert_eq!(shown["from"], json!("1970-01-05T04:00:00Z"));
    assert_eq!(shown["delivered"].as_array().unwrap().len(), HOURS);
    assert_eq!((&shown["delivered"][0], &shown["failed"][0]), (&json!(3), &json!(1)));
}

#[test]
fn much_of_the_present_hour_is_taken_as_it_was_for_a_while() {
    let at = |ms| Timestamp::from_millis(1_000_000 + ms);
    let recent = Recent { counted_at: at(0), first: 99, last: 100, counts: Vec::new() };
    assert!(recent.serves(99, 100, at(0)) && recent.serves(99, 100, at(AS_THEY_WERE_MS - 1)));
    assert!(!recent.serves(99, 100, at(AS_THEY_WERE_MS)), "too old");
    assert!(!recent.serves(99, 100, at(-1)), "of a time to come");
    assert!(!recent.serves(99, 101, at(1)) && !recent.serves(98, 100, at(1)), "other hours");
}
