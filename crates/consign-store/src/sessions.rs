//! Sessions of people who signed in. A session is known by the hash of its token only.

use consign_core::id::UserId;
use consign_core::time::Timestamp;

use crate::db::query;
use crate::{Db, StoreError};

/// A session.
#[derive(Clone)]
pub struct Session {
    /// The hash of its token.
    pub hash: String,
    /// Whose it is.
    pub user: UserId,
    /// What forms of this session carry.
    pub csrf: String,
    /// When the person signed in.
    pub created_at: Timestamp,
    /// The last request.
    pub seen_at: Timestamp,
    /// What the next page shows once, sealed.
    pub pending: Option<String>,
    /// What only the program can write, of all that says who it is since when.
    pub proof: String,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({})", self.user)
    }
}

/// Adds a session.
///
/// # Errors
/// When the database cannot be written.
pub async fn insert(db: &mut Db, session: &Session) -> Result<(), StoreError> {
    query(
        "insert into session (hash, user_id, csrf, created_at, seen_at, pending, proof)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(session.hash.as_str())
    .bind(session.user.to_string())
    .bind(session.csrf.as_str())
    .bind(session.created_at.millis())
    .bind(session.seen_at.millis())
    .bind(session.pending.as_deref())
    .bind(session.proof.as_str())
    .execute(db)
    .await?;
    Ok(())
}

/// A session by the hash of its token.
///
/// # Errors
/// When the database cannot be read.
pub async fn find(db: &mut Db, hash: &str) -> Result<Option<Session>, StoreError> {
    let query = query("select * from session where hash = $1").bind(hash);
    let Some(row) = query.optional(db).await? else { return Ok(None) };
    Ok(Some(Session {
        hash: row.text("hash")?,
        user: row.id("user_id")?,
        csrf: row.text("csrf")?,
        created_at: row.time("created_at")?,
        seen_at: row.time("seen_at")?,
        pending: row.optional_text("pending")?,
        proof: row.text("proof")?,
    }))
}

/// Keeps the time of the last request.
///
/// # Errors
/// When the database cannot be written.
pub async fn touch(db: &mut Db, hash: &str, now: Timestamp) -> Result<(), StoreError> {
    query("update session set seen_at = $1 where hash = $2")
        .bind(now.millis())
        .bind(hash)
        .execute(db)
        .await?;
    Ok(())
}

/// Keeps what the next page shows once.
///
/// # Errors
/// When the database cannot be written.
pub async fn set_pending(db: &mut Db, hash: &str, pending: Option<&str>) -> Result<(), StoreError> {
    query("update session set pending = $1 where hash = $2").bind(pending).bind(hash).execute(db).await?;
    Ok(())
}

/// Ends a session, and tells whether there was one.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete(db: &mut Db, hash: &str) -> Result<bool, StoreError> {
    let query = query("delete from session where hash = $1").bind(hash);
    Ok(query.execute(db).await? == 1)
}

/// Ends every session of a person, and tells how many there were.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_of(db: &mut Db, user: UserId) -> Result<u64, StoreError> {
    query("delete from session where user_id = $1").bind(user.to_string()).execute(db).await
}

/// Ends every session of a person but one, and tells how many there were.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_others(db: &mut Db, user: UserId, kept: &str) -> Result<u64, StoreError> {
    let query = query("delete from session where user_id = $1 and hash <> $2");
    query.bind(user.to_string()).bind(kept).execute(db).await
}

/// Ends every session, and tells how many there were.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_all(db: &mut Db) -> Result<u64, StoreError> {
    query("delete from session").execute(db).await
}

/// Ends the sessions that began before one time or were last seen before another, and tells how many.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_old(
    db: &mut Db,
    before_created: Timestamp,
    before_seen: Timestamp,
) -> Result<u64, StoreError> {
    let query = query("delete from session where created_at < $1 or seen_at < $2");
    query.bind(before_created.millis()).bind(before_seen.millis()).execute(db).await
}
