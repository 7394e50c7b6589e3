//! Sending many deliveries again: which ones, and how fast.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::catalog::{Fault, Invalid, Reader};
use crate::credential::Rate;
use crate::delivery::DeliveryState;
use crate::event::is_type;
use crate::id::{ConnectorId, DeliveryId};
use crate::time::Timestamp;

/// One operation sends at most so many: more is a decision of its own.
pub const REPLAYS_MAX: u64 = 100_000;
/// As many as one page of a list shows.
pub const PICKED_MAX: usize = 200;
/// In thousandths a second: gentle to a tool that has just come back.
const PACE: i64 = 2_000;
const TEXT_CHARS_MAX: usize = 256;

/// The states from which a delivery can be sent again, in the order they are gone through.
const STATES: [DeliveryState; 4] =
    [DeliveryState::Failed, DeliveryState::Cancelled, DeliveryState::Held, DeliveryState::Delivered];
const FILTER_KEYS: &[&str] =
    &["ids", "connector", "state", "event_type", "created_after", "created_before", "q", "test"];
const KEYS: &[&str] = &["filter", "rate_per_second", "request"];

/// Which request is sent when a delivery is sent again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplayRequest {
    /// One that is made of the event with the present set-up.
    #[default]
    Present,
    /// The first one that left, as it was; its sign-in is the present one.
    AsFirstSent,
}

impl ReplayRequest {
    /// Words, in screen order.
    pub const ALL: &'static [(&'static str, Self)] =
        &[("present", Self::Present), ("as_first_sent", Self::AsFirstSent)];

    /// The stored and public word.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::AsFirstSent => "as_first_sent",
        }
    }

    /// In a sentence.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Present => "with the present set-up",
            Self::AsFirstSent => "exactly as first sent",
        }
    }

    /// Reads `{request}`, of one delivery.
    ///
    /// # Errors
    /// When it is another word, or something else was sent.
    pub fn parse(sent: Map<String, Value>) -> Result<Self, Vec<Invalid>> {
        let mut reader = Reader::new(sent);
        let request = Self::read(&mut reader);
        reader.refuse_unknown(&["request"], &[]);
        let invalid = reader.into_invalid();
        if invalid.is_empty() { Ok(request) } else { Err(invalid) }
    }

    fn read(reader: &mut Reader) -> Self {
        reader.choice("request", "Request", Self::ALL, Self::Present)
    }
}

/// Which deliveries to send again. What was sent again before is never among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Only these; empty: all that fit.
    pub ids: Vec<DeliveryId>,
    /// Only of this connector.
    pub connector: Option<ConnectorId>,
    /// In one of these states; held ones are those that wait for a person on their own account.
    pub states: Vec<DeliveryState>,
    /// Only of this type of event.
    pub event_type: Option<String>,
    /// Accepted at this time or later.
    pub created_after: Option<Timestamp>,
    /// Accepted before this time.
    pub created_before: Option<Timestamp>,
    /// Part of the event's subject or of the tool's reference, or a whole id.
    pub q: Option<String>,
    /// Tests too.
    pub tests: bool,
}

/// What was asked for.
#[derive(Clone, Debug)]
pub struct ReplayDraft {
    /// Which.
    pub selection: Selection,
    /// How many a second.
    pub rate: Rate,
    /// What is sent.
    pub request: ReplayRequest,
}

/// Takes `dry_run` out of what was sent: whether only to tell what would be done. What it says decides before anything
/// else is read, because the other way sends.
///
/// # Errors
/// When it is no yes and no no.
pub fn take_dry_run(sent: &mut Map<String, Value>) -> Result<bool, Vec<Invalid>> {
    let mut reader =
        Reader::new(sent.remove("dry_run").map(|said| ("dry_run".to_owned(), said)).into_iter().collect());
    let dry_run = reader.flag("dry_run", "Dry run", false);
    let invalid = reader.into_invalid();
    if invalid.is_empty() { Ok(dry_run) } else { Err(invalid) }
}

impl ReplayDraft {
    /// Reads `{filter, rate_per_second}`.
    ///
    /// # Errors
    /// Every value that was not accepted.
    pub fn parse(sent: Map<String, Value>) -> Result<Self, Vec<Invalid>> {
        let mut reader = Reader::new(sent);
        let selection = match reader.take("filter") {
            Value::Null => Selection::parse(Map::new()),
            Value::Object(filter) => Selection::parse(filter),
            _ => Err(vec![Fault::new("bad_form", "Filter must be an object").at("filter")]),
        };
        let rate = Rate::parse(&reader.take("rate_per_second"));
        let rate = reader.accept("rate_per_second", rate);
        let request = ReplayRequest::read(&mut reader);
        reader.refuse_unknown(KEYS, &[]);
        let mut invalid = reader.into_invalid();
        match (selection, rate) {
            (Ok(selection), Some(rate)) if invalid.is_empty() => {
                let rate = rate.or_else(|| Rate::from_thousandths(PACE)).expect("the pace is a rate");
                Ok(Self { selection, rate, request })
            }
            (selection, _) => {
                invalid.extend(selection.err().unwrap_or_default());
                Err(invalid)
            }
        }
    }
}

/// What an operation keeps of a replay.
#[derive(Clone, Debug)]
pub struct ReplaySettings {
    /// Which.
    pub selection: Selection,
    /// How many a second.
    pub rate: Rate,
    /// Only what had come to its state by then: what fails later is another matter.
    pub before: Timestamp,
    /// What is sent.
    pub request: ReplayRequest,
}

impl ReplaySettings {
    /// As it is stored.
    pub fn to_json(&self) -> Value {
        json!({
            "filter": self.selection.to_json(),
            "rate_per_second": self.rate.per_second(),
            "before": self.before,
            "request": self.request.kind(),
        })
    }

    /// Reads what was stored; `None` for what a newer program may have stored.
    pub fn from_json(stored: &Value) -> Option<Self> {
        let request = match stored["request"].as_str() {
            None => ReplayRequest::Present,
            Some(word) => ReplayRequest::ALL.iter().find(|(known, _)| *known == word)?.1,
        };
        Some(Self {
            request,
            selection: Selection::parse(stored["filter"].as_object()?.clone()).ok()?,
            rate: Rate::parse(&stored["rate_per_second"]).ok()??,
            before: Timestamp::parse_rfc3339(stored["before"].as_str()?)?,
        })
    }
}

impl Selection {
    /// Reads a filter, as it is sent and as [`Selection::to_json`] stores it.
    ///
    /// # Errors
    /// Every value that was not accepted, at `filter/…`.
    pub fn parse(filter: Map<String, Value>) -> Result<Self, Vec<Invalid>> {
        let mut reader = Reader::new(filter);
        let selection = Self {
            ids: read_ids(&mut reader),
            connector: read_connector(&mut reader),
            states: read_states(&mut reader),
            event_type: read_type(&mut reader),
            created_after: read_time(&mut reader, "created_after"),
            created_before: read_time(&mut reader, "created_before"),
            q: read_text(&mut reader, "q"),
            tests: reader.flag("test", "Test", false),
        };
        reader.refuse_unknown(FILTER_KEYS, &[]);
        let invalid = reader.into_invalid();
        if invalid.is_empty() {
            return Ok(selection);
        }
        let within = |one: Invalid| Invalid { field: format!("filter/{}", one.field), ..one };
        Err(invalid.into_iter().map(within).collect())
    }

    /// As it is sent; what does not restrict is left out.
    pub fn to_json(&self) -> Value {
        let mut filter = Map::new();
        let mut put = |key: &str, value: Value| {
            let says_nothing = value.is_null() || value == json!([]) || value == json!(false);
            if !says_nothing {
                filter.insert(key.to_owned(), value);
            }
        };
        put("ids", json!(self.ids));
        put("connector", json!(self.connector));
        put("state", json!(self.states));
        put("event_type", json!(self.event_type));
        put("created_after", json!(self.created_after));
        put("created_before", json!(self.created_before));
        put("q", json!(self.q));
        put("test", json!(self.tests));
        Value::Object(filter)
    }
}

fn read_ids(reader: &mut Reader) -> Vec<DeliveryId> {
    let rows = reader.list("ids", "Ids");
    if rows.len() > PICKED_MAX {
        reader.refuse("ids", Fault::new("too_many", format!("Name at most {PICKED_MAX} deliveries by id")));
    }
    let parse = |row: &Value| row.as_str().and_then(|id| id.parse().ok());
    let ids: Option<Vec<DeliveryId>> = rows.iter().map(parse).collect();
    if ids.is_none() {
        reader.refuse("ids", Fault::new("bad_form", "Ids must be ids of deliveries"));
    }
    ids.unwrap_or_default()
}

fn read_connector(reader: &mut Reader) -> Option<ConnectorId> {
    let text = reader.text("connector", "Connector");
    let id = if text.is_empty() { None } else { Some(text.parse().ok()) };
    if id == Some(None) {
        reader.refuse("connector", Fault::new("bad_form", "Connector must be the id of a connector"));
    }
    id.flatten()
}

fn read_states(reader: &mut Reader) -> Vec<DeliveryState> {
    let mut wanted = Vec::new();
    for row in reader.list("state", "State") {
        match row.as_str().and_then(DeliveryState::find).filter(|state| STATES.contains(state)) {
            Some(state) => wanted.push(state),
            None => {
                let words = STATES.map(DeliveryState::kind).join(", ");
                reader.refuse("state", Fault::new("unknown", format!("State must be of {words}")));
            }
        }
    }
    if wanted.is_empty() {
        wanted.push(DeliveryState::Failed);
    }
    // Each once, in one order: where an operation goes on depends on it.
    STATES.into_iter().filter(|state| wanted.contains(state)).collect()
}

fn read_type(reader: &mut Reader) -> Option<String> {
    let text = read_text(reader, "event_type")?;
    if !is_type(&text) {
        reader.refuse("event_type", Fault::new("bad_form", format!("“{text}” is not an event type")));
    }
    Some(text)
}

fn read_text(reader: &mut Reader, key: &str) -> Option<String> {
    let text = reader.text(key, key).trim().to_owned();
    if text.chars().count() > TEXT_CHARS_MAX {
        let sentence = format!("{key} must be {TEXT_CHARS_MAX} characters or fewer");
        reader.refuse(key, Fault::new("too_long", sentence));
        return None;
    }
    Some(text).filter(|text| !text.is_empty())
}

fn read_time(reader: &mut Reader, key: &str) -> Option<Timestamp> {
    let text = reader.text(key, key);
    if text.is_empty() {
        return None;
    }
    let time = Timestamp::parse_rfc3339(&text);
    if time.is_none() {
        let sentence = format!("{key} must be a time such as 2026-11-22T13:56:54Z");
        reader.refuse(key, Fault::new("bad_form", sentence));
    }
    time
}

/// How many may go now, and when the next ones may: never more than a second's worth is made up for after a delay.
pub fn portion(rate: Rate, due: Timestamp, now: Timestamp, most: u32) -> (u32, Timestamp) {
    let from = due.max(now.minus(Duration::from_secs(1)));
    let owed = now.since(from).as_secs_f64() * rate.per_second();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most 1,000, and not negative"
    )]
    let count = (owed.floor() as u32 + 1).min(most);
    let worth = Duration::from_secs_f64(f64::from(count) / rate.per_second());
    (count, from.plus(worth))
}

#[cfg(test)]
mod tests;
