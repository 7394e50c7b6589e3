//! The sealed keys that payloads are encrypted with, one for each day.

use consign_core::time::Timestamp;
use consign_core::vault::Sealed;

use crate::db::query;
use crate::{Db, StoreError};

/// The sealed key of a day, counted since 1970.
///
/// # Errors
/// When the database cannot be read.
pub async fn find(db: &mut Db, id: i64) -> Result<Option<Sealed>, StoreError> {
    let query = query("select sealed from payload_key where id = $1").bind(id);
    query.optional(db).await?.map(|row| row.text("sealed").map(Sealed::from_stored)).transpose()
}

/// Keeps the key of a day. When another replica was faster its key is the one to use: the answer is the key
/// that won.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert_if_absent(
    db: &mut Db,
    id: i64,
    sealed: &Sealed,
    now: Timestamp,
) -> Result<Sealed, StoreError> {
    query("insert into payload_key (id, sealed, created_at) values ($1, $2, $3) on conflict (id) do nothing")
        .bind(id)
        .bind(sealed.as_stored())
        .bind(now.millis())
        .execute(db)
        .await?;
    find(db, id).await?.ok_or_else(|| StoreError::Damaged("payload_key".to_owned()))
}
