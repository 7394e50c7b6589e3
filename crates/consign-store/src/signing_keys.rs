//! What the requests of webhooks are signed with.

use consign_core::connector::signature::Signing;
use consign_core::id::ConnectorId;
use consign_core::time::Timestamp;
use consign_core::vault::Sealed;

use crate::db::query;
use crate::row::{Row, millis};
use crate::{Db, StoreError, installation};

/// A key of a webhook.
#[derive(Clone, Debug)]
pub struct SigningKey {
    /// The webhook.
    pub connector: ConnectorId,
    /// Rises with every new key of the webhook; none is used twice.
    pub generation: i64,
    /// Its kind.
    pub signing: Signing,
    /// The key.
    pub sealed: Sealed,
    /// When it was made.
    pub created_at: Timestamp,
    /// It signs beside a newer one until then.
    pub ends_at: Option<Timestamp>,
}

impl SigningKey {
    /// Whether it signs at a time.
    pub fn is_in_use(&self, now: Timestamp) -> bool {
        self.ends_at.is_none_or(|ends_at| ends_at > now)
    }
}

/// Lets a key, and those before it, end at a time, unless they end sooner.
///
/// # Errors
/// When the database cannot be written.
pub async fn end(db: &mut Db, key: &SigningKey, at: Timestamp) -> Result<(), StoreError> {
    query(
        "update signing_key set ends_at = $1
         where connector_id = $2 and generation <= $3 and coalesce(ends_at, $1) >= $1",
    )
    .bind(at.millis())
    .bind(key.connector.to_string())
    .bind(key.generation)
    .execute(db)
    .await?;
    Ok(())
}

/// Adds a key.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(db: &mut Db, key: &SigningKey) -> Result<(), StoreError> {
    query(
        "insert into signing_key (connector_id, generation, kind, sealed, created_at, ends_at)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(key.connector.to_string())
    .bind(key.generation)
    .bind(key.signing.kind())
    .bind(key.sealed.as_stored())
    .bind(key.created_at.millis())
    .bind(millis(key.ends_at))
    .execute(db)
    .await?;
    installation::bump(db).await
}

/// The keys of a webhook, the newest first.
///
/// # Errors
/// When the database cannot be read, or a row is damaged.
pub async fn of(db: &mut Db, connector: ConnectorId) -> Result<Vec<SigningKey>, StoreError> {
    let query = query("select * from signing_key where connector_id = $1 order by generation desc");
    query.bind(connector.to_string()).all(db).await?.iter().map(read).collect()
}

/// The keys of all webhooks, the newest of each first.
///
/// # Errors
/// As [`of`].
pub async fn all(db: &mut Db) -> Result<Vec<SigningKey>, StoreError> {
    let query = query("select * from signing_key order by connector_id, generation desc");
    query.all(db).await?.iter().map(read).collect()
}

/// Destroys the keys of a webhook, and tells how many.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_of(db: &mut Db, connector: ConnectorId) -> Result<u64, StoreError> {
    let gone = query("delete from signing_key where connector_id = $1").bind(connector.to_string());
    let gone = gone.execute(db).await?;
    if gone > 0 {
        installation::bump(db).await?;
    }
    Ok(gone)
}

/// The webhooks that have keys that have ended.
///
/// # Errors
/// When the database cannot be read.
pub async fn with_ended(db: &mut Db, now: Timestamp) -> Result<Vec<ConnectorId>, StoreError> {
    let query =
        query("select distinct connector_id from signing_key where ends_at <= $1 order by connector_id");
    query.bind(now.millis()).all(db).await?.iter().map(|row| row.id("connector_id")).collect()
}

/// Destroys the keys of a webhook that have ended, and tells how many.
///
/// # Errors
/// As [`delete_of`].
pub async fn delete_ended(db: &mut Db, connector: ConnectorId, now: Timestamp) -> Result<u64, StoreError> {
    let gone = query("delete from signing_key where connector_id = $1 and ends_at <= $2");
    let gone = gone.bind(connector.to_string()).bind(now.millis()).execute(db).await?;
    if gone > 0 {
        installation::bump(db).await?;
    }
    Ok(gone)
}

fn read(row: &Row) -> Result<SigningKey, StoreError> {
    Ok(SigningKey {
        connector: row.id("connector_id")?,
        generation: row.number("generation")?,
        signing: row.word("kind", Signing::find)?,
        sealed: Sealed::from_stored(row.text("sealed")?),
        created_at: row.time("created_at")?,
        ends_at: row.optional_time("ends_at")?,
    })
}
