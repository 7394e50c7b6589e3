//! Collecting: a run takes the records that have none, in portions, so that nobody waits behind a million of them.

use consign_core::id::{ConnectorId, RunId};

use super::{Run, stored};
use crate::db::query;
use crate::{Db, StoreError};

/// Fixes how far a run collects: to the newest record there is. What comes later is in the next run. `None`: the lease
/// was lost.
///
/// # Errors
/// When the database cannot be written.
pub async fn begin_collecting(db: &mut Db, run: &Run) -> Result<Option<String>, StoreError> {
    let query = query(
        "update run set collect_to = coalesce(collect_to, (
             select max(x.id) from run_record x where x.connector_id = run.connector_id and x.run_id is null), '')
         where id = $1 and fence = $2 and state = 'open' returning collect_to",
    );
    let found = query.bind(run.id.to_string()).bind(run.fence).optional(db).await?;
    found.map(|row| row.text("collect_to")).transpose()
}

/// Takes at most `max` records more, those of failed runs first, and tells how many; fewer than `max` are the last.
///
/// # Errors
/// When the database cannot be written.
pub async fn collect(db: &mut Db, run: &Run, collect_to: &str, max: u32) -> Result<u64, StoreError> {
    let owing = query("select id, sent_to from run where connector_id = $1 and owes = 1 order by id limit 1");
    if let Some(row) = owing.bind(run.connector.to_string()).optional(db).await? {
        let (failed, sent_to) = (row.id::<RunId>("id")?, row.text("sent_to")?);
        let taken = take_over(db, run, failed, &sent_to, max).await?;
        if taken < u64::from(max) {
            let paid = query("update run set owes = 0 where id = $1");
            paid.bind(failed.to_string()).execute(db).await?;
            // There may be more of other failed runs, or without a run.
            return Ok(taken + Box::pin(collect(db, run, collect_to, max)).await?);
        }
        return Ok(taken);
    }
    let last = last_of_portion(db, run.connector, max).await?;
    let query = query(
        "update run_record set run_id = $1
         where connector_id = $2 and run_id is null and id <= $3 and id <= $4",
    );
    let query = query.bind(run.id.to_string()).bind(run.connector.to_string()).bind(collect_to);
    query.bind(last.as_deref().unwrap_or(collect_to)).execute(db).await
}

/// The record at which a portion of those without a run ends; `None` when they are fewer.
async fn last_of_portion(
    db: &mut Db,
    connector: ConnectorId,
    max: u32,
) -> Result<Option<String>, StoreError> {
    let query = query(
        "select id from run_record where connector_id = $1 and run_id is null order by id limit 1 offset $2",
    );
    let query = query.bind(connector.to_string()).bind(i64::from(max.saturating_sub(1)));
    query.optional(db).await?.map(|row| row.text("id")).transpose()
}

/// The records of a failed run behind the last one that arrived.
async fn take_over(
    db: &mut Db,
    run: &Run,
    failed: RunId,
    sent_to: &str,
    max: u32,
) -> Result<u64, StoreError> {
    let query = query(
        "update run_record set run_id = $1
         where connector_id = $2 and run_id = $3 and id in (
           select id from run_record where connector_id = $2 and run_id = $3 and id > $4 order by id limit $5)",
    );
    query
        .bind(run.id.to_string())
        .bind(run.connector.to_string())
        .bind(failed.to_string())
        .bind(sent_to)
        .bind(i64::from(max))
        .execute(db)
        .await
}

/// The run has all of its records: from now on they stay the same. The answer is their number; `None`: the lease was
/// lost.
///
/// # Errors
/// When the database cannot be written.
pub async fn end_collecting(db: &mut Db, run: &Run) -> Result<Option<u64>, StoreError> {
    let count = query("select count(*) as records from run_record where connector_id = $1 and run_id = $2");
    let count = count.bind(run.connector.to_string()).bind(run.id.to_string()).one(db).await?;
    let records = count.count::<u64>("records")?;
    let query =
        query("update run set collected = 1, records = $1 where id = $2 and fence = $3 and state = 'open'");
    let query = query.bind(stored(records)).bind(run.id.to_string()).bind(run.fence);
    Ok((query.execute(db).await? == 1).then_some(records))
}
