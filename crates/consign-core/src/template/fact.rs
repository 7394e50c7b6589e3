//! Paths such as `event.id` and `data["a b"].0`, and JSON literals: what templates and conditions have in
//! common.

use std::borrow::Cow;

use serde_json::Value;

use super::Scope;
use crate::id::EventId;
use crate::time::Timestamp;

/// The fields of an event that templates and conditions can name.
#[derive(Clone, Copy, Debug)]
pub struct EventFacts<'a> {
    /// `event.id`.
    pub id: EventId,
    /// `event.type`.
    pub event_type: &'a str,
    /// `event.source`.
    pub source: &'a str,
    /// `event.subject`, when the sender gave one.
    pub subject: Option<&'a str>,
    /// `event.time`, as RFC 3339 text.
    pub time: Timestamp,
}

/// A path to one fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FactPath {
    text: String,
    fact: Fact,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fact {
    EventId,
    EventType,
    EventSource,
    EventSubject,
    EventTime,
    DeliveryId,
    ConnectorName,
    Data(Vec<String>),
}

impl FactPath {
    /// Reads a path at the start of a text, and gives back what follows it. The error is the text that is no
    /// known path.
    pub(crate) fn read(text: &str) -> Result<(Self, &str), String> {
        let (segments, rest) = read_segments(text);
        let path = &text[..text.len() - rest.len()];
        let mut names = segments.into_iter();
        let fact = match names.next().as_deref() {
            Some("data") => Some(Fact::Data(names.collect())),
            Some(root) => {
                let name = names.next();
                let fact = match (root, name.as_deref()) {
                    ("event", Some("id")) => Some(Fact::EventId),
                    ("event", Some("type")) => Some(Fact::EventType),
                    ("event", Some("source")) => Some(Fact::EventSource),
                    ("event", Some("subject")) => Some(Fact::EventSubject),
                    ("event", Some("time")) => Some(Fact::EventTime),
                    ("delivery", Some("id")) => Some(Fact::DeliveryId),
                    ("connector", Some("name")) => Some(Fact::ConnectorName),
                    _ => None,
                };
                fact.filter(|_| names.next().is_none())
            }
            None => None,
        };
        match fact {
            Some(fact) => Ok((Self { text: path.to_owned(), fact }, rest)),
            None if path.is_empty() => Err(super::excerpt(text.split("}}").next().unwrap_or_default())),
            None => Err(path.to_owned()),
        }
    }

    /// The path as it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it starts with `event.` or `data`.
    pub(crate) fn is_of_event(&self) -> bool {
        !matches!(self.fact, Fact::DeliveryId | Fact::ConnectorName)
    }

    /// The fact in a scope; `None` when there is none, `Null` when the data says so.
    pub(super) fn find<'a>(&self, scope: &Scope<'a>) -> Option<Cow<'a, Value>> {
        match self.fact {
            Fact::DeliveryId => Some(owned(scope.delivery_id)),
            Fact::ConnectorName => Some(owned(scope.connector_name)),
            Fact::EventId
            | Fact::EventType
            | Fact::EventSource
            | Fact::EventSubject
            | Fact::EventTime
            | Fact::Data(_) => self.find_in_event(&scope.event, scope.data),
        }
    }

    /// The fact of an event; `None` when there is none, and for paths that are not about the event.
    pub(crate) fn find_in_event<'a>(
        &self,
        event: &EventFacts<'a>,
        data: &'a Value,
    ) -> Option<Cow<'a, Value>> {
        match &self.fact {
            Fact::EventId => Some(owned(&event.id.to_string())),
            Fact::EventType => Some(owned(event.event_type)),
            Fact::EventSource => Some(owned(event.source)),
            Fact::EventSubject => event.subject.map(owned),
            Fact::EventTime => Some(Cow::Owned(Value::String(event.time.to_string()))),
            Fact::Data(segments) => descend(data, segments).map(Cow::Borrowed),
            Fact::DeliveryId | Fact::ConnectorName => None,
        }
    }
}

impl FactPath {
    /// The fact of a record: of an event, or of what was pushed, which is all data.
    pub(crate) fn find_in_record<'a>(
        &self,
        event: Option<&EventFacts<'a>>,
        data: &'a Value,
    ) -> Option<Cow<'a, Value>> {
        match (event, &self.fact) {
            (Some(event), _) => self.find_in_event(event, data),
            (None, Fact::Data(segments)) => descend(data, segments).map(Cow::Borrowed),
            (None, _) => None,
        }
    }

    /// Whether it starts with `data`.
    pub(crate) fn is_of_data(&self) -> bool {
        matches!(self.fact, Fact::Data(_))
    }

    /// The path to a member of the data.
    pub(crate) fn of_member(name: &str) -> Self {
        let text = format!("data[{}]", Value::from(name));
        Self { text, fact: Fact::Data(vec![name.to_owned()]) }
    }
}

fn owned<'a>(text: &str) -> Cow<'a, Value> {
    Cow::Owned(Value::String(text.to_owned()))
}

fn descend<'a>(data: &'a Value, segments: &[String]) -> Option<&'a Value> {
    segments.iter().try_fold(data, |value, segment| match value {
        Value::Object(members) => members.get(segment),
        Value::Array(items) => items.get(segment.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// The segments at the start of a text, and what follows. No segment when it does not start with a name.
fn read_segments(text: &str) -> (Vec<String>, &str) {
    let (first, mut rest) = split_word(text);
    if first.is_empty() {
        return (Vec::new(), text);
    }
    let mut segments = vec![first.to_owned()];
    loop {
        let next = match rest.strip_prefix('.') {
            Some(after) => Some(split_word(after))
                .filter(|(word, _)| !word.is_empty())
                .map(|(word, after)| (word.to_owned(), after)),
            None => read_bracket(rest),
        };
        let Some((segment, after)) = next else { return (segments, rest) };
        segments.push(segment);
        rest = after;
    }
}

fn split_word(text: &str) -> (&str, &str) {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | '@');
    text.split_at(text.find(|c| !is_part(c)).unwrap_or(text.len()))
}

/// `["a b"]` or `[0]`.
fn read_bracket(text: &str) -> Option<(String, &str)> {
    let (key, rest) = read_literal(text.strip_prefix('[')?)?;
    let rest = rest.strip_prefix(']')?;
    match key {
        Value::String(key) => Some((key, rest)),
        Value::Number(index) => Some((index.as_u64()?.to_string(), rest)),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A JSON literal at the start of a text, and what follows it.
pub(crate) fn read_literal(text: &str) -> Option<(Value, &str)> {
    if text.starts_with(['"', '[', '{']) {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        let value = values.next()?.ok()?;
        return Some((value, &text[values.byte_offset()..]));
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_');
    let (scalar, rest) = text.split_at(text.find(|c| !is_part(c)).unwrap_or(text.len()));
    Some((serde_json::from_str(scalar).ok()?, rest))
}
