//! `{{ event.id }}` in paths and bodies: placeholders with filters, escaped for where they land. No logic.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::Value;

use crate::catalog::Fault;
use crate::target::{PathFault, RemotePath, push_component};

mod fact;
mod filter;

pub use fact::EventFacts;
pub(crate) use fact::{FactPath, read_literal};
use filter::Filter;

/// The largest text that is sent, and the largest template.
const RESULT_BYTES_MAX: usize = 1 << 20;

/// What a template makes, which decides how values are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// JSON. A placeholder inside a string is escaped, one that stands for a value becomes a JSON value.
    Json,
    /// Plain text; values go in as they are.
    Text,
    /// `application/x-www-form-urlencoded`; values are percent-encoded.
    Form,
    /// A path with an optional query; each value is one segment or one query value.
    Path,
}

/// A template, split into what stands and what is filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    shape: Shape,
    parts: Vec<Part>,
}

/// What placeholders can name.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The event's own fields.
    pub event: EventFacts<'a>,
    /// The event's data; `Null` when it is not JSON.
    pub data: &'a Value,
    /// The delivery this is rendered for.
    pub delivery_id: &'a str,
    /// The connector it goes through.
    pub connector_name: &'a str,
}

/// Why an event does not fit a template. The text follows "The request could not be made:".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderFault {
    /// More than 1 MiB.
    #[error("it is larger than 1 MiB")]
    TooLarge,
    /// A value in a path is missing or empty.
    #[error("“{0}” is empty")]
    EmptyPart(String),
    /// A value in a path is `.` or `..`.
    #[error("“{0}” is a dot segment")]
    DotPart(String),
    /// The filled-in path is not one that may be called.
    #[error(transparent)]
    Path(#[from] PathFault),
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Literal(String),
    Hole(Hole),
}

#[derive(Clone, Debug, PartialEq)]
struct Hole {
    path: FactPath,
    filters: Vec<Filter>,
    place: Place,
}

/// Where a placeholder stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    JsonString,
    JsonValue,
    Text,
    Component,
    PathPart,
}

impl Template {
    /// Reads a template. JSON is checked as JSON with holes; a path is for the caller to check, who knows the
    /// host it must stay on, with [`Self::with_holes_filled`].
    pub fn parse(text: &str, shape: Shape) -> Result<Self, Fault> {
        let noun = if shape == Shape::Path { "path" } else { "template" };
        if text.len() > RESULT_BYTES_MAX {
            return Err(Fault::new("too_long", format!("The {noun} must be 1 MiB or smaller")));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        let mut in_string = false;
        while let Some((literal, opened)) = split_at_hole(rest) {
            in_string = ends_in_string(literal, in_string);
            let place = match shape {
                Shape::Json if in_string => Place::JsonString,
                Shape::Json => Place::JsonValue,
                Shape::Text => Place::Text,
                Shape::Form => Place::Component,
                Shape::Path => Place::PathPart,
            };
            let (hole, after) = Hole::read(opened, place).map_err(|problem| problem.fault(noun))?;
            parts.extend((!literal.is_empty()).then(|| Part::Literal(literal.to_owned())));
            parts.push(Part::Hole(hole));
            rest = after;
        }
        parts.extend((!rest.is_empty()).then(|| Part::Literal(rest.to_owned())));
        let template = Self { shape, parts };
        if shape == Shape::Json {
            template.check_json()?;
        }
        Ok(template)
    }

    /// Fills in the template. The same scope gives the same text; JSON is always valid, a path always stays
    /// on its origin.
    pub fn render(&self, scope: &Scope<'_>) -> Result<String, RenderFault> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Hole(hole) => hole.render(scope, &mut out)?,
            }
            if out.len() > RESULT_BYTES_MAX {
                return Err(RenderFault::TooLarge);
            }
        }
        match self.shape {
            Shape::Json | Shape::Text | Shape::Form => Ok(out),
            Shape::Path => Ok(RemotePath::parse(&out)?.as_str().to_owned()),
        }
    }

    /// The template with a harmless filling: every JSON value is `null`, everything else a letter that is no
    /// escape and no hexadecimal digit. A template that is well formed so is well formed with any value.
    pub fn with_holes_filled(&self) -> String {
        let texts = self.parts.iter().map(|part| match part {
            Part::Literal(text) => text.as_str(),
            Part::Hole(Hole { place: Place::JsonValue, .. }) => "null",
            Part::Hole(_) => "x",
        });
        texts.collect()
    }

    fn check_json(&self) -> Result<(), Fault> {
        serde_json::from_str::<Value>(&self.with_holes_filled()).map(|_| ()).map_err(|error| {
            let whole = error.to_string();
            let what = whole.split(" at line ").next().unwrap_or_default();
            Fault::new("bad_form", format!("The template is not JSON: line {}, {what}", error.line()))
        })
    }
}

/// The text before the next `{{` and the text behind it. Of more than two braces the last two open it.
fn split_at_hole(text: &str) -> Option<(&str, &str)> {
    let start = text.find("{{")?;
    let braces = text[start..].bytes().take_while(|byte| *byte == b'{').count();
    let (literal, opened) = text.split_at(start + braces - 2);
    Some((literal, &opened[2..]))
}

/// Whether JSON text ends inside a string, given whether it began in one.
fn ends_in_string(literal: &str, mut in_string: bool) -> bool {
    let mut bytes = literal.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                bytes.next();
            }
            _ => {}
        }
    }
    in_string
}

/// What is wrong inside a placeholder.
enum Problem {
    UnknownPath(String),
    Form { at: String, what: &'static str },
}

impl Problem {
    fn form(at: &str, what: &'static str) -> Self {
        Self::Form { at: excerpt(at), what }
    }

    fn fault(self, noun: &str) -> Fault {
        match self {
            Self::UnknownPath(path) => Fault::new(
                "unknown_path",
                format!("“{path}” in the {noun} is not known. Start with event. or data."),
            ),
            Self::Form { at, what } => {
                Fault::new("bad_form", format!("The {noun} has an error at “{at}”: {what}"))
            }
        }
    }
}

/// The first characters of a text, for sentences.
pub(crate) fn excerpt(text: &str) -> String {
    let shown: String = text.trim_start().chars().take_while(|c| !c.is_control()).take(24).collect();
    if shown.is_empty() { "end".to_owned() } else { shown.trim_end().to_owned() }
}

impl Hole {
    /// Reads what follows `{{`, and gives back what follows `}}`.
    fn read(text: &str, place: Place) -> Result<(Self, &str), Problem> {
        let start = skip_blanks(text);
        if start.is_empty() || start.starts_with("}}") {
            return Err(Problem::form(start, "a name such as event.id is expected"));
        }
        let (path, mut rest) = FactPath::read(start).map_err(Problem::UnknownPath)?;
        let mut filters = Vec::new();
        loop {
            rest = skip_blanks(rest);
            if let Some(after) = rest.strip_prefix("}}") {
                // A value already goes in as JSON.
                if place == Place::JsonValue && filters.last() == Some(&Filter::Json) {
                    filters.pop();
                }
                return Ok((Self { path, filters, place }, after));
            }
            let after = rest.strip_prefix('|').ok_or_else(|| Problem::form(rest, "| or }} is expected"))?;
            let after = skip_blanks(after);
            let (filter, after) = Filter::read(after).map_err(|what| Problem::form(after, what))?;
            filters.push(filter);
            rest = after;
        }
    }

    fn render(&self, scope: &Scope<'_>, out: &mut String) -> Result<(), RenderFault> {
        let found = self.path.find(scope).filter(|value| !value.is_null());
        let value = self.filters.iter().fold(found, |value, filter| filter.apply(value));
        let value = value.as_deref().unwrap_or(&Value::Null);
        match self.place {
            Place::JsonValue => write!(out, "{value}").expect("writing to a string does not fail"),
            Place::JsonString => push_json_escaped(out, &as_text(value)),
            Place::Text => out.push_str(&as_text(value)),
            Place::Component => push_component(out, &as_text(value)),
            Place::PathPart => match as_text(value).as_ref() {
                "" => return Err(RenderFault::EmptyPart(self.path.as_str().to_owned())),
                "." | ".." => return Err(RenderFault::DotPart(self.path.as_str().to_owned())),
                text => push_component(out, text),
            },
        }
        Ok(())
    }
}

/// Spaces and tabs; a placeholder stands on one line.
fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// A value inside text: nothing for `null`, strings as they are, everything else as JSON.
fn as_text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::Borrowed(""),
        Value::String(text) => Cow::Borrowed(text),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Cow::Owned(value.to_string())
        }
    }
}

/// The inside of a JSON string (RFC 8259 section 7).
fn push_json_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\x1f' => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("writing to a string does not fail");
            }
            _ => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests;
