//! Records: what was pushed or collected, and pages of what a run sends.

use consign_core::id::ConnectorId;

use super::Run;
use crate::db::query;
use crate::events::{self, StoredEvent, event_columns};
use crate::row::Row;
use crate::statement::{Statement, chunks};
use crate::{Db, StoreError};

/// One statement binds no more.
const STATEMENT_BYTES_MAX: usize = 1 << 20;
const STATEMENT_ROWS_MAX: usize = 64;

/// A record that was pushed, sealed.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// Sorts in the order in which records were pushed.
    pub id: String,
    /// Under the payload key, for its id.
    pub sealed_data: Vec<u8>,
}

/// A record as stored.
#[derive(Clone, Debug)]
pub struct StoredRecord {
    /// Its id: that of the event, or of what was pushed.
    pub id: String,
    /// What it holds.
    pub content: Content,
}

/// What a record holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// An event.
    Event(Box<StoredEvent>),
    /// What was pushed.
    Pushed {
        /// Under the payload key.
        sealed_data: Vec<u8>,
        /// The day of the payload key.
        payload_key: i64,
    },
    /// It was removed.
    Gone,
}

/// Adds records that were pushed; they wait for the next run.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert_records(
    db: &mut Db,
    connector: ConnectorId,
    payload_key: i64,
    records: Vec<NewRecord>,
) -> Result<(), StoreError> {
    let mut records = records.into_iter().peekable();
    while records.peek().is_some() {
        // What is bound is a copy: few large records at a time, or many small ones.
        let mut bytes = 0;
        let chunk = std::iter::from_fn(|| {
            let next = records.next_if(|_| bytes < STATEMENT_BYTES_MAX)?;
            bytes += next.sealed_data.len() + next.id.len();
            Some(next)
        });
        let mut statement =
            Statement::new(db, "insert into run_record (id, connector_id, payload_key, sealed_data) values ");
        statement.rows(chunk.take(STATEMENT_ROWS_MAX), |row, record| {
            row.bind(record.id).push(", ").bind(connector.to_string()).push(", ");
            row.bind(payload_key).push(", ").bind(record.sealed_data.as_slice());
        });
        statement.execute(db).await?;
    }
    Ok(())
}

/// Adds records of events, each for an exporter.
pub(crate) async fn insert_of_events(
    db: &mut Db,
    records: &[(String, ConnectorId, i64)],
) -> Result<(), StoreError> {
    for chunk in chunks(records) {
        let mut statement =
            Statement::new(db, "insert into run_record (id, connector_id, payload_key) values ");
        statement.rows(chunk, |row, (id, connector, payload_key)| {
            row.bind(id.as_str()).push(", ").bind(connector.to_string()).push(", ").bind(*payload_key);
        });
        statement.execute(db).await?;
    }
    Ok(())
}

/// The next records that a run sends, behind one; in their order. At most `max` of them with at most `bytes_max` of
/// data, and one in any case.
///
/// # Errors
/// When the database cannot be read.
pub async fn page(
    db: &mut Db,
    run: &Run,
    after: &str,
    max: u32,
    bytes_max: u64,
) -> Result<Vec<StoredRecord>, StoreError> {
    let Some(last) = last_of_page(db, run, after, max, bytes_max).await? else { return Ok(Vec::new()) };
    let text = concat!(
        "select r.id, r.sealed_data as record_data, r.payload_key as record_key, ",
        event_columns!(),
        " from run_record r left join event e on e.id = r.id
         where r.connector_id = $1 and r.run_id = $2 and r.id > $3 and r.id <= $4 order by r.id"
    );
    let query = query(text).bind(run.connector.to_string()).bind(run.source.to_string());
    query.bind(after).bind(last).all(db).await?.iter().map(read).collect()
}

/// Where a page ends, before its data is read.
async fn last_of_page(
    db: &mut Db,
    run: &Run,
    after: &str,
    max: u32,
    bytes_max: u64,
) -> Result<Option<String>, StoreError> {
    let query = query(
        "select r.id, cast(coalesce(length(r.sealed_data), length(e.sealed_data), 0) as bigint) as bytes
         from run_record r left join event e on e.id = r.id
         where r.connector_id = $1 and r.run_id = $2 and r.id > $3 order by r.id limit $4",
    );
    let query = query.bind(run.connector.to_string()).bind(run.source.to_string()).bind(after);
    let (mut last, mut bytes) = (None, 0);
    for row in query.bind(i64::from(max)).all(db).await? {
        bytes += row.count::<u64>("bytes")?;
        if last.is_some() && bytes > bytes_max {
            break;
        }
        last = Some(row.text("id")?);
    }
    Ok(last)
}

fn read(row: &Row) -> Result<StoredRecord, StoreError> {
    let id = row.text("id")?;
    let content = if let Some(sealed_data) = row.optional_bytes("record_data")? {
        Content::Pushed { sealed_data, payload_key: row.number("record_key")? }
    } else if row.optional_text("event_id")?.is_some() {
        Content::Event(Box::new(events::read(row)?))
    } else {
        Content::Gone
    };
    Ok(StoredRecord { id, content })
}
