//! Every sealed value moved to a key, in small transactions while everything goes on.

use std::sync::Arc;
use std::time::Duration;

use consign_core::audit::Rows;
use consign_store::sealed_values::{self, Kind};
use consign_store::{Db, StoreError, installation};
use serde_json::json;

use super::values::{self, Values};
use super::{FAILURES_SHOWN_MAX, MOVED_TO, MOVING_TO, OF_SETTINGS, PORTION, moving_to};
use crate::App;

/// Between two portions others write.
const PAUSE: Duration = Duration::from_millis(20);
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Values that could not be moved are tried again after these, and then no more: one that is damaged stays so.
const FAILED_AGAIN_AFTER: [Duration; 4] =
    [Duration::from_secs(10), Duration::from_secs(60), Duration::from_secs(600), Duration::from_secs(3_600)];
const CLOCK_LOOK: Duration = Duration::from_secs(1);
/// What was sealed before a rotation is stored long before this has passed.
const LATE_AFTER: Duration = Duration::from_secs(60);

/// Moves every value to a key, as long as that is the one that seals. Whoever was about to store a value that was sealed
/// before does so meanwhile: rounds are made until one finds nothing, and once more a while later. Values that do not move
/// are tried again, each time after a longer pause, before it is written down that they stay.
pub(super) async fn move_all(app: Arc<App>, to: String) {
    let mut done = Moved::default();
    let mut pauses = FAILED_AGAIN_AFTER.into_iter();
    while move_rest(&app, &to, &mut done).await.is_some() {
        if !done.failed.is_empty()
            && let Some(pause) = pauses.next()
        {
            let (failed, seconds) = (done.failed.len(), pause.as_secs());
            tracing::warn!(
                key = to,
                failed,
                seconds,
                "values did not move; they are tried again after a pause"
            );
            wait(&app, pause).await;
            continue;
        }
        if let Err(error) = finish(&app, &to, &done).await {
            tracing::error!(%error, "the end of re-sealing could not be written down");
            tokio::time::sleep(AGAIN_AFTER).await;
            continue;
        }
        tokio::time::sleep(LATE_AFTER).await;
        let mut late = Moved::default();
        if move_rest(&app, &to, &mut late).await.is_some() && late.moved > 0 {
            tracing::info!(key = to, values = late.moved, "values that came late were moved too");
        }
        return;
    }
}

/// Waits by the clock of the server, or until it stops.
async fn wait(app: &App, pause: Duration) {
    let until = app.now().plus(pause);
    while app.now() < until && !app.engine.is_stopping() {
        tokio::time::sleep(CLOCK_LOOK).await;
    }
}

#[derive(Default)]
struct Moved {
    moved: u64,
    /// What did not move, by name.
    failed: Vec<String>,
}

/// Makes rounds until one finds nothing to move; `None` when another key seals, another server moves the values to another
/// key, or the program stops.
async fn move_rest(app: &App, to: &str, done: &mut Moved) -> Option<()> {
    while app.vault.sealing_key_id() == to && !app.engine.is_stopping() {
        match move_round(app, to).await {
            Ok(None) => {
                tracing::info!(key = to, "another server moves the values to another key");
                return None;
            }
            Ok(Some(Moved { moved: 0, failed })) => {
                done.failed = failed;
                return Some(());
            }
            Ok(Some(round)) => done.moved += round.moved,
            Err(error) => {
                tracing::error!(%error, "values could not be re-sealed; trying again in ten seconds");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }
    None
}

async fn move_round(app: &App, to: &str) -> Result<Option<Moved>, StoreError> {
    let (mut moved, mut failed) = (0_u64, Vec::new());
    for kind in Kind::ALL {
        let mut after = Default::default();
        loop {
            if app.vault.sealing_key_id() != to || app.engine.is_stopping() {
                return Ok(None);
            }
            let mut tx = app.store.begin().await?;
            if !is_wanted(&mut tx, to).await? {
                tracing::warn!(
                    key = to,
                    "values are no longer moved to this key: a server with another first key moves them"
                );
                return Ok(None);
            }
            let found = sealed_values::portion(&mut tx, kind, &after, PORTION).await?;
            let Some((last, _)) = found.last() else { break };
            after = last.clone();
            // Anew in each transaction: what a credential is tied to may have changed since the last one.
            let (mut values, before) = (Values::of(app), moved);
            for (at, value) in &found {
                let value = match value {
                    Ok(value) => value,
                    Err(error) => {
                        failed.push(format!("a damaged row of {}", at.0));
                        tracing::warn!(row = at.0, %error, "a damaged row cannot be re-sealed; it stays as it is");
                        continue;
                    }
                };
                match values.moved(&mut tx, value).await? {
                    Ok(None) => {}
                    Ok(Some(sealed)) => {
                        moved += u64::from(sealed_values::replace(&mut tx, value, &sealed).await?)
                    }
                    Err(error) => {
                        let name = values::name(&value.holder);
                        tracing::warn!(value = name, %error, "a value cannot be re-sealed; it stays as it is");
                        failed.push(name);
                    }
                }
            }
            if moved > before {
                tx.commit().await?;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    Ok(Some(Moved { moved, failed }))
}

/// Writes down that every value was moved, or which ones could not be.
async fn finish(app: &App, to: &str, Moved { moved, failed }: &Moved) -> Result<(), StoreError> {
    let mut tx = app.store.begin().await?;
    if moving_to(&mut tx).await?.as_deref() == Some(to) {
        installation::remove(&mut tx, MOVING_TO).await?;
        installation::put(&mut tx, MOVED_TO, to).await?;
        let mut changes = json!({ "key": to, "values": moved, "failed": failed.len() });
        if !failed.is_empty() {
            changes["not_moved"] = failed.iter().take(FAILURES_SHOWN_MAX).cloned().collect();
        }
        app.records.append_own(&mut tx, "Re-sealed values", OF_SETTINGS, changes, Rows::default()).await?;
        app.records.commit(tx).await?;
    }
    match failed.len() {
        0 => tracing::info!(key = to, values = moved, "every value was moved to the key that seals"),
        failed => tracing::error!(
            key = to,
            values = moved,
            failed,
            "values could not be moved, and stay under another key: consign key check names them"
        ),
    }
    Ok(())
}

/// Whether the values are to be under a key. Servers whose rings have another first key may not move them back and forth:
/// the last who was asked to move them decides.
async fn is_wanted(db: &mut Db, to: &str) -> Result<bool, StoreError> {
    let wanted = match moving_to(db).await? {
        Some(wanted) => Some(wanted),
        None => installation::get(db, MOVED_TO).await?,
    };
    Ok(wanted.as_deref() == Some(to))
}
