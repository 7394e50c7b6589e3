//! People whose password was right and whose code is still missing. Each is known by the hash of a token only.

use consign_core::id::UserId;
use consign_core::time::Timestamp;

use crate::db::query;
use crate::{Db, StoreError};

/// Somebody between password and code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecondStep {
    /// The hash of its token.
    pub hash: String,
    /// Whose password was right.
    pub user: UserId,
    /// When.
    pub created_at: Timestamp,
    /// What only the program can write, of all the others.
    pub proof: String,
}

/// Remembers that a password was right.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(db: &mut Db, step: &SecondStep) -> Result<(), StoreError> {
    query("insert into second_step (hash, user_id, created_at, proof) values ($1, $2, $3, $4)")
        .bind(step.hash.as_str())
        .bind(step.user.to_string())
        .bind(step.created_at.millis())
        .bind(step.proof.as_str())
        .execute(db)
        .await?;
    Ok(())
}

/// Whose password was right, and when.
///
/// # Errors
/// When the database cannot be read.
pub async fn find(db: &mut Db, hash: &str) -> Result<Option<SecondStep>, StoreError> {
    let query = query("select * from second_step where hash = $1").bind(hash);
    let Some(row) = query.optional(db).await? else { return Ok(None) };
    Ok(Some(SecondStep {
        hash: row.text("hash")?,
        user: row.id("user_id")?,
        created_at: row.time("created_at")?,
        proof: row.text("proof")?,
    }))
}

/// Forgets one, and tells whether it was there: it serves for one sign-in.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete(db: &mut Db, hash: &str) -> Result<bool, StoreError> {
    Ok(query("delete from second_step where hash = $1").bind(hash).execute(db).await? == 1)
}

/// Forgets all of a person.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_of(db: &mut Db, user: UserId) -> Result<u64, StoreError> {
    query("delete from second_step where user_id = $1").bind(user.to_string()).execute(db).await
}

/// Forgets all, and tells how many there were.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_all(db: &mut Db) -> Result<u64, StoreError> {
    query("delete from second_step").execute(db).await
}

/// Forgets those from before a time.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_old(db: &mut Db, before: Timestamp) -> Result<u64, StoreError> {
    query("delete from second_step where created_at < $1").bind(before.millis()).execute(db).await
}
