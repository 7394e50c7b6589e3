//! Requests with an `Idempotency-Key`: the same key of the same caller gets the same answer.

use consign_core::time::Timestamp;

use crate::db::query;
use crate::{Db, StoreError};

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// Nothing: the request is ours to carry out, and [`finish`] or [`forget`] must follow.
    New,
    /// The first request with it is under way.
    Running,
    /// It was answered.
    Replay {
        /// The status of the answer.
        status: u16,
        /// The body of the answer, sealed.
        body: String,
    },
    /// It came with another request.
    Mismatch,
}

/// Requests end long before this.
const RUNNING_MAX: std::time::Duration = std::time::Duration::from_secs(300);

/// Reserves a key of a caller for a request, known by its fingerprint.
///
/// # Errors
/// When the database cannot be written.
pub async fn reserve(
    db: &mut Db,
    key: &str,
    caller: &str,
    fingerprint: &str,
    now: Timestamp,
) -> Result<Reserved, StoreError> {
    // Nothing runs this long: whoever took it is gone without an answer.
    let dead = query(
        "delete from idempotency where caller = $1 and key = $2 and status is null and created_at < $3",
    );
    dead.bind(caller).bind(key).bind(now.minus(RUNNING_MAX).millis()).execute(db).await?;
    let new = query(
        "insert into idempotency (caller, key, fingerprint, created_at) values ($1, $2, $3, $4)
         on conflict (caller, key) do nothing",
    );
    let new = new.bind(caller).bind(key).bind(fingerprint).bind(now.millis());
    if new.execute(db).await? == 1 {
        return Ok(Reserved::New);
    }
    let query = query("select fingerprint, status, body from idempotency where caller = $1 and key = $2");
    // Removed between the two statements: the caller comes again and finds it free.
    let Some(row) = query.bind(caller).bind(key).optional(db).await? else {
        return Ok(Reserved::Running);
    };
    if row.text("fingerprint")? != fingerprint {
        return Ok(Reserved::Mismatch);
    }
    match (row.optional_count("status")?, row.optional_text("body")?) {
        (Some(status), Some(body)) => Ok(Reserved::Replay { status, body }),
        _ => Ok(Reserved::Running),
    }
}

/// Keeps the answer: its status and its sealed body. `false`, and no change, when the key is no longer ours: it was
/// given free, and somebody else may be at it.
///
/// # Errors
/// When the database cannot be written.
pub async fn finish(
    db: &mut Db,
    key: &str,
    caller: &str,
    fingerprint: &str,
    (status, body): (u16, &str),
) -> Result<bool, StoreError> {
    let query = query(
        "update idempotency set status = $1, body = $2
         where caller = $3 and key = $4 and fingerprint = $5 and status is null",
    );
    let query = query.bind(i64::from(status)).bind(body).bind(caller).bind(key).bind(fingerprint);
    Ok(query.execute(db).await? == 1)
}

/// Gives a key free whose request came to nothing.
///
/// # Errors
/// When the database cannot be written.
pub async fn forget(db: &mut Db, key: &str, caller: &str) -> Result<(), StoreError> {
    let query = query("delete from idempotency where caller = $1 and key = $2 and status is null");
    query.bind(caller).bind(key).execute(db).await?;
    Ok(())
}

/// Removes keys that came before a time, and tells how many.
///
/// # Errors
/// When the database cannot be written.
pub async fn delete_old(db: &mut Db, before: Timestamp) -> Result<u64, StoreError> {
    let query = query("delete from idempotency where created_at < $1").bind(before.millis());
    query.execute(db).await
}

/// Gives free the keys of requests that never ended, and tells how many: for a program that knows it is
/// alone, as on SQLite at its start.
///
/// # Errors
/// When the database cannot be written.
pub async fn forget_running(db: &mut Db) -> Result<u64, StoreError> {
    query("delete from idempotency where status is null").execute(db).await
}
