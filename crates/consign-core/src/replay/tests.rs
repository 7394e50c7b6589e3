use super::*;

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn draft(value: Value) -> ReplayDraft {
    ReplayDraft::parse(object(value)).unwrap()
}

#[test]
fn nothing_said_means_what_failed_at_a_gentle_pace() {
    let draft = draft(json!({}));
    assert_eq!(draft.selection.states, [DeliveryState::Failed]);
    assert_eq!((draft.rate.per_second(), draft.selection.tests), (2.0, false));
}

#[test]
fn a_dry_run_is_whatever_says_yes_and_never_taken_for_no() {
    let read = |said: Value| {
        let mut sent = object(json!({ "rate_per_second": 1, "dry_run": said }));
        let read = take_dry_run(&mut sent);
        assert!(!sent.contains_key("dry_run") && sent.contains_key("rate_per_second"));
        read
    };
    for yes in [json!(true), json!("true"), json!("on")] {
        assert_eq!(read(yes.clone()), Ok(true), "{yes}");
    }
    for no in [json!(false), json!("false"), json!(null)] {
        assert_eq!(read(no.clone()), Ok(false), "{no}");
    }
    for neither in [json!("yes, only look"), json!(1), json!(["true"]), json!({})] {
        let refused = read(neither.clone()).unwrap_err();
        assert_eq!((refused[0].field.as_str(), refused[0].code), ("dry_run", "bad_form"), "{neither}");
    }
    assert_eq!(take_dry_run(&mut Map::new()), Ok(false));
}

#[test]
fn what_is_stored_reads_as_what_was_sent() {
    let now = Timestamp::from_millis(1_795_000_000_000);
    let filter = json!({
        "ids": [DeliveryId::new(now)], "connector": ConnectorId::new(now), "state": ["delivered", "failed", "failed"],
        "event_type": "device.score.low", "created_after": now, "created_before": now, "q": " LT-0231 ",
        "test": true,
    });
    let read = Selection::parse(object(filter)).unwrap();
    assert_eq!(read.states, [DeliveryState::Failed, DeliveryState::Delivered]);
    assert_eq!(read.q.as_deref(), Some("LT-0231"));
    assert_eq!(Selection::parse(object(read.to_json())).unwrap(), read);
    let kept = ReplaySettings {
        selection: read.clone(),
        rate: Rate::from_thousandths(500).unwrap(),
        before: now,
        request: ReplayRequest::AsFirstSent,
    };
    let mut stored = kept.to_json();
    let again = ReplaySettings::from_json(&stored).unwrap();
    assert_eq!((again.selection, again.rate, again.before), (read, kept.rate, now));
    assert_eq!(again.request, ReplayRequest::AsFirstSent);
    stored.as_object_mut().unwrap().remove("request");
    assert_eq!(ReplaySettings::from_json(&stored).unwrap().request, ReplayRequest::Present);
    stored["request"] = json!("newer");
    assert!(ReplaySettings::from_json(&stored).is_none());
    assert!(ReplaySettings::from_json(&json!({ "filter": { "newer": 1 }, "before": now })).is_none());
    let plain = Selection::parse(Map::new()).unwrap();
    assert_eq!(plain.to_json(), json!({ "state": ["failed"] }));
}

#[test]
fn the_request_is_the_present_one_unless_asked_otherwise() {
    assert_eq!(draft(json!({})).request, ReplayRequest::Present);
    assert_eq!(draft(json!({ "request": "as_first_sent" })).request, ReplayRequest::AsFirstSent);
    assert_eq!(ReplayRequest::parse(Map::new()), Ok(ReplayRequest::Present));
    for (word, request) in ReplayRequest::ALL {
        assert_eq!(ReplayRequest::parse(object(json!({ "request": word }))), Ok(*request));
        assert_eq!(request.kind(), *word);
    }
    for wrong in [json!({ "request": "first" }), json!({ "as": "present" })] {
        assert!(ReplayRequest::parse(object(wrong)).is_err());
    }
}

#[track_caller]
fn check_refused(sent: Value, field: &str, code: &str) {
    let invalid = ReplayDraft::parse(object(sent)).unwrap_err();
    assert!(invalid.iter().any(|one| one.field == field && one.code == code), "{invalid:?}");
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    check_refused(json!({ "filter": { "state": ["pending"] } }), "filter/state", "unknown");
    check_refused(json!({ "filter": { "connector": "x" } }), "filter/connector", "bad_form");
    check_refused(json!({ "filter": { "ids": ["dlv_1"] } }), "filter/ids", "bad_form");
    check_refused(json!({ "filter": { "event_type": "a b" } }), "filter/event_type", "bad_form");
    check_refused(json!({ "filter": { "created_after": "yesterday" } }), "filter/created_after", "bad_form");
    check_refused(json!({ "filter": { "q": "x".repeat(257) } }), "filter/q", "too_long");
    check_refused(json!({ "filter": { "since": "1h" } }), "filter/since", "unknown_field");
    check_refused(json!({ "filter": [] }), "filter", "bad_form");
    check_refused(json!({ "rate_per_second": 0 }), "rate_per_second", "out_of_range");
    check_refused(json!({ "rate": 2 }), "rate", "unknown_field");
    let many: Vec<_> = (0..201).map(|_| DeliveryId::new(Timestamp::from_millis(0))).collect();
    check_refused(json!({ "filter": { "ids": many } }), "filter/ids", "too_many");
}

/// How many go in ten seconds when somebody looks this often.
fn in_ten_seconds(rate: i64, look_every_ms: i64, pause_at_ms: i64, pause_ms: i64) -> u32 {
    let rate = Rate::from_thousandths(rate).unwrap();
    let (mut due, mut gone, mut now) = (Timestamp::from_millis(0), 0, 0);
    while now < 10_000 {
        let at = Timestamp::from_millis(now);
        while due <= at {
            let (count, next) = portion(rate, due, at, 250);
            gone += count;
            assert!(next > due, "it always gets on");
            due = next;
        }
        now += if now == pause_at_ms { pause_ms } else { look_every_ms };
    }
    gone
}

#[test]
fn the_pace_is_kept_however_often_one_looks_and_a_pause_is_not_made_up_for() {
    for (rate, expected) in [(100, 1), (2_000, 20), (50_000, 500), (1_000_000, 10_000)] {
        for every in [50, 250, 1_000] {
            let gone = in_ten_seconds(rate, every, -1, 0);
            let slack = u32::try_from(rate / 1_000).unwrap() + 1;
            assert!(gone.abs_diff(expected) <= slack, "{rate} every {every} ms: {gone}");
        }
    }
    let paused = in_ten_seconds(2_000, 250, 2_000, 5_000);
    assert!((10..=13).contains(&paused), "{paused}");
}
