//! JSON objects (RFC 8259), without white space.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;

use super::{Column, Record};

/// A record as an object: the chosen columns, or all of it.
pub(super) fn push_record(out: &mut Vec<u8>, record: &Record<'_>, columns: &[Column]) {
    if columns.is_empty() {
        return push_whole(out, record);
    }
    let data = record.data();
    out.push(b'{');
    for (place, column) in columns.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        let found = column.path.find_in_record(record.event.as_ref(), &data);
        let value = found.as_deref().filter(|value| !value.is_null()).unwrap_or(&column.default);
        push_member(out, &column.name, value);
    }
    out.push(b'}');
}

/// What was pushed, as it was; an event with its own fields beside its data. Numbers stay as they were written.
fn push_whole(out: &mut Vec<u8>, record: &Record<'_>) {
    let Some(event) = &record.event else { return push_compact(out, record.text) };
    let id = event.id.to_string();
    let time = event.time.to_string();
    let texts = [("id", id.as_str()), ("type", event.event_type), ("source", event.source), ("time", &time)];
    out.push(b'{');
    for (name, text) in texts.into_iter().chain(event.subject.map(|subject| ("subject", subject))) {
        push_text(out, name);
        out.push(b':');
        push_text(out, text);
        out.push(b',');
    }
    if record.is_json && serde_json::from_slice::<serde::de::IgnoredAny>(record.text).is_ok() {
        out.extend_from_slice(br#""data":"#);
        push_compact(out, record.text);
    } else {
        out.extend_from_slice(br#""data_base64":"#);
        push_text(out, &BASE64_STANDARD.encode(record.text));
    }
    out.push(b'}');
}

/// JSON without the white space between its tokens.
fn push_compact(out: &mut Vec<u8>, json: &[u8]) {
    let (mut in_string, mut escaped) = (false, false);
    for byte in json {
        if !in_string && matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            continue;
        }
        if *byte == b'"' && !escaped {
            in_string = !in_string;
        }
        escaped = in_string && *byte == b'\\' && !escaped;
        out.push(*byte);
    }
}

/// `"name":value`.
pub(super) fn push_member(out: &mut Vec<u8>, name: &str, value: &Value) {
    push_text(out, name);
    out.push(b':');
    serde_json::to_writer(&mut *out, value).expect("a value is JSON, and a vector takes it");
}

/// A text in quotation marks.
pub(super) fn push_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(&mut *out, text).expect("a text is JSON, and a vector takes it");
}
