//! What people were told by mail and event: one row for each object and reason, for as long as the reason is there or
//! something of it is owed. A mail is settled for each recipient by itself.

use std::collections::{HashMap, HashSet};

use consign_core::time::Timestamp;
use serde_json::Value;

use crate::db::query;
use crate::row::{Row, json_text, millis};
use crate::statement::{Statement, chunks};
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
    /// Why that failed last, for all or for somebody.
    pub failure: Option<String>,
    /// Its event is not stored yet.
    pub owes_event: bool,
    /// The reason is gone.
    pub over: bool,
}

/// Adds one that is not there yet, and tells whether it was this call that added it.
///
/// # Errors
/// When the database cannot be written.
pub async fn begin(db: &mut Db, notice: &Notice) -> Result<bool, StoreError> {
    let query = query(
        "insert into notice (key, kind, said, began_at, retry_at, tries, failure, owes_event, over)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
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
        .bind(i64::from(notice.owes_event))
        .bind(i64::from(notice.over))
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

/// The reason is gone, or is there again before the notice was.
///
/// # Errors
/// When the database cannot be written.
pub async fn set_over(db: &mut Db, key: &str, over: bool) -> Result<(), StoreError> {
    let query = query("update notice set over = $1 where key = $2");
    query.bind(i64::from(over)).bind(key).execute(db).await?;
    Ok(())
}

/// Removes those whose reason is gone once nothing of them is owed; what is older than `given_up` whatever it owes.
///
/// # Errors
/// When the database cannot be written.
pub async fn sweep(db: &mut Db, given_up: Timestamp) -> Result<(), StoreError> {
    let swept = query(
        "delete from notice where over = 1 and ((retry_at is null and owes_event = 0) or began_at < $1)
         returning key",
    );
    let keys: Vec<String> = swept
        .bind(given_up.millis())
        .all(db)
        .await?
        .iter()
        .map(|row| row.text("key"))
        .collect::<Result<_, _>>()?;
    for chunk in chunks(&keys) {
        let mut settled = Statement::new(db, "delete from notice_mail where key in (");
        settled.list(chunk.iter().map(String::as_str)).push(")");
        settled.execute(db).await?;
    }
    Ok(())
}

/// Those whose event is not stored yet, the oldest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn owing_events(db: &mut Db, max: u32) -> Result<Vec<Notice>, StoreError> {
    let query = query("select * from notice where owes_event = 1 order by began_at, key limit $1");
    query.bind(i64::from(max)).all(db).await?.iter().map(read).collect()
}

/// The events of these are stored.
///
/// # Errors
/// When the database cannot be written.
pub async fn event_stored(db: &mut Db, keys: &[&str]) -> Result<(), StoreError> {
    for chunk in chunks(keys) {
        let mut stored = Statement::new(db, "update notice set owes_event = 0 where key in (");
        stored.list(chunk.iter().copied()).push(")");
        stored.execute(db).await?;
    }
    Ok(())
}

/// Takes those whose mail is due, so that nobody else mails them until `again`.
///
/// # Errors
/// When the database cannot be written.
pub async fn take_due(
    db: &mut Db,
    by: &str,
    now: Timestamp,
    again: Timestamp,
) -> Result<Vec<Notice>, StoreError> {
    let query = query(
        "update notice set retry_at = $1, taken_by = $2, tries = tries + 1
         where retry_at is not null and retry_at <= $3 returning *",
    );
    let mut taken: Vec<Notice> = query
        .bind(again.millis())
        .bind(by)
        .bind(now.millis())
        .all(db)
        .await?
        .iter()
        .map(read)
        .collect::<Result<_, _>>()?;
    taken.sort_by(|one, other| (one.began_at, &one.key).cmp(&(other.began_at, &other.key)));
    Ok(taken)
}

/// Renews a taking; how many are still taken by this process.
///
/// # Errors
/// When the database cannot be written.
pub async fn keep_taken(db: &mut Db, by: &str, again: Timestamp) -> Result<u64, StoreError> {
    query("update notice set retry_at = $1 where taken_by = $2")
        .bind(again.millis())
        .bind(by)
        .execute(db)
        .await
}

/// The mail of these is settled for a recipient: taken, or refused for good.
///
/// # Errors
/// When the database cannot be written.
pub async fn settle(
    db: &mut Db,
    keys: &[&str],
    email: &str,
    refusal: Option<&str>,
) -> Result<(), StoreError> {
    for chunk in chunks(keys) {
        let mut settled = Statement::new(db, "insert into notice_mail (key, email, refusal) values ");
        settled.rows(chunk.iter().copied(), |row, key| {
            row.bind(key).push(", ").bind(email).push(", ").bind(refusal);
        });
        settled.push(" on conflict (key, email) do nothing");
        settled.execute(db).await?;
    }
    Ok(())
}

/// For each of these, whose mail is settled.
///
/// # Errors
/// When the database cannot be read.
pub async fn settled(db: &mut Db, keys: &[&str]) -> Result<HashMap<String, HashSet<String>>, StoreError> {
    let mut found: HashMap<String, HashSet<String>> = HashMap::new();
    for chunk in chunks(keys) {
        let mut rows = Statement::new(db, "select key, email from notice_mail where key in (");
        rows.list(chunk.iter().copied()).push(")");
        for row in rows.all(db).await? {
            found.entry(row.text("key")?).or_default().insert(row.text("email")?);
        }
    }
    Ok(found)
}

/// Writes down what became of a mail that this process has taken: done, or when it is due again and why. What was refused
/// for good stays as the failure of one that is done.
///
/// # Errors
/// When the database cannot be written.
pub async fn mailed(
    db: &mut Db,
    (key, by): (&str, &str),
    retry_at: Option<Timestamp>,
    failure: Option<&str>,
) -> Result<(), StoreError> {
    let query = query(
        "update notice set retry_at = $1, taken_by = null,
           failure = coalesce($2, (select max(m.refusal) from notice_mail m where m.key = notice.key))
         where key = $3 and taken_by = $4",
    );
    query.bind(millis(retry_at)).bind(failure).bind(key).bind(by).execute(db).await?;
    Ok(())
}

/// Others are mailed from now on: a refusal that was final is told no longer.
///
/// # Errors
/// When the database cannot be written.
pub async fn forget_refusals(db: &mut Db) -> Result<(), StoreError> {
    query("update notice set failure = null where retry_at is null").execute(db).await?;
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
        owes_event: row.flag("owes_event")?,
        over: row.flag("over")?,
    })
}
