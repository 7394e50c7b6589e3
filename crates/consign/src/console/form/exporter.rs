//! The form of a data exporter.

use std::collections::BTreeMap;

use consign_core::catalog::Invalid;
use consign_core::connector::exporter::FileName;
use consign_core::schedule::{PRESETS, Schedule, TimeZone};
use consign_core::time::Timestamp;
use serde_json::{Map, Value, json};

use super::choices::{CHANGES, Follows};
use super::webhook::{join, options, rows_of, word};
use super::{Choices, Form, field, message_at, sends_to, with};

mod clock;

/// An exporter as it stands in the form.
#[derive(Debug, Default)]
pub(in crate::console) struct ExporterForm {
    texts: BTreeMap<&'static str, String>,
    flags: BTreeMap<&'static str, bool>,
}

const TEXTS: &[&str] = &[
    "name",
    "description",
    "source",
    "event_types",
    "only_when",
    "schedule",
    "cron",
    "at",
    "day",
    "time_zone",
    "credential",
    "destination",
    "method",
    "path",
    "folder",
    "file_name",
    "if_exists",
    "keep_files",
    "format",
    "json_shape",
    "json_array_key",
    "json_properties",
    "columns",
    "csv.delimiter",
    "csv.line_end",
    "compression",
    "when_empty",
    "max_records_per_request",
    "timeout_seconds",
    "max_per_second",
];
const FLAGS: &[&str] = &["csv.header", "csv.bom", "csv.guard"];
/// What stands in the form for one protocol only.
const OF_HTTPS: &[&str] = &["method", "path", "max_records_per_request", "timeout_seconds", "max_per_second"];
const OF_SFTP: &[&str] = &["folder", "file_name", "if_exists", "keep_files"];
/// The time and the day of the presets.
const AT: &str = "02:00";
const DAY: &str = "1";
/// The choice of a schedule that is typed.
const CRON: &str = "cron";

const TYPES_HINT: &str = "device.score.low, or device.* for all below it. One per line; * is All.";
const CONDITION_HINT: &str = "A condition on the event, such as data.score < 3.";
const CRON_HINT: &str = "Minute, hour, day, month, day of the week: 0 2 * * 1-5";
const ZONE_HINT: &str = "The place whose wall clock counts, such as Europe/Lisbon.";
const COLUMNS_HINT: &str = "One per line: device, or score = data.score, or score = data.score | 0 with a default. \
    An event also has event.id, event.type, event.source, event.subject and event.time.";
const RECORD_HINT: &str = "Empty: the whole record.";
const PROPERTIES_HINT: &str =
    "Before the array, one per line: site = LIS. {date} {time} {run} {exporter} are filled in.";

const FOLDER_HINT: &str =
    "A folder that is there, absolute or below the one where the sign-in starts. Empty: that one.";
const FILE_NAME_HINT: &str = "{date} {time} {datetime} {run} {exporter} {n} {ext} are filled in. \
    A file has its name only when all of it is on the server.";

const KEEP_HINT: &str = "Files, from 1 to 10,000. After each run older ones are removed: only those that runs of this \
    exporter brought while this was set, as they left them. Empty: all stay.";

impl ExporterForm {
    /// A new exporter for a credential, if one is chosen already.
    pub(in crate::console) fn empty(credential: &str) -> Self {
        let texts = [
            ("credential", credential),
            ("source", "events"),
            ("schedule", "daily"),
            ("at", AT),
            ("day", DAY),
            ("time_zone", "UTC"),
            ("destination", "https"),
            ("method", "POST"),
            ("file_name", FileName::DEFAULT),
            ("if_exists", "fail"),
            ("format", "csv"),
            ("json_shape", "array"),
            ("csv.delimiter", "comma"),
            ("csv.line_end", "lf"),
            ("compression", "none"),
            ("when_empty", "skip"),
            ("max_records_per_request", "1000"),
            ("timeout_seconds", "20"),
        ];
        Self {
            texts: texts.into_iter().map(|(key, text)| (key, text.to_owned())).collect(),
            flags: [("csv.header", true), ("csv.guard", true)].into_iter().collect(),
        }
    }

    /// The same with another text in a field.
    pub(in crate::console) fn with_text(mut self, key: &'static str, text: String) -> Self {
        self.texts.insert(key, text);
        self
    }

    /// The same with another credential, unless none is named.
    pub(in crate::console) fn choosing(self, credential: &str) -> Self {
        if credential.is_empty() { self } else { self.with_text("credential", credential.to_owned()) }
    }

    /// A stored exporter.
    pub(in crate::console) fn stored(exporter: &Value) -> Self {
        let at = |key: &str| key.split('.').fold(exporter, |value, part| &value[part]).clone();
        let text = |key: &str| match at(key) {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let empty = Self::empty("");
        let kept = |key: &'static str| {
            let found = text(key);
            if found.is_empty() { empty.text(key).to_owned() } else { found }
        };
        let mut texts: BTreeMap<_, _> = TEXTS.iter().map(|key| (*key, kept(key))).collect();
        texts.insert("credential", exporter["credential"]["id"].as_str().unwrap_or_default().to_owned());
        texts.insert("event_types", join(&exporter["event_types"], "\n", word));
        texts.insert("columns", join(&exporter["columns"], "\n", column_line));
        let properties = exporter["json_properties"].as_object().into_iter().flatten();
        let properties: Vec<_> =
            properties.map(|(name, value)| format!("{name} = {}", word(value))).collect();
        texts.insert("json_properties", properties.join("\n"));
        let schedule = text("schedule");
        if !PRESETS.iter().any(|(preset, ..)| *preset == schedule) {
            if let Some((word, at, day)) = clock::read(&schedule) {
                texts.extend([("schedule", word.to_owned()), ("at", at), ("day", day)]);
            } else {
                texts.insert("cron", schedule);
                texts.insert("schedule", CRON.to_owned());
            }
        }
        let flag = |key: &'static str| at(key).as_bool().unwrap_or_else(|| empty.flag(key));
        Self { texts, flags: FLAGS.iter().map(|key| (*key, flag(key))).collect() }
    }

    /// What was typed.
    pub(in crate::console) fn typed(form: &Form) -> Self {
        let empty = Self::empty("");
        // What the page did not ask for, because of another choice, has its default.
        let text =
            |key: &'static str| if form.has(key) { form.lines(key) } else { empty.text(key).to_owned() };
        let csv = form.has("csv.asked");
        let flag = |key: &'static str| if csv { form.has(key) } else { empty.flag(key) };
        Self {
            texts: TEXTS.iter().map(|key| (*key, text(key))).collect(),
            flags: FLAGS.iter().map(|key| (*key, flag(key))).collect(),
        }
    }

    fn text(&self, key: &str) -> &str {
        self.texts.get(key).map_or("", String::as_str)
    }

    fn flag(&self, key: &str) -> bool {
        self.flags.get(key).copied().unwrap_or(false)
    }

    fn schedule(&self) -> String {
        let typed = match self.text("schedule") {
            CRON => self.text("cron").to_owned(),
            word if clock::has(word) => clock::text(word, self.text("at"), self.text("day")),
            word => word.to_owned(),
        };
        typed.trim().to_owned()
    }

    /// The body of a request to the API that says the same.
    pub(in crate::console) fn sent(&self) -> Map<String, Value> {
        const OTHERWISE: &[&str] =
            &["event_types", "only_when", "schedule", "cron", "at", "day", "columns", "json_properties"];
        let plain = TEXTS.iter().filter(|key| !OTHERWISE.contains(key) && !key.contains('.'));
        let others = if self.text("destination") == "sftp" { OF_HTTPS } else { OF_SFTP };
        let plain = plain.filter(|key| !others.contains(key));
        let mut sent: Map<_, _> = plain.map(|key| ((*key).to_owned(), json!(self.text(key)))).collect();
        sent.insert("schedule".to_owned(), json!(self.schedule()));
        if self.text("source") == "events" {
            let types =
                self.text("event_types").split(['\n', ',']).map(str::trim).filter(|text| !text.is_empty());
            sent.insert("event_types".to_owned(), types.map(Value::from).collect());
            sent.insert("only_when".to_owned(), json!(self.text("only_when")));
        }
        let lines = |key: &str| {
            self.text(key)
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        sent.insert("columns".to_owned(), lines("columns").iter().map(|line| column(line)).collect());
        let properties = lines("json_properties").into_iter().map(|line| {
            let (name, value) = line.split_once('=').unwrap_or((&line, ""));
            (name.trim().to_owned(), json!(value.trim()))
        });
        sent.insert("json_properties".to_owned(), Value::Object(properties.collect()));
        let csv = json!({
            "delimiter": self.text("csv.delimiter"),
            "line_end": self.text("csv.line_end"),
            "header": self.flag("csv.header"),
            "bom": self.flag("csv.bom"),
            "guard": self.flag("csv.guard"),
        });
        sent.insert("csv".to_owned(), csv);
        sent
    }

    /// The schedule in words with its next time, as far as it can be read.
    fn in_words(&self, now: Timestamp) -> String {
        if self.schedule().is_empty() {
            return String::new();
        }
        let zone = TimeZone::parse(self.text("time_zone"));
        let schedule = zone.and_then(|zone| Schedule::parse(&self.schedule(), zone));
        let Ok(schedule) = schedule else { return String::new() };
        match schedule.next_after(now) {
            Some(next) => {
                let next = schedule.zone().wall_clock(next).strftime("%-d %b %Y %H:%M");
                format!("{schedule}; next: {next}")
            }
            None => schedule.to_string(),
        }
    }

    /// The credential that is chosen.
    pub(in crate::console) fn credential(&self) -> &str {
        self.text("credential")
    }

    /// The fields for the template. `refresh` is where the page asks for other fields.
    pub(in crate::console) fn fields(
        &self,
        choices: &Choices,
        invalid: &[Invalid],
        refresh: &str,
        now: Timestamp,
    ) -> Value {
        let refresh = json!({ "url": refresh, "target": "exporter-fields" });
        let text = |key: &str, label: &str, hint: &str| field(key, label, hint, self.text(key), invalid);
        let optional = |key, label, hint| with(text(key, label, hint), json!({ "optional": true }));
        let mut schedules: Vec<_> = PRESETS.iter().map(|(word, label, _)| (*word, *label)).collect();
        schedules.push((CRON, "Other times (cron)"));
        let chosen = choices.find(self.text("credential"));
        let sends_to = chosen
            .map(|chosen| sends_to(self.text("method"), &chosen.address, self.text("path").trim()))
            .unwrap_or_default();
        let limits = ["max_records_per_request", "timeout_seconds", "max_per_second"];
        let is_cron = self.text("schedule") == CRON;
        let mut schedule = text("schedule", "Schedule", CHANGES);
        let mut cron = text("cron", "Times", CRON_HINT);
        let mut at = with(text("at", "At", ""), json!({ "type": "time" }));
        if clock::has(self.text("schedule")) && clock::parsed(self.text("at")).is_none() {
            let refused = !message_at(invalid, "schedule").is_empty();
            at["error"] = json!(if refused { clock::WANTED } else { "" });
        }
        let words = json!({ "preview": self.in_words(now) });
        if is_cron {
            cron = with(cron, words);
            cron["error"] = json!(message_at(invalid, "schedule"));
            schedule["error"] = json!("");
        } else {
            schedule = with(schedule, words);
        }
        json!({
            "name": text("name", "Name", ""),
            "description": optional("description", "Description", ""),
            "source": with(text("source", "Source", CHANGES), json!({
                "refresh": refresh,
                "options": options(&[
                    ("events", "Collected events"),
                    ("pushed", "Records and files sent through the API or CLI"),
                ]),
            })),
            "is_events": self.text("source") == "events",
            "event_types": with(text("event_types", "Event types", TYPES_HINT), json!({ "mono": true, "rows": rows_of(self.text("event_types")) })),
            "only_when": with(optional("only_when", "Only when", CONDITION_HINT), json!({ "mono": true })),
            "schedule": with(schedule, json!({ "refresh": refresh, "options": options(&schedules) })),
            "is_cron": is_cron,
            "has_time": clock::has(self.text("schedule")),
            "has_day": self.text("schedule") == "weekly",
            "at": at,
            "day": with(text("day", "Day", ""), json!({ "options": options(clock::DAYS) })),
            "cron": with(cron, json!({ "mono": true, "placeholder": "0 2 * * 1-5" })),
            "time_zone": text("time_zone", "Time zone", ZONE_HINT),
            "credential": choices.field(self.text("credential"), invalid, &Follows::Fields(&refresh)),
            "method": with(text("method", "Method", ""), json!({ "options": options(&[("POST", "POST"), ("PUT", "PUT")]) })),
            "path": with(text("path", "Path", "Added to the URL address of the credential."), json!({
                "mono": true, "placeholder": "/bulk/devices", "preview": sends_to,
            })),
            "is_sftp": chosen.is_some_and(|chosen| chosen.is_sftp),
            "place": self.place_fields(invalid),
            "content": self.content_fields(invalid, &refresh),
            "limits": json!({
                "max_records_per_request": text("max_records_per_request", "Records per request", "From 1 to 10,000; a request also holds 10 MiB at most."),
                "timeout_seconds": text("timeout_seconds", "Timeout", "Seconds, from 1 to 60."),
                "max_per_second": optional("max_per_second", "At most N per second", ""),
                "when_empty": with(text("when_empty", "Nothing to send", ""), json!({
                    "options": options(&[("skip", "Send nothing"), ("send", "Send it without records")]),
                })),
            }),
            "limits_open": limits.iter().any(|key| !message_at(invalid, key).is_empty()),
        })
    }

    fn place_fields(&self, invalid: &[Invalid]) -> Value {
        let text = |key: &str, label: &str, hint: &str| field(key, label, hint, self.text(key), invalid);
        json!({
            "folder": with(text("folder", "Folder", FOLDER_HINT), json!({ "mono": true, "optional": true, "placeholder": "in/devices" })),
            "file_name": with(text("file_name", "File name", FILE_NAME_HINT), json!({ "mono": true })),
            "if_exists": with(text("if_exists", "If the file exists", ""), json!({
                "options": options(&[("fail", "Fail"), ("replace", "Replace it"), ("number", "Add a number")]),
            })),
            "keep_files": with(text("keep_files", "Keep the newest", KEEP_HINT), json!({ "optional": true })),
        })
    }

    fn content_fields(&self, invalid: &[Invalid], refresh: &Value) -> Value {
        let text = |key: &str, label: &str, hint: &str| field(key, label, hint, self.text(key), invalid);
        let flag = |key: &str, label, hint| field(key, label, hint, self.flag(key), invalid);
        let optional = |key, label, hint| with(text(key, label, hint), json!({ "optional": true }));
        let is_csv = self.text("format") == "csv";
        let whole_hint = format!("{RECORD_HINT} {COLUMNS_HINT}");
        let columns = if is_csv {
            text("columns", "Columns", COLUMNS_HINT)
        } else {
            optional("columns", "Columns", &whole_hint)
        };
        json!({
            "format": with(text("format", "Format", CHANGES), json!({
                "refresh": refresh,
                "options": options(&[("csv", "CSV"), ("ndjson", "NDJSON, one object a line"), ("json", "JSON")]),
            })),
            "is_csv": is_csv,
            "is_json": self.text("format") == "json",
            "columns": with(columns, json!({ "mono": true, "rows": 6 })),
            "json_shape": with(text("json_shape", "JSON shape", ""), json!({
                "refresh": refresh,
                "options": options(&[
                    ("array", "An array of objects"),
                    ("concatenated", "Objects one after another"),
                    ("object_with_array", "One object with an array"),
                ]),
            })),
            "is_object": self.text("json_shape") == "object_with_array",
            "json_array_key": with(optional("json_array_key", "Name of the array", ""), json!({ "placeholder": "records" })),
            "json_properties": with(
                optional("json_properties", "Properties", PROPERTIES_HINT), json!({ "mono": true, "rows": 3 })),
            "delimiter": with(text("csv.delimiter", "Delimiter", ""), json!({
                "options": options(&[("comma", "Comma"), ("semicolon", "Semicolon"), ("tab", "Tab")]),
            })),
            "line_end": with(text("csv.line_end", "Line end", ""), json!({
                "options": options(&[("lf", "LF"), ("crlf", "CRLF")]),
            })),
            "header": flag("csv.header", "Header row", ""),
            "bom": flag("csv.bom", "Byte order mark", "Some spreadsheets need it to see UTF-8."),
            "guard": flag("csv.guard", "Guard against formulas", "Texts that begin with = + - or @ get a ' before them, so that a spreadsheet does not run them."),
            "compression": with(text("compression", "Compression", ""), json!({
                "options": options(&[("none", "None"), ("gzip", "gzip"), ("zstd", "Zstandard")]),
            })),
        })
    }
}

/// `score = data.score | 0`.
fn column(line: &str) -> Value {
    let (line, default) = match line.split_once('|') {
        Some((line, default)) => {
            let default = default.trim();
            (line, serde_json::from_str(default).unwrap_or_else(|_| json!(default)))
        }
        None => (line, Value::Null),
    };
    let (name, path) = line.split_once('=').unwrap_or((line, ""));
    json!({ "name": name.trim(), "path": path.trim(), "default": default })
}

fn column_line(column: &Value) -> String {
    let (name, path) = (word(&column["name"]), word(&column["path"]));
    let of_name = path == format!("data[{}]", json!(name));
    let line = if of_name { name } else { format!("{name} = {path}") };
    if column["default"].is_null() { line } else { format!("{line} | {}", column["default"]) }
}

#[cfg(test)]
mod tests;
