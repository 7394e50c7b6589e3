//! One line of the log: `ts level msg target` and the fields, as text or as JSON.

use std::fmt::{self, Write as _};

use serde::Serializer as _;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// For whom a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// For people.
    Text,
    /// For programs.
    Json,
}

pub(super) struct Line(pub(super) Look);

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut time = String::with_capacity(32);
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let metadata = event.metadata();
        let line = match self.0 {
            Look::Text => fields.text(&time, metadata.level().as_str(), metadata.target()),
            Look::Json => fields.json(&time, metadata.level().as_str(), metadata.target()),
        };
        writeln!(writer, "{line}")
    }
}

/// The message and the fields of one event.
#[derive(Default)]
pub(super) struct Fields {
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Fields {
    pub(super) fn json(self, time: &str, level: &str, target: &str) -> String {
        let head = [("ts", time), ("level", level), ("msg", &self.message), ("target", target)];
        let head = head.map(|(key, text)| (key, Value::from(text)));
        let mut line = Vec::with_capacity(256);
        let written = serde_json::Serializer::new(&mut line).collect_map(head.into_iter().chain(self.fields));
        written.expect("texts and numbers are JSON");
        String::from_utf8(line).expect("JSON is text")
    }

    /// Line breaks and control characters are escaped: one event is one line.
    pub(super) fn text(self, time: &str, level: &str, target: &str) -> String {
        let mut line = format!("{time} {level:5} {}", self.message.escape_debug());
        if !target.starts_with("consign") {
            let _ = write!(line, " target={target}");
        }
        for (key, value) in &self.fields {
            let _ = match value {
                Value::String(text) if is_plain(text) => write!(line, " {key}={text}"),
                other => write!(line, " {key}={other}"),
            };
        }
        line
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"')
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::String(value.to_owned()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::Bool(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Value::from(value));
    }

    /// The whole chain of causes.
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let causes = std::iter::successors(Some(value), |error| error.source());
        let chain: Vec<String> = causes.map(ToString::to_string).collect();
        self.put(field, Value::String(chain.join(": ")));
    }
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match value {
            Value::String(text) if field.name() == "message" => self.message = text,
            value => {
                self.fields.push((field.name(), value));
            }
        }
    }
}
