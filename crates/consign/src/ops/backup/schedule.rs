//! Backups that are made by themselves, and how long there was none.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use consign_core::time::Timestamp;
use consign_store::{StoreError, installation};

use super::{LAST, make};
use crate::App;
use crate::archive;
use crate::ops::{Actor, OpError};

/// Since when there could have been one, in milliseconds since 1970.
const SINCE: &str = "backup_since";
const LOOK: Duration = Duration::from_secs(1);
/// After a failure it is tried again, whatever the schedule says.
const AGAIN_AFTER: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// A backup that is a day late is worth a banner.
const OVERDUE_DAYS: u64 = 2;

/// What every start does: it remembers when the last one was made, and from then on makes those that are due.
pub(crate) async fn start(app: &Arc<App>) -> Result<(), StoreError> {
    let wanted = app.config.backup.dir.is_some() && !app.store.is_postgres();
    sweep(app).await;
    make::end_what_was_cut_off(app).await?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    if wanted {
        installation::put_if_absent(&mut tx, SINCE, &now.millis().to_string()).await?;
    }
    let mut read = async |key| {
        let text = installation::get(&mut tx, key).await?;
        Ok::<i64, StoreError>(text.and_then(|text| text.parse().ok()).unwrap_or(0))
    };
    let (last, since) = (read(LAST).await?, read(SINCE).await?);
    tx.commit().await?;
    app.backups.last.store(last, Ordering::Relaxed);
    app.backups.since.store(if wanted { since } else { 0 }, Ordering::Relaxed);
    // Without workers it is a command that does one thing and ends.
    if wanted && app.config.delivery.workers > 0 && next(app).is_some() {
        tokio::spawn(keep(app.clone()));
    }
    Ok(())
}

/// Whole copies of databases may lie where they were unpacked when the program was killed. The lock of a SQLite database
/// says that nobody else is at work in its folder; replicas may share theirs.
async fn sweep(app: &App) {
    let (folder, alone, now) = (app.config.data.dir.clone(), !app.store.is_postgres(), app.now());
    let swept = tokio::task::spawn_blocking(move || match alone {
        true => archive::sweep(&folder),
        false => archive::prepare(&folder, now),
    });
    if let Ok(Err(error)) = swept.await {
        tracing::warn!(%error, "what was left unfinished in the data folder could not be removed");
    }
}

/// Since when the schedule counts.
fn counted_from(app: &App) -> Option<Timestamp> {
    let since = Some(app.backups.since.load(Ordering::Relaxed)).filter(|at| *at > 0)?;
    Some(app.backups.last().unwrap_or_else(|| Timestamp::from_millis(since)))
}

/// When the next one is due; `None` when none is made by itself.
pub(super) fn next(app: &App) -> Option<Timestamp> {
    let planned = app.config.backup.schedule.next_after(counted_from(app)?)?;
    let again = app.backups.failure().as_ref().map(|failure| failure.at.plus(AGAIN_AFTER));
    Some(again.map_or(planned, |again| planned.max(again)))
}

/// How many days there was no backup, when that is more than the schedule lets pass.
pub fn overdue_days(app: &App) -> Option<u64> {
    app.config.backup.schedule.next_after(Timestamp::from_millis(0))?;
    let days = app.now().since(counted_from(app)?).as_secs() / DAY.as_secs();
    let planned = app.config.backup.schedule.next_after(counted_from(app)?)?;
    (days >= OVERDUE_DAYS && app.now().since(planned) >= DAY).then_some(days)
}

async fn keep(app: Arc<App>) {
    while !app.engine.is_stopping() {
        tokio::time::sleep(LOOK).await;
        if next(&app).is_none_or(|next| next > app.now()) {
            continue;
        }
        let made = async { make::begin(&app, &Actor::system(app.now())).await?.made.await.map_err(lost)? };
        match made.await {
            Ok(Some(name)) => tracing::info!(name = name.as_str(), "a backup was made"),
            Ok(None) => tracing::info!("a backup was stopped"),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "no backup was made; trying again in an hour"
                );
            }
        }
    }
}

fn lost(error: tokio::task::JoinError) -> OpError {
    OpError::Internal(error.into())
}
