//! Whether the audit log is whole, looked at by the server itself: all of it once a day and after a start, and whenever
//! something new does not fit. What was found is kept in the database, so that every server of it tells the same; but
//! whoever writes there must not silence this: a note proves who wrote it, and nobody's note stands for an own look.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use consign_core::catalog::with_commas;
use consign_core::time::Timestamp;
use consign_store::{Db, installation};
use serde_json::{Value, json};

use super::{Judged, judge};
use crate::App;
use crate::ops::OpError;

/// Where it is kept.
const FOUND: &str = "audit_found";
/// A whole log is read again after that.
const EVERY: Duration = Duration::from_secs(24 * 3_600);
/// One that is not whole: somebody may have mended it.
const EVERY_WHILE_BROKEN: Duration = Duration::from_secs(3_600);

/// What this process has looked at.
#[derive(Debug, Default)]
pub struct AuditWatch {
    /// What it found when it read the whole log last.
    own: Mutex<Option<Found>>,
    /// The entry that speaks against the log at the moment; 0 for none.
    suspected: AtomicI64,
    /// The suspicion for which the whole log was read; 0 for none.
    read_for: AtomicI64,
}

/// What a look at the whole log found.
#[derive(Clone, Debug)]
struct Found {
    at: Timestamp,
    /// Why it is not whole.
    message: Option<String>,
}

impl Found {
    /// As it is kept: the proof that a server of this installation wrote it, and behind a space JSON.
    fn line(&self, app: &App) -> String {
        let text = json!({ "at": self.at, "message": self.message }).to_string();
        format!("{} {text}", proof(app, &text))
    }

    /// Reads what is kept; `None` for what somebody else wrote.
    fn parse(app: &App, line: &str) -> Option<Self> {
        let (proven, text) = line.split_once(' ')?;
        let found: Value = serde_json::from_str(text).ok().filter(|_| proof(app, text) == proven)?;
        let at = Timestamp::parse_rfc3339(found["at"].as_str()?)?;
        Some(Self { at, message: found["message"].as_str().map(str::to_owned) })
    }
}

fn proof(app: &App, text: &str) -> String {
    app.audit_key.authenticate(format!("{FOUND}\n{text}").as_bytes())
}

impl AuditWatch {
    fn own(&self) -> Option<Found> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn found(&self, found: Found) {
        *self.own.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
    }

    /// What speaks against the log although it was found whole since, or was not read yet.
    fn suspicion(&self) -> Option<String> {
        let place =
            usize::try_from(self.suspected.load(Ordering::Relaxed)).ok().filter(|place| *place > 0)?;
        Some(format!(
            "Entry {} was missing or another one when this server looked for it.",
            with_commas(place)
        ))
    }
}

/// Why the log is not whole, as it was found last, here or by another server.
///
/// # Errors
/// When the database cannot be read.
pub async fn known_fault(app: &App) -> Result<Option<String>, OpError> {
    let mut db = app.store.read().await?;
    let now = db.now();
    let newest = newest(app, &mut db, now).await?;
    Ok(newest.and_then(|found| found.message).or_else(|| app.audit_watch.suspicion()))
}

/// Reads the whole log when that is due.
///
/// # Errors
/// When it could not be read.
pub(in crate::ops) async fn look(app: &App) -> Result<(), OpError> {
    let watch = &app.audit_watch;
    let suspect = app.records.suspect(&app.store).await.map_err(super::not_read)?.unwrap_or(0);
    watch.suspected.store(suspect, Ordering::Relaxed);
    let is_news = suspect != 0 && watch.read_for.load(Ordering::Relaxed) != suspect;
    if !is_news && !is_due(app).await? {
        return Ok(());
    }
    match judge(app).await {
        Ok(_) => watch.read_for.store(suspect, Ordering::Relaxed),
        // Somebody reads it right now, maybe from before what is suspected: the next look comes back to it.
        Err(OpError::TooMany { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Only what this process has read itself defers its next look; a fault that another one knows of brings it forward.
async fn is_due(app: &App) -> Result<bool, OpError> {
    let Some(own) = app.audit_watch.own() else { return Ok(true) };
    let mut db = app.store.read().await?;
    let now = db.now();
    let newest = newest(app, &mut db, now).await?;
    let every = if newest.is_some_and(|found| found.message.is_some()) { EVERY_WHILE_BROKEN } else { EVERY };
    Ok(now >= own.at.plus(every))
}

/// Keeps what was found.
pub(super) async fn note(app: &App, judged: &Judged) -> Result<(), OpError> {
    let message = match judged {
        Judged::Whole { .. } => None,
        Judged::Broken { message, .. } => Some(message.clone()),
    };
    let mut tx = app.store.begin().await?;
    let found = Found { at: tx.now(), message };
    // Known here also where it cannot be written.
    app.audit_watch.found(found.clone());
    installation::put(&mut tx, FOUND, &found.line(app)).await?;
    Ok(tx.commit().await?)
}

/// What was found last, by this process or another one.
async fn newest(app: &App, db: &mut Db, now: Timestamp) -> Result<Option<Found>, OpError> {
    let kept = installation::get(db, FOUND).await?;
    let kept = kept.and_then(|kept| Found::parse(app, &kept)).filter(|found| found.at <= now);
    Ok(kept.into_iter().chain(app.audit_watch.own()).max_by_key(|found| found.at))
}
