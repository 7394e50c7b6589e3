use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_795_356_120_000);

#[test]
fn what_is_stored_is_sent_again() {
    let stored = json!({
        "name": "List", "description": "", "source": "events", "event_types": ["a.b", "c.*"], "only_when": "data.n < 3",
        "schedule": "*/5 * * * *", "time_zone": "Europe/Lisbon", "credential": { "id": "crd_1" }, "method": "PUT",
        "path": "/x", "format": "json", "json_shape": "object_with_array", "json_array_key": "rows",
        "json_properties": { "site": "LIS" }, "compression": "gzip", "when_empty": "send",
        "columns": [{ "name": "device", "path": "data[\"device\"]", "default": null },
            { "name": "score", "path": "data.score", "default": 0 }, { "name": "t", "path": "event.time", "default": "-" }],
        "max_records_per_request": 7, "timeout_seconds": 9, "max_per_second": 0.5,
    });
    let form = ExporterForm::stored(&stored);
    let sent = form.sent();
    for key in [
        "name",
        "source",
        "event_types",
        "only_when",
        "schedule",
        "time_zone",
        "method",
        "path",
        "format",
        "json_shape",
        "json_array_key",
        "json_properties",
        "compression",
        "when_empty",
    ] {
        assert_eq!(sent[key], stored[key], "{key}");
    }
    assert_eq!(sent["credential"], "crd_1");
    assert_eq!(sent["max_records_per_request"], "7");
    let columns = json!([{ "name": "device", "path": "", "default": null },
        { "name": "score", "path": "data.score", "default": 0 }, { "name": "t", "path": "event.time", "default": "-" }]);
    assert_eq!(sent["columns"], columns);
    assert_eq!(form.text("columns"), "device\nscore = data.score | 0\nt = event.time | \"-\"");
}

#[test]
fn pushed_records_have_no_event_types() {
    let pairs: &[(&str, &str)] =
        &[("source", "pushed"), ("event_types", "a"), ("schedule", "daily"), ("cron", "x")];
    let sent = ExporterForm::typed(&Form::from(pairs)).sent();
    assert!(sent.get("event_types").is_none());
    assert_eq!(sent["schedule"], "daily");
    assert_eq!(sent["csv"]["guard"], true, "what was not asked for has its default");
    let pairs: &[(&str, &str)] = &[("csv.asked", "1"), ("csv.bom", "on")];
    let sent = ExporterForm::typed(&Form::from(pairs)).sent();
    assert_eq!((&sent["csv"]["guard"], &sent["csv"]["bom"]), (&json!(false), &json!(true)));
}

#[test]
fn a_schedule_is_read_back() {
    let form = |pairs: &[(&str, &str)]| ExporterForm::typed(&Form::from(pairs)).in_words(NOW);
    assert_eq!(
        form(&[("schedule", "daily"), ("time_zone", "Europe/Lisbon")]),
        "Every day at 02:00, Europe/Lisbon; next: 23 Nov 2026 02:00"
    );
    assert_eq!(form(&[("schedule", "by_hand"), ("time_zone", "")]), "By hand");
    assert_eq!(form(&[("schedule", "cron"), ("cron", "61 * * * *")]), "");
}

#[test]
fn a_time_of_the_day_becomes_a_cron_text_and_comes_back() {
    for (word, at, day, schedule) in [
        ("daily", "02:00", "1", "daily"),
        ("daily", "", "1", "daily"),
        ("daily", "06:30", "1", "30 6 * * *"),
        ("weekly", "02:00", "1", "weekly"),
        ("weekly", "02:00", "0", "0 2 * * 0"),
        ("weekly", "23:05", "5", "5 23 * * 5"),
        ("hourly", "06:30", "1", "hourly"),
        ("daily", "25:00", "1", "25:00"),
    ] {
        let mut form = ExporterForm::empty("");
        form.texts.extend([("schedule", word.to_owned()), ("at", at.to_owned()), ("day", day.to_owned())]);
        assert_eq!(form.sent()["schedule"], schedule, "{word} {at} {day}");
        let sent = form.sent();
        assert!(!sent.contains_key("at") && !sent.contains_key("day"), "{sent:?}");
        if schedule != "25:00" {
            let again = ExporterForm::stored(&json!({ "schedule": schedule }));
            assert_eq!(again.sent()["schedule"], schedule, "read back");
            assert_eq!(again.text("schedule"), word, "{schedule} is the same choice");
        }
    }
    for cron in ["*/5 * * * *", "0 2 1 * *", "0 2 * * 1-5", "0 2 * * 7", "99 2 * * *"] {
        assert_eq!(ExporterForm::stored(&json!({ "schedule": cron })).text("schedule"), CRON, "{cron}");
    }
}
