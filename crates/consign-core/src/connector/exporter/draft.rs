//! Reading what a person or program sends for an exporter.

use std::time::Duration;

use http::Method;
use serde_json::{Map, Value};

use super::file_name::FileName;
use super::{Bulk, Compression, Destination, Exporter, FilePlace, IfExists, Source};
use crate::catalog::{Fault, Invalid, Reader};
use crate::condition::Condition;
use crate::connector::draft::named;
use crate::connector::webhook::read_event_types;
use crate::credential::{Credential, Rate, parse_count};
use crate::name::Name;
use crate::schedule::{Schedule, TimeZone};
use crate::target::{Folder, RemotePath, Target as Destined};

mod format;

/// A file a minute for a week.
const KEPT_FILES_MAX: u32 = 10_000;

/// The keys that belong to requests, and those that belong to files.
const OF_HTTPS: &[&str] = &["method", "path", "max_records_per_request", "timeout_seconds", "max_per_second"];
const OF_SFTP: &[&str] = &["folder", "file_name", "if_exists", "keep_files"];

const KNOWN: &[&str] = &[
    "name",
    "description",
    "credential",
    "source",
    "event_types",
    "only_when",
    "schedule",
    "time_zone",
    "method",
    "path",
    "max_records_per_request",
    "timeout_seconds",
    "max_per_second",
    "folder",
    "file_name",
    "if_exists",
    "keep_files",
    "format",
    "json_shape",
    "json_array_key",
    "json_properties",
    "columns",
    "csv",
    "compression",
    "when_empty",
];

const READ_ONLY: &[&str] = &[
    "id",
    "kind",
    "etag",
    "destination",
    "schedule_in_words",
    "state",
    "state_label",
    "state_reason",
    "state_since",
    "hold_reason",
    "away",
    "lost_credential",
    "waiting_records",
    "waiting_is_capped",
    "next_run_at",
    "last_run",
    "created_at",
    "updated_at",
    "managed_by",
];

/// An exporter as sent: judged, with its credential.
#[derive(Debug)]
pub struct ExporterDraft {
    /// The name.
    pub name: Name,
    /// Free text.
    pub description: String,
    /// What it sends.
    pub exporter: Exporter,
}

/// Where it goes, which decides about the keys that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    Https,
    Sftp,
}

/// An answer that is sent back with a credential of the other protocol brings the keys of the old one along.
fn without_leftovers(mut sent: Map<String, Value>, to: To) -> Map<String, Value> {
    let was = sent.get("destination").and_then(Value::as_str);
    let left_over = match (was, to) {
        (Some("https"), To::Sftp) => OF_HTTPS,
        (Some("sftp"), To::Https) => OF_SFTP,
        _ => &[],
    };
    left_over.iter().for_each(|key| drop(sent.remove(*key)));
    sent
}

/// What a reader must know of the credential.
struct Target<'a> {
    to: To,
    /// Its name, for the sentences.
    name: &'a str,
    host: &'a str,
    path_may_be_empty: bool,
}

impl ExporterDraft {
    /// Whether answers about an exporter have a key that nobody can set.
    pub fn is_read_only(key: &str) -> bool {
        READ_ONLY.contains(&key)
    }

    /// Reads a whole exporter; for a patch the caller merges it over [`Exporter::to_json`] first.
    ///
    /// `credential` is the one that the key `credential` names, found by the caller; `None` when there is no such.
    ///
    /// # Errors
    /// Every value that was not accepted, with its sentence.
    pub fn parse(sent: Map<String, Value>, credential: Option<&Credential>) -> Result<Self, Vec<Invalid>> {
        let host = credential.map(|credential| credential.target.host().to_string()).unwrap_or_default();
        let to = match credential.map(|credential| &credential.target) {
            None | Some(Destined::Https(_)) => To::Https,
            Some(Destined::Sftp(_)) => To::Sftp,
        };
        let target = Target {
            to,
            name: credential.map_or("", |credential| credential.name.as_str()),
            host: &host,
            path_may_be_empty: credential.is_some_and(|one| one.authorization_type.address_is_secret),
        };
        let mut reader = Reader::new(without_leftovers(sent, to));
        if credential.is_none() {
            reader.refuse("credential", Fault::new("missing", "Choose a credential"));
        }
        Self::read(reader, &target)
    }

    fn read(mut reader: Reader, target: &Target<'_>) -> Result<Self, Vec<Invalid>> {
        let (name, description) = named(&mut reader);
        reader.take("credential");
        let exporter = read_exporter(&mut reader, target);
        reader.refuse_unknown(KNOWN, READ_ONLY);
        let invalid = reader.into_invalid();
        match (name, exporter) {
            (Some(name), Some(exporter)) if invalid.is_empty() => Ok(Self { name, description, exporter }),
            _ => Err(invalid),
        }
    }

    /// The settings of a stored exporter.
    ///
    /// # Errors
    /// What a newer program may have stored that this one does not know.
    pub fn parse_stored(settings: Map<String, Value>) -> Result<Exporter, Vec<Invalid>> {
        let to = if settings.get("destination").and_then(Value::as_str) == Some("sftp") {
            To::Sftp
        } else {
            To::Https
        };
        let target = Target { to, name: "", host: "", path_may_be_empty: true };
        let mut reader = Reader::new(settings);
        let exporter = read_exporter(&mut reader, &target);
        let invalid = reader.into_invalid();
        exporter.filter(|_| invalid.is_empty()).ok_or(invalid)
    }
}

fn read_exporter(reader: &mut Reader, target: &Target<'_>) -> Option<Exporter> {
    let source = read_source(reader);
    let zone = reader.text("time_zone", "Time zone");
    let zone = reader.accept("time_zone", TimeZone::parse(&zone));
    let schedule = reader.text("schedule", "Schedule");
    let schedule = zone.and_then(|zone| reader.accept("schedule", Schedule::parse(&schedule, zone)));
    let of_events = !matches!(source, Some(Source::Pushed));
    let format = format::read(reader, of_events);
    let compression = reader.choice("compression", "Compression", Compression::ALL, Compression::None);
    let empty = [("skip", false), ("send", true)];
    let send_empty = reader.choice("when_empty", "Nothing to send", &empty, false);
    let destination = match target.to {
        To::Https => read_bulk(reader, target).map(Destination::Https),
        To::Sftp => read_place(reader, target).map(Destination::Sftp),
    };
    Some(Exporter {
        source: source?,
        schedule: schedule?,
        format: format?,
        compression,
        send_empty,
        destination: destination?,
    })
}

fn read_source(reader: &mut Reader) -> Option<Source> {
    let pushed = reader.choice("source", "Source", &[("events", false), ("pushed", true)], false);
    let condition = reader.text("only_when", "Only when");
    let condition = condition.trim();
    if !pushed {
        let types = read_event_types(reader);
        let only_when = if condition.is_empty() {
            None
        } else {
            Some(reader.accept("only_when", Condition::parse(condition))?)
        };
        return Some(Source::Events { types, only_when });
    }
    let sentence = "belong to collected events. Leave them out, or choose collected events as the source";
    if !reader.list("event_types", "Event types").is_empty() {
        reader.refuse("event_types", Fault::new("wrong_source", format!("Event types {sentence}")));
    }
    if !condition.is_empty() {
        reader.refuse("only_when", Fault::new("wrong_source", format!("Conditions {sentence}")));
    }
    Some(Source::Pushed)
}

/// Refuses keys of the other protocol that say something.
fn refuse_others(reader: &mut Reader, keys: &[&str], sentence: &str) {
    for key in keys {
        let value = reader.take(key);
        let says_nothing = value.is_null() || value == "" || value == false;
        if !says_nothing {
            reader.refuse(key, Fault::new("wrong_protocol", sentence));
        }
    }
}

fn read_bulk(reader: &mut Reader, target: &Target<'_>) -> Option<Bulk> {
    let sentence = format!("“{}” is for HTTPS. Folder and file name belong to SFTP", target.name);
    refuse_others(reader, OF_SFTP, &sentence);
    let methods = [("POST", 0), ("PUT", 1)];
    let method = [Method::POST, Method::PUT][reader.choice("method", "Method", &methods, 0)].clone();
    let path = reader.text("path", "Path").trim().to_owned();
    let path = if path.is_empty() {
        if !target.path_may_be_empty {
            reader.refuse("path", Fault::new("slash_needed", "Path must start with /"));
        }
        Some(RemotePath::root())
    } else {
        let parsed = RemotePath::parse(&path).map_err(|fault| fault.at_host(target.host));
        reader.accept("path", parsed)
    };
    let records = parse_count(
        &reader.take("max_records_per_request"),
        1..=10_000,
        "Records per request must be from 1 to 10,000",
    );
    let records_max = reader.accept("max_records_per_request", records).flatten().unwrap_or(1_000);
    let timeout =
        parse_count(&reader.take("timeout_seconds"), 1..=60, "Timeout must be from 1 to 60 seconds");
    let timeout = reader.accept("timeout_seconds", timeout).flatten().unwrap_or(20);
    let rate = Rate::parse(&reader.take("max_per_second"));
    let max_per_second = reader.accept("max_per_second", rate).flatten();
    let timeout = Duration::from_secs(u64::from(timeout));
    Some(Bulk { method, path: path?, records_max, timeout, max_per_second })
}

fn read_place(reader: &mut Reader, target: &Target<'_>) -> Option<FilePlace> {
    let sentence = format!("“{}” is for SFTP. Method and path belong to HTTPS", target.name);
    refuse_others(reader, OF_HTTPS, &sentence);
    let folder = reader.text("folder", "Folder");
    let folder = reader.accept("folder", Folder::parse("Folder", folder.trim()));
    let file_name = reader.text("file_name", "File name");
    let file_name = reader.accept("file_name", FileName::parse(&file_name));
    let if_exists = reader.choice("if_exists", "If the file exists", IfExists::ALL, IfExists::Fail);
    let keep = parse_count(
        &reader.take("keep_files"),
        1..=KEPT_FILES_MAX,
        "Keep the newest must be from 1 to 10,000 files, or empty for all",
    );
    let keep_files = reader.accept("keep_files", keep).flatten();
    Some(FilePlace { folder: folder?, file_name: file_name?, if_exists, keep_files })
}
