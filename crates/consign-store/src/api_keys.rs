//! API keys: hashes only.

use std::net::IpAddr;
use std::str::FromStr;

use consign_core::api_key::ApiKey;
use consign_core::id::KeyId;
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
        "insert into api_key (id, name, rights, gateways, hash, ends_at, last_used_at, created_at, allowed_from)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(key.id.to_string())
    .bind(key.name.as_str())
    .bind(key.rights.to_stored())
    .bind(words(&key.gateways))
    .bind(key.hash.as_str())
    .bind(millis(key.ends_at))
    .bind(millis(key.last_used_at))
    .bind(key.created_at.millis())
    .bind(words(&key.allowed_from))
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

/// Keeps the time and the address of the last use.
///
/// # Errors
/// When the database cannot be written.
pub async fn mark_used(
    db: &mut Db,
    id: KeyId,
    from: Option<IpAddr>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let query = query("update api_key set last_used_at = $1, last_used_from = $2 where id = $3");
    let from = from.map(|from| from.to_string());
    query.bind(now.millis()).bind(from).bind(id.to_string()).execute(db).await?;
    Ok(())
}

/// A limit as words with spaces between; `None`: no limit.
fn words<T: ToString>(limit: &[T]) -> Option<String> {
    let words: Vec<_> = limit.iter().map(ToString::to_string).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// A word that cannot be read would open the key for all if it were left out.
fn limit<T: FromStr>(row: &Row, column: &str) -> Result<Vec<T>, StoreError> {
    let stored = row.optional_text(column)?.unwrap_or_default();
    let limit = stored.split_whitespace().map(str::parse).collect::<Result<_, _>>();
    limit.map_err(|_| damaged(&format!("api_key.{column}")))
}

fn read(row: &Row) -> Result<ApiKey, StoreError> {
    Ok(ApiKey {
        id: row.id("id")?,
        name: row.text("name")?,
        rights: Rights::from_stored(&row.text("rights")?),
        gateways: limit(row, "gateways")?,
        allowed_from: limit(row, "allowed_from")?,
        hash: row.text("hash")?,
        ends_at: row.optional_time("ends_at")?,
        last_used_at: row.optional_time("last_used_at")?,
        last_used_from: row.optional_text("last_used_from")?.and_then(|from| from.parse().ok()),
        created_at: row.time("created_at")?,
    })
}
