//! An event: one thing that happened, came in once, and goes to every webhook that is interested.

use std::fmt;

use bytes::Bytes;
use serde_json::Value;

use crate::catalog::Fault;
use crate::id::EventId;
use crate::template::EventFacts;
use crate::time::Timestamp;

pub use read::{BATCH_EVENTS_MAX, EventFault, NewEvent, read_batch, read_one};

mod read;

/// The media type of JSON data.
pub const JSON: &str = "application/json";
const TYPE_CHARS_MAX: usize = 128;
/// The source of what Consign itself has to say.
pub const OWN_SOURCE: &str = "consign";

/// An accepted event.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its id; also the `webhook-id` of every request made of it.
    pub id: EventId,
    /// Its type, such as `device.score.low`.
    pub event_type: String,
    /// Who says so; with `source_id` the key that recognises a repeat.
    pub source: String,
    /// The sender's own id.
    pub source_id: String,
    /// What it is about.
    pub subject: Option<String>,
    /// When it happened.
    pub time: Timestamp,
    /// The media type of the data.
    pub content_type: String,
    /// The data, byte for byte as received.
    pub data: Bytes,
    /// Further CloudEvents attributes, passed on in CloudEvents payloads.
    pub extensions: Vec<(String, Value)>,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// The id of the API key or person that sent it.
    pub received_from: String,
    /// A test event: marked in lists.
    pub test: bool,
}

impl Event {
    /// The data as JSON; `null` for other data.
    pub fn json(&self) -> Value {
        if is_json(&self.content_type) {
            serde_json::from_slice(&self.data).unwrap_or(Value::Null)
        } else {
            Value::Null
        }
    }

    /// What templates and conditions may ask.
    pub fn facts(&self) -> EventFacts<'_> {
        EventFacts {
            id: self.id,
            event_type: &self.event_type,
            source: &self.source,
            subject: self.subject.as_deref(),
            time: self.time,
        }
    }
}

/// Whether a media type is JSON: `application/json`, or any `+json`.
pub fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == JSON || essence.ends_with("+json") || essence == "text/json"
}

/// Whether a text can name an event type: `[A-Za-z0-9_.-]{1,128}`, segments by dots.
pub fn is_type(text: &str) -> bool {
    (1..=TYPE_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        && text.split('.').all(|segment| !segment.is_empty())
}

/// Whether a type is one of Consign's own, such as `consign.credential.ends`, or would pass for one. Nobody else may send one, and only those get it
/// who ask for it: what takes everything was set up for the events of applications.
pub fn is_own_type(event_type: &str) -> bool {
    event_type.split('.').next().is_some_and(is_own_source)
}

/// Whether a source is Consign itself, or would pass for it.
pub fn is_own_source(source: &str) -> bool {
    source.trim().eq_ignore_ascii_case(OWN_SOURCE)
}

/// Which event types a webhook takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypePattern {
    /// Every type, except for Consign's own.
    All,
    /// Everything under a prefix: `device.*`.
    Under(String),
    /// This type.
    Exact(String),
}

impl TypePattern {
    /// Reads `*`, `device.*` or `device.score.low`.
    ///
    /// # Errors
    /// `bad_form`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let text = text.trim();
        let fault = || Fault::new("bad_form", format!("“{text}” is not an event type"));
        match text.strip_suffix(".*") {
            _ if text == "*" => Ok(Self::All),
            Some(prefix) if is_type(prefix) => Ok(Self::Under(prefix.to_owned())),
            None if is_type(text) => Ok(Self::Exact(text.to_owned())),
            _ => Err(fault()),
        }
    }

    /// Whether an event type fits.
    pub fn matches(&self, event_type: &str) -> bool {
        match self {
            Self::All => !is_own_type(event_type),
            Self::Under(prefix) => {
                event_type.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('.'))
            }
            Self::Exact(name) => name == event_type,
        }
    }
}

impl fmt::Display for TypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Under(prefix) => write!(f, "{prefix}.*"),
            Self::Exact(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests;
