//! What records look like in a file or request: CSV (RFC 4180), one JSON object a line, or JSON in three shapes.
//!
//! An [`Encoder`] takes records one after the other and gives bytes; it holds none of them. The same records give the
//! same bytes.

use serde_json::{Map, Value};

use crate::template::{EventFacts, FactPath};

pub use csv::{Csv, Delimiter, LineEnd, is_formula};

mod csv;
mod json;

/// A value of each record, and what it is called.
#[derive(Clone, Debug)]
pub struct Column {
    /// The heading, or the name of the member.
    pub name: String,
    /// Where the value stands in the record.
    pub(super) path: FactPath,
    /// What stands there when the record has no such value.
    pub default: Value,
}

impl Column {
    /// Where the value stands in the record, as it was typed.
    pub fn path(&self) -> &str {
        self.path.as_str()
    }
}

/// How records are written.
#[derive(Clone, Debug)]
pub enum Format {
    /// Comma-separated values: a row for each record.
    Csv(Csv),
    /// A JSON object on each line.
    Ndjson {
        /// The members; none: the whole record.
        columns: Vec<Column>,
    },
    /// JSON.
    Json {
        /// How the objects stand together.
        shape: JsonShape,
        /// The members; none: the whole record.
        columns: Vec<Column>,
    },
}

/// How JSON objects stand together.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonShape {
    /// An array of objects.
    Array,
    /// Objects one after another.
    Concatenated,
    /// One object with an array.
    ObjectWithArray {
        /// The name of the array.
        key: String,
        /// What stands before it: scalars.
        properties: Map<String, Value>,
    },
}

impl JsonShape {
    /// The stored and public word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Array => "array",
            Self::Concatenated => "concatenated",
            Self::ObjectWithArray { .. } => "object_with_array",
        }
    }
}

impl Format {
    /// The stored and public word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Csv(_) => "csv",
            Self::Ndjson { .. } => "ndjson",
            Self::Json { .. } => "json",
        }
    }

    /// What names of files end with, without the dot; the same as its word.
    pub const fn extension(&self) -> &'static str {
        self.kind()
    }

    /// The media type.
    pub const fn content_type(&self) -> &'static str {
        match self {
            Self::Csv(Csv { header: true, .. }) => "text/csv; charset=utf-8; header=present",
            Self::Csv(_) => "text/csv; charset=utf-8; header=absent",
            Self::Ndjson { .. } => "application/x-ndjson",
            Self::Json { .. } => "application/json",
        }
    }

    /// The values that are chosen.
    pub fn columns(&self) -> &[Column] {
        match self {
            Self::Csv(csv) => &csv.columns,
            Self::Ndjson { columns } | Self::Json { columns, .. } => columns,
        }
    }
}

/// One record: a collected event, or what a program pushed.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The fields of the event; `None` for what was pushed.
    pub event: Option<EventFacts<'a>>,
    /// The data as received.
    pub text: &'a [u8],
    /// Whether the data is JSON.
    pub is_json: bool,
}

/// Writes records.
#[derive(Debug)]
pub struct Encoder<'a> {
    format: &'a Format,
    /// The scalars before an array, with their placeholders filled in.
    properties: Map<String, Value>,
    records: u64,
}

impl<'a> Encoder<'a> {
    /// An encoder for one file or request; `fill` fills in the placeholders of a property.
    pub fn new(format: &'a Format, fill: impl Fn(&str) -> String) -> Self {
        let mut properties = Map::new();
        if let Format::Json { shape: JsonShape::ObjectWithArray { properties: all, .. }, .. } = format {
            properties.extend(all.iter().map(|(name, value)| match value {
                Value::String(text) => (name.clone(), Value::String(fill(text))),
                other => (name.clone(), other.clone()),
            }));
        }
        Self { format, properties, records: 0 }
    }

    /// How many records were written.
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// What stands before the first record.
    pub fn start(&self, out: &mut Vec<u8>) {
        match self.format {
            Format::Csv(csv) => csv.start(out),
            Format::Json { shape: JsonShape::Array, .. } => out.push(b'['),
            Format::Json { shape: JsonShape::ObjectWithArray { key, .. }, .. } => {
                out.push(b'{');
                for (name, value) in &self.properties {
                    json::push_member(out, name, value);
                    out.push(b',');
                }
                json::push_text(out, key);
                out.extend_from_slice(b":[");
            }
            Format::Ndjson { .. } | Format::Json { shape: JsonShape::Concatenated, .. } => {}
        }
    }

    /// One record.
    pub fn push(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        match self.format {
            Format::Csv(csv) => csv.push(record, out),
            Format::Ndjson { columns } => {
                json::push_record(out, record, columns);
                out.push(b'\n');
            }
            Format::Json { shape, columns } => {
                if self.records > 0 && *shape != JsonShape::Concatenated {
                    out.push(b',');
                }
                json::push_record(out, record, columns);
            }
        }
        self.records += 1;
    }

    /// What stands after the last record.
    pub fn finish(&self, out: &mut Vec<u8>) {
        match self.format {
            Format::Json { shape: JsonShape::Array, .. } => out.push(b']'),
            Format::Json { shape: JsonShape::ObjectWithArray { .. }, .. } => out.extend_from_slice(b"]}"),
            Format::Csv(_) | Format::Ndjson { .. } | Format::Json { shape: JsonShape::Concatenated, .. } => {}
        }
    }
}

impl Record<'_> {
    /// The data as a value; `null` for what is no JSON.
    fn data(&self) -> Value {
        if self.is_json { serde_json::from_slice(self.text).unwrap_or(Value::Null) } else { Value::Null }
    }
}

#[cfg(test)]
mod tests;
