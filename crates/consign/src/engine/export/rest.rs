//! The rest: where more waited than one file may hold, the next run begins as soon as the one before is done.

use std::sync::Arc;

use consign_core::connector::Exporter;
use consign_core::connector::exporter::{Destination, IfExists};
use consign_core::id::RunId;
use consign_core::time::Timestamp;
use consign_store::StoreError;
use consign_store::runs::{self, Taken};

use super::{Beginning, Begun};
use crate::engine::Engine;

impl Engine {
    /// What the file of a run may hold. Over HTTPS each request has a limit of its own. A file that is replaced has none: the
    /// next one would take the place of what it goes on from.
    pub(super) fn file_bytes_max(&self, exporter: &Exporter) -> Option<u64> {
        let Destination::Sftp(place) = &exporter.destination else { return None };
        (place.if_exists != IfExists::Replace).then(|| self.delivery_rules().export_bytes)
    }

    /// Begins the runs that take what the ones before them left, in their name. Where one failed, or was stopped by a person,
    /// nothing begins by itself: its records go with the next run, whenever that is.
    pub(super) async fn take_the_rest(self: &Arc<Self>, now: Timestamp) -> Result<(), StoreError> {
        let before = runs::leaving_more(&mut *self.store.read().await?).await?;
        let snapshot = self.snapshot();
        for before in before {
            let connector = snapshot.connector(before.connector);
            let Some((connector, exporter)) = connector.and_then(|one| Some((one, one.exporter()?))) else {
                continue;
            };
            if !snapshot.fits(connector.id) {
                continue;
            }
            let key = self.settings.payloads.current(now).await?;
            let mut tx = self.store.begin().await?;
            if !runs::take_more(&mut tx, before.id).await? {
                continue;
            }
            let at = tx.now();
            let of = Beginning {
                id: RunId::new(at),
                cause: before.cause,
                by: &before.started_by,
                at,
                again: None,
                file: None,
                key: &key,
            };
            match self.begin_run(&mut tx, connector, exporter, &of).await? {
                Begun::New(id) => {
                    let line = format!("It takes what had no room in the file of run {}.", before.number);
                    runs::log(&mut tx, id, &line, at).await?;
                }
                // It takes the rest.
                Begun::Busy(_) => {}
                // The snapshot is behind: the next look begins it.
                Begun::Changed => continue,
            }
            tx.commit().await?;
        }
        Ok(())
    }
}

/// What the log of a run says of its records.
pub(super) fn collected_line(records: &str, last: Taken) -> String {
    match last.is_full {
        false => format!("Collected {records}."),
        true => format!(
            "Collected {records}: as many as one file may hold. More wait; the next run begins when this one is done."
        ),
    }
}
