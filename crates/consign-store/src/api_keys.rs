//! API keys: hashes only.

use consign_core::api_key::ApiKey;
use consign_core::id::{ConnectorId, KeyId};
use consign_core::rights::Rights;
use consign_core::time::Timestamp;

use crate::db::query;
use crate::row::{Row, damaged, millis};
use crate::statement::Statement;
use crate::{Db, Listed, Page, StoreError, installation};

/// Adds a key.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(db: &mut Db, key: &ApiKey) -> Result<(), StoreError> {
    query(
        "insert into api_key (id, name, rights, gateways, hash, ends_at, last_used_at, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(key.id.to_string())
    .bind(key.name.as_str())
    .bind(key.rights.to_stored())
    .bind(gateways_stored(&key.gateways))
    .bind(key.hash.as_str())
    .bind(millis(key.ends_at))
    .bind(millis(key.last_used_at))
    .bind(key.created_at.millis())
    .execute(db)
    .await?;
    installation::bump(db).await
}

/// A key by its id.
///
/// # Errors
/// When the database cannot be read.
pub async fn find(db: &mut Db, id: KeyId) -> Result<Option<ApiKey>, StoreError> {
    let query = query("select * from api_key where id = $1").bind(id.to_string());
    query.optional(db).await?.map(|row| read(&row)).transpose()
}

/// Every key, for checking requests.
///
/// # Errors
/// When the database cannot be read.
pub async fn all(db: &mut Db) -> Result<Vec<ApiKey>, StoreError> {
    query("select * from api_key order by id").all(db).await?.iter().map(read).collect()
}

/// A page of keys, newest first.
///
/// # Errors
/// `BadCursor`.
pub async fn list(db: &mut Db, page: &Page) -> Result<Listed<ApiKey>, StoreError> {
    let turn = page.turn()?;
    let mut statement = Statement::new(db, "select * from api_key k where 1 = 1");
    turn.by_time(&mut statement, "k.id", turn.key_part()?);
    let keys = statement.all(db).await?.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(turn.listed(keys, |key| vec![key.id.to_string()]))
}

/// Removes a key, and tells whether it was there.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete(db: &mut Db, id: KeyId) -> Result<bool, StoreError> {
    let query = query("delete from api_key where id = $1").bind(id.to_string());
    let deleted = query.execute(db).await? == 1;
    installation::bump(db).await?;
    Ok(deleted)
}

/// Keeps the time of the last use.
///
/// # Errors
/// When the database cannot be written.
pub async fn mark_used(db: &mut Db, id: KeyId, now: Timestamp) -> Result<(), StoreError> {
    let query = query("update api_key set last_used_at = $1 where id = $2");
    query.bind(now.millis()).bind(id.to_string()).execute(db).await?;
    Ok(())
}

/// Ids with spaces between; `None`: no limit.
fn gateways_stored(gateways: &[ConnectorId]) -> Option<String> {
    let ids: Vec<_> = gateways.iter().map(ToString::to_string).collect();
    (!ids.is_empty()).then(|| ids.join(" "))
}

/// A word that is no id would open the key for all gateways if it were left out.
fn read_gateways(row: &Row) -> Result<Vec<ConnectorId>, StoreError> {
    let stored = row.optional_text("gateways")?.unwrap_or_default();
    let ids = stored.split_whitespace().map(str::parse).collect::<Result<_, _>>();
    ids.map_err(|_| damaged("api_key.gateways"))
}

fn read(row: &Row) -> Result<ApiKey, StoreError> {
    Ok(ApiKey {
        id: row.id("id")?,
        name: row.text("name")?,
        rights: Rights::from_stored(&row.text("rights")?),
        gateways: read_gateways(row)?,
        hash: row.text("hash")?,
        ends_at: row.optional_time("ends_at")?,
        last_used_at: row.optional_time("last_used_at")?,
        created_at: row.time("created_at")?,
    })
}
