//! A pushed file on its way in: sealed and stored piece by piece, checked as a whole, and never held.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use consign_core::hex::hex;
use consign_core::id::RunId;
use consign_store::StoreError;
use consign_store::runs::{self, Chunk, PushedFile};

use crate::engine::Engine;

/// The size of a stored piece: each is in memory several times, here, on its way to the disk and to the tool. File servers take
/// so much in one request.
pub const FILE_PIECE_BYTES: usize = 255 << 10;

/// A file that is being pushed.
pub struct Intake {
    engine: Arc<Engine>,
    run: RunId,
    number: i64,
    piece: Vec<u8>,
    digest: Context,
    bytes: u64,
}

impl Intake {
    /// A file for a run that does not exist yet. Without its end it is removed after a day.
    pub fn new(engine: Arc<Engine>, run: RunId) -> Self {
        let piece = Vec::with_capacity(FILE_PIECE_BYTES);
        Self { engine, run, number: 0, piece, digest: Context::new(&SHA256), bytes: 0 }
    }

    /// The bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the next bytes; whole pieces are on disk when it returns.
    ///
    /// # Errors
    /// When the database did not take them.
    pub async fn push(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        self.digest.update(bytes);
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(FILE_PIECE_BYTES - self.piece.len()));
            self.piece.extend_from_slice(now);
            bytes = later;
            if self.piece.len() == FILE_PIECE_BYTES {
                self.store_piece().await?;
            }
        }
        Ok(())
    }

    /// Stores what is left. The answer describes the file.
    ///
    /// # Errors
    /// When the database did not take it.
    pub async fn finish(mut self, content_type: &str) -> Result<PushedFile, StoreError> {
        if !self.piece.is_empty() {
            self.store_piece().await?;
        }
        let digest = hex(self.digest.finish().as_ref());
        Ok(PushedFile { content_type: content_type.to_owned(), digest, bytes: self.bytes })
    }

    async fn store_piece(&mut self) -> Result<(), StoreError> {
        let now = self.engine.now();
        let (payload_key, key) = self.engine.settings.payloads.current(now).await?;
        let sealed_data = key.encrypt(&piece_context(self.run, self.number), &self.piece);
        let chunk = Chunk { number: self.number, payload_key, sealed_data };
        let mut tx = self.engine.store.begin().await?;
        runs::insert_chunk(&mut tx, self.run, &chunk).await?;
        tx.commit().await?;
        self.number += 1;
        self.piece.clear();
        Ok(())
    }
}

/// What a piece is sealed for: a place in one file, so that no two can be swapped.
pub(super) fn piece_context(run: RunId, number: i64) -> String {
    format!("{run}/{number}")
}
