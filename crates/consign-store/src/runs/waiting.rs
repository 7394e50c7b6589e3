//! What waits: for the next run of an exporter, and in runs that have not come to their end.

use std::collections::HashMap;

use consign_core::id::ConnectorId;
use consign_core::time::Timestamp;

use super::{Run, read};
use crate::db::query;
use crate::statement::{Statement, chunks};
use crate::{Db, StoreError};

/// More records that wait for one exporter are not counted one by one.
pub const WAITING_COUNT_MAX: u32 = 100_000;
/// For one of a page of exporters this is enough to know.
const WAITING_OF_PAGE_MAX: u32 = 1_000;
/// What is lost with an exporter is told up to here: counting so many index entries takes a second.
pub const UNSENT_COUNT_MAX: u32 = 10_000_000;

/// How many records wait for the next run of an exporter, those of failed runs included; at most
/// [`WAITING_COUNT_MAX`].
///
/// # Errors
/// When the database cannot be read.
pub async fn waiting_count(db: &mut Db, connector: ConnectorId) -> Result<u64, StoreError> {
    let query = query(
        "select count(*) as waiting from (
           select 1 as one from run_record where connector_id = $1 and run_id is null
           union all
           select 1 as one from run r join run_record x on x.connector_id = r.connector_id and x.run_id = r.id
             and x.id > r.sent_to where r.connector_id = $1 and r.owes = 1
           limit $2) as found",
    );
    let query = query.bind(connector.to_string()).bind(i64::from(WAITING_COUNT_MAX));
    query.one(db).await?.count("waiting")
}

/// What a page tells of an exporter.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    /// Records for its next run.
    pub records: u64,
    /// There may be more: beyond this number nobody counts.
    pub is_capped: bool,
    /// When it runs next by itself.
    pub next_run_at: Option<Timestamp>,
    /// Its newest run.
    pub last_run: Option<Run>,
}

/// What a page tells of these exporters, in two queries.
///
/// # Errors
/// When the database cannot be read.
pub async fn waiting_of(
    db: &mut Db,
    ids: &[ConnectorId],
) -> Result<HashMap<ConnectorId, Waiting>, StoreError> {
    let mut found: HashMap<_, Waiting> = HashMap::new();
    for chunk in chunks(ids) {
        let mut counts = Statement::new(
            db,
            "select c.id, c.next_run_at,
               (select count(*) from (select 1 as one from run_record x
                  where x.connector_id = c.id and x.run_id is null limit ",
        );
        counts.bind(i64::from(WAITING_OF_PAGE_MAX)).push(
            ") as fresh) + (select count(*) from (select 1 as one from run r join run_record x
                  on x.connector_id = r.connector_id and x.run_id = r.id and x.id > r.sent_to
                  where r.connector_id = c.id and r.owes = 1 limit ",
        );
        counts
            .bind(i64::from(WAITING_OF_PAGE_MAX))
            .push(") as owed) as waiting from connector c where c.id in (");
        counts.list(chunk.iter().map(ToString::to_string)).push(")");
        for row in counts.all(db).await? {
            let records = row.count::<u64>("waiting")?.min(u64::from(WAITING_OF_PAGE_MAX));
            let waiting = Waiting {
                records,
                is_capped: records == u64::from(WAITING_OF_PAGE_MAX),
                next_run_at: row.optional_time("next_run_at")?,
                last_run: None,
            };
            found.insert(row.id("id")?, waiting);
        }
        let mut runs = Statement::new(
            db,
            "select r.* from connector c join run r on r.connector_id = c.id
               and r.number = (select max(o.number) from run o where o.connector_id = c.id)
             where c.id in (",
        );
        runs.list(chunk.iter().map(ToString::to_string)).push(")");
        for row in runs.all(db).await? {
            let run = read(&row)?;
            let of = found.entry(run.connector).or_default();
            of.last_run = Some(run);
        }
    }
    Ok(found)
}

/// What is not sent any more when an exporter is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Runs that have not come to their end.
    pub runs: u64,
    /// Records that wait, and those in the runs that did not arrive; at most [`UNSENT_COUNT_MAX`].
    pub records: u64,
    /// Files that were pushed and did not arrive.
    pub files: u64,
}

/// What an exporter has not sent: all that would be lost with it. A repetition loses nothing.
///
/// # Errors
/// When the database cannot be read.
pub async fn unsent(db: &mut Db, connector: ConnectorId) -> Result<Loss, StoreError> {
    let open = query(
        "select count(*) as runs,
           count(case when digest is not null and source_id = id then 1 end) as files
         from run where connector_id = $1 and state = 'open'",
    );
    let open = open.bind(connector.to_string()).one(db).await?;
    let records = query(
        "select count(*) as unsent from (
           select 1 as one from run_record where connector_id = $1 and run_id is null
           union all
           select 1 as one from run r join run_record x on x.connector_id = r.connector_id and x.run_id = r.id
             and x.id > r.sent_to
             where r.connector_id = $1 and (r.owes = 1 or (r.state = 'open' and r.source_id = r.id))
           limit $2) as found",
    );
    let records = records.bind(connector.to_string()).bind(i64::from(UNSENT_COUNT_MAX)).one(db).await?;
    Ok(Loss { runs: open.count("runs")?, records: records.count("unsent")?, files: open.count("files")? })
}

/// When the last run of each exporter that is there was done.
///
/// # Errors
/// When the database cannot be read.
pub async fn last_success_of_each(db: &mut Db) -> Result<Vec<(ConnectorId, Timestamp)>, StoreError> {
    let query = query(
        "select id, last_done_at from connector where kind = 'exporter' and last_done_at is not null order by id",
    );
    let rows = query.all(db).await?;
    rows.iter().map(|row| Ok((row.id("id")?, row.time("last_done_at")?))).collect()
}

/// One look into an index for each exporter.
pub(crate) const LAST_FAILED: &str = "select r.* from connector c join run r on r.id = (
       select o.id from run o where o.connector_id = c.id and o.ended_at is not null
       order by o.ended_at desc, o.number desc limit 1)
     where c.kind = 'exporter' and r.state = 'failed' and r.ended_at >= $1";

/// The run that ended last, of each exporter where that one failed, at `from` or later.
///
/// # Errors
/// When the database cannot be read.
pub async fn last_failed_of_each(db: &mut Db, from: Timestamp) -> Result<Vec<Run>, StoreError> {
    query(LAST_FAILED).bind(from.millis()).all(db).await?.iter().map(read).collect()
}
