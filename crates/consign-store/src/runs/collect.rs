//! Collecting: a run takes the records that have none, in portions, so that nobody waits behind a million of them; and no more
//! than one file may hold.

use consign_core::id::{ConnectorId, RunId};

use super::{Run, read, stored};
use crate::db::query;
use crate::statement::Statement;
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

/// What there is room for in a run.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Records in this portion.
    pub records: u32,
    /// Bytes of data that it has already.
    pub bytes: u64,
    /// So many it may have, and one record in any case. `None`: any number.
    pub bytes_max: Option<u64>,
}

/// What a run took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// So many records; fewer than there was room for are the last.
    pub records: u64,
    /// Their bytes, where those have a limit.
    pub bytes: u64,
    /// There are more, and they have no room in this run.
    pub is_full: bool,
}

/// Beside its data a record has an id, a type, a source and a time, which are written, too.
const RECORD_BYTES: u64 = 256;

/// Takes records as long as there is room, those of failed runs first.
///
/// # Errors
/// When the database cannot be written.
pub async fn collect(db: &mut Db, run: &Run, collect_to: &str, room: Room) -> Result<Taken, StoreError> {
    let owing = query("select id, sent_to from run where connector_id = $1 and owes = 1 order by id limit 1");
    if let Some(row) = owing.bind(run.connector.to_string()).optional(db).await? {
        let (failed, sent_to) = (row.id::<RunId>("id")?, row.text("sent_to")?);
        let mut of = from(db, run.connector, Some(failed));
        of.push(" and r.id > ").bind(sent_to.as_str());
        let mut taken = fitting(db, of, room).await?;
        taken.records = take_over(db, run, failed, &sent_to, taken.records).await?;
        if taken.is_full || taken.records >= u64::from(room.records) {
            return Ok(taken);
        }
        let paid = query("update run set owes = 0 where id = $1");
        paid.bind(failed.to_string()).execute(db).await?;
        // There may be more of other failed runs, or without a run.
        let left = room.records - u32::try_from(taken.records).unwrap_or(room.records);
        let left = Room { records: left, bytes: room.bytes + taken.bytes, ..room };
        let more = Box::pin(collect(db, run, collect_to, left)).await?;
        return Ok(Taken {
            records: taken.records + more.records,
            bytes: taken.bytes + more.bytes,
            is_full: more.is_full,
        });
    }
    let mut of = from(db, run.connector, None);
    of.push(" and r.id <= ").bind(collect_to);
    let mut taken = fitting(db, of, room).await?;
    if taken.records == 0 {
        return Ok(taken);
    }
    let last = last_of_portion(db, run.connector, taken.records).await?;
    let query = query(
        "update run_record set run_id = $1
         where connector_id = $2 and run_id is null and id <= $3 and id <= $4",
    );
    let query = query.bind(run.id.to_string()).bind(run.connector.to_string()).bind(collect_to);
    taken.records = query.bind(last.as_deref().unwrap_or(collect_to)).execute(db).await?;
    Ok(taken)
}

/// The bytes that a run has taken so far.
///
/// # Errors
/// When the database cannot be read.
pub async fn taken_bytes(db: &mut Db, run: &Run) -> Result<u64, StoreError> {
    let query = query(
        "select count(*) as records,
           cast(coalesce(sum(coalesce(length(r.sealed_data), length(e.sealed_data), 0)), 0) as bigint) as bytes
         from run_record r left join event e on e.id = r.id where r.connector_id = $1 and r.run_id = $2",
    );
    let row = query.bind(run.connector.to_string()).bind(run.id.to_string()).one(db).await?;
    Ok(row.count::<u64>("bytes")? + row.count::<u64>("records")? * RECORD_BYTES)
}

/// Records of a run, or of none.
fn from(db: &Db, connector: ConnectorId, run: Option<RunId>) -> Statement {
    let mut of = Statement::new(
        db,
        "select cast(coalesce(length(r.sealed_data), length(e.sealed_data), 0) as bigint) as bytes
         from run_record r left join event e on e.id = r.id where r.connector_id = ",
    );
    of.bind(connector.to_string());
    match run {
        Some(run) => of.push(" and r.run_id = ").bind(run.to_string()),
        None => of.push(" and r.run_id is null"),
    };
    of
}

/// How many of the next records there is room for, before one is taken. Where bytes have no limit none is looked at.
async fn fitting(db: &mut Db, mut of: Statement, room: Room) -> Result<Taken, StoreError> {
    let Some(bytes_max) = room.bytes_max else {
        return Ok(Taken { records: u64::from(room.records), ..Taken::default() });
    };
    of.push(" order by r.id limit ").bind(i64::from(room.records));
    let mut taken = Taken::default();
    for row in of.all(db).await? {
        let bytes = row.count::<u64>("bytes")? + RECORD_BYTES;
        let with_it = room.bytes + taken.bytes + bytes;
        if with_it > bytes_max && with_it > bytes {
            taken.is_full = true;
            break;
        }
        taken.bytes += bytes;
        taken.records += 1;
    }
    Ok(taken)
}

/// The record at which a portion of those without a run ends; `None` when they are fewer.
async fn last_of_portion(
    db: &mut Db,
    connector: ConnectorId,
    max: u64,
) -> Result<Option<String>, StoreError> {
    let query = query(
        "select id from run_record where connector_id = $1 and run_id is null order by id limit 1 offset $2",
    );
    let query = query.bind(connector.to_string()).bind(stored(max.saturating_sub(1)));
    query.optional(db).await?.map(|row| row.text("id")).transpose()
}

/// The records of a failed run behind the last one that arrived.
async fn take_over(
    db: &mut Db,
    run: &Run,
    failed: RunId,
    sent_to: &str,
    max: u64,
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
        .bind(stored(max))
        .execute(db)
        .await
}

/// The run has all of its records: from now on they stay the same. Where it leaves more, the next run begins as soon as it is
/// done. The answer is their number; `None`: the lease was lost.
///
/// # Errors
/// When the database cannot be written.
pub async fn end_collecting(db: &mut Db, run: &Run, leaves_more: bool) -> Result<Option<u64>, StoreError> {
    let count = query("select count(*) as records from run_record where connector_id = $1 and run_id = $2");
    let count = count.bind(run.connector.to_string()).bind(run.id.to_string()).one(db).await?;
    let records = count.count::<u64>("records")?;
    let query = query(
        "update run set collected = 1, records = $1, leaves_more = $4
         where id = $2 and fence = $3 and state = 'open'",
    );
    let query = query.bind(stored(records)).bind(run.id.to_string()).bind(run.fence);
    let query = query.bind(i64::from(leaves_more));
    Ok((query.execute(db).await? == 1).then_some(records))
}

/// The runs that are done and left more, behind which no other began yet.
///
/// # Errors
/// When the database cannot be read.
pub async fn leaving_more(db: &mut Db) -> Result<Vec<Run>, StoreError> {
    let query = query(
        "select r.* from run r join connector c on c.id = r.connector_id
         where r.leaves_more = 1 and r.state = 'done' order by r.id",
    );
    query.all(db).await?.iter().map(read).collect()
}

/// What a run left goes with the next one, which begins in this transaction or has begun. `false`: another replica was faster.
///
/// # Errors
/// When the database cannot be written.
pub async fn take_more(db: &mut Db, run: RunId) -> Result<bool, StoreError> {
    let query = query("update run set leaves_more = 0 where id = $1 and leaves_more = 1");
    Ok(query.bind(run.to_string()).execute(db).await? == 1)
}
