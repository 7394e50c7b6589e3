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
