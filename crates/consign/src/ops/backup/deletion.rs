//! A backup is deleted when the audit log says so, and not before: the entry comes first, and a file that could not go
//! then goes at the next start.

use std::path::Path;

use consign_core::rights::Right;
use consign_store::{StoreError, installation};
use serde_json::{Value, json};

use super::{find, missing_or, object, proof, words};
use crate::App;
use crate::archive::Name;
use crate::ops::{Actor, OpError, audit_entry, commit};

/// Where the installation keeps that a backup is to go, as long as its file is there: this, and its name. The value proves
/// that this server wrote it: whoever writes into the database must not delete backups by it.
const GOING: &str = "backup_going/";

/// Removes a backup.
///
/// # Errors
/// When there is none of this name, or its file cannot be removed now.
pub async fn delete(app: &App, actor: &Actor, name: &str) -> Result<(), OpError> {
    actor.require(Right::Admin)?;
    let (name, path) = find(app, name)?;
    tokio::fs::metadata(&path).await.map_err(|error| missing_or(&error))?;
    remove(app, actor, &name, &path, json!({})).await
}

/// The entry, and then the file.
pub(super) async fn remove(
    app: &App,
    actor: &Actor,
    name: &Name,
    path: &Path,
    changes: Value,
) -> Result<(), OpError> {
    let mut tx = app.store.begin().await?;
    installation::put(&mut tx, &place(name), &proof(app, GOING, name)).await?;
    audit_entry(app, &mut tx, actor, "Deleted backup", object(name), changes).await?;
    commit(app, tx).await?;
    if let Err(error) = tokio::fs::remove_file(path).await
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(OpError::WrongState(format!(
            "The file of this backup could not be removed: {}. That is tried again when the server starts",
            words(&error)
        )));
    }
    forget(app, name).await.map_err(OpError::from)
}

/// What every start does: files whose deletion stands in the audit log go.
pub(crate) async fn finish_deletions(app: &App) -> Result<(), StoreError> {
    let Some(folder) = &app.config.backup.dir else { return Ok(()) };
    let going = installation::under(&mut *app.store.read().await?, GOING).await?;
    for (place, value) in going {
        let name =
            place.strip_prefix(GOING).and_then(Name::parse).filter(|name| proof(app, GOING, name) == value);
        let Some(name) = name else {
            tracing::error!(place, "a note about a backup was changed outside Consign, and is not followed");
            continue;
        };
        match tokio::fs::remove_file(folder.join(name.as_str())).await {
            Ok(()) => {
                tracing::info!(name = name.as_str(), "a backup was removed whose deletion had been cut off")
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%error, name = name.as_str(), "a deleted backup could not be removed");
                continue;
            }
        }
        forget(app, &name).await?;
    }
    Ok(())
}

async fn forget(app: &App, name: &Name) -> Result<(), StoreError> {
    let mut tx = app.store.begin().await?;
    installation::remove(&mut tx, &place(name)).await?;
    tx.commit().await
}

fn place(name: &Name) -> String {
    format!("{GOING}{}", name.as_str())
}
