//! A pushed file on its way in: sealed and stored piece by piece, checked as a whole, and never held. One that comes in
//! several requests goes on behind the pieces that are stored.

use std::sync::Arc;

use consign_core::hex::hex;
use consign_core::id::{RunId, UploadId};
use consign_store::runs::{self, Chunk, PushedFile};
use consign_store::uploads::{self, Upload};
use consign_store::{StoreError, Tx};
use sha2::digest::common::hazmat::{SerializableState as _, SerializedState};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

use crate::engine::Engine;

/// The size of a stored piece: each is in memory several times, here, on its way to the disk and to the tool. File servers take
/// so much in one request.
pub const FILE_PIECE_BYTES: usize = 255 << 10;

// SHA-256 takes blocks of 64 bytes. Behind whole pieces no byte of the file stands in its state, which is stored unsealed.
const _: () = assert!(FILE_PIECE_BYTES.is_multiple_of(64));
/// 128 MiB of a file come in between two looks at how much waits.
const PIECES_BETWEEN_LOOKS: i64 = 512;

/// Why a file was not taken.
#[derive(Debug)]
pub enum IntakeFault {
    /// Another request goes on with it, or somebody gave it up.
    TakenOver,
    /// What was stored of it cannot be opened any more.
    Damaged,
    /// The database did not take it.
    Store(StoreError),
}

impl From<StoreError> for IntakeFault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A file that is being pushed.
pub struct Intake {
    engine: Arc<Engine>,
    number: i64,
    piece: Vec<u8>,
    /// Of so many pieces, from the first on: of all that are stored, but for one that was left without its end.
    digest: Sha256,
    digested: i64,
    bytes: u64,
    /// How far it has come.
    upload: Upload,
    unfinished: Unfinished,
}

/// What is stored of a file that comes in one request. Dropped before its run has begun it goes: such a file does not go on
/// after a cut. One that may go on stays.
pub struct Unfinished {
    engine: Arc<Engine>,
    upload: Option<(UploadId, RunId)>,
}

impl Unfinished {
    fn of(engine: &Arc<Engine>, upload: &Upload) -> Self {
        let upload = upload.one_request.then_some((upload.id, upload.run));
        Self { engine: engine.clone(), upload }
    }

    /// Its run has begun, and has all of it.
    pub fn is_whole(mut self) {
        self.upload = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let Some((upload, run)) = self.upload.take() else { return };
        // Without a runtime the program ends; what is left goes when it starts again.
        let Ok(runtime) = Handle::try_current() else { return };
        let engine = self.engine.clone();
        runtime.spawn(async move {
            if let Err(error) = engine.forget_upload(upload, run).await {
                tracing::error!(%error, "what is stored of a file that was cut off could not be removed; it goes in a day");
            }
        });
    }
}

impl Intake {
    /// A file of which nothing is stored.
    pub fn new(engine: Arc<Engine>, upload: Upload) -> Self {
        Self::with(engine, upload, Sha256::new(), 0)
    }

    /// A file that goes on from what is stored of it.
    pub fn resumed(engine: Arc<Engine>, upload: Upload) -> Self {
        let (digest, digested) = taken_up(&upload);
        Self::with(engine, upload, digest, digested)
    }

    fn with(engine: Arc<Engine>, upload: Upload, digest: Sha256, digested: i64) -> Self {
        Self {
            number: upload.pieces,
            piece: Vec::with_capacity(FILE_PIECE_BYTES),
            digest,
            digested,
            bytes: upload.bytes,
            unfinished: Unfinished::of(&engine, &upload),
            upload,
            engine,
        }
    }

    /// The bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the next bytes; whole pieces are on disk when it returns.
    ///
    /// # Errors
    /// When the database did not take them, or another request goes on with the file.
    pub async fn push(&mut self, mut bytes: &[u8]) -> Result<(), IntakeFault> {
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

    /// Leaves the file for another request. Only whole pieces stay, so that their number grows with their bytes.
    pub fn leave(self) -> Upload {
        self.upload
    }

    /// Stores what is left. The answer describes the file, and how far it has come.
    ///
    /// # Errors
    /// When the database did not take it, or another request goes on with the file.
    pub async fn finish(mut self) -> Result<(PushedFile, Upload, Unfinished), IntakeFault> {
        if !self.piece.is_empty() {
            self.store_piece().await?;
        }
        self.digest_the_rest().await?;
        let digest = hex(&self.digest.finalize());
        let file = PushedFile { content_type: self.upload.content_type.clone(), digest, bytes: self.bytes };
        Ok((file, self.upload, self.unfinished))
    }

    async fn store_piece(&mut self) -> Result<(), IntakeFault> {
        if self.number % PIECES_BETWEEN_LOOKS == 0 {
            self.judge_room().await?;
        }
        if self.digested == self.number {
            self.digest.update(&self.piece);
            self.digested += 1;
        }
        let now = self.engine.now();
        let (payload_key, key) = self.engine.settings.payloads.current(now).await?;
        let sealed_data = key.encrypt(&piece_context(self.upload.run, self.number), &self.piece);
        let chunk = Chunk { number: self.number, payload_key, sealed_data };
        let mut tx = self.engine.store.begin().await?;
        self.note_piece(&mut tx).await?;
        runs::insert_chunk(&mut tx, self.upload.run, &chunk).await?;
        tx.commit().await?;
        self.number += 1;
        self.piece.clear();
        Ok(())
    }

    /// What is on its way is kept for a day after the last of it: whoever begins files without end must not fill the disk.
    async fn judge_room(&self) -> Result<(), IntakeFault> {
        let waiting = uploads::waiting_pieces(&mut *self.engine.store.read().await?).await?;
        let bytes = waiting.saturating_mul(FILE_PIECE_BYTES as u64);
        let room = bytes < self.engine.settings.waiting_bytes_max;
        if room { Ok(()) } else { Err(IntakeFault::Store(StoreError::Full)) }
    }

    /// How far the file is then. A piece is added only where the file is still on its way, so that none is left without it.
    async fn note_piece(&mut self, tx: &mut Tx) -> Result<(), IntakeFault> {
        let upload = &mut self.upload;
        let length = u64::try_from(self.piece.len()).unwrap_or(u64::MAX);
        let is_whole = self.piece.len() == FILE_PIECE_BYTES;
        let further = Upload {
            pieces: upload.pieces + 1,
            bytes: upload.bytes + length,
            digest_state: match self.digested > upload.pieces {
                true if is_whole => Some(self.digest.serialize().to_vec()),
                true => upload.digest_state.take(),
                false => None,
            },
            ..upload.clone()
        };
        let now = tx.now();
        if further.one_request && further.pieces == 1 {
            uploads::insert(tx, &further).await?;
        } else if !uploads::advance(tx, &further, now).await? {
            return Err(IntakeFault::TakenOver);
        }
        *upload = further;
        Ok(())
    }

    /// Reads the pieces that the digest lacks: none, or the last one where its request did not come to its end.
    async fn digest_the_rest(&mut self) -> Result<(), IntakeFault> {
        let run = self.upload.run;
        for number in self.digested..self.number {
            let found = runs::chunks(&mut *self.engine.store.read().await?, run, number, 1).await?;
            let chunk = found.into_iter().next().filter(|chunk| chunk.number == number);
            let chunk = chunk.ok_or(IntakeFault::Damaged)?;
            let key = self.engine.settings.payloads.of_day(chunk.payload_key).await?;
            let context = piece_context(run, number);
            let plain = key.and_then(|key| key.decrypt(&context, &chunk.sealed_data).ok());
            self.digest.update(&plain.ok_or(IntakeFault::Damaged)?);
        }
        Ok(())
    }
}

/// The digest of an upload as an earlier request put it down, and of how many pieces it is.
fn taken_up(upload: &Upload) -> (Sha256, i64) {
    let of = |state: &Vec<u8>| {
        Sha256::deserialize(<&SerializedState<Sha256>>::try_from(state.as_slice()).ok()?).ok()
    };
    let is_whole = upload.bytes.is_multiple_of(FILE_PIECE_BYTES as u64);
    match upload.digest_state.as_ref().and_then(of) {
        Some(digest) => (digest, if is_whole { upload.pieces } else { upload.pieces - 1 }),
        None => (Sha256::new(), 0),
    }
}

/// What a piece is sealed for: a place in one file, so that no two can be swapped.
pub(super) fn piece_context(run: RunId, number: i64) -> String {
    format!("{run}/{number}")
}
