use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::connector::Exporter;
use crate::connector::exporter::ExporterDraft;
use crate::id::EventId;
use crate::time::Timestamp;

fn exporter(settings: Value) -> Exporter {
    let mut whole = json!({ "source": "pushed", "path": "/in", "destination": "https" });
    whole.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let Value::Object(whole) = whole else { unreachable!() };
    ExporterDraft::parse_stored(whole).unwrap()
}

fn encoded(settings: Value, records: &[&str]) -> String {
    let exporter = exporter(settings);
    let mut encoder = Encoder::new(&exporter.format, str::to_uppercase);
    let mut out = Vec::new();
    encoder.start(&mut out);
    for text in records {
        encoder.push(&Record { event: None, text: text.as_bytes(), is_json: true }, &mut out);
    }
    encoder.finish(&mut out);
    assert_eq!(encoder.records(), records.len() as u64);
    String::from_utf8(out).unwrap()
}

#[track_caller]
fn check_csv(settings: Value, records: &[&str], expected: &str) {
    let mut whole =
        json!({ "format": "csv", "columns": [{ "name": "a" }, { "name": "b", "default": "none" }] });
    whole.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    assert_eq!(encoded(whole, records), expected);
}

#[track_caller]
fn check_json(settings: Value, records: &[&str], expected: &str) {
    assert_eq!(encoded(settings, records), expected);
}

/// A strict reader of RFC 4180 with line feeds: no quote outside quotes, nothing behind a closing quote.
fn read_csv(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut rest = text.chars().peekable();
    while rest.peek().is_some() {
        let mut row = Vec::new();
        loop {
            let mut cell = String::new();
            if rest.peek() == Some(&'"') {
                rest.next();
                loop {
                    match rest.next().expect("a quoted cell ends") {
                        '"' if rest.peek() == Some(&'"') => cell.push(rest.next().unwrap()),
                        '"' => break,
                        other => cell.push(other),
                    }
                }
            } else {
                while let Some(other) = rest.next_if(|c| !matches!(c, ',' | '\n')) {
                    assert!(!matches!(other, '"' | '\r'), "an open cell holds {other:?}");
                    cell.push(other);
                }
            }
            row.push(cell);
            match rest.next() {
                Some(',') => {}
                Some('\n') => break,
                other => panic!("a cell is followed by {other:?}"),
            }
        }
        rows.push(row);
    }
    rows
}

#[test]
fn a_million_records_come_back_equal() {
    const PORTION: u64 = 10_000;
    let exporter = exporter(json!({ "format": "csv", "columns": [{ "name": "n" }, { "name": "text" }] }));
    let mut encoder = Encoder::new(&exporter.format, str::to_owned);
    let mut out = Vec::new();
    encoder.start(&mut out);
    assert_eq!(out, b"n,text\n");
    // What a reader of CSV stumbles over, and no text that a spreadsheet would run: that one is changed.
    let text = |n: u64| match n % 5 {
        0 => format!("device {n}"),
        1 => format!("\"{n}\", \"again\""),
        2 => format!("{n}\r\n{n}\n"),
        3 => format!(",{n}, Ünïcödé \u{1f980}"),
        _ => String::new(),
    };
    for portion in 0..1_000_000 / PORTION {
        let numbers = portion * PORTION..(portion + 1) * PORTION;
        out.clear();
        for n in numbers.clone() {
            let record = json!({ "text": text(n), "n": n }).to_string();
            encoder.push(&Record { event: None, text: record.as_bytes(), is_json: true }, &mut out);
        }
        let rows = read_csv(std::str::from_utf8(&out).unwrap());
        assert!(rows.into_iter().eq(numbers.map(|n| vec![n.to_string(), text(n)])), "portion {portion}");
    }
    encoder.finish(&mut out);
    assert_eq!(encoder.records(), 1_000_000);
}

#[test]
fn rows_of_csv() {
    check_csv(json!({}), &[], "a,b\n");
    check_csv(json!({}), &[r#"{"a":1,"b":"x"}"#, r#"{"a":null}"#], "a,b\n1,x\n,none\n");
    check_csv(json!({}), &[r#"{"a":"x,y","b":"say \"hi\""}"#], "a,b\n\"x,y\",\"say \"\"hi\"\"\"\n");
    check_csv(json!({}), &[r#"{"a":"two\nlines","b":" edge"}"#], "a,b\n\"two\nlines\",\" edge\"\n");
    check_csv(json!({}), &[r#"{"a":{"k":[1, 2]},"b":true}"#], "a,b\n\"{\"\"k\"\":[1,2]}\",true\n");
    check_csv(json!({ "csv": { "header": false, "line_end": "crlf" } }), &[r#"{"a":1}"#], "1,none\r\n");
    check_csv(
        json!({ "csv": { "delimiter": "semicolon", "bom": true } }),
        &[r#"{"a":"1;2"}"#],
        "\u{feff}a;b\n\"1;2\";none\n",
    );
    check_csv(json!({ "csv": { "delimiter": "tab" } }), &[r#"{"a":1}"#], "a\tb\n1\tnone\n");
    check_csv(json!({ "columns": [{ "name": "a" }] }), &["{}", r#"{"a":1}"#], "a\n\"\"\n1\n");
    check_csv(
        json!({ "columns": [{ "name": "n", "path": "data.x[\"a b\"].0" }] }),
        &[r#"{"x":{"a b":[7]}}"#],
        "n\n7\n",
    );
}

#[test]
fn cells_that_a_spreadsheet_would_run() {
    let guarded = [
        (r#""=1+1""#, "'=1+1"),
        (r#""+1""#, "'+1"),
        (r#""-2+3""#, "'-2+3"),
        (r#""@SUM(A1)""#, "'@SUM(A1)"),
        (r#""\t=1""#, "\"'\t=1\""),
        (r#""\r=1""#, "\"'\r=1\""),
        (r#""=cmd|' /C calc'!A0,1""#, "\"'=cmd|' /C calc'!A0,1\""),
        (r#""\n=1""#, "\"'\n=1\""),
        (r#""\u000b=1""#, "'\u{b}=1"),
        (r#""\u000c=1""#, "'\u{c}=1"),
        (r#""\u00a0=1""#, "'\u{a0}=1"),
        (r#""  =1""#, "\"'  =1\""),
        (r#"" \u00a0 =1""#, "\"' \u{a0} =1\""),
        (r#""＝1""#, "'＝1"),
        (r#""＋1""#, "'＋1"),
        (r#""－1""#, "'－1"),
        (r#""＠SUM(A1)""#, "'＠SUM(A1)"),
        (r#""a=1""#, "a=1"),
        (r#"" a=1""#, "\" a=1\""),
        ("-5", "-5"),
        ("-5.5e-7", "-5.5e-7"),
        ("true", "true"),
    ];
    for (value, cell) in guarded {
        check_csv(json!({}), &[&format!(r#"{{"a":{value}}}"#)], &format!("a,b\n{cell},none\n"));
    }
    check_csv(json!({ "columns": [{ "name": "=a", "path": "data.a" }] }), &[], "'=a\n");
    check_csv(json!({ "columns": [{ "name": "a", "default": "=1" }] }), &["{}"], "a\n'=1\n");
    check_csv(json!({ "csv": { "guard": false } }), &[r#"{"a":"=1+1"}"#], "a,b\n=1+1,none\n");
}

#[test]
fn objects_of_json() {
    let records = [r#"{ "a": 1.10, "s": "a \"b\" \\ c" }"#, "{\"b\":\r\n\t12345678901234567890123}"];
    let (first, second) = (r#"{"a":1.10,"s":"a \"b\" \\ c"}"#, r#"{"b":12345678901234567890123}"#);
    check_json(json!({ "format": "ndjson" }), &records, &format!("{first}\n{second}\n"));
    check_json(json!({ "format": "json" }), &records, &format!("[{first},{second}]"));
    check_json(json!({ "format": "json" }), &[], "[]");
    let shape = json!({ "format": "json", "json_shape": "concatenated" });
    check_json(shape, &records, &format!("{first}{second}"));
    let shape = json!({ "format": "json", "json_shape": "object_with_array", "json_array_key": "items",
        "json_properties": { "site": "lis", "n": 3 } });
    check_json(shape.clone(), &records, &format!(r#"{{"site":"LIS","n":3,"items":[{first},{second}]}}"#));
    check_json(shape, &[], r#"{"site":"LIS","n":3,"items":[]}"#);
    let columns = json!({ "format": "ndjson", "columns": [{ "name": "x", "path": "data.a" }, { "name": "y", "default": 0 }] });
    check_json(columns, &records, "{\"x\":1.1,\"y\":0}\n{\"x\":null,\"y\":0}\n");
}

#[test]
fn events_with_their_own_fields() {
    let at = Timestamp::from_millis(1_795_356_120_500);
    let facts = EventFacts {
        id: EventId::new(at),
        event_type: "device.score.low",
        source: "/dex",
        subject: Some("LT \"1\""),
        time: at,
    };
    let check = |settings: Value, record: Record<'_>, expected: &str| {
        let exporter = exporter(settings);
        let mut out = Vec::new();
        Encoder::new(&exporter.format, str::to_owned).push(&record, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    };
    let of = |text: &'static str, is_json| Record { event: Some(facts), text: text.as_bytes(), is_json };
    let head = format!(
        r#"{{"id":"{}","type":"device.score.low","source":"/dex","time":"2026-11-22T14:02:00.5Z","subject":"LT \"1\"","#,
        facts.id
    );
    check(
        json!({ "format": "ndjson" }),
        of(r#"{ "a": 1 }"#, true),
        &format!("{head}\"data\":{{\"a\":1}}}}\n"),
    );
    check(json!({ "format": "ndjson" }), of("<a>", false), &format!("{head}\"data_base64\":\"PGE+\"}}\n"));
    check(json!({ "format": "ndjson" }), of("{", true), &format!("{head}\"data_base64\":\"ew==\"}}\n"));
    let columns = json!({ "source": "events", "event_types": ["*"], "format": "csv", "columns": [
        { "name": "when", "path": "event.time" }, { "name": "type", "path": "event.type" }, { "name": "a" },
    ] });
    check(columns.clone(), of(r#"{"a":1}"#, true), "2026-11-22T14:02:00.5Z,device.score.low,1\n");
    check(columns, of("<a>", false), "2026-11-22T14:02:00.5Z,device.score.low,\n");
}

proptest! {
    /// A file of one cell, whatever is taken for its byte order mark and passed over, begins with no formula.
    #[test]
    fn no_file_begins_with_a_formula(unseen in "[\u{feff}\u{200b}\u{200e}\u{2060}\u{202e} ]{0,4}", rest in "[=+@-]\\PC{0,6}") {
        let record = json!({ "a": format!("{unseen}{rest}") }).to_string();
        let settings = json!({ "format": "csv", "columns": [{ "name": "a" }], "csv": { "header": false } });
        let text = encoded(settings, &[&record]);
        let seen = text.trim_start_matches(|c: char| !c.is_ascii() || c == ' ' || c == '"');
        prop_assert!(seen.starts_with('\''), "{text:?}");
    }

    /// What a strict reader finds is what was written, but for the guard.
    #[test]
    fn csv_is_read_back(cells in prop::collection::vec(("[\\PC\n\r\t\",;=+@' -]{0,12}", any::<i64>()), 1..20)) {
        let records: Vec<_> = cells.iter().map(|(text, number)| json!({ "a": text, "b": number }).to_string()).collect();
        let records: Vec<_> = records.iter().map(String::as_str).collect();
        let settings = json!({ "format": "csv", "columns": [{ "name": "a" }, { "name": "b" }] });
        let rows = read_csv(&encoded(settings, &records));
        prop_assert_eq!(rows.len(), cells.len() + 1);
        for (row, (text, number)) in rows[1..].iter().zip(&cells) {
            let guard = if is_formula(text) { "'" } else { "" };
            prop_assert_eq!(row, &vec![format!("{guard}{text}"), number.to_string()]);
        }
    }

    /// The whole record is the same value, and one line.
    #[test]
    fn ndjson_is_read_back(texts in prop::collection::vec("[\\PC\n\r\"\\\\ ]{0,12}", 1..20)) {
        let values: Vec<_> = texts.iter().map(|text| json!({ text.as_str(): [text, 1] })).collect();
        let pretty: Vec<_> = values.iter().map(|value| serde_json::to_string_pretty(value).unwrap()).collect();
        let pretty: Vec<_> = pretty.iter().map(String::as_str).collect();
        let lines = encoded(json!({ "format": "ndjson" }), &pretty);
        let read: Vec<Value> = lines.split_terminator('\n').map(|line| serde_json::from_str(line).unwrap()).collect();
        prop_assert_eq!(read, values);
    }
}
