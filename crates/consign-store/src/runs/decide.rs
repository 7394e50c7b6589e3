//! Runs that wait for a person, because nobody can find out what became of them.

use consign_core::delivery::HoldReason;
use consign_core::id::RunId;
use consign_core::time::Timestamp;

use super::{Run, read};
use crate::db::query;
use crate::{Db, StoreError};

/// Lets a run wait for a person from now on. Whoever has its lease has lost it: an attempt that is under way does nothing more. `false`: the lease was lost, or a person stopped the run.
///
/// # Errors
/// When the database cannot be written.
pub async fn hold(
    db: &mut Db,
    run: &Run,
    reason: HoldReason,
    (outcome, message): (&str, &str),
    now: Timestamp,
) -> Result<bool, StoreError> {
    let query = query(
        "update run set hold_reason = $1, outcome = $2, message = $3, due_at = $4, fence = fence + 1, lease_until = null,
           lease_by = null
         where id = $5 and fence = $6 and state = 'open'",
    );
    let query = query.bind(reason.kind()).bind(outcome).bind(message).bind(now.millis());
    Ok(query.bind(run.id.to_string()).bind(run.fence).execute(db).await? == 1)
}

/// A person says that nothing of a run arrived: it begins anew, and is due now. `false` when it waits for no person.
///
/// # Errors
/// When the database cannot be written.
pub async fn send_again(db: &mut Db, id: RunId, now: Timestamp) -> Result<bool, StoreError> {
    let query = query(
        "update run set hold_reason = null, due_at = $1, attempts = 0, crashes = 0, throttled_since = null,
           made_bytes = null, made_at = null
         where id = $2 and state = 'open' and hold_reason is not null",
    );
    Ok(query.bind(now.millis()).bind(id.to_string()).execute(db).await? == 1)
}

/// A person says that all of a run arrived: its records are spent. `false` when it waits for no person.
///
/// # Errors
/// When the database cannot be written.
pub async fn mark_done(db: &mut Db, id: RunId, message: &str, now: Timestamp) -> Result<bool, StoreError> {
    let query = query(
        "update run set state = 'done', hold_reason = null, ended_at = $1, step = 'rename', owes = 0,
           sent_records = records, sent_bytes = coalesce(made_bytes, sent_bytes), message = $2
         where id = $3 and state = 'open' and hold_reason is not null",
    );
    Ok(query.bind(now.millis()).bind(message).bind(id.to_string()).execute(db).await? == 1)
}

/// Runs that wait for a person, the oldest first; no more than `max`.
///
/// # Errors
/// When the database cannot be read.
pub async fn undecided(db: &mut Db, max: u32) -> Result<Vec<Run>, StoreError> {
    let query = query("select * from run where hold_reason is not null order by id limit $1");
    query.bind(i64::from(max)).all(db).await?.iter().map(read).collect()
}
