//! Reading what a person or program sends for a gateway.

use http::Method;
use serde_json::{Map, Value};

use super::{Gateway, METHODS, PathPrefix, Slug};
use crate::catalog::{Fault, Invalid, Reader};
use crate::connector::draft::{named, tool};
use crate::credential::{Credential, Rate, parse_count};
use crate::id::KeyId;
use crate::name::Name;

const PATH_PREFIXES_MAX: usize = 50;
const API_KEYS_MAX: usize = 100;
const MIB: u64 = 1 << 20;
const REQUEST_BYTES_MAX: u64 = 5 << 30;

const KNOWN: &[&str] = &[
    "name",
    "description",
    "credential",
    "slug",
    "methods",
    "path_prefixes",
    "api_keys",
    "timeout_seconds",
    "idle_seconds",
    "max_request_bytes",
    "max_concurrency",
    "max_per_second",
    "scrub_answers",
    "record_calls",
];

const READ_ONLY: &[&str] = &[
    "id",
    "kind",
    "etag",
    "address",
    "warnings",
    "state",
    "state_label",
    "state_reason",
    "state_since",
    "hold_reason",
    "away",
    "lost_credential",
    "last_24_hours",
    "created_at",
    "updated_at",
    "managed_by",
];

/// A gateway as sent: judged, with its credential.
#[derive(Debug)]
pub struct GatewayDraft {
    /// The name.
    pub name: Name,
    /// Free text.
    pub description: String,
    /// What it passes on.
    pub gateway: Gateway,
}

impl GatewayDraft {
    /// Whether answers about a gateway have a key that nobody can set.
    pub fn is_read_only(key: &str) -> bool {
        READ_ONLY.contains(&key)
    }

    /// Reads a whole gateway; for a patch the caller merges it over [`Gateway::to_json`] first.
    ///
    /// `credential` is the one that the key `credential` names, found by the caller; `None` when there is no such.
    /// Whether another gateway has the address part, and whether the API keys exist, is the caller's to judge.
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

    /// The settings of a stored gateway.
    ///
    /// # Errors
    /// What a newer program may have stored that this one does not know.
    pub fn parse_stored(settings: Map<String, Value>) -> Result<Gateway, Vec<Invalid>> {
        let mut reader = Reader::new(settings);
        let gateway = read_gateway(&mut reader, "");
        let invalid = reader.into_invalid();
        gateway.filter(|_| invalid.is_empty()).ok_or(invalid)
    }
}

fn read(reader: &mut Reader, credential: Option<&Credential>) -> Option<GatewayDraft> {
    let (name, description) = named(reader);
    let host = tool(reader, credential);
    let gateway = read_gateway(reader, &host);
    reader.refuse_unknown(KNOWN, READ_ONLY);
    Some(GatewayDraft { name: name?, description, gateway: gateway? })
}

fn read_gateway(reader: &mut Reader, host: &str) -> Option<Gateway> {
    let slug = reader.text("slug", "Address part");
    let slug = reader.accept("slug", Slug::parse(&slug));
    let methods = read_methods(reader);
    let path_prefixes = read_prefixes(reader, host);
    let api_keys = read_keys(reader);
    let mut count = |key: &str, range, sentence: &str, default| {
        let count = parse_count(&reader.take(key), range, sentence);
        reader.accept(key, count).flatten().unwrap_or(default)
    };
    let first = "Time for the first byte must be from 1 to 600 seconds";
    let timeout_seconds = count("timeout_seconds", 1..=600, first, 60);
    let idle_seconds = count("idle_seconds", 1..=600, "Idle time must be from 1 to 600 seconds", 60);
    let most = "At most N at a time must be from 1 to 64";
    let max_concurrency = count("max_concurrency", 1..=64, most, 32);
    let largest = parse_bytes(&reader.take("max_request_bytes"));
    let max_request_bytes = reader.accept("max_request_bytes", largest).unwrap_or(100 * MIB);
    let rate = Rate::parse(&reader.take("max_per_second"));
    let max_per_second = reader.accept("max_per_second", rate).flatten();
    let scrub_answers = reader.flag("scrub_answers", "Hide secrets in answers", true);
    let record_calls = reader.flag("record_calls", "Keep call records", true);
    Some(Gateway {
        slug: slug?,
        methods,
        path_prefixes,
        api_keys,
        timeout_seconds,
        idle_seconds,
        max_request_bytes,
        max_concurrency,
        max_per_second,
        scrub_answers,
        record_calls,
    })
}

/// Left out it is `GET`; an empty list is a mistake.
fn read_methods(reader: &mut Reader) -> Vec<Method> {
    if !reader.has("methods") {
        return vec![Method::GET];
    }
    let mut chosen = Vec::new();
    for row in reader.list("methods", "Methods") {
        let text = row.as_str().unwrap_or_default();
        match METHODS.iter().find(|method| method.as_str() == text) {
            Some(method) => chosen.push(method.clone()),
            None => {
                let known: Vec<_> = METHODS.iter().map(Method::as_str).collect();
                let sentence = format!("Methods must be of {}", known.join(", "));
                reader.refuse("methods", Fault::new("unknown", sentence));
                break;
            }
        }
    }
    if chosen.is_empty() && reader.is_clean("methods") {
        reader.refuse("methods", Fault::new("missing", "Choose at least one method"));
    }
    METHODS.iter().filter(|method| chosen.contains(method)).cloned().collect()
}

fn read_prefixes(reader: &mut Reader, host: &str) -> Vec<PathPrefix> {
    let rows = reader.list("path_prefixes", "Path prefixes");
    if rows.len() > PATH_PREFIXES_MAX {
        reader.refuse("path_prefixes", Fault::new("too_many", "Add 50 path prefixes or fewer"));
        return Vec::new();
    }
    let mut prefixes = Vec::new();
    for row in rows {
        let text = row.as_str().unwrap_or_default();
        if let Some(prefix) = reader.accept("path_prefixes", PathPrefix::parse(text, host))
            && !prefixes.contains(&prefix)
        {
            prefixes.push(prefix);
        }
    }
    if prefixes.is_empty() && reader.is_clean("path_prefixes") {
        reader.refuse("path_prefixes", Fault::new("missing", "Add at least one path prefix"));
    }
    prefixes
}

/// Ids, or the objects of an answer that is sent back.
fn read_keys(reader: &mut Reader) -> Vec<KeyId> {
    let rows = reader.list("api_keys", "API keys");
    if rows.len() > API_KEYS_MAX {
        reader.refuse("api_keys", Fault::new("too_many", "Choose 100 API keys or fewer"));
        return Vec::new();
    }
    let mut keys = Vec::new();
    for row in rows {
        let text = row.as_str().or_else(|| row.get("id")?.as_str()).unwrap_or_default();
        let id = text.parse::<KeyId>().map_err(|_| {
            let shown: String = text.chars().take(80).collect();
            Fault::new("unknown", format!("“{shown}” is not the id of an API key"))
        });
        if let Some(id) = reader.accept("api_keys", id)
            && !keys.contains(&id)
        {
            keys.push(id);
        }
    }
    keys
}

/// A number of bytes, or one with a unit as people write it: `100 MiB`.
fn parse_bytes(value: &Value) -> Result<u64, Fault> {
    let number = match value {
        Value::Null => Some(100 * MIB),
        Value::String(text) if text.trim().is_empty() => Some(100 * MIB),
        Value::String(text) => with_unit(text.trim()),
        other => other.as_u64(),
    };
    number.filter(|bytes| (1..=REQUEST_BYTES_MAX).contains(bytes)).ok_or_else(|| {
        Fault::new("out_of_range", "Largest request must be from 1 byte to 5 GiB, for example 100 MiB")
    })
}

fn with_unit(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match text[end..].trim() {
        "" | "B" | "bytes" => 1,
        "KiB" => 1 << 10,
        "MiB" => MIB,
        "GiB" => 1 << 30,
        _ => return None,
    };
    text[..end].parse::<u64>().ok()?.checked_mul(unit)
}
