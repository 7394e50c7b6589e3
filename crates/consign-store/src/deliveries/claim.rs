//! Taking deliveries from the queue: lanes with work, leases and fences.

use std::collections::HashMap;

use consign_core::id::{ConnectorId, DeliveryId};
use consign_core::time::Timestamp;

use crate::db::query;
use crate::events::{self, StoredEvent, event_columns};
use crate::row::Row;
use crate::statement::{Statement, chunks};
use crate::{Db, StoreError, skip_locked};

/// A crash takes every leased delivery with it; only from the next one on is a delivery suspected of causing them.
const CRASHES_BY_CHANCE: i64 = 1;

/// A connector whose queue has work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneWork {
    /// The connector.
    pub connector: ConnectorId,
    /// How many of its deliveries are under way, over all replicas.
    pub in_flight: u32,
}

/// A delivery that is ours until its lease ends.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Its id.
    pub id: DeliveryId,
    /// What is delivered.
    pub event: StoredEvent,
    /// Where to.
    pub connector: ConnectorId,
    /// Attempts that counted so far.
    pub attempts: u32,
    /// Attempts that ended with the program, this claim's included.
    pub crashes: u32,
    /// Its last lease ran out without a result: an attempt that nobody finished.
    pub abandoned: bool,
    /// What [`super::record`] must know.
    pub fence: i64,
    /// The end of the lease, unless renewed.
    pub lease_until: Timestamp,
    /// The first delivery of this event to this connector.
    pub idempotency_key: DeliveryId,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Since when it has been due.
    pub due_at: Timestamp,
    /// A test.
    pub test: bool,
    /// The delivery whose first request is sent, exactly as it was.
    pub sent_as: Option<DeliveryId>,
}

/// The connectors that have due work and room for it, at most `limit`. They are locked until the end of the
/// transaction; those that another replica has locked are passed over.
///
/// # Errors
/// When the database cannot be reached.
pub async fn lanes(db: &mut Db, now: Timestamp, limit: u32) -> Result<Vec<LaneWork>, StoreError> {
    let mut statement = Statement::new(db, "select c.id from connector c where c.state = 'active'");
    statement.push(" and coalesce(c.closed_until, 0) <= ").bind(now.millis());
    statement.push(
        " and not exists (select 1 from token t where t.credential_id = c.credential_id and t.away_until > ",
    );
    statement.bind(now.millis()).push(")");
    statement.push(
        " and exists (select 1 from delivery d where d.connector_id = c.id and d.state = 'pending'
             and d.due_at <= ",
    );
    statement.bind(now.millis()).push(" and coalesce(d.lease_until, 0) <= ").bind(now.millis()).push(")");
    // A lane without room would take a place from one that has room.
    statement.push(" and (select count(*) from delivery l where l.connector_id = c.id and l.lease_until > ");
    statement.bind(now.millis()).push(") < c.in_flight_max order by c.id limit ").bind(i64::from(limit));
    statement.push(skip_locked(db, "c"));
    let lanes = statement.all(db).await?;
    if lanes.is_empty() {
        return Ok(Vec::new());
    }
    // A statement of its own, so that it sees what the lock waited for.
    let in_flight = in_flight(db, now).await?;
    let lane = |row: &Row| {
        let connector = row.id("id")?;
        Ok(LaneWork { connector, in_flight: in_flight.get(&connector).copied().unwrap_or(0) })
    };
    lanes.iter().map(lane).collect()
}

async fn in_flight(db: &mut Db, now: Timestamp) -> Result<HashMap<ConnectorId, u32>, StoreError> {
    let query = query(
        "select connector_id, count(*) as in_flight from delivery
         where lease_until is not null and lease_until > $1 group by connector_id",
    );
    let rows = query.bind(now.millis()).all(db).await?;
    rows.iter().map(|row| Ok((row.id("connector_id")?, row.count("in_flight")?))).collect()
}

/// Leases at most `max` due deliveries of a lane to `by`, the longest due first. A delivery whose last
/// lease ran out counts one crash more. Suspects are left for [`claim_suspect`].
///
/// # Errors
/// When the database cannot be reached.
pub async fn claim(
    db: &mut Db,
    connector: ConnectorId,
    max: u32,
    now: Timestamp,
    lease_until: Timestamp,
    by: &str,
) -> Result<Vec<Claimed>, StoreError> {
    claim_some(db, connector, max, " <= ", now, lease_until, by).await
}

/// Leases one due delivery that was leased at several crashes. A process leases one of them at a time, so that the
/// next crash counts against the guilty one alone.
///
/// # Errors
/// When the database cannot be reached.
pub async fn claim_suspect(
    db: &mut Db,
    connector: ConnectorId,
    now: Timestamp,
    lease_until: Timestamp,
    by: &str,
) -> Result<Option<Claimed>, StoreError> {
    Ok(claim_some(db, connector, 1, " > ", now, lease_until, by).await?.pop())
}

/// `suspects` compares the crashes, the one just noticed included, with [`CRASHES_BY_CHANCE`].
async fn claim_some(
    db: &mut Db,
    connector: ConnectorId,
    max: u32,
    suspects: &'static str,
    now: Timestamp,
    lease_until: Timestamp,
    by: &str,
) -> Result<Vec<Claimed>, StoreError> {
    let mut statement = Statement::new(
        db,
        concat!(
            "select d.id, d.connector_id, d.attempts, d.crashes, d.lease_until, d.fence, d.idempotency_key, \
             d.created_at, d.due_at, d.test, d.sent_as, ",
            event_columns!(),
            " from delivery d join event e on e.id = d.event_id where d.connector_id = "
        ),
    );
    statement.bind(connector.to_string());
    statement.push(" and d.state = 'pending' and d.due_at <= ").bind(now.millis());
    statement.push(" and coalesce(d.lease_until, 0) <= ").bind(now.millis());
    statement.push(" and d.crashes + case when d.lease_until is null then 0 else 1 end").push(suspects);
    statement.bind(CRASHES_BY_CHANCE);
    statement.push(
        " and (d.order_key is null or not exists (
             select 1 from delivery o where o.connector_id = d.connector_id and o.order_key = d.order_key
               and o.state in ('pending', 'held') and o.id < d.id))
         order by d.due_at limit ",
    );
    statement.bind(i64::from(max)).push(skip_locked(db, "d"));
    let rows = statement.all(db).await?;
    let claimed = rows.iter().map(|row| read(row, lease_until)).collect::<Result<Vec<_>, _>>()?;
    for chunk in chunks(&claimed) {
        lease(db, chunk, lease_until, by).await?;
    }
    Ok(claimed)
}

async fn lease(db: &mut Db, rows: &[Claimed], until: Timestamp, by: &str) -> Result<(), StoreError> {
    let mut statement = Statement::new(db, "update delivery set lease_until = ");
    statement.bind(until.millis()).push(", lease_by = ").bind(by);
    statement.push(", fence = v.column2, crashes = v.column3 from (values ");
    statement.rows(rows, |row, claimed| {
        row.bind(claimed.id.to_string())
            .push(", ")
            .bind(claimed.fence)
            .push(", ")
            .bind(i64::from(claimed.crashes));
    });
    statement.push(") as v where delivery.id = v.column1");
    statement.execute(db).await?;
    Ok(())
}

fn read(row: &Row, lease_until: Timestamp) -> Result<Claimed, StoreError> {
    let event = events::read(row)?;
    let abandoned = row.optional_time("lease_until")?.is_some();
    Ok(Claimed {
        id: row.id("id")?,
        event,
        connector: row.id("connector_id")?,
        attempts: row.count("attempts")?,
        crashes: row.count::<u32>("crashes")? + u32::from(abandoned),
        abandoned,
        fence: row.number("fence")? + 1,
        lease_until,
        idempotency_key: row.id("idempotency_key")?,
        created_at: row.time("created_at")?,
        due_at: row.time("due_at")?,
        test: row.flag("test")?,
        sent_as: row.optional_id("sent_as")?,
    })
}

/// Ends leases of abandoned deliveries that nobody looked at: the attempt that the program did not survive stays
/// in doubt, and is counted once.
///
/// # Errors
/// When the database cannot be written.
pub async fn give_back_abandoned(db: &mut Db, leases: &[(DeliveryId, i64)]) -> Result<(), StoreError> {
    for chunk in chunks(leases) {
        // A lease that ran out long ago is what tells the next claim.
        let mut statement = Statement::new(
            db,
            "update delivery set lease_until = 1, crashes = crashes - 1, fence = fence + 1 from (values ",
        );
        statement.rows(chunk, |row, (id, fence)| {
            row.bind(id.to_string()).push(", ").bind(*fence);
        });
        statement.push(") as v where delivery.id = v.column1 and delivery.fence = v.column2");
        statement.execute(db).await?;
    }
    Ok(())
}

/// Ends leases without an attempt: a clean stop, or a limit that is reached. The deliveries stay due.
///
/// # Errors
/// When the database cannot be written.
pub async fn give_back(db: &mut Db, leases: &[(DeliveryId, i64)]) -> Result<(), StoreError> {
    for chunk in chunks(leases) {
        let mut statement = Statement::new(
            db,
            "update delivery set lease_until = null, lease_by = null, fence = fence + 1 from (values ",
        );
        statement.rows(chunk, |row, (id, fence)| {
            row.bind(id.to_string()).push(", ").bind(*fence);
        });
        statement.push(") as v where delivery.id = v.column1 and delivery.fence = v.column2");
        statement.execute(db).await?;
    }
    Ok(())
}

/// Ends the leases of other runs now, and tells how many: for a program that knows it is alone, as on
/// SQLite at its start. Their attempts count as not finished.
///
/// # Errors
/// When the database cannot be written.
pub async fn abandon_foreign_leases(db: &mut Db, by: &str, now: Timestamp) -> Result<u64, StoreError> {
    let query = query(
        "update delivery set lease_until = $1
         where lease_until is not null and lease_until > $1 and lease_by <> $2",
    );
    query.bind(now.millis()).bind(by).execute(db).await
}
