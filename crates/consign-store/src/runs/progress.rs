//! How far a run has come, and its end. Nothing is written by a worker that lost its lease.

use consign_core::connector::exporter::{RunState, Step};
use consign_core::id::{ConnectorId, RunId};
use consign_core::time::Timestamp;

use super::{Loss, Run, stored, unsent};
use crate::db::query;
use crate::row::millis;
use crate::{Db, StoreError};

/// How far a run has come.
#[derive(Clone, Debug)]
pub struct Progress {
    /// What it is at.
    pub step: Step,
    /// Records that arrived.
    pub sent_records: u64,
    /// Bytes that arrived.
    pub sent_bytes: u64,
    /// Requests that were accepted.
    pub requests: u64,
    /// The last record that arrived.
    pub sent_to: String,
}

impl Progress {
    /// As a run has it in memory.
    pub fn of(run: &Run) -> Self {
        Self {
            step: run.step,
            sent_records: run.sent_records,
            sent_bytes: run.sent_bytes,
            requests: run.requests,
            sent_to: run.sent_to.clone(),
        }
    }
}

/// Writes down how far a run has come and that its last attempt worked, and keeps the lease. `false`: the lease was
/// lost, or a person stopped the run.
///
/// # Errors
/// When the database cannot be written.
pub async fn advance(
    db: &mut Db,
    run: &Run,
    progress: &Progress,
    lease_until: Timestamp,
) -> Result<bool, StoreError> {
    let query = query(
        "update run set step = $1, sent_records = $2, sent_bytes = $3, requests = $4, sent_to = $5,
           lease_until = $6, attempts = 0, crashes = 0, throttled_since = null, outcome = null, message = null
         where id = $7 and fence = $8 and state = 'open'",
    );
    let query = query
        .bind(progress.step.kind())
        .bind(stored(progress.sent_records))
        .bind(stored(progress.sent_bytes))
        .bind(stored(progress.requests))
        .bind(progress.sent_to.as_str())
        .bind(lease_until.millis());
    Ok(query.bind(run.id.to_string()).bind(run.fence).execute(db).await? == 1)
}

/// Keeps the lease of a run that is still worked on, and shows how many bytes have left. `false` as in [`advance`].
///
/// # Errors
/// When the database cannot be written.
pub async fn keep_lease(
    db: &mut Db,
    run: &Run,
    step: Step,
    sent_bytes: u64,
    lease_until: Timestamp,
) -> Result<bool, StoreError> {
    let query = query(
        "update run set lease_until = $1, step = $2, sent_bytes = $3
         where id = $4 and fence = $5 and state = 'open'",
    );
    let query = query.bind(lease_until.millis()).bind(step.kind()).bind(stored(sent_bytes));
    Ok(query.bind(run.id.to_string()).bind(run.fence).execute(db).await? == 1)
}

/// Keeps the lease of a run that is still worked on. `false` as in [`advance`].
///
/// # Errors
/// When the database cannot be written.
pub async fn keep_lease_only(db: &mut Db, run: &Run, lease_until: Timestamp) -> Result<bool, StoreError> {
    let query = query("update run set lease_until = $1 where id = $2 and fence = $3 and state = 'open'");
    let query = query.bind(lease_until.millis()).bind(run.id.to_string()).bind(run.fence);
    Ok(query.execute(db).await? == 1)
}

/// An attempt did not work; the next one is due at a time. `attempts` are those in a row. `false` as in [`advance`].
///
/// # Errors
/// When the database cannot be written.
pub async fn retry(
    db: &mut Db,
    run: &Run,
    due_at: Timestamp,
    (attempts, throttled_since): (u32, Option<Timestamp>),
    (outcome, message): (&str, &str),
) -> Result<bool, StoreError> {
    let query = query(
        "update run set lease_until = null, lease_by = null, due_at = $1, attempts = $2, throttled_since = $3,
           outcome = $4, message = $5
         where id = $6 and fence = $7 and state = 'open'",
    );
    let query = query
        .bind(due_at.millis())
        .bind(i64::from(attempts))
        .bind(millis(throttled_since))
        .bind(outcome)
        .bind(message);
    Ok(query.bind(run.id.to_string()).bind(run.fence).execute(db).await? == 1)
}

/// Writes down the name that the file of a run is about to have. `false` as in [`advance`].
///
/// # Errors
/// When the database cannot be written.
pub async fn choose_name(db: &mut Db, run: &Run, name: &str) -> Result<bool, StoreError> {
    let query = query(
        "update run set file_name = $1, made_bytes = null, made_at = null where id = $2 and fence = $3 and state = 'open'",
    );
    Ok(query.bind(name).bind(run.id.to_string()).bind(run.fence).execute(db).await? == 1)
}

/// Writes down that a file of this size, written by its server at this second, may get its final name from now on. `false`
/// as in [`advance`].
///
/// # Errors
/// When the database cannot be written.
pub async fn made(db: &mut Db, run: &Run, bytes: u64, at: Option<i64>) -> Result<bool, StoreError> {
    let query =
        query("update run set made_bytes = $1, made_at = $2 where id = $3 and fence = $4 and state = 'open'");
    Ok(query.bind(stored(bytes)).bind(at).bind(run.id.to_string()).bind(run.fence).execute(db).await? == 1)
}

/// The server refused the name: what was known before the attempt is what may have it. `false` as in [`advance`].
///
/// # Errors
/// When the database cannot be written.
pub async fn not_made(db: &mut Db, run: &Run) -> Result<bool, StoreError> {
    let query =
        query("update run set made_bytes = $1, made_at = $2 where id = $3 and fence = $4 and state = 'open'");
    let query = query.bind(run.made_bytes.map(stored)).bind(run.made_at);
    Ok(query.bind(run.id.to_string()).bind(run.fence).execute(db).await? == 1)
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// Done or failed.
    pub state: RunState,
    /// The class of the last outcome.
    pub outcome: &'a str,
    /// What there is to say; may be empty.
    pub message: &'a str,
}

/// Ends a run. Its records are spent with it when it is done, and owed to the next run when it failed; a run that
/// repeats another owes nothing. `false` as in [`advance`].
///
/// # Errors
/// When the database cannot be written.
pub async fn end(db: &mut Db, run: &Run, end: &End<'_>, now: Timestamp) -> Result<bool, StoreError> {
    let query = query(
        "update run set state = $1, outcome = $2, message = $3, ended_at = $4, lease_until = null, lease_by = null,
           hold_reason = null,
           owes = case when $1 <> 'done' and source_id = id and digest is null then 1 else 0 end
         where id = $5 and fence = $6 and state = 'open'",
    );
    let query = query
        .bind(end.state.kind())
        .bind(end.outcome)
        .bind(Some(end.message).filter(|message| !message.is_empty()))
        .bind(now.millis());
    Ok(query.bind(run.id.to_string()).bind(run.fence).execute(db).await? == 1)
}

/// Writes down that a run of an exporter was done at a time.
///
/// # Errors
/// When the database cannot be written.
pub async fn note_done(db: &mut Db, exporter: ConnectorId, at: Timestamp) -> Result<(), StoreError> {
    query("update connector set last_done_at = $1 where id = $2 and coalesce(last_done_at, 0) < $1")
        .bind(at.millis())
        .bind(exporter.to_string())
        .execute(db)
        .await?;
    Ok(())
}

/// Ends a run that is done: what arrived and the end are one change. Its records are spent. `false` as in [`advance`].
///
/// # Errors
/// When the database cannot be written.
pub async fn finish(db: &mut Db, run: &Run, message: &str, now: Timestamp) -> Result<bool, StoreError> {
    let query = query(
        "update run set state = 'done', hold_reason = null, step = $1, sent_records = $2, sent_bytes = $3, requests = $4, sent_to = $5,
           attempts = 0, crashes = 0, throttled_since = null, outcome = 'ok', message = $6, ended_at = $7,
           lease_until = null, lease_by = null, owes = 0
         where id = $8 and fence = $9 and state = 'open'",
    );
    let query = query
        .bind(run.step.kind())
        .bind(stored(run.sent_records))
        .bind(stored(run.sent_bytes))
        .bind(stored(run.requests))
        .bind(run.sent_to.as_str())
        .bind(Some(message).filter(|message| !message.is_empty()))
        .bind(now.millis());
    Ok(query.bind(run.id.to_string()).bind(run.fence).execute(db).await? == 1)
}

/// Stops a run for good; the next run takes its records, unless they are left out. What is under way notices. `false`
/// when it has ended already, or when its records would go with the next run although their file may have arrived and
/// nobody was asked about that.
///
/// # Errors
/// When the database cannot be written.
pub async fn cancel(db: &mut Db, id: RunId, leave_out: bool, now: Timestamp) -> Result<bool, StoreError> {
    let query = query(
        "update run set state = 'cancelled', hold_reason = null, ended_at = $1, fence = fence + 1, lease_until = null,
           lease_by = null,
           owes = case when $2 = 0 and source_id = id and digest is null then 1 else 0 end
         where id = $3 and state = 'open'
           and ($2 = 1 or made_bytes is null or hold_reason is not null or source_id <> id or digest is not null)",
    );
    let query = query.bind(now.millis()).bind(i64::from(leave_out)).bind(id.to_string());
    Ok(query.execute(db).await? == 1)
}

/// Makes the waiting run of an exporter due now: a person says to go on.
///
/// # Errors
/// When the database cannot be written.
pub async fn hurry(db: &mut Db, connector: ConnectorId, now: Timestamp) -> Result<(), StoreError> {
    let query =
        query("update run set due_at = $1 where connector_id = $2 and state = 'open' and due_at > $1");
    query.bind(now.millis()).bind(connector.to_string()).execute(db).await?;
    Ok(())
}

/// Stops all runs of an exporter that is deleted; what was not sent is left out. The answer is what that is.
///
/// # Errors
/// When the database cannot be written.
pub async fn cancel_of_connector(
    db: &mut Db,
    connector: ConnectorId,
    now: Timestamp,
) -> Result<Loss, StoreError> {
    let lost = unsent(db, connector).await?;
    let query = query(
        "update run set state = 'cancelled', hold_reason = null, ended_at = $1, fence = fence + 1, lease_until = null,
           lease_by = null
         where connector_id = $2 and state = 'open'",
    );
    query.bind(now.millis()).bind(connector.to_string()).execute(db).await?;
    let paid = crate::db::query("update run set owes = 0 where connector_id = $1 and owes = 1");
    paid.bind(connector.to_string()).execute(db).await?;
    Ok(lost)
}
