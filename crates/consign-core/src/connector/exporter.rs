//! A data exporter: what a run collects, how it is written, and where it goes.

use std::time::Duration;

use http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Map, Value, json};

use super::Message;
use super::format::{Column, Format, JsonShape};
use super::webhook::WhenNoAnswer;
use crate::condition::Condition;
use crate::credential::Rate;
use crate::delivery::Retry;
use crate::event::{Event, TypePattern};
use crate::id::RunId;
use crate::schedule::Schedule;
use crate::target::{Folder, RemotePath};
use crate::time::Timestamp;

pub use draft::ExporterDraft;
pub use file_name::{FileName, Stamp, judge as judge_file_name, numbered};
pub use run::{RunState, Step};
pub use set_up::SetUp;

mod draft;
mod file_name;
mod run;
mod set_up;

/// A request holds no more than this, whatever its number of records.
pub const REQUEST_BYTES_MAX: usize = 10 << 20;
const OCTETS: &str = "application/octet-stream";
/// Longer ones are none.
const CONTENT_TYPE_BYTES_MAX: usize = 255;
/// The most records of one push.
pub const PUSHED_RECORDS_MAX: usize = 10_000;

/// What an exporter sends, when, and where to.
#[derive(Clone, Debug)]
pub struct Exporter {
    /// Where its records come from.
    pub source: Source,
    /// When it runs by itself.
    pub schedule: Schedule,
    /// How they are written.
    pub format: Format,
    /// Whether what is written is compressed.
    pub compression: Compression,
    /// Whether a run without records sends all the same.
    pub send_empty: bool,
    /// Where they go.
    pub destination: Destination,
}

/// Where records come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Events that were accepted.
    Events {
        /// Their types; never empty.
        types: Vec<TypePattern>,
        /// A condition on the event.
        only_when: Option<Condition>,
    },
    /// Programs send them.
    Pushed,
}

impl Source {
    /// The stored and public word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Events { .. } => "events",
            Self::Pushed => "pushed",
        }
    }
}

/// How what is written is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl Compression {
    /// Words, in screen order.
    pub const ALL: &'static [(&'static str, Self)] =
        &[("none", Self::None), ("gzip", Self::Gzip), ("zstd", Self::Zstd)];

    /// The stored and public word.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// What it adds to the name of a file.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }

    /// The word of HTTP for it.
    const fn coding(self) -> Option<HeaderValue> {
        match self {
            Self::None => None,
            Self::Gzip => Some(HeaderValue::from_static("gzip")),
            Self::Zstd => Some(HeaderValue::from_static("zstd")),
        }
    }
}

/// Where records go.
#[derive(Clone, Debug)]
pub enum Destination {
    /// Requests to a tool, each with many records.
    Https(Bulk),
    /// A file on a server.
    Sftp(FilePlace),
}

impl Destination {
    /// The word of its protocol.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Https(_) => "https",
            Self::Sftp(_) => "sftp",
        }
    }
}

/// Requests with many records each.
#[derive(Clone, Debug)]
pub struct Bulk {
    /// POST or PUT.
    pub method: Method,
    /// The path below the address of the credential; `/` adds nothing to an address that is a secret.
    pub path: RemotePath,
    /// The most records of a request.
    pub records_max: u32,
    /// The time for an answer.
    pub timeout: Duration,
    /// The most requests a second.
    pub max_per_second: Option<Rate>,
}

/// Where a file stands on a server, and what is done about one that is there.
#[derive(Clone, Debug, PartialEq)]
pub struct FilePlace {
    /// The folder, absolute or relative to where the server lets us start.
    pub folder: Folder,
    /// How its name is made.
    pub file_name: FileName,
    /// What happens when a file of this name is there.
    pub if_exists: IfExists,
    /// So many of the files that its runs brought stay, the newest; absent: all.
    pub keep_files: Option<u32>,
}

/// What happens when a file of the same name is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfExists {
    /// The run fails.
    Fail,
    /// The new one takes its place.
    Replace,
    /// The new one gets a number.
    Number,
}

impl IfExists {
    /// Words, in screen order.
    pub const ALL: &'static [(&'static str, Self)] =
        &[("fail", Self::Fail), ("replace", Self::Replace), ("number", Self::Number)];

    /// The stored and public word.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Replace => "replace",
            Self::Number => "number",
        }
    }
}

/// What a request of a run carries.
#[derive(Clone, Copy, Debug)]
pub enum Load<'a> {
    /// Records.
    Records {
        /// The request's number in its run, from 1.
        number: u64,
    },
    /// A file that a program pushed.
    File {
        /// Its name.
        name: &'a str,
        /// Its media type.
        content_type: &'a str,
    },
}

impl Exporter {
    /// Whether an event leaves a record here. Tests never do.
    pub fn matches(&self, event: &Event) -> bool {
        match &self.source {
            Source::Events { types, only_when } => {
                !event.test
                    && types.iter().any(|pattern| pattern.matches(&event.event_type))
                    && only_when
                        .as_ref()
                        .is_none_or(|condition| condition.matches(&event.facts(), &event.json()))
            }
            Source::Pushed => false,
        }
    }

    /// What names of files end with: the format, and the compression.
    pub fn extension(&self) -> String {
        format!("{}{}", self.format.extension(), self.compression.suffix())
    }

    /// The name that a pushed file has where it goes: on a server it tells how it is compressed.
    pub fn name_of_pushed(&self, name: &str) -> String {
        match self.destination {
            Destination::Sftp(_) if !name.ends_with(self.compression.suffix()) => {
                format!("{name}{}", self.compression.suffix())
            }
            Destination::Sftp(_) | Destination::Https(_) => name.to_owned(),
        }
    }

    /// The values that stand for the placeholders of one run.
    pub fn stamp(&self, name: &str, run: i64, at: Timestamp) -> Stamp {
        Stamp::new(name, run, self.schedule.zone().wall_clock(at), &self.extension())
    }

    /// How it tries again. A request that was not answered is sent again, with the same key.
    pub fn retry(&self, default_schedule: &[Duration]) -> Retry {
        Retry {
            schedule: default_schedule.to_vec(),
            retry_client_errors: false,
            when_no_answer: WhenNoAnswer::Retry,
        }
    }

    /// The settings as they are shown, sent and stored: the keys of the form.
    pub fn to_json(&self) -> Value {
        let (types, only_when) = match &self.source {
            Source::Events { types, only_when } => (types.as_slice(), only_when.as_ref()),
            Source::Pushed => (&[][..], None),
        };
        let mut shown = json!({
            "source": self.source.kind(),
            "event_types": types.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "only_when": only_when.map(Condition::as_str),
            "schedule": self.schedule.as_str(),
            "time_zone": self.schedule.zone().name(),
            "format": self.format.kind(),
            "columns": columns_json(self.format.columns()),
            "compression": self.compression.kind(),
            "when_empty": if self.send_empty { "send" } else { "skip" },
            "destination": self.destination.kind(),
        });
        let all = shown.as_object_mut().expect("an object was just written");
        all.extend(format_json(&self.format));
        all.extend(self.destination.to_json());
        shown
    }
}

fn columns_json(columns: &[Column]) -> Value {
    let row =
        |column: &Column| json!({ "name": column.name, "path": column.path(), "default": column.default });
    columns.iter().map(row).collect()
}

/// The keys that belong to one format only.
fn format_json(format: &Format) -> Map<String, Value> {
    let mut shown = Map::new();
    match format {
        Format::Csv(csv) => {
            let details = json!({
                "delimiter": csv.delimiter.kind(),
                "header": csv.header,
                "line_end": csv.line_end.kind(),
                "bom": csv.bom,
                "guard": csv.guard,
            });
            shown.insert("csv".to_owned(), details);
        }
        Format::Ndjson { .. } => {}
        Format::Json { shape, .. } => {
            shown.insert("json_shape".to_owned(), json!(shape.kind()));
            if let JsonShape::ObjectWithArray { key, properties } = shape {
                shown.insert("json_array_key".to_owned(), json!(key));
                shown.insert("json_properties".to_owned(), json!(properties));
            }
        }
    }
    shown
}

impl Destination {
    fn to_json(&self) -> Map<String, Value> {
        let shown = match self {
            Self::Https(bulk) => json!({
                "method": bulk.method.as_str(),
                "path": bulk.path.as_str(),
                "max_records_per_request": bulk.records_max,
                "timeout_seconds": bulk.timeout.as_secs(),
                "max_per_second": bulk.max_per_second.map(Rate::per_second),
            }),
            Self::Sftp(place) => json!({
                "folder": place.folder.as_str(),
                "file_name": place.file_name.as_str(),
                "if_exists": place.if_exists.kind(),
                "keep_files": place.keep_files,
            }),
        };
        match shown {
            Value::Object(shown) => shown,
            _ => Map::new(),
        }
    }
}

impl Bulk {
    /// The head of a request of a run. Each attempt of it has the same key, so that the tool can recognise it.
    pub fn message(&self, exporter: &Exporter, run: RunId, load: Load<'_>) -> Message {
        let (content_type, key) = match load {
            Load::Records { number } => (exporter.format.content_type(), format!("{run}-{number}")),
            Load::File { content_type, .. } => (content_type, run.to_string()),
        };
        // What a program called its file may be no header.
        let content_type = if judge_content_type(content_type) { content_type } else { OCTETS };
        let content_type = HeaderValue::from_str(content_type).expect("judged to be visible ASCII");
        let key = HeaderValue::from_str(&key).expect("an id and a number are visible ASCII");
        let mut headers = vec![
            (CONTENT_TYPE, content_type),
            (ACCEPT, HeaderValue::from_static("application/json, */*;q=0.5")),
            (USER_AGENT, HeaderValue::from_static(concat!("Consign/", env!("CARGO_PKG_VERSION")))),
            (HeaderName::from_static("idempotency-key"), key),
        ];
        headers.extend(exporter.compression.coding().map(|coding| (CONTENT_ENCODING, coding)));
        if let Load::File { name, .. } = load {
            headers.push((CONTENT_DISPOSITION, attachment(name)));
        }
        Message { method: self.method.clone(), path: self.path.clone(), headers }
    }
}

/// Whether a media type that a program names can stand in a header.
pub fn judge_content_type(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= CONTENT_TYPE_BYTES_MAX
        && text.trim() == text
        && text.bytes().all(|byte| matches!(byte, 0x20..=0x7e))
}

/// The name of a file in a header (RFC 6266 section 4, RFC 8187 section 3.2).
fn attachment(name: &str) -> HeaderValue {
    let mut text = "attachment; filename*=UTF-8''".to_owned();
    crate::target::push_component(&mut text, name);
    HeaderValue::from_str(&text).expect("percent-encoded text is visible ASCII")
}

#[cfg(test)]
mod tests;
