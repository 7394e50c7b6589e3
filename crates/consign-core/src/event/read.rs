//! Reading events: our plain form and CloudEvents 1.0 (structured, batch and binary).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use http::HeaderMap;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{JSON, is_json, is_own_source, is_own_type, is_type};
use crate::catalog::{Fault, Invalid, unknown_field};
use crate::json::twice;
use crate::time::Timestamp;

/// The most events in one request.
pub const BATCH_EVENTS_MAX: usize = 500;
const DEPTH_MAX: usize = 100;
const TEXT_CHARS_MAX: usize = 256;
const PLAIN_KEYS: &[&str] = &["type", "data", "subject", "source", "id", "time", "test"];

/// An event as sent: read and judged, not yet accepted.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Its type.
    pub event_type: String,
    /// The sender's name for itself; the API key when absent.
    pub source: Option<String>,
    /// The sender's id; made when absent.
    pub source_id: Option<String>,
    /// What it is about.
    pub subject: Option<String>,
    /// When it happened; the time of acceptance when absent.
    pub time: Option<Timestamp>,
    /// The media type of the data.
    pub content_type: String,
    /// The data as sent.
    pub data: Bytes,
    /// Further CloudEvents attributes.
    pub extensions: Vec<(String, Value)>,
    /// Marked as a test.
    pub test: bool,
}

/// Why a body holds no events.
#[derive(Debug, PartialEq, Eq)]
pub enum EventFault {
    /// Not JSON; what the reader met, and where.
    NotReadable(String),
    /// Some values were not accepted.
    Invalid(Vec<Invalid>),
}

type Keys<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// The members of an object, in their order, each as often as it stands there.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

/// Reads the body of a request by its media type: one event, or a list of them.
///
/// # Errors
/// When the body is not JSON, or values were not accepted; rows of a batch as `3/type`.
pub fn read_batch(headers: &HeaderMap, body: &Bytes) -> Result<(Vec<NewEvent>, bool), EventFault> {
    let content_type = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence =
        content_type.unwrap_or(JSON).split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if headers.contains_key("ce-specversion") {
        return read_binary(headers, body).map(|event| (vec![event], false)).map_err(EventFault::Invalid);
    }
    let cloud = essence.starts_with("application/cloudevents");
    let trimmed = body.iter().position(|byte| !byte.is_ascii_whitespace()).map(|start| body[start]);
    if trimmed != Some(b'[') {
        return read_one(body, cloud).map(|event| (vec![event], false));
    }
    let rows: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| not_readable(&error))?;
    if rows.is_empty() || rows.len() > BATCH_EVENTS_MAX {
        let fault = Fault::new("out_of_range", "Send 1 to 500 events in one request");
        return Err(EventFault::Invalid(vec![fault.at("")]));
    }
    let mut events = Vec::with_capacity(rows.len());
    let mut invalid = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        match read_one(row.get().as_bytes(), cloud) {
            Ok(event) => events.push(event),
            Err(EventFault::Invalid(faults)) => invalid.extend(faults.into_iter().map(|mut fault| {
                fault.field = format!("{index}/{}", fault.field);
                fault
            })),
            Err(unreadable) => return Err(unreadable),
        }
    }
    if invalid.is_empty() { Ok((events, true)) } else { Err(EventFault::Invalid(invalid)) }
}

/// Reads one event; `cloud`: in the structured form of CloudEvents.
///
/// # Errors
/// As [`read_batch`].
pub fn read_one(body: &[u8], cloud: bool) -> Result<NewEvent, EventFault> {
    let Members(members) = serde_json::from_slice(body).map_err(|error| not_readable(&error))?;
    let mut invalid = Vec::new();
    let mut keys = Keys::new();
    for (key, value) in members {
        match keys.entry(key) {
            Entry::Vacant(free) => {
                free.insert(value);
            }
            Entry::Occupied(taken) => {
                let name: &str = taken.key();
                invalid.push(Fault::new("duplicate", twice(name)).at(name));
            }
        }
    }
    let event = if cloud { read_cloud(&keys, &mut invalid) } else { read_plain(&keys, &mut invalid) };
    judge_source(event.source.as_deref(), &mut invalid);
    if invalid.is_empty() { Ok(event) } else { Err(EventFault::Invalid(invalid)) }
}

fn not_readable(error: &serde_json::Error) -> EventFault {
    let what = if error.is_data() { "an event is a JSON object".to_owned() } else { error.to_string() };
    EventFault::NotReadable(what)
}

fn read_plain(keys: &Keys<'_>, invalid: &mut Vec<Invalid>) -> NewEvent {
    for key in keys.keys().filter(|key| !PLAIN_KEYS.contains(&key.as_ref())) {
        invalid.push(unknown_field(key, PLAIN_KEYS));
    }
    let data = keys.get("data").map_or("null", |data| data.get());
    judge_depth(data, invalid);
    let test = keys.get("test").is_some_and(|flag| flag.get() == "true");
    NewEvent {
        event_type: event_type(keys, invalid),
        source: text(keys, "source", invalid),
        source_id: text(keys, "id", invalid),
        subject: text(keys, "subject", invalid),
        time: time(keys, invalid),
        content_type: JSON.to_owned(),
        data: Bytes::copy_from_slice(data.as_bytes()),
        extensions: Vec::new(),
        test,
    }
}

/// CloudEvents 1.0, JSON format, structured mode.
fn read_cloud(keys: &Keys<'_>, invalid: &mut Vec<Invalid>) -> NewEvent {
    if text(keys, "specversion", invalid).as_deref() != Some("1.0") {
        invalid.push(Fault::new("bad_form", "specversion must be 1.0").at("specversion"));
    }
    let content_type = text(keys, "datacontenttype", invalid).unwrap_or_else(|| JSON.to_owned());
    let source = required(text(keys, "source", invalid), "source", invalid);
    let source_id = required(text(keys, "id", invalid), "id", invalid);
    let data = cloud_data(keys, &content_type, invalid);
    let known =
        ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data", "data_base64"];
    let mut extensions = Vec::new();
    for (key, value) in keys.iter().filter(|(key, _)| !known.contains(&key.as_ref())) {
        match serde_json::from_str(value.get()) {
            Ok(value @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) if is_attribute(key) => {
                extensions.push((key.to_string(), value));
            }
            Ok(Value::Null) => {}
            _ => invalid.push(unknown_field(key, &known)),
        }
    }
    NewEvent {
        event_type: event_type(keys, invalid),
        source,
        source_id,
        subject: text(keys, "subject", invalid),
        time: time(keys, invalid),
        content_type,
        data,
        extensions,
        test: false,
    }
}

/// Names of CloudEvents attributes: small letters and digits.
fn is_attribute(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

fn cloud_data(keys: &Keys<'_>, content_type: &str, invalid: &mut Vec<Invalid>) -> Bytes {
    if let Some(encoded) = text_any(keys, "data_base64") {
        return match BASE64_STANDARD.decode(encoded) {
            Ok(bytes) => Bytes::from(bytes),
            Err(_) => {
                invalid.push(Fault::new("bad_form", "data_base64 must be Base64").at("data_base64"));
                Bytes::new()
            }
        };
    }
    let Some(data) = keys.get("data") else { return Bytes::new() };
    judge_depth(data.get(), invalid);
    // A JSON string under another media type is that text itself.
    match serde_json::from_str::<String>(data.get()) {
        Ok(text) if !is_json(content_type) => Bytes::from(text),
        _ => Bytes::copy_from_slice(data.get().as_bytes()),
    }
}

/// CloudEvents 1.0, HTTP binding, binary mode: attributes in `ce-` headers, the body is the data.
fn read_binary(headers: &HeaderMap, body: &Bytes) -> Result<NewEvent, Vec<Invalid>> {
    let mut invalid = Vec::new();
    let attributes = headers.keys().filter_map(|name| Some((name, name.as_str().strip_prefix("ce-")?)));
    for (name, attribute) in attributes {
        if headers.get_all(name).iter().nth(1).is_some() {
            let sentence = format!("The header {name} was sent twice. Send it once");
            invalid.push(Fault::new("duplicate", sentence).at(attribute));
        }
    }
    let attribute = |name: &str| {
        headers.get(format!("ce-{name}")).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    if attribute("specversion").as_deref() != Some("1.0") {
        invalid.push(Fault::new("bad_form", "specversion must be 1.0").at("specversion"));
    }
    let content_type = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or(JSON).to_owned();
    if is_json(&content_type) {
        match std::str::from_utf8(body).map(serde_json::from_str::<&RawValue>) {
            Ok(Ok(data)) => judge_depth(data.get(), &mut invalid),
            _ => invalid
                .push(Fault::new("bad_form", "The data is not JSON, as its Content-Type says").at("data")),
        }
    }
    let event_type = attribute("type").unwrap_or_default();
    judge_type(&event_type, &mut invalid);
    let time = attribute("time").map(|text| Timestamp::parse_rfc3339(&text));
    if time == Some(None) {
        invalid.push(Fault::new("bad_form", "time must look like 2026-11-22T13:56:54Z").at("time"));
    }
    let source = required(attribute("source"), "source", &mut invalid);
    judge_source(source.as_deref(), &mut invalid);
    let source_id = required(attribute("id"), "id", &mut invalid);
    let known = ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"];
    let extensions = headers.iter().filter_map(|(name, value)| {
        let name =
            name.as_str().strip_prefix("ce-").filter(|name| !known.contains(name) && is_attribute(name))?;
        Some((name.to_owned(), Value::String(value.to_str().ok()?.to_owned())))
    });
    let event = NewEvent {
        event_type,
        source,
        source_id,
        subject: attribute("subject"),
        time: time.flatten(),
        content_type,
        data: body.clone(),
        extensions: extensions.collect(),
        test: false,
    };
    if invalid.is_empty() { Ok(event) } else { Err(invalid) }
}

fn required(value: Option<String>, key: &'static str, invalid: &mut Vec<Invalid>) -> Option<String> {
    if value.is_none() {
        invalid.push(Fault::new("missing", format!("A CloudEvent needs {key}")).at(key));
    }
    value
}

fn event_type(keys: &Keys<'_>, invalid: &mut Vec<Invalid>) -> String {
    let text = text_any(keys, "type").unwrap_or_default();
    judge_type(&text, invalid);
    text
}

fn judge_type(text: &str, invalid: &mut Vec<Invalid>) {
    if text.is_empty() {
        invalid.push(Fault::new("missing", "Enter the event type, such as device.score.low").at("type"));
    } else if !is_type(text) {
        let shown: String = text.chars().take(64).collect();
        invalid.push(Fault::new("bad_form", format!("“{shown}” is not an event type")).at("type"));
    } else if is_own_type(text) {
        let sentence = "Event types that begin with “consign.” are Consign's own. Choose another beginning";
        invalid.push(Fault::new("reserved", sentence).at("type"));
    }
}

/// Under our name nobody else may send: it would pass for a repeat of what we have to say.
fn judge_source(source: Option<&str>, invalid: &mut Vec<Invalid>) {
    if source.is_some_and(is_own_source) {
        let sentence = "“consign” is the source of Consign's own events. Choose another name";
        invalid.push(Fault::new("reserved", sentence).at("source"));
    }
}

fn text_any(keys: &Keys<'_>, key: &str) -> Option<String> {
    keys.get(key).and_then(|raw| serde_json::from_str(raw.get()).ok())
}

/// A text of at most 256 characters without control characters; absent and `null` are the same.
fn text(keys: &Keys<'_>, key: &'static str, invalid: &mut Vec<Invalid>) -> Option<String> {
    let raw = keys.get(key).filter(|raw| raw.get() != "null")?;
    let text = serde_json::from_str::<String>(raw.get()).ok();
    let fits = |text: &String| {
        (1..=TEXT_CHARS_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control)
    };
    let accepted = text.filter(fits);
    if accepted.is_none() {
        let sentence = format!("{key} must be a text of 1 to {TEXT_CHARS_MAX} characters on one line");
        invalid.push(Fault::new("bad_form", sentence).at(key));
    }
    accepted
}

fn time(keys: &Keys<'_>, invalid: &mut Vec<Invalid>) -> Option<Timestamp> {
    let raw = keys.get("time").filter(|raw| raw.get() != "null")?;
    let time =
        serde_json::from_str::<String>(raw.get()).ok().and_then(|text| Timestamp::parse_rfc3339(&text));
    if time.is_none() {
        invalid.push(Fault::new("bad_form", "time must look like 2026-11-22T13:56:54Z").at("time"));
    }
    time
}

/// JSON deeper than 100 levels is refused before anything recurses into it.
fn judge_depth(json: &str, invalid: &mut Vec<Invalid>) {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    if deepest > DEPTH_MAX {
        invalid.push(Fault::new("too_deep", "The data must have 100 levels or fewer").at("data"));
    }
}
