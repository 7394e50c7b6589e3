//! Removing what is old, in portions small enough that nobody waits behind them. What waits or is held is
//! never old.
//!
//! Ids sort by the time they were made, so that an id made up for a time is a bound for the ids before it,
//! and a portion begins at the oldest row without an index of its own.

use consign_core::id::{AttemptId, DeliveryId, EventId, RunId};
use consign_core::time::Timestamp;

use crate::db::query;
use crate::statement::{Statement, chunks};
use crate::{Db, StoreError};

const DAY_MS: i64 = 86_400_000;

/// Removes the payloads of at most `limit` events whose deliveries all ended before a time, with the
/// requests that were made of them and what their tools answered, and tells of how many events.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_payloads(db: &mut Db, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let query = query(
        "select e.id from event e
         where e.sealed_data is not null and e.payload_key <= $3 and e.received_at < $1
           and not exists (select 1 from delivery d
             where d.event_id = e.id and (d.ended_at is null or d.ended_at >= $1))
           and not exists (select 1 from run_record r where r.id = e.id)
         order by e.payload_key, e.id limit $2",
    );
    // The key tells the day, so that younger payloads are not looked at.
    let day = before.millis().div_euclid(DAY_MS);
    let rows = query.bind(before.millis()).bind(i64::from(limit)).bind(day).all(db).await?;
    let events = rows.iter().map(|row| row.text("id")).collect::<Result<Vec<_>, _>>()?;
    for events in chunks(&events) {
        let mut excerpts = Statement::new(
            db,
            "update attempt set answer_excerpt = null, request = null \
             where (answer_excerpt is not null or request is not null) and delivery_id in (select d.id from delivery d where d.event_id in (",
        );
        excerpts.list(events.iter().map(String::as_str)).push("))");
        excerpts.execute(db).await?;
        let mut payloads = Statement::new(db, "update event set sealed_data = null where id in (");
        payloads.list(events.iter().map(String::as_str)).push(")");
        payloads.execute(db).await?;
    }
    Ok(u64::try_from(events.len()).unwrap_or(u64::MAX))
}

/// Removes at most `limit` deliveries that ended before a time, with their attempts, and tells how many.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_deliveries(db: &mut Db, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let query = query("select id from delivery where id < $1 and ended_at < $2 order by id limit $3");
    let query = query.bind(DeliveryId::new(before).to_string()).bind(before.millis()).bind(i64::from(limit));
    let rows = query.all(db).await?;
    let deliveries = rows.iter().map(|row| row.text("id")).collect::<Result<Vec<_>, _>>()?;
    for deliveries in chunks(&deliveries) {
        let mut attempts = Statement::new(db, "delete from attempt where delivery_id in (");
        attempts.list(deliveries.iter().map(String::as_str)).push(")");
        attempts.execute(db).await?;
        let mut rows = Statement::new(db, "delete from delivery where id in (");
        rows.list(deliveries.iter().map(String::as_str)).push(")");
        rows.execute(db).await?;
    }
    Ok(u64::try_from(deliveries.len()).unwrap_or(u64::MAX))
}

/// Removes at most `limit` events that were accepted before a time and have no delivery left, and tells how
/// many. Their repeats are not recognised any more.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_events(db: &mut Db, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let query = query(
        "delete from event where id in (
           select e.id from event e where e.id < $1 and e.received_at < $2
             and not exists (select 1 from delivery d where d.event_id = e.id)
             and not exists (select 1 from run_record r where r.id = e.id)
           order by e.id limit $3)",
    );
    let query = query.bind(EventId::new(before).to_string()).bind(before.millis()).bind(i64::from(limit));
    query.execute(db).await
}

/// Removes at most `limit` calls through gateways that began before a time, and tells how many.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_gateway_calls(db: &mut Db, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let query = query(
        "delete from gateway_call where id in (
           select id from gateway_call where id < $1 and started_at < $2 order by id limit $3)",
    );
    let query = query.bind(AttemptId::new(before).to_string()).bind(before.millis()).bind(i64::from(limit));
    query.execute(db).await
}

/// What a portion took of a run that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunPortion {
    /// Records that are gone.
    pub records: u64,
    /// Pieces of a file that are gone.
    pub pieces: u64,
    /// There may be more, of this run or of another one.
    pub more: bool,
}

/// Removes at most `records_max` records and `pieces_max` pieces of a file of a run that ended before a time and owes
/// nothing; with the last of them goes what the run was made by. What is repeated right now stays.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_run_payloads(
    db: &mut Db,
    before: Timestamp,
    records_max: u32,
    pieces_max: u32,
) -> Result<RunPortion, StoreError> {
    let ended = query(
        "select r.id, r.connector_id from run r
         where r.ended_at < $1 and r.ended_at is not null and r.owes = 0 and r.payloads_kept = 1
           and not exists (select 1 from run o where o.source_id = r.id and o.state = 'open')
         order by r.ended_at limit 1",
    );
    let Some(row) = ended.bind(before.millis()).optional(db).await? else { return Ok(RunPortion::default()) };
    let (run, connector) = (row.text("id")?, row.text("connector_id")?);
    let records = query(
        "delete from run_record where connector_id = $1 and run_id = $2 and id in (
           select id from run_record where connector_id = $1 and run_id = $2 order by id limit $3)",
    );
    let records = records.bind(connector).bind(run.as_str()).bind(i64::from(records_max)).execute(db).await?;
    let pieces = delete_pieces(db, &run, pieces_max).await?;
    if records < u64::from(records_max) && pieces < u64::from(pieces_max) {
        query("update run set payloads_kept = 0, sealed_set_up = null where id = $1")
            .bind(run)
            .execute(db)
            .await?;
    }
    Ok(RunPortion { records, pieces, more: true })
}

/// Removes at most `max` pieces of a file that is no run and never will be, and tells how many.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_pieces_of(db: &mut Db, run: RunId, max: u32) -> Result<u64, StoreError> {
    delete_pieces(db, &run.to_string(), max).await
}

async fn delete_pieces(db: &mut Db, run: &str, max: u32) -> Result<u64, StoreError> {
    let query = query(
        "delete from run_chunk where run_id = $1 and number in (
           select number from run_chunk where run_id = $1 order by number limit $2)",
    );
    query.bind(run).bind(i64::from(max)).execute(db).await
}

/// Removes at most `limit` runs that ended before a time and whose records are gone, with their logs, and tells how
/// many.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_runs(db: &mut Db, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let query = query(
        "select id from run where ended_at < $1 and owes = 0 and payloads_kept = 0 order by ended_at limit $2",
    );
    let rows = query.bind(before.millis()).bind(i64::from(limit)).all(db).await?;
    let runs = rows.iter().map(|row| row.text("id")).collect::<Result<Vec<_>, _>>()?;
    for runs in chunks(&runs) {
        for text in ["delete from run_log where run_id in (", "delete from run where id in ("] {
            let mut statement = Statement::new(db, text);
            statement.list(runs.iter().map(String::as_str)).push(")");
            statement.execute(db).await?;
        }
    }
    Ok(u64::try_from(runs.len()).unwrap_or(u64::MAX))
}

/// Removes at most `limit` pieces of a file that is no run and not on its way, and tells how many.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_unowned_pieces(db: &mut Db, limit: u32) -> Result<u64, StoreError> {
    // From one file to the next, however many pieces lie between them.
    let unowned = query(
        "with recursive pushed (run_id) as (
           select min(run_id) from run_chunk
           union all
           select (select min(c.run_id) from run_chunk c where c.run_id > pushed.run_id)
             from pushed where pushed.run_id is not null)
         select run_id from pushed where run_id is not null
           and not exists (select 1 from run r where r.id = pushed.run_id)
           and not exists (select 1 from upload u where u.run_id = pushed.run_id)
         limit 1",
    );
    let Some(row) = unowned.optional(db).await? else { return Ok(0) };
    delete_pieces(db, &row.text("run_id")?, limit).await
}

/// Forgets at most `limit` uploads of which nothing arrived since a time, and tells how many. Nobody needs their pieces then,
/// unless they became a run.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_uploads(db: &mut Db, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let query = query(
        "delete from upload where id in (
           select id from upload where touched_at < $1 order by touched_at limit $2)",
    );
    query.bind(before.millis()).bind(i64::from(limit)).execute(db).await
}

/// Removes at most `limit` records that waited for an exporter that was deleted, and tells how many.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_unowned_records(db: &mut Db, limit: u32) -> Result<u64, StoreError> {
    // From one exporter to the next, however many records lie between them.
    let unowned = query(
        "with recursive waiting (connector_id) as (
           select min(connector_id) from run_record
           union all
           select (select min(r.connector_id) from run_record r where r.connector_id > waiting.connector_id)
             from waiting where waiting.connector_id is not null)
         select connector_id from waiting where connector_id is not null
           and not exists (select 1 from connector c where c.id = waiting.connector_id)
           and exists (select 1 from run_record r
             where r.connector_id = waiting.connector_id and r.run_id is null)
         limit 1",
    );
    let Some(row) = unowned.optional(db).await? else { return Ok(0) };
    let query = query(
        "delete from run_record where connector_id = $1 and run_id is null and id in (
           select id from run_record where connector_id = $1 and run_id is null order by id limit $2)",
    );
    query.bind(row.text("connector_id")?).bind(i64::from(limit)).execute(db).await
}

/// Removes the payload keys of days before one, counted since 1970, that no payload needs any more, and
/// tells how many. An attempt belongs to an event of the same day or an earlier one, so events decide.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_payload_keys(db: &mut Db, before_day: i64) -> Result<u64, StoreError> {
    let query = query(
        "delete from payload_key where id < $1
           and id < coalesce((select min(payload_key) from event where sealed_data is not null), $1)
           and id < coalesce((select min(payload_key) from run_record where sealed_data is not null), $1)
           and id < coalesce((select min(payload_key) from run_chunk), $1)
           and id < coalesce((select min(payload_key) from run where sealed_set_up is not null), $1)",
    );
    query.bind(before_day).execute(db).await
}
