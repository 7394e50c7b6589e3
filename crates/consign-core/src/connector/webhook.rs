//! A webhook: one request per event.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use super::Message;
use super::signature::Signing;
use crate::catalog::Fault;
use crate::condition::Condition;
use crate::credential::Rate;
use crate::delivery::Retry;
use crate::event::{Event, JSON, TypePattern};
use crate::id::DeliveryId;
use crate::target::RemotePath;
use crate::template::{Scope, Shape, Template};
use crate::time::Timestamp;

pub use draft::WebhookDraft;
pub(super) use draft::read_event_types;

mod draft;

const CLOUD_EVENTS: &str = "application/cloudevents+json";

/// What a webhook sends, to which path, and how patiently.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// POST, PUT or PATCH.
    pub method: Method,
    /// The path as typed; may hold placeholders, may be empty for *No Auth (None)*.
    pub path: PathTemplate,
    /// The event types it takes; never empty.
    pub event_types: Vec<TypePattern>,
    /// A condition on the event.
    pub only_when: Option<Condition>,
    /// What the body is.
    pub payload: Payload,
    /// Headers that are no secrets.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How requests are signed.
    pub signature: Signing,
    /// When the tool counts as having taken it.
    pub success_when: Success,
    /// Names and JSON Pointers of values kept from the answer.
    pub outputs: Vec<(String, String)>,
    /// Own waits between attempts; `None`: the default schedule.
    pub retry_schedule: Option<Vec<Duration>>,
    /// Whether 400, 413, 415 and 422 are tried again too.
    pub retry_client_errors: bool,
    /// What happens to a request that left and was not answered.
    pub when_no_answer: WhenNoAnswer,
    /// The time for the whole answer.
    pub timeout: Duration,
    /// The most requests at one time.
    pub max_concurrency: u32,
    /// The most requests a second.
    pub max_per_second: Option<Rate>,
    /// Whether `Idempotency-Key` is sent.
    pub idempotency_header: bool,
}

/// A path, with or without placeholders.
#[derive(Clone, Debug)]
pub struct PathTemplate {
    text: String,
    template: Option<Template>,
}

impl PathTemplate {
    /// Reads a path. What the placeholders will hold is judged when they are filled.
    ///
    /// # Errors
    /// `slash_needed`, `other_host`, `bad_characters`, and those of a template.
    pub fn parse(text: &str, host: &str) -> Result<Self, Fault> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self { text: String::new(), template: None });
        }
        let template = if text.contains("{{") { Some(Template::parse(text, Shape::Path)?) } else { None };
        // A path with holes is judged with a harmless segment in each of them.
        let filled = template.as_ref().map_or_else(|| text.to_owned(), Template::with_holes_filled);
        RemotePath::parse(&filled).map_err(|fault| fault.at_host(host))?;
        Ok(Self { text: text.to_owned(), template })
    }

    /// As typed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn render(&self, scope: &Scope<'_>) -> Result<RemotePath, RenderError> {
        let text = match &self.template {
            None if self.text.is_empty() => return Ok(RemotePath::root()),
            None => self.text.clone(),
            Some(template) => template.render(scope).map_err(|fault| RenderError(fault.to_string()))?,
        };
        RemotePath::parse(&text).map_err(|_| RenderError("the path is not a path of this tool".to_owned()))
    }
}

/// What the body of a request is.
#[derive(Clone, Debug)]
pub enum Payload {
    /// The data as received.
    Event,
    /// CloudEvents 1.0, structured mode.
    CloudEvents,
    /// A text with placeholders.
    Template {
        /// As typed.
        text: String,
        /// Parsed.
        template: Template,
        /// Its media type.
        content_type: String,
    },
}

impl Payload {
    /// The stored and public word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::CloudEvents => "cloudevents",
            Self::Template { .. } => "template",
        }
    }
}

/// When a request counts as delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Success {
    /// Any 2xx.
    Status,
    /// 2xx with a JSON answer.
    StatusAndJson,
}

impl Success {
    /// Words and labels, in screen order.
    pub const ALL: &'static [(&'static str, Self)] =
        &[("status", Self::Status), ("status_and_json", Self::StatusAndJson)];

    /// The stored and public word.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::StatusAndJson => "status_and_json",
        }
    }
}

/// What happens to a request that left and was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenNoAnswer {
    /// Send again: the tool may create a second record.
    Retry,
    /// Wait for a person.
    Hold,
}

impl WhenNoAnswer {
    /// Words, in screen order.
    pub const ALL: &'static [(&'static str, Self)] = &[("retry", Self::Retry), ("hold", Self::Hold)];

    /// The stored and public word.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Hold => "hold",
        }
    }
}

/// Why a request could not be made: a sentence part, without a value that was typed as a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RenderError(pub String);

/// Whose request it is and when it is made.
#[derive(Clone, Copy, Debug)]
pub struct RenderFor<'a> {
    /// The delivery.
    pub delivery: DeliveryId,
    /// The first delivery of this event to this connector; the same on retries and replays.
    pub idempotency_key: DeliveryId,
    /// The name of the connector, for templates.
    pub connector: &'a str,
    /// The time of the attempt.
    pub now: Timestamp,
}

impl Webhook {
    /// Whether an event goes to this webhook.
    pub fn matches(&self, event: &Event) -> bool {
        self.event_types.iter().any(|pattern| pattern.matches(&event.event_type))
            && self
                .only_when
                .as_ref()
                .is_none_or(|condition| condition.matches(&event.facts(), &event.json()))
    }

    /// The request for an event: the same event gives the same bytes; only `webhook-timestamp` is the attempt's.
    ///
    /// # Errors
    /// What could not be filled in.
    pub fn render(&self, event: &Event, of: &RenderFor<'_>) -> Result<(Message, Bytes), RenderError> {
        let needs_json = matches!(self.payload, Payload::Template { .. }) || self.path.template.is_some();
        let data = if needs_json { event.json() } else { Value::Null };
        let delivery = of.delivery.to_string();
        let scope =
            Scope { event: event.facts(), data: &data, delivery_id: &delivery, connector_name: of.connector };
        let (content_type, body) = match &self.payload {
            Payload::Event => (event.content_type.clone(), event.data.clone()),
            Payload::CloudEvents => (CLOUD_EVENTS.to_owned(), Bytes::from(cloud_event(event))),
            Payload::Template { template, content_type, .. } => {
                let text = template.render(&scope).map_err(|fault| RenderError(fault.to_string()))?;
                (content_type.clone(), Bytes::from(text))
            }
        };
        let path = self.path.render(&scope)?;
        let headers = self.headers_for(event, of, &content_type)?;
        Ok((Message { method: self.method.clone(), path, headers }, body))
    }

    fn headers_for(
        &self,
        event: &Event,
        of: &RenderFor<'_>,
        content_type: &str,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, RenderError> {
        let value = |text: &str| {
            let value = HeaderValue::from_str(text).ok().filter(|_| text.is_ascii());
            value.ok_or_else(|| RenderError("the content type is not a header value".to_owned()))
        };
        let mut headers = Vec::with_capacity(8 + self.headers.len());
        let own = |name: &HeaderName| self.headers.iter().any(|(own, _)| own == name);
        if !own(&CONTENT_TYPE) {
            headers.push((CONTENT_TYPE, value(content_type)?));
        }
        if !own(&ACCEPT) {
            headers.push((ACCEPT, HeaderValue::from_static("application/json, */*;q=0.5")));
        }
        headers.push((USER_AGENT, HeaderValue::from_static(concat!("Consign/", env!("CARGO_PKG_VERSION")))));
        headers.push((HeaderName::from_static("webhook-id"), value(&event.id.to_string())?));
        headers.push((HeaderName::from_static("webhook-timestamp"), HeaderValue::from(of.now.seconds())));
        if self.idempotency_header {
            headers
                .push((HeaderName::from_static("idempotency-key"), value(&of.idempotency_key.to_string())?));
        }
        headers.extend(self.headers.iter().cloned());
        Ok(headers)
    }

    /// How it tries again.
    pub fn retry(&self, default_schedule: &[Duration]) -> Retry {
        Retry {
            schedule: self.retry_schedule.clone().unwrap_or_else(|| default_schedule.to_vec()),
            retry_client_errors: self.retry_client_errors,
            when_no_answer: self.when_no_answer,
        }
    }
}

/// CloudEvents 1.0, JSON format. The data is inserted as received when it is JSON, and not only said to be.
fn cloud_event(event: &Event) -> String {
    let mut text = String::with_capacity(event.data.len() + 256);
    let quoted = |text: &str| Value::from(text).to_string();
    let _ = write!(
        text,
        r#"{{"specversion":"1.0","id":"{}","source":{},"type":{},"time":"{}","datacontenttype":{}"#,
        event.id,
        quoted(&event.source),
        quoted(&event.event_type),
        event.time,
        quoted(&event.content_type),
    );
    if let Some(subject) = &event.subject {
        let _ = write!(text, r#","subject":{}"#, quoted(subject));
    }
    for (name, value) in &event.extensions {
        let _ = write!(text, ",{}:{value}", quoted(name));
    }
    let json = |data| serde_json::from_str::<serde::de::IgnoredAny>(data).is_ok();
    match std::str::from_utf8(&event.data) {
        Ok(data) if crate::event::is_json(&event.content_type) && json(data) => {
            let _ = write!(text, r#","data":{data}"#);
        }
        _ if event.data.is_empty() => {}
        _ => {
            use base64::prelude::{BASE64_STANDARD, Engine as _};
            let _ = write!(text, r#","data_base64":"{}""#, BASE64_STANDARD.encode(&event.data));
        }
    }
    text.push('}');
    text
}

impl Webhook {
    /// The settings as they are shown, sent and stored: the keys of the form.
    pub fn to_json(&self) -> Value {
        let mut shown = json!({
            "method": self.method.as_str(),
            "path": self.path.as_str(),
            "event_types": self.event_types.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "only_when": self.only_when.as_ref().map(Condition::as_str),
            "payload": self.payload.kind(),
            "headers": self.headers.iter().map(|(name, value)| {
                json!({ "name": name.as_str(), "value": value.to_str().unwrap_or_default() })
            }).collect::<Vec<_>>(),
            "signature": self.signature.kind(),
            "success_when": self.success_when.kind(),
            "outputs": self.outputs.iter().map(|(name, pointer)| {
                json!({ "name": name, "pointer": pointer })
            }).collect::<Vec<_>>(),
            "retry_schedule_seconds": self.retry_schedule.as_ref().map(|waits| {
                waits.iter().map(Duration::as_secs).collect::<Vec<_>>()
            }),
            "retry_client_errors": self.retry_client_errors,
            "when_no_answer": self.when_no_answer.kind(),
            "timeout_seconds": self.timeout.as_secs(),
            "max_concurrency": self.max_concurrency,
            "max_per_second": self.max_per_second.map(Rate::per_second),
            "idempotency_header": self.idempotency_header,
        });
        if let Payload::Template { text, content_type, .. } = &self.payload {
            shown["template"] = Value::from(text.as_str());
            shown["content_type"] = Value::from(content_type.as_str());
        } else {
            shown["template"] = Value::Null;
            shown["content_type"] = Value::from(JSON);
        }
        shown
    }
}

#[cfg(test)]
mod tests;
