//! When exporters run next. A tick is taken once, whoever sees it first.

use consign_core::id::ConnectorId;
use consign_core::time::Timestamp;

use crate::db::query;
use crate::row::millis;
use crate::{Db, StoreError};

/// The time of an exporter has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The exporter.
    pub connector: ConnectorId,
    /// The time that had come.
    pub at: Timestamp,
}

/// The exporters whose time has come.
///
/// # Errors
/// When the database cannot be read.
pub async fn ticks_due(db: &mut Db, now: Timestamp) -> Result<Vec<Tick>, StoreError> {
    let query =
        query("select id, next_run_at from connector where next_run_at <= $1 order by next_run_at, id");
    let rows = query.bind(now.millis()).all(db).await?;
    rows.iter().map(|row| Ok(Tick { connector: row.id("id")?, at: row.time("next_run_at")? })).collect()
}

/// Takes a tick and sets the next one. `false`: another replica was faster, or the schedule was changed.
///
/// # Errors
/// When the database cannot be written.
pub async fn take_tick(db: &mut Db, tick: Tick, next: Option<Timestamp>) -> Result<bool, StoreError> {
    let query = query("update connector set next_run_at = $1 where id = $2 and next_run_at = $3");
    let query = query.bind(millis(next)).bind(tick.connector.to_string()).bind(tick.at.millis());
    Ok(query.execute(db).await? == 1)
}

/// Sets when an exporter runs next; `None`: not by itself.
///
/// # Errors
/// When the database cannot be written.
pub async fn set_next_run(
    db: &mut Db,
    connector: ConnectorId,
    next: Option<Timestamp>,
) -> Result<(), StoreError> {
    let query = query("update connector set next_run_at = $1 where id = $2");
    query.bind(millis(next)).bind(connector.to_string()).execute(db).await?;
    Ok(())
}

/// When an exporter runs next by itself.
///
/// # Errors
/// When the database cannot be read.
pub async fn next_run_at(db: &mut Db, connector: ConnectorId) -> Result<Option<Timestamp>, StoreError> {
    let query = query("select next_run_at from connector where id = $1").bind(connector.to_string());
    Ok(query.optional(db).await?.map(|row| row.optional_time("next_run_at")).transpose()?.flatten())
}

/// The number of the next run of an exporter. `None` when there is no such exporter.
///
/// # Errors
/// When the database cannot be written.
pub async fn next_number(db: &mut Db, connector: ConnectorId) -> Result<Option<i64>, StoreError> {
    let query = query(
        "update connector set runs_started = runs_started + 1 where id = $1 and kind = 'exporter'
         returning runs_started",
    );
    let row = query.bind(connector.to_string()).optional(db).await?;
    row.map(|row| row.number("runs_started")).transpose()
}
