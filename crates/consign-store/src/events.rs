//! Events: accepted in batches, each with its deliveries, all in one transaction of the caller.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use consign_core::event::{Event, OWN_SOURCE};
use consign_core::id::{ConnectorId, DeliveryId, EventId};
use consign_core::time::Timestamp;

use crate::db::query;
use crate::row::{Row, anywhere, json_text};
use crate::statement::{Statement, chunks};
use crate::{Db, Listed, Page, StoreError, deliveries, runs};

/// The columns of an event under names that a join with deliveries leaves unambiguous.
macro_rules! event_columns {
    () => {
        "e.id as event_id, e.event_type, e.source, e.source_id, e.subject, e.time, e.content_type,
           e.extensions, e.received_at, e.received_from, e.test as event_test, e.payload_key, e.sealed_data"
    };
}
pub(crate) use event_columns;

/// An event to accept, sealed, with the deliveries it makes.
#[derive(Clone, Copy, Debug)]
pub struct NewRow<'a> {
    /// The event; its plain data is not stored.
    pub event: &'a Event,
    /// Its data under the payload key.
    pub sealed_data: &'a [u8],
    /// The day of the payload key.
    pub payload_key: i64,
    /// A delivery for each interested webhook.
    pub deliveries: &'a [NewDelivery],
    /// The interested exporters; each gets a record.
    pub exporters: &'a [ConnectorId],
}

/// A delivery to insert.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// Where it goes.
    pub connector: ConnectorId,
    /// When its first attempt is due.
    pub due_at: Timestamp,
    /// Born leased: its fence is 1, and it needs no claim.
    pub lease: Option<Lease>,
    /// The first delivery of this event to this connector.
    pub idempotency_key: DeliveryId,
    /// The delivery that is sent again on purpose.
    pub replay_of: Option<DeliveryId>,
    /// The delivery whose first request is sent, exactly as it was.
    pub sent_as: Option<DeliveryId>,
    /// A test: marked in lists.
    pub test: bool,
}

/// Whose a delivery is, and until when.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The end, unless renewed.
    pub until: Timestamp,
    /// The run of the program that has it.
    pub by: Arc<str>,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It was stored, with its deliveries.
    New,
    /// Source and source id were known: the first event; nothing was stored.
    Duplicate(EventId),
}

/// An event as stored.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// The event with empty data.
    pub event: Event,
    /// Its data under the payload key; `None` once it was removed by age.
    pub sealed_data: Option<Vec<u8>>,
    /// The day of the payload key.
    pub payload_key: i64,
}

/// Which events a list shows; what is absent does not restrict.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Exactly this type.
    pub event_type: Option<String>,
    /// Part of the subject without regard to case, or a whole event id or source id.
    pub q: Option<String>,
    /// Only those that made no delivery.
    pub unmatched_only: bool,
    /// Accepted at this time or later.
    pub after_time: Option<Timestamp>,
    /// Accepted before this time.
    pub before_time: Option<Timestamp>,
}

/// A line in the list of events.
#[derive(Clone, Debug)]
pub struct EventSummary {
    /// Its id.
    pub id: EventId,
    /// Its type.
    pub event_type: String,
    /// Who said so.
    pub source: String,
    /// The sender's own id.
    pub source_id: String,
    /// What it is about.
    pub subject: Option<String>,
    /// When it happened.
    pub time: Timestamp,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// The id of the API key or person that sent it.
    pub received_from: String,
    /// A test event.
    pub test: bool,
    /// How many connectors it matched when it was accepted.
    pub deliveries: u64,
}

/// Stores events and their deliveries. A repeat of source and source id, in the database or within these
/// rows, stores nothing and names the first event.
///
/// # Errors
/// When nothing was stored; the transaction is to be dropped.
pub async fn accept(db: &mut Db, rows: &[NewRow<'_>]) -> Result<Vec<Accepted>, StoreError> {
    let mut stored = HashSet::with_capacity(rows.len());
    for chunk in chunks(rows) {
        insert_events(db, chunk, &mut stored).await?;
    }
    let repeats: Vec<&NewRow<'_>> = rows.iter().filter(|row| !stored.contains(&row.event.id)).collect();
    let first = first_events(db, &repeats).await?;
    let new: Vec<(EventId, Timestamp, &NewDelivery)> = rows
        .iter()
        .filter(|row| stored.contains(&row.event.id))
        .flat_map(|row| row.deliveries.iter().map(|new| (row.event.id, row.event.received_at, new)))
        .collect();
    deliveries::insert_all(db, &new).await?;
    let records: Vec<_> = rows
        .iter()
        .filter(|row| stored.contains(&row.event.id))
        .flat_map(|row| row.exporters.iter().map(|of| (row.event.id.to_string(), *of, row.payload_key)))
        .collect();
    runs::insert_of_events(db, &records).await?;
    let answer = |row: &NewRow<'_>| {
        if stored.contains(&row.event.id) {
            return Ok(Accepted::New);
        }
        let first = first.get(&(row.event.source.clone(), row.event.source_id.clone()));
        first.map(|id| Accepted::Duplicate(*id)).ok_or_else(|| StoreError::Damaged("event.source".to_owned()))
    };
    rows.iter().map(answer).collect()
}

async fn insert_events(
    db: &mut Db,
    rows: &[NewRow<'_>],
    stored: &mut HashSet<EventId>,
) -> Result<(), StoreError> {
    let mut statement = Statement::new(
        db,
        "insert into event (id, event_type, source, source_id, subject, time, content_type, extensions,
           received_at, received_from, test, deliveries, payload_key, sealed_data)
         values ",
    );
    statement.rows(rows, |values, row| {
        let event = row.event;
        let extensions = (!event.extensions.is_empty()).then(|| json_text(&event.extensions));
        values.bind(event.id.to_string()).push(", ").bind(event.event_type.as_str()).push(", ");
        values.bind(event.source.as_str()).push(", ").bind(event.source_id.as_str()).push(", ");
        values.bind(event.subject.as_deref()).push(", ").bind(event.time.millis()).push(", ");
        values.bind(event.content_type.as_str()).push(", ").bind(extensions).push(", ");
        values.bind(event.received_at.millis()).push(", ").bind(event.received_from.as_str()).push(", ");
        values.bind(i64::from(event.test)).push(", ");
        let matched = row.deliveries.len() + row.exporters.len();
        values.bind(i64::try_from(matched).unwrap_or(i64::MAX)).push(", ");
        values.bind(row.payload_key).push(", ").bind(row.sealed_data);
    });
    statement.push(" on conflict (source, source_id) do nothing returning id");
    for row in statement.all(db).await? {
        stored.insert(row.id("id")?);
    }
    Ok(())
}

/// The events that were there first, by source and source id.
async fn first_events(
    db: &mut Db,
    repeats: &[&NewRow<'_>],
) -> Result<HashMap<(String, String), EventId>, StoreError> {
    let mut first = HashMap::with_capacity(repeats.len());
    for chunk in chunks(repeats) {
        let mut statement = Statement::new(
            db,
            "select v.column1 as source, v.column2 as source_id,
               (select e.id from event e where e.source = v.column1 and e.source_id = v.column2) as id
             from (values ",
        );
        statement.rows(chunk, |values, row| {
            values.bind(row.event.source.as_str()).push(", ").bind(row.event.source_id.as_str());
        });
        statement.push(") as v");
        for row in statement.all(db).await? {
            first.insert((row.text("source")?, row.text("source_id")?), row.id("id")?);
        }
    }
    Ok(first)
}

/// An event by its id.
///
/// # Errors
/// When the database cannot be read.
pub async fn find(db: &mut Db, id: EventId) -> Result<Option<StoredEvent>, StoreError> {
    let text = concat!("select ", event_columns!(), " from event e where e.id = $1");
    query(text).bind(id.to_string()).optional(db).await?.map(|row| read(&row)).transpose()
}

/// A page of events, by the time they came in.
///
/// # Errors
/// `BadCursor`.
pub async fn list(
    db: &mut Db,
    filter: &EventFilter,
    page: &Page,
) -> Result<Listed<EventSummary>, StoreError> {
    let turn = page.turn()?;
    let mut statement = Statement::new(
        db,
        "select e.id, e.event_type, e.source, e.source_id, e.subject, e.time, e.received_at, e.received_from,
           e.test, e.deliveries
         from event e where 1 = 1",
    );
    if let Some(event_type) = &filter.event_type {
        statement.push(" and e.event_type = ").bind(event_type.as_str());
    }
    if let Some(q) = filter.q.as_deref().map(str::trim) {
        statement.push(" and (lower(e.subject) like ").bind(anywhere(&q.to_lowercase())).push(" escape '!'");
        statement.push(" or e.id = ").bind(q).push(" or e.source_id = ").bind(q).push(")");
    }
    if filter.unmatched_only {
        statement.push(" and e.deliveries = 0 and e.source <> ").bind(OWN_SOURCE);
    }
    if let Some(after) = filter.after_time {
        statement.push(" and e.received_at >= ").bind(after.millis());
    }
    if let Some(before) = filter.before_time {
        statement.push(" and e.received_at < ").bind(before.millis());
    }
    let count = turn.count(&statement, db).await?;
    turn.by_time(&mut statement, "e.id", turn.key_part()?);
    let summaries = statement.all(db).await?.iter().map(summary).collect::<Result<Vec<_>, _>>()?;
    Ok(turn.listed(summaries, |event| vec![event.id.to_string()]).of(count))
}

fn summary(row: &Row) -> Result<EventSummary, StoreError> {
    Ok(EventSummary {
        id: row.id("id")?,
        event_type: row.text("event_type")?,
        source: row.text("source")?,
        source_id: row.text("source_id")?,
        subject: row.optional_text("subject")?,
        time: row.time("time")?,
        received_at: row.time("received_at")?,
        received_from: row.text("received_from")?,
        test: row.flag("test")?,
        deliveries: row.count("deliveries")?,
    })
}

/// Reads the columns of `event_columns`.
pub(crate) fn read(row: &Row) -> Result<StoredEvent, StoreError> {
    let extensions =
        if row.optional_text("extensions")?.is_some() { row.json("extensions")? } else { Vec::new() };
    let event = Event {
        id: row.id("event_id")?,
        event_type: row.text("event_type")?,
        source: row.text("source")?,
        source_id: row.text("source_id")?,
        subject: row.optional_text("subject")?,
        time: row.time("time")?,
        content_type: row.text("content_type")?,
        data: Default::default(),
        extensions,
        received_at: row.time("received_at")?,
        received_from: row.text("received_from")?,
        test: row.flag("event_test")?,
    };
    Ok(StoredEvent {
        event,
        sealed_data: row.optional_bytes("sealed_data")?,
        payload_key: row.number("payload_key")?,
    })
}
