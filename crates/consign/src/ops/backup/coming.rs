//! A backup counts when the audit log says that it was made. Before its file has its name there is a note of it, which its
//! entry removes: a file whose entry never came goes.

use consign_store::audit::{self, AuditFilter};
use consign_store::{Db, Page, StoreError, installation};

use super::{CREATED, proof};
use crate::App;
use crate::archive::Name;

/// Where the installation keeps that a backup is about to come: this, and its name.
const COMING: &str = "backup_coming/";

/// Notes it. Call it before its file has its name.
pub(super) async fn note(app: &App, name: &Name) -> Result<(), StoreError> {
    let mut tx = app.store.begin().await?;
    installation::put(&mut tx, &place(name), &proof(app, COMING, name)).await?;
    tx.commit().await
}

/// It is there. Call it in the transaction of its entry.
pub(super) async fn arrived(db: &mut Db, name: &Name) -> Result<(), StoreError> {
    installation::remove(db, &place(name)).await.map(drop)
}

/// Removes what there is of one that came to nothing. What cannot be removed now, or where nobody can tell, is looked at
/// again when the server starts.
pub(super) async fn take_back(app: &App, name: &Name) {
    if let Err(error) = settle(app, name).await {
        tracing::warn!(%error, name = name.as_str(), "a backup that came to nothing is looked at again at the next start");
    }
}

/// What every start does: of a backup that was cut off nothing is left.
pub(crate) async fn finish_coming(app: &App) -> Result<(), StoreError> {
    let coming = installation::under(&mut *app.store.read().await?, COMING).await?;
    for (place, value) in coming {
        let name = place.strip_prefix(COMING).and_then(Name::parse);
        match name.filter(|name| proof(app, COMING, name) == value) {
            Some(name) => settle(app, &name).await?,
            None => tracing::error!(
                place,
                "a note about a backup was changed outside Consign, and is not followed"
            ),
        }
    }
    Ok(())
}

/// A note alone removes no file that the audit log knows: somebody may have put an old note back.
async fn settle(app: &App, name: &Name) -> Result<(), StoreError> {
    let Some(folder) = &app.config.backup.dir else { return Ok(()) };
    let filter = AuditFilter {
        object: Some(name.as_str().to_owned()),
        action: Some(CREATED.to_owned()),
        ..AuditFilter::default()
    };
    let made = audit::list(&mut *app.store.read().await?, &filter, &Page::first(1)).await?;
    if made.items.is_empty() {
        match tokio::fs::remove_file(folder.join(name.as_str())).await {
            Ok(()) => tracing::info!(name = name.as_str(), "a backup that came to nothing was removed"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%error, name = name.as_str(), "a backup that came to nothing could not be removed");
                return Ok(());
            }
        }
    }
    let mut tx = app.store.begin().await?;
    arrived(&mut tx, name).await?;
    tx.commit().await
}

fn place(name: &Name) -> String {
    format!("{COMING}{}", name.as_str())
}
