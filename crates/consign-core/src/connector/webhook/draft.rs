//! Reading what a person or program sends for a webhook.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use serde_json::{Map, Value};

use super::{PathTemplate, Payload, Success, Webhook, WhenNoAnswer};
use crate::catalog::{Fault, Invalid, Reader};
use crate::condition::Condition;
use crate::connector::draft::{named, tool};
use crate::connector::signature::Signing;
use crate::credential::{Credential, Rate, parse_count};
use crate::event::{JSON, TypePattern};
use crate::header;
use crate::name::Name;
use crate::template::{Shape, Template};

const OUTPUTS_MAX: usize = 5;
const RETRIES_MAX: usize = 20;
const RETRY_WAIT_MAX_SECONDS: u64 = 7 * 86_400;

const KNOWN: &[&str] = &[
    "name",
    "description",
    "credential",
    "method",
    "path",
    "event_types",
    "only_when",
    "payload",
    "template",
    "content_type",
    "headers",
    "signature",
    "success_when",
    "outputs",
    "retry_schedule_seconds",
    "retry_client_errors",
    "when_no_answer",
    "timeout_seconds",
    "max_concurrency",
    "max_per_second",
    "idempotency_header",
];

const READ_ONLY: &[&str] = &[
    "id",
    "kind",
    "etag",
    "state",
    "state_label",
    "state_reason",
    "state_since",
    "hold_reason",
    "away",
    "lost_credential",
    "signing_secret",
    "last_24_hours",
    "by_hour",
    "last_delivery_at",
    "created_at",
    "updated_at",
    "managed_by",
];

/// A webhook as sent: judged, with its credential.
#[derive(Debug)]
pub struct WebhookDraft {
    /// The name.
    pub name: Name,
    /// Free text.
    pub description: String,
    /// What it sends.
    pub webhook: Webhook,
}

impl WebhookDraft {
    /// Whether answers about a webhook have a key that nobody can set.
    pub fn is_read_only(key: &str) -> bool {
        READ_ONLY.contains(&key)
    }

    /// Reads a whole webhook; for a patch the caller merges it over [`Webhook::to_json`] first.
    ///
    /// `credential` is the one that the key `credential` names, found by the caller; `None` when there is no such.
    ///
    /// # Errors
    /// Every value that was not accepted, with its sentence.
    pub fn parse(sent: Map<String, Value>, credential: Option<&Credential>) -> Result<Self, Vec<Invalid>> {
        let mut reader = Reader::new(sent);
        let draft = read(&mut reader, credential);
        let invalid = reader.into_invalid();
        match draft {
            Some(draft) if invalid.is_empty() => Ok(draft),
            _ => Err(invalid),
        }
    }

    /// The settings of a stored webhook.
    ///
    /// # Errors
    /// What a newer program may have stored that this one does not know.
    pub fn parse_stored(settings: Map<String, Value>) -> Result<Webhook, Vec<Invalid>> {
        let mut reader = Reader::new(settings);
        let webhook = read_webhook(&mut reader, "", true);
        let invalid = reader.into_invalid();
        webhook.filter(|_| invalid.is_empty()).ok_or(invalid)
    }
}

fn read(reader: &mut Reader, credential: Option<&Credential>) -> Option<WebhookDraft> {
    let (name, description) = named(reader);
    let host = tool(reader, credential);
    let whole_address = credential.is_some_and(|credential| credential.authorization_type.address_is_secret);
    let webhook = read_webhook(reader, &host, whole_address);
    reader.refuse_unknown(KNOWN, READ_ONLY);
    Some(WebhookDraft { name: name?, description, webhook: webhook? })
}

fn read_webhook(reader: &mut Reader, host: &str, path_may_be_empty: bool) -> Option<Webhook> {
    let methods = [("POST", 0), ("PUT", 1), ("PATCH", 2)];
    let method =
        [Method::POST, Method::PUT, Method::PATCH][reader.choice("method", "Method", &methods, 0)].clone();
    let path = reader.text("path", "Path");
    if path.trim().is_empty() && !path_may_be_empty {
        reader.refuse("path", Fault::new("slash_needed", "Path must start with /"));
    }
    let path = reader.accept("path", PathTemplate::parse(&path, host));
    let event_types = read_event_types(reader);
    let only_when = reader.text("only_when", "Only when");
    let only_when = if only_when.trim().is_empty() {
        Some(None)
    } else {
        reader.accept("only_when", Condition::parse(&only_when)).map(Some)
    };
    let payload = read_payload(reader);
    let headers = read_headers(reader);
    let signature = reader.choice("signature", "Signature", Signing::ALL, Signing::Off);
    let success_when = reader.choice("success_when", "Counts as delivered", Success::ALL, Success::Status);
    let outputs = read_outputs(reader);
    let retry_schedule = read_schedule(reader);
    let retry_client_errors = reader.flag("retry_client_errors", "Retry these too", false);
    let when_no_answer =
        reader.choice("when_no_answer", "When no answer arrives", WhenNoAnswer::ALL, WhenNoAnswer::Retry);
    let timeout =
        parse_count(&reader.take("timeout_seconds"), 1..=60, "Timeout must be from 1 to 60 seconds");
    let timeout = reader.accept("timeout_seconds", timeout).flatten().unwrap_or(20);
    let concurrency =
        parse_count(&reader.take("max_concurrency"), 1..=64, "At most N at a time must be from 1 to 64");
    let max_concurrency = reader.accept("max_concurrency", concurrency).flatten().unwrap_or(4);
    let rate = Rate::parse(&reader.take("max_per_second"));
    let max_per_second = reader.accept("max_per_second", rate).flatten();
    let idempotency_header = reader.flag("idempotency_header", "Send Idempotency-Key", true);
    Some(Webhook {
        method,
        path: path?,
        event_types,
        only_when: only_when?,
        payload: payload?,
        headers,
        signature,
        success_when,
        outputs,
        retry_schedule,
        retry_client_errors,
        when_no_answer,
        timeout: Duration::from_secs(u64::from(timeout)),
        max_concurrency,
        max_per_second,
        idempotency_header,
    })
}

/// The key `event_types`, of whatever takes events.
pub(in crate::connector) fn read_event_types(reader: &mut Reader) -> Vec<TypePattern> {
    let mut patterns = Vec::new();
    for row in reader.list("event_types", "Event types") {
        let text = row.as_str().unwrap_or_default();
        if let Some(pattern) = reader.accept("event_types", TypePattern::parse(text)) {
            patterns.push(pattern);
        }
    }
    if patterns.is_empty() && reader.is_clean("event_types") {
        reader.refuse("event_types", Fault::new("missing", "Enter an event type or choose All"));
    }
    patterns
}

#[derive(Clone, Copy)]
enum Kind {
    Event,
    CloudEvents,
    Template,
}

fn read_payload(reader: &mut Reader) -> Option<Payload> {
    let kinds = [("event", Kind::Event), ("cloudevents", Kind::CloudEvents), ("template", Kind::Template)];
    let kind = reader.choice("payload", "Payload", &kinds, Kind::Event);
    let text = reader.text("template", "Template");
    let content_type = reader.text("content_type", "Content type").trim().to_owned();
    let content_type = if content_type.is_empty() { JSON.to_owned() } else { content_type };
    match kind {
        Kind::Event => Some(Payload::Event),
        Kind::CloudEvents => Some(Payload::CloudEvents),
        Kind::Template => {
            let plain = content_type.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
            if !plain || !content_type.contains('/') {
                reader.refuse(
                    "content_type",
                    Fault::new("bad_form", "Content type must look like application/json"),
                );
            }
            if text.trim().is_empty() {
                reader.refuse("template", Fault::new("missing", "Enter a template"));
                return None;
            }
            let template = reader.accept("template", Template::parse(&text, shape(&content_type)))?;
            Some(Payload::Template { text, template, content_type })
        }
    }
}

fn shape(content_type: &str) -> Shape {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/x-www-form-urlencoded" => Shape::Form,
        _ if crate::event::is_json(content_type) => Shape::Json,
        _ => Shape::Text,
    }
}

fn read_headers(reader: &mut Reader) -> Vec<(HeaderName, HeaderValue)> {
    let rows = reader.list("headers", "Headers");
    if rows.len() > header::HEADER_ROWS_MAX {
        reader.refuse("headers", Fault::new("too_many", "Add 20 headers or fewer"));
        return Vec::new();
    }
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        reader.refuse_unknown_in_row(&format!("headers/{index}"), row, &["name", "value"]);
        let part = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default();
        let at = format!("headers/{index}/name");
        let name = header::parse_name(part("name"), index + 1, &["content-type", "accept"]);
        let Some(name) = reader.accept(&at, name) else { continue };
        if headers.iter().any(|(other, _)| *other == name) {
            reader.refuse(&at, Fault::new("listed_twice", format!("{} is listed twice", part("name"))));
            continue;
        }
        let judged = header::judge_value(part("name"), part("value"));
        if reader.accept(&format!("headers/{index}/value"), judged).is_some() {
            headers.push((name, HeaderValue::from_str(part("value")).expect("judged to be visible ASCII")));
        }
    }
    headers
}

fn read_outputs(reader: &mut Reader) -> Vec<(String, String)> {
    let rows = reader.list("outputs", "Keep from the answer");
    if rows.len() > OUTPUTS_MAX {
        reader.refuse("outputs", Fault::new("too_many", "Add 5 rows or fewer"));
        return Vec::new();
    }
    let mut outputs = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        reader.refuse_unknown_in_row(&format!("outputs/{index}"), row, &["name", "pointer"]);
        let part = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default().trim().to_owned();
        let (name, pointer) = (part("name"), part("pointer"));
        if name.is_empty() || name.chars().count() > 64 {
            let sentence = format!("Enter a name for row {} or remove it", index + 1);
            reader.refuse(&format!("outputs/{index}/name"), Fault::new("missing", sentence));
        } else if !pointer.starts_with('/') || pointer.len() > 256 {
            let fault = Fault::new("bad_form", "JSON Pointer must start with /, for example /result/number");
            reader.refuse(&format!("outputs/{index}/pointer"), fault);
        } else {
            outputs.push((name, pointer));
        }
    }
    outputs
}

fn read_schedule(reader: &mut Reader) -> Option<Vec<Duration>> {
    let value = reader.take("retry_schedule_seconds");
    if value.is_null() {
        return None;
    }
    let waits =
        value.as_array().and_then(|waits| waits.iter().map(Value::as_u64).collect::<Option<Vec<_>>>());
    let fits = |waits: &Vec<u64>| {
        waits.len() <= RETRIES_MAX && waits.iter().all(|wait| (1..=RETRY_WAIT_MAX_SECONDS).contains(wait))
    };
    let Some(waits) = waits.filter(fits) else {
        let sentence = "Retries must be 0 to 20 waits of 1 to 604,800 seconds";
        reader.refuse("retry_schedule_seconds", Fault::new("out_of_range", sentence));
        return None;
    };
    Some(waits.into_iter().map(Duration::from_secs).collect())
}
