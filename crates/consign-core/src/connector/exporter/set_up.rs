//! What a run is made by, as it was when the run began. Every attempt writes the same bytes under the same name to the same
//! place, whatever is done to the exporter meanwhile.

use serde_json::{Map, Value, json};

use super::file_name::Stamp;
use super::{Destination, Exporter, ExporterDraft};
use crate::time::Timestamp;

/// The set-up of one run.
#[derive(Clone, Debug)]
pub struct SetUp {
    /// The exporter as it was.
    pub exporter: Exporter,
    /// The name that it had.
    name: String,
    /// The number of the run in names and texts.
    number: i64,
    /// The time of the run in names and texts.
    at: Timestamp,
    /// What a program called the file that it pushed.
    pushed: Option<String>,
}

impl SetUp {
    /// Of a run that begins now.
    pub fn new(exporter: Exporter, name: &str, number: i64, at: Timestamp, pushed: Option<&str>) -> Self {
        Self { exporter, name: name.to_owned(), number, at, pushed: pushed.map(str::to_owned) }
    }

    /// The values that stand for the placeholders.
    pub fn stamp(&self) -> Stamp {
        self.exporter.stamp(&self.name, self.number, self.at)
    }

    /// The name of its file: what was pushed keeps its own, requests have none.
    pub fn file_name(&self) -> String {
        match (&self.pushed, &self.exporter.destination) {
            (Some(name), _) => self.exporter.name_of_pushed(name),
            (None, Destination::Sftp(place)) => place.file_name.of(&self.stamp(), 1),
            (None, Destination::Https(_)) => String::new(),
        }
    }

    /// What a program called the file that it pushed.
    pub fn pushed(&self) -> Option<&str> {
        self.pushed.as_deref()
    }

    /// With the limits of the exporter as it is now: how long, how fast, and how many files stay changes no byte, so that an
    /// edit of it counts at once.
    #[must_use]
    pub fn within_limits_of(mut self, now: &Exporter) -> Self {
        match (&mut self.exporter.destination, &now.destination) {
            (Destination::Https(own), Destination::Https(now)) => {
                own.timeout = now.timeout;
                own.max_per_second = now.max_per_second;
            }
            (Destination::Sftp(own), Destination::Sftp(now)) => own.keep_files = now.keep_files,
            (Destination::Https(_), Destination::Sftp(_)) | (Destination::Sftp(_), Destination::Https(_)) => {
            }
        }
        self
    }

    /// As it is kept.
    pub fn to_stored(&self) -> String {
        json!({
            "name": self.name,
            "number": self.number,
            "at": self.at.millis(),
            "pushed": self.pushed,
            "exporter": self.exporter.to_json(),
        })
        .to_string()
    }

    /// Reads what was kept; `None` for what a newer program kept and this one does not know.
    pub fn from_stored(stored: &[u8]) -> Option<Self> {
        let mut whole: Map<String, Value> = serde_json::from_slice(stored).ok()?;
        let Value::Object(settings) = whole.remove("exporter")? else { return None };
        Some(Self {
            exporter: ExporterDraft::parse_stored(settings).ok()?,
            name: whole.get("name")?.as_str()?.to_owned(),
            number: whole.get("number")?.as_i64()?,
            at: Timestamp::from_millis(whole.get("at")?.as_i64()?),
            pushed: whole.get("pushed")?.as_str().map(str::to_owned),
        })
    }
}
