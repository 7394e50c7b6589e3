use super::*;

#[test]
fn the_largest_hour_is_as_high_as_the_drawing_and_one_can_still_be_seen() {
    let mut delivered = vec![0; 24];
    delivered[0] = 1;
    delivered[23] = 10_000;
    let mut failed = vec![0; 24];
    failed[5] = 3;
    let chart = strip(&json!({ "from": "2026-11-21T15:00:00Z", "delivered": delivered, "failed": failed }));
    let bar = |place: usize| &chart["bars"][place];
    assert_eq!((&bar(23)["up"], &bar(23)["y"]), (&json!(UP), &json!(0)));
    assert_eq!((&bar(0)["up"], &bar(0)["at"]), (&json!(2), &json!("2026-11-21T15:00:00Z")));
    assert_eq!((&bar(5)["down"], &bar(5)["up"]), (&json!(DOWN), &json!(0)));
    assert_eq!(bar(5)["at"], "2026-11-21T20:00:00Z");
    assert_eq!(
        (&chart["width"], &chart["delivered"], &chart["failed"]),
        (&json!(288), &json!(10_001), &json!(3))
    );
}

#[test]
fn nothing_at_all_draws_nothing() {
    let none = vec![0; 24];
    let chart = strip(&json!({ "from": "2026-11-21T15:00:00Z", "delivered": none, "failed": none }));
    let bars = chart["bars"].as_array().unwrap();
    assert!(bars.iter().all(|bar| bar["up"] == 0 && bar["down"] == 0));
    assert_eq!(strip(&Value::Null)["bars"], json!([]));
}

#[test]
fn a_small_one_is_two_shapes() {
    let chart =
        small_strip(&json!({ "from": "2026-11-21T15:00:00Z", "delivered": [0, 8, 4], "failed": [5, 0, 0] }));
    assert_eq!(chart["above"], "M13 40v-40h10v40zM25 40v-20h10v20z");
    assert_eq!(chart["under"], "M1 42v16h10v-16z");
    assert_eq!((&chart["width"], &chart["delivered"], &chart["failed"]), (&json!(36), &json!(12), &json!(5)));
    assert_eq!(small_strip(&Value::Null)["above"], "");
}
