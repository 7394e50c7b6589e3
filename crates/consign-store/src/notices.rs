//! What people were told by mail and event: one row for each object and reason, for as long as the reason is there.

use consign_core::time::Timestamp;
use serde_json::Value;

use crate::db::query;
use crate::row::{Row, json_text, millis};
use crate::{Db, StoreError};

/// One thing that people were told.
#[derive(Clone, Debug)]
pub struct Notice {
    /// The object and the reason.
    pub key: String,
    /// The type of its event.
    pub kind: String,
    /// What is said about it.
    pub said: Value,
    /// When it was first seen.
    pub began_at: Timestamp,
    /// When its mail is due.
    pub retry_at: Option<Timestamp>,
    /// How often mailing it was tried.
    pub tries: i64,
    /// Why that failed last.
    pub failure: Option<String>,
}

/// Adds one that is not there yet, and tells whether it was this call that added it.
///
/// # Errors
/// When the database cannot be written.
pub async fn begin(db: &mut Db, notice: &Notice) -> Result<bool, StoreError> {
    let query = query(
        "insert into notice (key, kind, said, began_at, retry_at, tries, failure)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (key) do nothing",
    );
    let added = query
        .bind(notice.key.as_str())
        .bind(notice.kind.as_str())
        .bind(json_text(&notice.said))
        .bind(notice.began_at.millis())
        .bind(millis(notice.retry_at))
        .bind(notice.tries)
        .bind(notice.failure.as_deref())
        .execute(db)
        .await?;
    Ok(added == 1)
}

/// All of them, the oldest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn all(db: &mut Db) -> Result<Vec<Notice>, StoreError> {
    query("select * from notice order by began_at, key").all(db).await?.iter().map(read).collect()
}

/// Why a mail did not go out, while one does not.
///
/// # Errors
/// When the database cannot be read.
pub async fn failure(db: &mut Db) -> Result<Option<String>, StoreError> {
    let query = query("select failure from notice where failure is not null order by key limit 1");
    query.optional(db).await?.map(|row| row.text("failure")).transpose()
}

/// The reason is gone.
///
/// # Errors
/// When the database cannot be written.
pub async fn end(db: &mut Db, key: &str) -> Result<(), StoreError> {
    query("delete from notice where key = $1").bind(key).execute(db).await?;
    Ok(())
}

/// Takes those whose mail is due, so that nobody else mails them until `again`.
///
/// # Errors
/// When the database cannot be written.
pub async fn take_due(db: &mut Db, now: Timestamp, again: Timestamp) -> Result<Vec<Notice>, StoreError> {
    let query = query(
        "update notice set retry_at = $1, tries = tries + 1
         where retry_at is not null and retry_at <= $2 returning *",
    );
    let mut taken: Vec<Notice> = query
        .bind(again.millis())
        .bind(now.millis())
        .all(db)
        .await?
        .iter()
        .map(read)
        .collect::<Result<_, _>>()?;
    taken.sort_by(|one, other| (one.began_at, &one.key).cmp(&(other.began_at, &other.key)));
    Ok(taken)
}

/// Writes down what became of a mail: sent, or when it is due again and why it was not.
///
/// # Errors
/// When the database cannot be written.
pub async fn mailed(
    db: &mut Db,
    key: &str,
    retry_at: Option<Timestamp>,
    failure: Option<&str>,
) -> Result<(), StoreError> {
    let query = query("update notice set retry_at = $1, failure = $2 where key = $3");
    query.bind(millis(retry_at)).bind(failure).bind(key).execute(db).await?;
    Ok(())
}

fn read(row: &Row) -> Result<Notice, StoreError> {
    Ok(Notice {
        key: row.text("key")?,
        kind: row.text("kind")?,
        said: row.json("said")?,
        began_at: row.time("began_at")?,
        retry_at: row.optional_time("retry_at")?,
        tries: row.number("tries")?,
        failure: row.optional_text("failure")?,
    })
}
