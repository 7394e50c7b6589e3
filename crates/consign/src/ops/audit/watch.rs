//! Whether the audit log is whole, looked at by the server itself: all of it once a day and after a start, and whenever
//! something new does not fit. What was found is kept in the database, so that every server of it tells the same.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use consign_core::time::Timestamp;
use consign_store::{Db, installation};
use serde_json::{Value, json};

use super::{Judged, judge};
use crate::App;
use crate::ops::OpError;

/// Where it is kept, as JSON.
const FOUND: &str = "audit_found";
/// A whole log is read again after that.
const EVERY: Duration = Duration::from_secs(24 * 3_600);
/// One that is not whole: somebody may have mended it.
const EVERY_WHILE_BROKEN: Duration = Duration::from_secs(3_600);

/// What this process has looked at.
#[derive(Debug, Default)]
pub struct AuditWatch {
    /// When it read the whole log, in milliseconds since 1970; 0 for not yet.
    looked_at: AtomicI64,
    /// The entry that made it read the log out of turn; 0 for none.
    suspected: AtomicI64,
}

/// Why the log is not whole, as it was found last.
///
/// # Errors
/// When the database cannot be read.
pub async fn known_fault(app: &App) -> Result<Option<String>, OpError> {
    let found = found(&mut *app.store.read().await?).await?;
    Ok(found["message"].as_str().map(str::to_owned))
}

/// Reads the whole log when that is due.
///
/// # Errors
/// When it could not be read.
pub(in crate::ops) async fn look(app: &App) -> Result<(), OpError> {
    let known = found(&mut *app.store.read().await?).await?;
    let (now, watch) = (app.now(), &app.audit_watch);
    let suspect = app.records.suspect(&app.store).await.map_err(super::not_read)?.unwrap_or(0);
    let news = suspect != 0 && watch.suspected.swap(suspect, Ordering::Relaxed) != suspect;
    let every = if known["message"].is_string() { EVERY_WHILE_BROKEN } else { EVERY };
    let last = known["at"].as_str().and_then(Timestamp::parse_rfc3339);
    let is_first = watch.looked_at.load(Ordering::Relaxed) == 0;
    if !news && !is_first && last.is_some_and(|last| now < last.plus(every)) {
        return Ok(());
    }
    match judge(app).await {
        Ok(_) => watch.looked_at.store(now.millis(), Ordering::Relaxed),
        // Somebody reads it right now, and what they find is kept, too.
        Err(OpError::TooMany { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Keeps what was found.
pub(super) async fn note(app: &App, judged: &Judged) -> Result<(), OpError> {
    let message = match judged {
        Judged::Whole { .. } => None,
        Judged::Broken { message, .. } => Some(message),
    };
    let mut tx = app.store.begin().await?;
    let found = json!({ "at": tx.now(), "message": message });
    installation::put(&mut tx, FOUND, &found.to_string()).await?;
    Ok(tx.commit().await?)
}

async fn found(db: &mut Db) -> Result<Value, OpError> {
    let text = installation::get(db, FOUND).await?.unwrap_or_default();
    Ok(serde_json::from_str(&text).unwrap_or_default())
}
