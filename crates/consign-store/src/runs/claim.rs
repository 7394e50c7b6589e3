//! Taking runs, by lease and fence: the oldest of each exporter, or many small pushed files of one at a time.

use consign_core::id::{ConnectorId, RunId};
use consign_core::time::Timestamp;

use super::{Run, read, stored};
use crate::db::query;
use crate::statement::{Statement, chunks};
use crate::{Db, StoreError, skip_locked};

/// A file that was there at more crashes goes alone.
const CRASHES_BESIDE_OTHERS: i64 = 2;

/// The oldest run of each exporter that has not ended; found without a look at those behind it.
macro_rules! oldest_of_each {
    () => {
        "run r join connector c on c.id = r.connector_id
         where r.state = 'open' and r.hold_reason is null and c.kind = 'exporter' and r.number = (
           select min(o.number) from run o where o.connector_id = c.id and o.state = 'open')"
    };
}

/// A run that is ours until its lease ends.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The run, with the fence of this lease and, counted among its crashes, the one that gave it to us.
    pub run: Run,
    /// Its last lease ran out: the program did not survive it.
    pub abandoned: bool,
}

/// The exporters that may send and have a run to claim, those whose run is due the longest first.
///
/// # Errors
/// When the database cannot be reached.
pub async fn due(db: &mut Db, now: Timestamp) -> Result<Vec<ConnectorId>, StoreError> {
    let query = query(concat!(
        "select c.id from ",
        oldest_of_each!(),
        " and c.state = 'active' and coalesce(c.closed_until, 0) <= $1
           and r.due_at <= $1 and coalesce(r.lease_until, 0) <= $1 order by r.due_at, r.id"
    ));
    let rows = query.bind(now.millis()).all(db).await?;
    rows.iter().map(|row| row.id("id")).collect()
}

/// Leases the due runs of some exporters that may send. A later run of an exporter waits for the one before.
///
/// # Errors
/// When the database cannot be reached.
pub async fn claim(
    db: &mut Db,
    exporters: &[ConnectorId],
    now: Timestamp,
    lease_until: Timestamp,
    by: &str,
) -> Result<Vec<Claimed>, StoreError> {
    let text = concat!(
        "select r.* from ",
        oldest_of_each!(),
        " and c.state = 'active' and coalesce(c.closed_until, 0) <= "
    );
    let mut claimed = Vec::new();
    for some in chunks(exporters) {
        let mut statement = Statement::new(db, text);
        statement.bind(now.millis()).push(" and c.id in (");
        statement.list(some.iter().map(ToString::to_string)).push(")");
        only_due(&mut statement, now);
        statement.push(" order by r.due_at, r.id").push(skip_locked(db, "r"));
        claimed.extend(take(db, statement, now, lease_until, by).await?);
    }
    Ok(claimed)
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
    let text = concat!("select r.* from ", oldest_of_each!(), " and c.id = ");
    let mut statement = Statement::new(db, text);
    statement.bind(connector.to_string());
    only_due(&mut statement, now);
    statement.push(skip_locked(db, "r"));
    Ok(take(db, statement, now, lease_until, by).await?.pop())
}

/// The exporters that may send and have a pushed file of at most so many bytes to send.
///
/// # Errors
/// When the database cannot be reached.
pub async fn with_files_due(
    db: &mut Db,
    bytes_max: u64,
    now: Timestamp,
) -> Result<Vec<ConnectorId>, StoreError> {
    let query = query(
        "select c.id from connector c
         where c.kind = 'exporter' and c.state = 'active' and coalesce(c.closed_until, 0) <= $1
           and exists (select 1 from run r where r.connector_id = c.id and r.state = 'open' and r.hold_reason is null
             and r.digest is not null and r.file_bytes <= $2 and r.due_at <= $1 and coalesce(r.lease_until, 0) <= $1)
         order by c.id",
    );
    let rows = query.bind(now.millis()).bind(stored(bytes_max)).all(db).await?;
    rows.iter().map(|row| row.id("id")).collect()
}

/// Which pushed files of an exporter are wanted.
#[derive(Clone, Copy, Debug)]
pub struct FilesWanted {
    /// The exporter.
    pub connector: ConnectorId,
    /// None that is larger.
    pub bytes_max: u64,
    /// How many at most.
    pub max: u32,
}

/// Leases due runs that send pushed files, oldest first and beside each other. Files of one name keep their order, also where
/// they get numbers, and none overtakes a run of records. One that was there at several crashes is left to [`claim`], so that
/// others are not counted with it again and again.
///
/// # Errors
/// When the database cannot be reached.
pub async fn claim_files(
    db: &mut Db,
    wanted: &FilesWanted,
    now: Timestamp,
    lease_until: Timestamp,
    by: &str,
) -> Result<Vec<Claimed>, StoreError> {
    let connector = wanted.connector.to_string();
    let mut statement = Statement::new(
        db,
        "select r.* from run r join connector c on c.id = r.connector_id
         where r.state = 'open' and r.hold_reason is null and r.digest is not null and c.state = 'active'
           and r.crashes + case when r.lease_until is null then 0 else 1 end <= ",
    );
    statement.bind(CRASHES_BESIDE_OTHERS).push(" and r.connector_id = ");
    statement.bind(connector.as_str()).push(" and coalesce(c.closed_until, 0) <= ").bind(now.millis());
    statement.push(" and r.file_bytes <= ").bind(stored(wanted.bytes_max));
    only_due(&mut statement, now);
    statement.push(
        " and r.number < coalesce((select min(o.number) from run o
             where o.state = 'open' and o.digest is null and o.connector_id = ",
    );
    statement.bind(connector.as_str()).push(
        "), 9223372036854775807)
           and not exists (select 1 from run o
             where o.connector_id = r.connector_id and o.state = 'open' and o.digest is not null
               and o.base_name = r.base_name and o.number < r.number)
         order by r.number limit ",
    );
    statement.bind(i64::from(wanted.max)).push(skip_locked(db, "r"));
    take(db, statement, now, lease_until, by).await
}

fn only_due(statement: &mut Statement, now: Timestamp) {
    statement.push(" and r.due_at <= ").bind(now.millis());
    statement.push(" and coalesce(r.lease_until, 0) <= ").bind(now.millis());
}

/// Leases the runs that a statement finds and locks.
async fn take(
    db: &mut Db,
    statement: Statement,
    now: Timestamp,
    lease_until: Timestamp,
    by: &str,
) -> Result<Vec<Claimed>, StoreError> {
    let mut claimed = Vec::new();
    for row in statement.all(db).await? {
        let mut run = read(&row)?;
        let abandoned = run.lease_until.is_some();
        run.fence += 1;
        run.crashes += u32::from(abandoned);
        run.lease_until = Some(lease_until);
        run.started_at = run.started_at.or(Some(now));
        claimed.push(Claimed { run, abandoned });
    }
    for some in chunks(&claimed) {
        let mut statement = Statement::new(db, "update run set fence = fence + 1, lease_until = ");
        statement.bind(lease_until.millis()).push(", lease_by = ").bind(by);
        statement.push(
            ", crashes = crashes + case when lease_until is null then 0 else 1 end, started_at = coalesce(started_at, ",
        );
        statement.bind(now.millis()).push(") where id in (");
        statement.list(some.iter().map(|claimed| claimed.run.id.to_string())).push(")");
        statement.execute(db).await?;
    }
    Ok(claimed)
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
