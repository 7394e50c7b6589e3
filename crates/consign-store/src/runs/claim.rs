//! Taking runs: one of an exporter at a time, the oldest first, by lease and fence.

use consign_core::id::{ConnectorId, RunId};
use consign_core::time::Timestamp;

use super::{Run, read};
use crate::db::query;
use crate::statement::Statement;
use crate::{Db, StoreError, skip_locked};

/// A run that is ours until its lease ends.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The run, with the fence of this lease and, counted among its crashes, the one that gave it to us.
    pub run: Run,
    /// Its last lease ran out: the program did not survive it.
    pub abandoned: bool,
}

/// Whether there is a run to claim.
///
/// # Errors
/// When the database cannot be reached.
pub async fn has_due(db: &mut Db, now: Timestamp) -> Result<bool, StoreError> {
    let query = query(
        "select r.id from run r join connector c on c.id = r.connector_id
         where r.state = 'open' and c.state = 'active' and coalesce(c.closed_until, 0) <= $1
           and r.due_at <= $1 and coalesce(r.lease_until, 0) <= $1
           and not exists (select 1 from run o
             where o.connector_id = r.connector_id and o.state = 'open' and o.number < r.number)
         limit 1",
    );
    Ok(query.bind(now.millis()).optional(db).await?.is_some())
}

/// Leases at most `max` due runs of exporters that may send. A later run of an exporter waits for the one before.
///
/// # Errors
/// When the database cannot be reached.
pub async fn claim(
    db: &mut Db,
    max: u32,
    now: Timestamp,
    lease_until: Timestamp,
    by: &str,
) -> Result<Vec<Claimed>, StoreError> {
    let mut statement = Statement::new(
        db,
        "select r.* from run r join connector c on c.id = r.connector_id
         where r.state = 'open' and c.state = 'active' and coalesce(c.closed_until, 0) <= ",
    );
    statement.bind(now.millis());
    take(db, statement, max, now, lease_until, by).await
}

/// Leases the due run of an exporter that is held, to see whether the tool lets us in again.
///
/// # Errors
/// When the database cannot be reached.
pub async fn claim_held(
    db: &mut Db,
    connector: ConnectorId,
    now: Timestamp,
    lease_until: Timestamp,
    by: &str,
) -> Result<Option<Claimed>, StoreError> {
    let mut statement =
        Statement::new(db, "select r.* from run r where r.state = 'open' and r.connector_id = ");
    statement.bind(connector.to_string());
    Ok(take(db, statement, 1, now, lease_until, by).await?.pop())
}

async fn take(
    db: &mut Db,
    mut statement: Statement,
    max: u32,
    now: Timestamp,
    lease_until: Timestamp,
    by: &str,
) -> Result<Vec<Claimed>, StoreError> {
    statement.push(" and r.due_at <= ").bind(now.millis());
    statement.push(" and coalesce(r.lease_until, 0) <= ").bind(now.millis());
    statement.push(
        " and not exists (select 1 from run o
             where o.connector_id = r.connector_id and o.state = 'open' and o.number < r.number)
         order by r.due_at, r.id limit ",
    );
    statement.bind(i64::from(max)).push(skip_locked(db, "r"));
    let mut claimed = Vec::new();
    for row in statement.all(db).await? {
        let mut run = read(&row)?;
        let abandoned = run.lease_until.is_some();
        run.fence += 1;
        run.crashes += u32::from(abandoned);
        run.lease_until = Some(lease_until);
        run.started_at = run.started_at.or(Some(now));
        lease(db, &run, by, now).await?;
        claimed.push(Claimed { run, abandoned });
    }
    Ok(claimed)
}

async fn lease(db: &mut Db, run: &Run, by: &str, now: Timestamp) -> Result<(), StoreError> {
    let query = query(
        "update run set lease_until = $1, lease_by = $2, fence = $3, crashes = $4,
           started_at = coalesce(started_at, $5)
         where id = $6",
    );
    query
        .bind(run.lease_until.map(Timestamp::millis))
        .bind(by)
        .bind(run.fence)
        .bind(i64::from(run.crashes))
        .bind(now.millis())
        .bind(run.id.to_string())
        .execute(db)
        .await?;
    Ok(())
}

/// Ends a lease without an attempt: a clean stop. The run stays due.
///
/// # Errors
/// When the database cannot be written.
pub async fn give_back(db: &mut Db, id: RunId, fence: i64) -> Result<(), StoreError> {
    let query = query(
        "update run set lease_until = null, lease_by = null, fence = fence + 1
         where id = $1 and fence = $2 and state = 'open'",
    );
    query.bind(id.to_string()).bind(fence).execute(db).await?;
    Ok(())
}

/// Ends the leases of other processes now, and tells how many: for a program that knows it is alone, as on SQLite at
/// its start.
///
/// # Errors
/// When the database cannot be written.
pub async fn abandon_foreign_leases(db: &mut Db, by: &str, now: Timestamp) -> Result<u64, StoreError> {
    let query = query(
        "update run set lease_until = $1
         where state = 'open' and lease_until is not null and lease_until > $1 and lease_by <> $2",
    );
    query.bind(now.millis()).bind(by).execute(db).await
}
