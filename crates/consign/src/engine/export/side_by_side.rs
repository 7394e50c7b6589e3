//! Small pushed files to file servers: each is a run of its own and waits for no other, so many of an exporter are under way at
//! once, over one session. They are claimed together, and share the transactions in which their steps are written down.

use std::sync::Arc;
use std::time::Duration;

use consign_core::connector::exporter::Destination;
use consign_core::id::ConnectorId;
use consign_store::runs::{self, Claimed, FilesWanted};

use super::under_way::Counted;
use super::{FILE_PIECE_BYTES, TICK};
use crate::engine::Engine;
use crate::engine::commit::CommitError;

/// A file that is larger goes as other runs do: of these a few hundred are in memory at once.
const SMALL_BYTES_MAX: u64 = 64 << 10;
/// So many of one exporter, and of all: twice what a server has open, since each also waits for the disk three times. A server
/// that hangs takes no more than its share.
const FILES_OF_ONE_MAX: usize = 128;
const FILES_MAX: usize = 384;
/// An exporter with fewer under way always finds places, whatever the servers of others do.
const FEW: usize = 16;
/// While so many of an exporter are under way, a claim waits a moment, so that it is for several.
const BUSY: usize = FILES_OF_ONE_MAX - 32;
const GATHERING: Duration = Duration::from_millis(2);

// A small file is one stored piece.
const _: () = assert!(SMALL_BYTES_MAX <= FILE_PIECE_BYTES as u64);

impl Engine {
    pub(in crate::engine) async fn file_loop(self: Arc<Self>) {
        while !self.lanes.is_stopping() {
            let woken = self.exports.wake_files.notified();
            // A stop waits for what is being taken.
            let round = self.rounds.read().await;
            if self.lanes.is_stopping() {
                return;
            }
            if let Err(error) = self.file_round().await {
                tracing::error!(%error, "pushed files could not be looked for; trying again in a second");
            }
            drop(round);
            drop(tokio::time::timeout(TICK, woken).await);
        }
    }

    async fn file_round(self: &Arc<Self>) -> Result<(), CommitError> {
        if self.lanes.is_paused() {
            return Ok(());
        }
        let due = runs::with_files_due(&mut *self.store.read().await?, SMALL_BYTES_MAX, self.now()).await?;
        let snapshot = self.snapshot();
        let to_server = |id: &ConnectorId| {
            let exporter = snapshot.connector(*id).and_then(|connector| connector.exporter());
            exporter.is_some_and(|exporter| matches!(exporter.destination, Destination::Sftp(_)))
        };
        let due: Vec<_> = due.into_iter().filter(to_server).collect();
        if due.iter().any(|exporter| self.exports.counts.files_of(*exporter) > BUSY) {
            tokio::time::sleep(GATHERING).await;
        }
        // Whoever has fewest under way comes first.
        let mut due: Vec<_> = due.into_iter().map(|one| (self.exports.counts.files_of(one), one)).collect();
        due.sort_unstable_by_key(|(under_way, _)| *under_way);
        for (under_way, connector) in due {
            // The last places are for exporters that have few files under way.
            let places = if under_way < FEW { FILES_MAX } else { FILES_MAX - FILES_OF_ONE_MAX };
            let room = places.saturating_sub(self.exports.counts.files());
            let room = room.min(FILES_OF_ONE_MAX.saturating_sub(under_way));
            if room == 0 || self.lanes.is_stopping() {
                continue;
            }
            let max = u32::try_from(room).unwrap_or(u32::MAX);
            let wanted = FilesWanted { connector, bytes_max: SMALL_BYTES_MAX, max };
            let claimed = self.commit.claim_files(wanted, self.by.clone()).await?;
            self.spawn_files(claimed).await;
        }
        Ok(())
    }

    /// Their contents are read together; what was not found is looked for again by the run itself.
    async fn spawn_files(self: &Arc<Self>, claimed: Vec<Claimed>) {
        let sources: Vec<_> = claimed.iter().map(|claimed| claimed.run.source).collect();
        let pieces = async { runs::first_chunks(&mut *self.store.read().await?, &sources).await };
        let mut pieces = pieces.await.unwrap_or_default();
        for claimed in claimed {
            let piece = pieces.remove(&claimed.run.source);
            let counted = Counted::file_of(self.clone(), claimed.run.connector);
            self.spawn_counted(counted, claimed, piece, false);
        }
    }
}
