//! `/events`: the intake, and what came in. CloudEvents 1.0: JSON and batch format, HTTP protocol binding.

use std::fmt::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use consign_core::event::{EventFault, is_json, read_batch};
use consign_core::id::EventId;
use consign_core::rights::Right;
use consign_store::events::EventFilter;
use http::{HeaderMap, HeaderName, StatusCode};
use serde_json::Value;

use super::answer::Answer;
use super::body::{essence, media_type};
use super::call::Call;
use super::problem::{Problem, kinds};
use crate::engine::AcceptedEvent;
use crate::ops::events;

/// Below the base.
pub(super) const PATH: &str = "/events";
const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const MINIMAL: &str = "return=minimal";

/// The hot path: no value is built between the body and the rows.
pub(super) async fn send(call: Call) -> Result<Answer, Problem> {
    judge_media_type(&call.headers)?;
    let (sent, batch) = read_batch(&call.headers, &call.body).map_err(|fault| match fault {
        EventFault::NotReadable(what) => {
            Problem::new(&kinds::NOT_READABLE, format!("The body cannot be read: {what}."))
        }
        EventFault::Invalid(errors) => Problem::invalid(&errors),
    })?;
    let minimal = prefers_minimal(&call.headers);
    let accept = async {
        let accepted = events::accept(&call.app, &call.actor, sent).await?;
        let answer = Answer::text(StatusCode::ACCEPTED, written(&accepted, batch, minimal));
        Ok(if minimal { answer.header(PREFERENCE_APPLIED, MINIMAL) } else { answer })
    };
    if batch {
        call.key_needed(
            "A batch needs the header Idempotency-Key, so that sending it again makes no second copy.",
        )?;
    }
    call.once(StatusCode::ACCEPTED, accept).await
}

/// JSON in one of three forms; a binary CloudEvent may be anything.
fn judge_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key("ce-specversion") {
        return Ok(());
    }
    match essence(headers).as_str() {
        "" | "application/json" | "application/cloudevents+json" | "application/cloudevents-batch+json" => {
            Ok(())
        }
        _ => Err(media_type(
            "Send application/json, application/cloudevents+json, application/cloudevents-batch+json, \
             or a binary CloudEvent with ce- headers.",
        )),
    }
}

/// `Prefer: return=minimal`, RFC 7240 section 4.2.
fn prefers_minimal(headers: &HeaderMap) -> bool {
    let mut preferences = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    preferences.any(|line| line.split(',').any(|preference| preference.trim().eq_ignore_ascii_case(MINIMAL)))
}

/// Written by hand: ids need no escaping.
fn written(accepted: &[AcceptedEvent], batch: bool, minimal: bool) -> String {
    let mut text = String::with_capacity(128 * accepted.len());
    if batch {
        text.push('[');
    }
    for (index, event) in accepted.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let _ = write!(text, r#"{comma}{{"id":"{}","duplicate":{}"#, event.id, event.duplicate);
        if !minimal {
            text.push_str(r#","deliveries":["#);
            for (index, (delivery, connector)) in event.deliveries.iter().enumerate() {
                let comma = if index > 0 { "," } else { "" };
                let _ = write!(text, r#"{comma}{{"id":"{delivery}","connector":"{connector}"}}"#);
            }
            text.push(']');
        }
        text.push('}');
    }
    if batch {
        text.push(']');
    }
    text
}

pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    let filter = EventFilter {
        event_type: call.text("event_type"),
        q: call.text("q"),
        unmatched_only: call.flag("unmatched")?,
        after_time: call.time("created_after")?,
        before_time: call.time("created_before")?,
    };
    Ok(call.listed(events::list(&call.app, &call.actor, &filter, &call.page()?).await?))
}

/// With its data for those who may open payloads, as long as it is kept.
pub(super) async fn find(call: Call) -> Result<Answer, Problem> {
    let id: EventId = call.id("event")?;
    let mut value = events::find(&call.app, &call.actor, id).await?;
    let kept = value.get("payload_kept") == Some(&Value::Bool(true));
    if kept && call.actor.rights.allow(Right::PayloadsRead) {
        let (content_type, data) = events::payload(&call.app, &call.actor, id).await?;
        match serde_json::from_slice::<Value>(&data) {
            Ok(json) if is_json(&content_type) => value["data"] = json,
            _ => value["data_base64"] = Value::from(BASE64_STANDARD.encode(&data)),
        }
    }
    Ok(Answer::ok(&value))
}

#[cfg(test)]
mod tests;
