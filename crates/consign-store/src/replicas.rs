//! The processes that share a database: when each was last seen, and what it has leased.

use std::collections::BTreeMap;
use std::time::Duration;

use consign_core::time::Timestamp;

use crate::db::query;
use crate::row::Row;
use crate::{Db, StoreError};

/// Whoever was not seen for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(86_400);

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// What its leases are called by.
    pub id: String,
    /// The machine it runs on.
    pub host: String,
    /// Its version.
    pub version: String,
    /// What it does.
    pub role: String,
    /// Its number on its machine.
    pub process: u64,
    /// When it started.
    pub started_at: Timestamp,
    /// The key that it seals with.
    pub sealing_key: String,
}

/// What a process has leased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leases {
    /// Deliveries.
    pub deliveries: u64,
    /// Runs of exporters.
    pub runs: u64,
    /// Tokens that it asks for.
    pub tokens: u64,
}

/// Says that a process is there, and forgets those that are long gone.
///
/// # Errors
/// When the database cannot be written.
pub async fn beat(db: &mut Db, replica: &Replica, now: Timestamp) -> Result<(), StoreError> {
    let insert = query(
        "insert into replica (id, host, version, role, process, started_at, seen_at, sealing_key)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict (id) do update set seen_at = excluded.seen_at, sealing_key = excluded.sealing_key",
    );
    insert
        .bind(replica.id.as_str())
        .bind(replica.host.as_str())
        .bind(replica.version.as_str())
        .bind(replica.role.as_str())
        .bind(i64::try_from(replica.process).unwrap_or(0))
        .bind(replica.started_at.millis())
        .bind(now.millis())
        .bind(replica.sealing_key.as_str())
        .execute(db)
        .await?;
    let before = now.minus(FORGOTTEN_AFTER).millis();
    query("delete from replica where seen_at < $1").bind(before).execute(db).await.map(drop)
}

/// Says that a process is gone.
///
/// # Errors
/// When the database cannot be written.
pub async fn leave(db: &mut Db, id: &str) -> Result<(), StoreError> {
    query("delete from replica where id = $1").bind(id).execute(db).await.map(drop)
}

/// The processes, the oldest first, each with when it was last seen.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(db: &mut Db) -> Result<Vec<(Replica, Timestamp)>, StoreError> {
    let rows = query("select * from replica order by started_at, id").all(db).await?;
    rows.iter().map(|row| Ok((read(row)?, row.time("seen_at")?))).collect()
}

/// What each process has leased now.
///
/// # Errors
/// When the database cannot be read.
pub async fn leases(db: &mut Db, now: Timestamp) -> Result<BTreeMap<String, Leases>, StoreError> {
    let mut leases = BTreeMap::<String, Leases>::new();
    let rows = query(
        "select 'delivery' as kind, lease_by, count(*) as number from delivery
           where lease_until is not null and lease_until > $1 group by lease_by
         union all
         select 'run', lease_by, count(*) from run where lease_until > $1 group by lease_by
         union all
         select 'token', lease_by, count(*) from token where lease_until > $1 group by lease_by",
    );
    for row in rows.bind(now.millis()).all(db).await? {
        let Some(by) = row.optional_text("lease_by")? else { continue };
        let count = row.count("number")?;
        let of = leases.entry(by).or_default();
        match row.text("kind")?.as_str() {
            "delivery" => of.deliveries = count,
            "run" => of.runs = count,
            _ => of.tokens = count,
        }
    }
    Ok(leases)
}

fn read(row: &Row) -> Result<Replica, StoreError> {
    Ok(Replica {
        id: row.text("id")?,
        host: row.text("host")?,
        version: row.text("version")?,
        role: row.text("role")?,
        process: row.count("process")?,
        started_at: row.time("started_at")?,
        sealing_key: row.text("sealing_key")?,
    })
}
