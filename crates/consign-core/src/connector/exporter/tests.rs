use serde_json::{Map, Value, json};

use super::draft::ExporterDraft;
use super::*;
use crate::catalog::Invalid;
use crate::credential::{Credential, Draft, Mode, Save};
use crate::id::EventId;
use crate::vault::{KeyRing, Vault};

const NOW: Timestamp = Timestamp::from_millis(1_795_356_120_500);

fn with(base: Value, changes: Value) -> Map<String, Value> {
    let (Value::Object(mut whole), Value::Object(changes)) = (base, changes) else { panic!("not objects") };
    whole.extend(changes);
    whole
}

fn credential() -> Credential {
    let sent = with(
        json!({ "name": "Tool", "protocol": "https", "url_address": "https://acme.example/" }),
        json!({ "authorization_type": "basic", "username": "ana", "password": "open sesame" }),
    );
    let draft = Draft::parse(sent, Mode::Create, NOW).unwrap();
    let save = Save { now: NOW, by: "Ana" };
    draft.seal(&Vault::new(&KeyRing::generate(), "i"), &save, crate::id::CredentialId::new(NOW), None)
}

fn typed() -> Value {
    json!({ "name": "Nightly list", "path": "/bulk", "event_types": ["device.*"], "credential": "Tool",
        "columns": [{ "name": "device" }] })
}

fn parse(changes: Value) -> Result<ExporterDraft, Vec<Invalid>> {
    ExporterDraft::parse(with(typed(), changes), Some(&credential()))
}

#[track_caller]
fn check(changes: Value, field: &str, code: &str, message: &str) {
    let found = parse(changes).expect_err("this was accepted");
    let found: Vec<_> =
        found.iter().map(|one| (one.field.as_str(), one.code, one.message.as_str())).collect();
    assert_eq!(found, [(field, code, message)]);
}

/// What a person sends for a file server, whose credential decides about the destination.
fn parse_for_server(changes: Value) -> Result<ExporterDraft, Vec<Invalid>> {
    let sent = with(
        json!({ "name": "Files", "protocol": "sftp", "hostname": "sftp://sftp.example.org:2222/" }),
        json!({ "sftp_server_fingerprint": [include_str!("../../ssh_key/keys/p256.pub").trim()],
            "authorization_type": "password", "username": "ana", "password": "open sesame" }),
    );
    let draft = Draft::parse(sent, Mode::Create, NOW).unwrap();
    let save = Save { now: NOW, by: "Ana" };
    let credential =
        draft.seal(&Vault::new(&KeyRing::generate(), "i"), &save, crate::id::CredentialId::new(NOW), None);
    let typed = with(typed(), json!({ "path": null, "credential": "Files" }));
    ExporterDraft::parse(with(Value::Object(typed), changes), Some(&credential))
}

fn to_file(changes: Value) -> Result<Exporter, Vec<Invalid>> {
    let stored = with(typed(), json!({ "destination": "sftp", "path": null }));
    ExporterDraft::parse_stored(with(Value::Object(stored), changes))
}

fn event(event_type: &str, data: Value, test: bool) -> Event {
    Event {
        id: EventId::new(NOW),
        event_type: event_type.to_owned(),
        source: "/dex".to_owned(),
        source_id: "1".to_owned(),
        subject: None,
        time: NOW,
        content_type: "application/json".to_owned(),
        data: data.to_string().into(),
        extensions: Vec::new(),
        received_at: NOW,
        received_from: String::new(),
        test,
    }
}

#[test]
fn what_is_not_sent_has_its_default() {
    assert_eq!(
        parse(json!({})).unwrap().exporter.to_json(),
        json!({
            "source": "events", "event_types": ["device.*"], "only_when": null, "schedule": "by_hand", "time_zone": "UTC",
            "format": "csv", "columns": [{ "name": "device", "path": "data[\"device\"]", "default": null }],
            "compression": "none", "when_empty": "skip", "destination": "https",
            "csv": { "delimiter": "comma", "header": true, "line_end": "lf", "bom": false, "guard": true },
            "method": "POST", "path": "/bulk", "max_records_per_request": 1000, "timeout_seconds": 20,
            "max_per_second": null,
        })
    );
    let file = to_file(json!({})).unwrap().to_json();
    for (key, value) in [
        ("folder", json!("")),
        ("file_name", json!("{exporter}-{date}-{run}.{ext}")),
        ("if_exists", json!("fail")),
    ] {
        assert_eq!(file[key], value, "{key}");
    }
}

#[test]
fn settings_survive_being_stored() {
    let all = json!({
        "source": "pushed", "event_types": [], "schedule": "*/5 8-17 * * mon-fri", "time_zone": "Europe/Lisbon",
        "format": "json", "json_shape": "object_with_array", "json_array_key": "items", "json_properties": { "run": "{run}" },
        "columns": [{ "name": "a", "path": "data.a.0", "default": 7 }], "compression": "zstd", "when_empty": "send",
        "method": "PUT", "path": "/a%20b?x=1", "max_records_per_request": 10_000, "timeout_seconds": 60, "max_per_second": 0.5,
    });
    let exporter = parse(all.clone()).unwrap().exporter;
    let shown = exporter.to_json();
    assert_eq!(Value::Object(with(shown.clone(), all)), shown);
    let Value::Object(stored) = shown.clone() else { unreachable!() };
    assert_eq!(ExporterDraft::parse_stored(stored).unwrap().to_json(), shown);
    assert_eq!(parse(shown.clone()).unwrap().exporter.to_json(), shown);

    let file = json!({ "folder": "/in/x/", "file_name": "{n}.{ext}", "if_exists": "number" });
    let shown = to_file(file).unwrap().to_json();
    assert_eq!(shown["folder"], "/in/x");
    let Value::Object(stored) = shown.clone() else { unreachable!() };
    assert_eq!(ExporterDraft::parse_stored(stored).unwrap().to_json(), shown);
}

#[test]
fn fields_and_their_sentences() {
    check(json!({ "name": "" }), "name", "missing", "Enter a name");
    check(json!({ "path": "" }), "path", "slash_needed", "Path must start with /");
    check(json!({ "path": "//evil.example" }), "path", "other_host", "Path must stay on acme.example");
    check(json!({ "method": "PATCH" }), "method", "unknown", "Method must be one of POST, PUT");
    check(json!({ "event_types": [] }), "event_types", "missing", "Enter an event type or choose All");
    check(json!({ "event_types": ["a b"] }), "event_types", "bad_form", "“a b” is not an event type");
    let cron =
        "Schedule is not a cron text: five fields are expected: minute, hour, day, month, day of the week";
    check(json!({ "schedule": "often" }), "schedule", "bad_form", cron);
    let zone = "There is no time zone “Mars”. Use a name such as Europe/Lisbon";
    check(json!({ "time_zone": "Mars" }), "time_zone", "unknown", zone);
    check(json!({ "columns": [] }), "columns", "missing", "Add at least one column");
    check(json!({ "columns": [{}] }), "columns/0/name", "missing", "Enter a name for column 1 or remove it");
    let twice = json!({ "columns": [{ "name": "a" }, { "name": "a", "path": "data.b" }] });
    check(twice, "columns/1/name", "listed_twice", "“a” is listed twice");
    let unknown = "“delivery.id” in the columns is not known. Start with event. or data.";
    let columns = json!({ "columns": [{ "name": "a", "path": "delivery.id" }] });
    check(columns, "columns/0/path", "unknown_path", unknown);
    let unknown = "“event.id” in the columns is not known. Start with data.";
    let columns =
        json!({ "source": "pushed", "event_types": [], "columns": [{ "name": "a", "path": "event.id" }] });
    check(columns, "columns/0/path", "unknown_path", unknown);
    let default = "A default must be a text, a number, true, false or nothing";
    check(json!({ "columns": [{ "name": "a", "default": [] }] }), "columns/0/default", "bad_form", default);
    let types =
        "Event types belong to collected events. Leave them out, or choose collected events as the source";
    check(json!({ "source": "pushed" }), "event_types", "wrong_source", types);
    let of_files = "“Tool” is for HTTPS. Folder and file name belong to SFTP";
    check(json!({ "folder": "in" }), "folder", "wrong_protocol", of_files);
    check(json!({ "file_name": "a.csv" }), "file_name", "wrong_protocol", of_files);
    let delimiters = "Delimiter must be one of comma, semicolon, tab";
    check(json!({ "csv": { "delimiter": "|" } }), "csv/delimiter", "unknown", delimiters);
    check(json!({ "csv": { "dialect": 1 } }), "csv/dialect", "unknown_field", "“dialect” is not known");
    let records = "Records per request must be from 1 to 10,000";
    check(json!({ "max_records_per_request": 0 }), "max_records_per_request", "out_of_range", records);
    check(
        json!({ "timeout_seconds": 61 }),
        "timeout_seconds",
        "out_of_range",
        "Timeout must be from 1 to 60 seconds",
    );
    let object =
        json!({ "format": "json", "json_shape": "object_with_array", "json_properties": { "a": [] } });
    let properties = "Properties must be an object of texts, numbers, true and false";
    check(object, "json_properties", "bad_form", properties);
    check(
        json!({ "shedule": "daily" }),
        "shedule",
        "unknown_field",
        "“shedule” is not known. Did you mean schedule?",
    );
    let without = ExporterDraft::parse(with(typed(), json!({})), None).unwrap_err();
    assert_eq!(without[0].message, "Choose a credential");
}

#[test]
fn the_credential_decides_where_it_goes() {
    let file = parse_for_server(json!({ "folder": "in" })).unwrap().exporter;
    assert_eq!(file.to_json()["destination"], "sftp");
    let refused = parse_for_server(json!({ "path": "/bulk" })).unwrap_err();
    assert_eq!(
        (refused[0].field.as_str(), refused[0].code, refused[0].message.as_str()),
        ("path", "wrong_protocol", "“Files” is for SFTP. Method and path belong to HTTPS")
    );
    // What an answer says about the other protocol is no wish.
    let Value::Object(shown) = parse(json!({})).unwrap().exporter.to_json() else { unreachable!() };
    let moved = parse_for_server(Value::Object(shown)).unwrap().exporter;
    assert_eq!(moved.to_json()["file_name"], FileName::DEFAULT);
    let back =
        parse(with(json!({ "path": "/bulk" }), json!({ "destination": "sftp", "folder": "in" })).into());
    assert_eq!(back.unwrap().exporter.to_json()["path"], "/bulk");
}

#[test]
fn names_with_numbers_and_endings() {
    assert_eq!(numbered("a.tar.gz", 2), "a-2.tar.gz");
    assert_eq!(numbered("a", 12), "a-12");
    let zipped = to_file(json!({ "compression": "gzip" })).unwrap();
    assert_eq!(zipped.name_of_pushed("a.csv"), "a.csv.gz");
    assert_eq!(zipped.name_of_pushed("a.csv.gz"), "a.csv.gz");
    assert_eq!(to_file(json!({})).unwrap().name_of_pushed("a.csv"), "a.csv");
    assert_eq!(parse(json!({ "compression": "gzip" })).unwrap().exporter.name_of_pushed("a.csv"), "a.csv");
}

#[test]
fn hostile_folders_and_file_names() {
    let folder =
        |folder: &str| to_file(json!({ "folder": folder })).map_err(|found| found[0].message.clone());
    for hostile in ["..", "../x", "a/../b", "/.."] {
        assert_eq!(folder(hostile).unwrap_err(), "Folder must not include ..", "{hostile}");
    }
    for hostile in ["a\0b", "a\nb", "a\\..\\b", "~root", "-rf", "./x", "a/./b"] {
        assert_eq!(folder(hostile).unwrap_err(), "Folder must use plain characters", "{hostile:?}");
    }
    assert!(folder(&"x".repeat(256)).is_err() && folder(&"x/".repeat(600)).is_err());
    let name = |name: &str| to_file(json!({ "file_name": name })).map_err(|found| found[0].message.clone());
    for hostile in ["../x", "a/b", "/etc/passwd", "a\\b", ".ssh", "..", ".", "a..b", "{date}/{run}"] {
        assert_eq!(
            name(hostile).unwrap_err(),
            "File name must not include / or start with a dot",
            "{hostile}"
        );
    }
    for hostile in ["-rf", "~x"] {
        assert_eq!(name(hostile).unwrap_err(), "File name must not start with - or ~", "{hostile}");
    }
    for hostile in ["a\nb", "a\0b", "a\u{202e}vsc", "a\u{200b}b", "a\u{7f}"] {
        let sentence = "File name must not include line breaks, tabs or characters that cannot be seen";
        assert_eq!(name(hostile).unwrap_err(), sentence, "{hostile:?}");
    }
    assert_eq!(name(&"x".repeat(201)).unwrap_err(), "File name must be 200 bytes or fewer");
    // At its longest it is longer than it looks.
    assert_eq!(
        name(&format!("{}{{exporter}}", "x".repeat(130))).unwrap_err(),
        "File name must be 200 bytes or fewer"
    );
    let known = "File name may hold {date} {time} {datetime} {run} {exporter} {n} {ext} and no other braces";
    for wrong in ["{year}.csv", "{date", "date}", "{}"] {
        assert_eq!(name(wrong).unwrap_err(), known, "{wrong}");
    }
}

#[test]
fn names_of_files() {
    let exporter = to_file(json!({ "time_zone": "Europe/Lisbon", "compression": "gzip" })).unwrap();
    let at = Timestamp::parse_rfc3339("2026-07-01T23:30:05Z").unwrap();
    let check = |pattern: &str, of: &str, n: u32, expected: &str| {
        let name = FileName::parse(pattern).unwrap().of(&exporter.stamp(of, 412, at), n);
        assert_eq!(name, expected);
        judge_file_name(&name).unwrap();
    };
    check("", "Nightly  device list!", 1, "nightly-device-list-2026-07-02-0412.csv.gz");
    check("{datetime}_{time}.{ext}", "x", 1, "2026-07-02-003005_003005.csv.gz");
    check("a.{ext}", "x", 2, "a-2.csv.gz");
    check("a", "x", 3, "a-3");
    check("a_{n}.{ext}", "x", 3, "a_3.csv.gz");
    // A name of an exporter brings nothing in that a pattern may not have.
    for hostile in ["../../etc", "...", "-rf", "~", "a/b\\c", "\u{202e}x", "=cmd"] {
        let name = FileName::parse("{exporter}").unwrap().of(&exporter.stamp(hostile, 1, at), 1);
        judge_file_name(&name).unwrap();
    }
    check("{exporter}", "!!!", 1, "exporter");
    check("{exporter}", "Überblick Übergabe", 1, "überblick-übergabe");
}

#[test]
fn which_events_leave_a_record() {
    let exporter = parse(json!({ "only_when": "data.score < 3" })).unwrap().exporter;
    assert!(exporter.matches(&event("device.score", json!({ "score": 2 }), false)));
    assert!(!exporter.matches(&event("device.score", json!({ "score": 2 }), true)), "a test");
    assert!(!exporter.matches(&event("device.score", json!({ "score": 3 }), false)));
    assert!(!exporter.matches(&event("ticket.made", json!({ "score": 2 }), false)));
    let pushed = parse(json!({ "source": "pushed", "event_types": [] })).unwrap().exporter;
    assert!(!pushed.matches(&event("device.score", json!({}), false)));
}

#[test]
fn the_head_of_a_request() {
    let exporter = parse(json!({ "compression": "gzip", "format": "ndjson" })).unwrap().exporter;
    let Destination::Https(bulk) = &exporter.destination else { panic!("it goes over HTTPS") };
    let run = RunId::new(NOW);
    let header = |message: &Message, name: &str| {
        let found = message.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    let message = bulk.message(&exporter, run, Load::Records { number: 3 });
    assert_eq!((message.method.as_str(), message.path.as_str()), ("POST", "/bulk"));
    assert_eq!(header(&message, "content-type"), "application/x-ndjson");
    assert_eq!(header(&message, "content-encoding"), "gzip");
    assert_eq!(header(&message, "idempotency-key"), format!("{run}-3"));
    let file = Load::File { name: "ä b.csv", content_type: "text/csv" };
    let message = bulk.message(&exporter, run, file);
    assert_eq!(header(&message, "content-disposition"), "attachment; filename*=UTF-8''%C3%A4%20b.csv");
    assert_eq!(header(&message, "idempotency-key"), run.to_string());
    let long = format!("text/{}", "x".repeat(300));
    for content_type in ["a\nb", "a\tb", " text/csv", "", "ä", &long] {
        let odd = bulk.message(&exporter, run, Load::File { name: "a", content_type });
        assert_eq!(header(&odd, "content-type"), "application/octet-stream", "{content_type:?}");
    }
}
