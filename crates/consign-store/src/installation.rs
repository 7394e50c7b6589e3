//! What belongs to the installation as a whole: named values, and the revision of its configuration.

use consign_core::time::Timestamp;

use crate::db::query;
use crate::{Db, StoreError};

/// A value.
///
/// # Errors
/// When the database cannot be read.
pub async fn get(db: &mut Db, key: &str) -> Result<Option<String>, StoreError> {
    let query = query("select value from installation where key = $1").bind(key);
    query.optional(db).await?.map(|row| row.text("value")).transpose()
}

/// A value that is about to be set: nobody else sets it until the transaction ends. One that is not there is an empty text
/// meanwhile, which is no value.
///
/// # Errors
/// When the database cannot be written.
pub async fn get_to_set(db: &mut Db, key: &str) -> Result<String, StoreError> {
    let query = query(
        "insert into installation (key, value) values ($1, '')
         on conflict (key) do update set value = installation.value returning value",
    );
    query.bind(key).one(db).await?.text("value")
}

/// Sets a value.
///
/// # Errors
/// When the database cannot be written.
pub async fn put(db: &mut Db, key: &str, value: &str) -> Result<(), StoreError> {
    query(
        "insert into installation (key, value) values ($1, $2)
         on conflict (key) do update set value = excluded.value",
    )
    .bind(key)
    .bind(value)
    .execute(db)
    .await?;
    Ok(())
}

/// Sets a value that is not there yet, and tells whether it was this call that set it.
///
/// # Errors
/// When the database cannot be written.
pub async fn put_if_absent(db: &mut Db, key: &str, value: &str) -> Result<bool, StoreError> {
    let query = query("insert into installation (key, value) values ($1, $2) on conflict (key) do nothing");
    Ok(query.bind(key).bind(value).execute(db).await? == 1)
}

/// Removes a value, and tells whether it was there.
///
/// # Errors
/// When the database cannot be written.
pub async fn remove(db: &mut Db, key: &str) -> Result<bool, StoreError> {
    let query = query("delete from installation where key = $1").bind(key);
    Ok(query.execute(db).await? == 1)
}

/// The keys under a prefix, with their values.
///
/// # Errors
/// When the database cannot be read.
pub async fn under(db: &mut Db, prefix: &str) -> Result<Vec<(String, String)>, StoreError> {
    let query = query(
        "select key, value from installation where substr(key, 1, cast($1 as integer)) = $2 order by key",
    );
    let query = query.bind(i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX)).bind(prefix);
    query.all(db).await?.iter().map(|row| Ok((row.text("key")?, row.text("value")?))).collect()
}

/// Removes the values under a prefix whose text is a time, in milliseconds since 1970, that has passed.
///
/// # Errors
/// When the database cannot be written.
pub async fn remove_ended(db: &mut Db, prefix: &str, now: Timestamp) -> Result<(), StoreError> {
    // Of times with equally many digits the smaller one sorts first.
    query("delete from installation where key like $1 and value < $2")
        .bind(format!("{prefix}%"))
        .bind(now.millis().to_string())
        .execute(db)
        .await?;
    Ok(())
}

/// Rises with every change of a connector, a credential or an API key: what was read at a lower one is out
/// of date.
///
/// # Errors
/// When the database cannot be read.
pub async fn revision(db: &mut Db) -> Result<i64, StoreError> {
    query("select number from revision where one = 1").one(db).await?.number("number")
}

/// Raises the revision. The functions that change connectors, credentials and API keys do it themselves.
///
/// # Errors
/// When the database cannot be written.
pub async fn bump(db: &mut Db) -> Result<(), StoreError> {
    query("update revision set number = number + 1 where one = 1").execute(db).await?;
    Ok(())
}
