//! Attempts of deliveries: what was sent and what was answered, without secrets.

use std::collections::HashMap;

use consign_core::id::{AttemptId, ConnectorId, DeliveryId};
use consign_core::time::Timestamp;

use crate::db::query;
use crate::row::{Row, stored};
use crate::statement::{Statement, chunks};
use crate::{Db, StoreError};

/// One request of a delivery.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Its id.
    pub id: AttemptId,
    /// The delivery.
    pub delivery: DeliveryId,
    /// Where it went.
    pub connector: ConnectorId,
    /// From 1.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration_ms: u64,
    /// The class of its outcome.
    pub outcome: String,
    /// The status of the answer.
    pub status: Option<u16>,
    /// What the tool said, or what was seen instead.
    pub message: Option<String>,
    /// The wait the tool asked for.
    pub wait_ms: Option<u64>,
    /// Method, path and version, without the query.
    pub request_line: String,
    /// The headers that may be shown, as JSON.
    pub request_headers: String,
    /// The headers of the answer that may be shown, as JSON.
    pub answer_headers: String,
    /// The first bytes of the answer under the payload key; `None` without an answer or once removed by age.
    pub answer_excerpt: Option<Vec<u8>>,
    /// The day of the payload key.
    pub payload_key: i64,
    /// The parts of the duration, as JSON.
    pub timing: String,
    /// The bytes of the request body.
    pub request_bytes: u64,
    /// The bytes of the answer body that were read.
    pub answer_bytes: u64,
    /// The request as it was made, under the payload key: kept of the first attempt that has one.
    pub request: Option<Vec<u8>>,
}

/// The request of a delivery as it was first sent.
#[derive(Clone, Debug)]
pub struct FirstRequest {
    /// The request under the payload key.
    pub sealed: Vec<u8>,
    /// The day of that key.
    pub payload_key: i64,
    /// Method and address, without the query.
    pub line: String,
}

/// Adds attempts.
pub(crate) async fn insert(db: &mut Db, attempts: &[&Attempt]) -> Result<(), StoreError> {
    for chunk in chunks(attempts) {
        let mut statement = Statement::new(
            db,
            "insert into attempt (delivery_id, id, connector_id, number, started_at, duration_ms, outcome,
               status, message, wait_ms, request_line, request_headers, answer_headers, timing,
               request_bytes, answer_bytes, payload_key, answer_excerpt, request)
             values ",
        );
        statement.rows(chunk, |row, of| {
            row.bind(of.delivery.to_string()).push(", ").bind(of.id.to_string()).push(", ");
            row.bind(of.connector.to_string()).push(", ").bind(i64::from(of.number)).push(", ");
            row.bind(of.started_at.millis()).push(", ").bind(stored(of.duration_ms)).push(", ");
            row.bind(of.outcome.as_str()).push(", ").bind(of.status.map(i64::from)).push(", ");
            row.bind(of.message.as_deref()).push(", ").bind(of.wait_ms.map(stored)).push(", ");
            row.bind(of.request_line.as_str()).push(", ").bind(of.request_headers.as_str()).push(", ");
            row.bind(of.answer_headers.as_str()).push(", ").bind(of.timing.as_str()).push(", ");
            row.bind(stored(of.request_bytes)).push(", ").bind(stored(of.answer_bytes)).push(", ");
            row.bind(of.payload_key).push(", ").bind(of.answer_excerpt.as_deref()).push(", ");
            if let Some(request) = &of.request {
                row.push(
                    "case when not exists (
                       select 1 from attempt f where f.request is not null and f.delivery_id = ",
                );
                row.bind(of.delivery.to_string()).push(") then ").bind(request.as_slice()).push(" end");
            } else {
                row.push("null");
            }
        });
        statement.execute(db).await?;
    }
    Ok(())
}

/// The attempts of a delivery, oldest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn of_delivery(db: &mut Db, delivery: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
    // All but the request, which is large and of use to the engine alone.
    let query = query(
        "select delivery_id, id, connector_id, number, started_at, duration_ms, outcome, status, message, wait_ms,
           request_line, request_headers, answer_headers, timing, request_bytes, answer_bytes, payload_key, answer_excerpt
         from attempt where delivery_id = $1 order by id",
    );
    query.bind(delivery.to_string()).all(db).await?.iter().map(read).collect()
}

/// How often a delivery was tried, attempts that do not count included, and how long the last time took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// The attempts that are kept.
    pub attempts: u64,
    /// The duration of the last one.
    pub last_duration_ms: u64,
}

/// Those among these deliveries that were tried.
///
/// # Errors
/// When the database cannot be read.
pub async fn tried(db: &mut Db, deliveries: &[DeliveryId]) -> Result<HashMap<DeliveryId, Tried>, StoreError> {
    let mut found = HashMap::new();
    for chunk in chunks(deliveries) {
        let mut statement = Statement::new(
            db,
            "select v.column1 as id,
               (select count(*) from attempt a where a.delivery_id = v.column1) as attempts,
               (select a.duration_ms from attempt a where a.delivery_id = v.column1
                  order by a.id desc limit 1) as duration_ms
             from (values ",
        );
        statement.rows(chunk, |row, id| {
            row.bind(id.to_string());
        });
        statement.push(") as v");
        for row in statement.all(db).await? {
            if let Some(last_duration_ms) = row.optional_count("duration_ms")? {
                found.insert(row.id("id")?, Tried { attempts: row.count("attempts")?, last_duration_ms });
            }
        }
    }
    Ok(found)
}

/// Since when the attempts of a delivery have had this outcome and no other; `None` when the last one had another.
///
/// # Errors
/// When the database cannot be read.
pub async fn outcome_since(
    db: &mut Db,
    delivery: DeliveryId,
    outcome: &str,
) -> Result<Option<Timestamp>, StoreError> {
    let query = query(
        "select min(started_at) as since from attempt where delivery_id = $1 and outcome = $2
           and id > (select coalesce(max(id), '') from attempt where delivery_id = $1 and outcome <> $2)",
    );
    let row = query.bind(delivery.to_string()).bind(outcome).one(db).await?;
    row.optional_time("since")
}

/// The request of a delivery as it was first sent; `None` when none was, or when it was removed by age.
///
/// # Errors
/// When the database cannot be read.
pub async fn first_request(db: &mut Db, delivery: DeliveryId) -> Result<Option<FirstRequest>, StoreError> {
    let query = query(
        "select request, payload_key, request_line from attempt
         where delivery_id = $1 and request is not null order by id limit 1",
    );
    let read = |row: Row| {
        Ok(FirstRequest {
            sealed: row.optional_bytes("request")?.unwrap_or_default(),
            payload_key: row.number("payload_key")?,
            line: row.text("request_line")?,
        })
    };
    query.bind(delivery.to_string()).optional(db).await?.map(read).transpose()
}

/// Whether the request of a delivery as it was first sent is kept.
///
/// # Errors
/// When the database cannot be read.
pub async fn keeps_request(db: &mut Db, delivery: DeliveryId) -> Result<bool, StoreError> {
    let query =
        query("select id from attempt where delivery_id = $1 and request is not null order by id limit 1");
    Ok(query.bind(delivery.to_string()).optional(db).await?.is_some())
}

fn read(row: &Row) -> Result<Attempt, StoreError> {
    Ok(Attempt {
        id: row.id("id")?,
        delivery: row.id("delivery_id")?,
        connector: row.id("connector_id")?,
        number: row.count("number")?,
        started_at: row.time("started_at")?,
        duration_ms: row.count("duration_ms")?,
        outcome: row.text("outcome")?,
        status: row.optional_count("status")?,
        message: row.optional_text("message")?,
        wait_ms: row.optional_count("wait_ms")?,
        request_line: row.text("request_line")?,
        request_headers: row.text("request_headers")?,
        answer_headers: row.text("answer_headers")?,
        answer_excerpt: row.optional_bytes("answer_excerpt")?,
        payload_key: row.number("payload_key")?,
        timing: row.text("timing")?,
        request_bytes: row.count("request_bytes")?,
        answer_bytes: row.count("answer_bytes")?,
        request: None,
    })
}
