//! What an overview tells: counts that stay quick while a million deliveries wait. Whatever has no natural bound is
//! counted up to one.

use consign_core::delivery::{DeliveryState, HoldReason};
use consign_core::event::OWN_SOURCE;
use consign_core::id::{ConnectorId, DeliveryId, EventId};
use consign_core::time::Timestamp;

use crate::connectors::WAITING_MAX;
use crate::db::query;
use crate::deliveries::failed_for_good;
use crate::row::{Row, stored};
use crate::statement::Statement;
use crate::{COUNT_MAX, Db, StoreError};

/// The hours of [`by_hour`] are counted since 1970.
pub const HOUR_MS: i64 = 3_600_000;
/// The oldest of so many waiting deliveries is looked for; beyond, the one that is due first stands for it.
const OLDEST_OF: i64 = 1_000;
/// A credential that is of use so long after its connector was made is used by it; before, a test may be all there was.
const IN_USE_MS: i64 = 86_400_000;

/// What came to its end within one hour, of one connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HourCount {
    /// The hour, since 1970.
    pub hour: i64,
    /// The connector, which may be deleted by now.
    pub connector: ConnectorId,
    /// Delivered ones.
    pub delivered: u64,
    /// Failed ones.
    pub failed: u64,
}

/// What came to its end in the hours from one up to another, by hour and connector.
///
/// # Errors
/// When the database cannot be read.
pub async fn by_hour(db: &mut Db, from: i64, to: i64) -> Result<Vec<HourCount>, StoreError> {
    // The index knows connectors before times: each connector there is has its own range of it, and `cross join` keeps
    // SQLite to that.
    let query = query(
        "with recursive known(id) as (
           select min(connector_id) from delivery where ended_at is not null
           union all
           select (select min(d.connector_id) from delivery d
             where d.ended_at is not null and d.connector_id > known.id)
           from known where known.id is not null)
         select known.id, d.ended_at / 3600000 as ended_hour,
           count(case when d.state = 'delivered' then 1 end) as delivered,
           count(case when d.state = 'failed' then 1 end) as failed
         from known cross join delivery d
         where d.connector_id = known.id and known.id is not null
           and d.ended_at is not null and d.ended_at >= $1 and d.ended_at < $2
         group by known.id, d.ended_at / 3600000",
    );
    let rows = query.bind(from * HOUR_MS).bind(to * HOUR_MS).all(db).await?;
    let read = |row: &Row| {
        Ok(HourCount {
            hour: row.number("ended_hour")?,
            connector: row.id("id")?,
            delivered: row.count("delivered")?,
            failed: row.count("failed")?,
        })
    };
    rows.iter().map(read).collect()
}

/// What waits for connectors that send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many, up to [`COUNT_MAX`].
    pub count: u64,
    /// When the oldest of them was accepted.
    pub oldest: Option<Timestamp>,
}

/// Counts what waits for connectors that send.
///
/// # Errors
/// When the database cannot be read.
pub async fn waiting(db: &mut Db) -> Result<Waiting, StoreError> {
    // `due_at >= 0` says nothing new: it lets the index that passes over what has ended be used.
    let counted = query(
        "select count(*) as waiting from (select 1 from connector c cross join delivery d
           where d.connector_id = c.id and d.state = 'pending' and d.due_at >= 0 and c.state = 'active' limit $1) as counted",
    );
    let count = counted.bind(stored(COUNT_MAX)).one(db).await?.count("waiting")?;
    let first = query(
        "select min(f.created_at) as oldest from (
           select d.created_at, d.connector_id from delivery d
           where d.state <> 'delivered' and d.state = 'pending' order by d.id limit $1) as f
         join connector c on c.id = f.connector_id where c.state = 'active'",
    );
    let mut oldest = first.bind(OLDEST_OF).one(db).await?.optional_time("oldest")?;
    if oldest.is_none() && count > 0 {
        let due = query(
            "select min((select d.created_at from delivery d where d.connector_id = c.id and d.state = 'pending'
               order by d.due_at limit 1)) as oldest
             from connector c where c.state = 'active'",
        );
        oldest = due.one(db).await?.optional_time("oldest")?;
    }
    Ok(Waiting { count, oldest })
}

/// Whether anything was ever sent, by whatever connector there is. Deliveries, runs and calls are removed after their time:
/// later the use of a credential speaks for them.
///
/// # Errors
/// When the database cannot be read.
pub async fn anything_sent(db: &mut Db) -> Result<bool, StoreError> {
    let sent = query(
        "select count(*) as sent from (select 1) as once
         where exists (select 1 from delivery)
           or exists (select 1 from run)
           or exists (select 1 from gateway_call)
           or exists (select 1 from connector c join credential k on k.id = c.credential_id
             where k.last_used_at > c.created_at + $1)",
    );
    Ok(sent.bind(IN_USE_MS).one(db).await?.number("sent")? > 0)
}

/// How many deliveries wait for a connector, up to [`WAITING_MAX`].
///
/// # Errors
/// When the database cannot be read.
pub async fn waiting_for(db: &mut Db, connector: ConnectorId) -> Result<u64, StoreError> {
    let query = query(
        "select count(*) as waiting from (select 1 from delivery d
           where d.connector_id = $1 and d.state = 'pending' and d.due_at >= 0 limit $2) as counted",
    );
    query.bind(connector.to_string()).bind(stored(WAITING_MAX)).one(db).await?.count("waiting")
}

/// Deliveries of one connector that need a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pressing {
    /// Failed or held.
    pub state: DeliveryState,
    /// Why it is held.
    pub reason: Option<HoldReason>,
    /// The connector.
    pub connector: ConnectorId,
    /// How many, as far as was counted.
    pub count: u64,
    /// Since when the oldest of them.
    pub since: Timestamp,
}

/// What failed and was not sent again, and what is held for a person, by connector and reason. Of each the newest
/// [`COUNT_MAX`] are looked at.
///
/// # Errors
/// When the database cannot be read.
pub async fn pressing(db: &mut Db) -> Result<Vec<Pressing>, StoreError> {
    let mut held = Statement::new(
        db,
        "select f.connector_id, f.hold_reason, count(*) as found, min(f.since) as since from (
           select d.connector_id, d.hold_reason, d.created_at as since from delivery d
           where d.state <> 'delivered' and d.state = 'held' order by d.id desc limit ",
    );
    held.bind(stored(COUNT_MAX)).push(") as f group by f.connector_id, f.hold_reason order by since");
    let mut failed = Statement::new(
        db,
        concat!(
            "select f.connector_id, null as hold_reason, count(*) as found, min(f.since) as since from (
               select d.connector_id, d.ended_at as since from delivery d where ",
            failed_for_good!(),
            " order by d.id desc limit "
        ),
    );
    failed.bind(stored(COUNT_MAX)).push(") as f group by f.connector_id order by since");
    let mut found = Vec::new();
    for (state, statement) in [(DeliveryState::Held, held), (DeliveryState::Failed, failed)] {
        for row in statement.all(db).await? {
            found.push(Pressing {
                state,
                reason: row.optional_word("hold_reason", HoldReason::find)?,
                connector: row.id("connector_id")?,
                count: row.count("found")?,
                since: row.time("since")?,
            });
        }
    }
    Ok(found)
}

/// How many events since a time matched no connector, up to [`COUNT_MAX`]. What Consign tells of itself is not counted: nobody lost it.
///
/// # Errors
/// When the database cannot be read.
pub async fn unmatched(db: &mut Db, since: Timestamp) -> Result<u64, StoreError> {
    let query = query(
        "select count(*) as unmatched from (select 1 from event e
           where e.deliveries = 0 and e.id >= $1 and e.received_at >= $2 and e.source <> $3 limit $4) as counted",
    );
    // Ids sort by time, and there is an index of those without deliveries by id.
    let from = EventId::new(since.minus(std::time::Duration::from_secs(600))).to_string();
    let query = query.bind(from).bind(since.millis()).bind(OWN_SOURCE);
    query.bind(stored(COUNT_MAX)).one(db).await?.count("unmatched")
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The size of the database.
    pub bytes: u64,
    /// Deliveries.
    pub deliveries: u64,
    /// Those among them that were made since a time.
    pub last_day: u64,
    /// Events.
    pub events: u64,
    /// The events whose payload is kept.
    pub payloads: u64,
    /// The bytes of those payloads.
    pub payload_bytes: u64,
    /// The bytes of the payloads that came since that time.
    pub payload_bytes_last_day: u64,
}

/// How much is kept, and how much of it came since a time. Counted row by row: for a page that is opened seldom.
///
/// # Errors
/// When the database cannot be read.
pub async fn kept(db: &mut Db, since: Timestamp) -> Result<Kept, StoreError> {
    let counts = query(
        "select (select count(*) from delivery) as deliveries,
           (select count(*) from delivery where id >= $1) as last_day",
    );
    let row = counts.bind(DeliveryId::new(since).to_string()).one(db).await?;
    let payloads = query(
        "select count(*) as events, count(sealed_data) as payloads,
           coalesce(sum(length(sealed_data)), 0) as payload_bytes,
           coalesce(sum(case when received_at >= $1 then length(sealed_data) else 0 end), 0) as last_day
         from event",
    );
    let of_events = payloads.bind(since.millis()).one(db).await?;
    Ok(Kept {
        bytes: crate::backup::database_bytes(db).await?,
        deliveries: row.count("deliveries")?,
        last_day: row.count("last_day")?,
        events: of_events.count("events")?,
        payloads: of_events.count("payloads")?,
        payload_bytes: of_events.count("payload_bytes")?,
        payload_bytes_last_day: of_events.count("last_day")?,
    })
}
