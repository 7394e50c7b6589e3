//! Making what is sent, piece by piece: the stored pieces of a pushed file, or records as they are written. Nothing of it
//! is ever held whole.

use bytes::Bytes;
use consign_core::connector::Exporter;
use consign_core::connector::exporter::Compression;
use consign_core::connector::format::Encoder;
use consign_store::runs::{self, Chunk, Run};
use consign_transport::Closed;

use super::compress::{Compressor, compressed};
use super::intake::piece_context;
use super::outlet::Outlet;
use super::records::Records;
use super::{Job, Stop};
use crate::engine::Engine;

/// Written records leave in pieces of about this size.
const PIECE_BYTES: usize = 64 << 10;
/// So many stored pieces are read at once.
const PIECES_TOGETHER: u32 = 2;
const NOT_WHOLE: &str = "the file is not whole";
pub(super) const RECORDS_GONE: &str = "some of its records were removed";

/// Why the making of a body ended early.
pub(super) enum Fed {
    /// What it goes into takes no more.
    Closed,
    /// What is to be sent cannot be read.
    Stop(Stop),
}

impl From<Closed> for Fed {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl From<Stop> for Fed {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<std::io::Error> for Fed {
    fn from(error: std::io::Error) -> Self {
        Self::Stop(Stop::unreadable(error.to_string()))
    }
}

/// What was made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Made {
    /// How many records are in it.
    pub(super) records: u64,
    /// How many bytes it has, as it is sent.
    pub(super) bytes: u64,
}

/// Compresses and counts on the way out.
struct Tap<'a> {
    outlet: &'a Outlet,
    compressor: Compressor,
    made: Made,
}

impl<'a> Tap<'a> {
    fn new(outlet: &'a Outlet, compression: Compression) -> Result<Self, Fed> {
        Ok(Self { outlet, compressor: Compressor::new(compression)?, made: Made::default() })
    }

    async fn push(&mut self, piece: impl Into<Bytes>) -> Result<(), Fed> {
        let piece = self.compressor.push(piece)?;
        self.made.bytes += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        Ok(self.outlet.send(piece).await?)
    }

    async fn finish(mut self) -> Result<Made, Fed> {
        let rest = self.compressor.finish()?;
        self.made.bytes += u64::try_from(rest.len()).unwrap_or(u64::MAX);
        self.outlet.send(rest.into()).await?;
        Ok(self.made)
    }
}

impl Engine {
    /// A file that fits in one stored piece, as it is sent.
    pub(super) async fn small_file(&self, job: &Job, compression: Compression) -> Result<Bytes, Stop> {
        let piece = match job.take_piece() {
            Some(piece) => Some(piece),
            None => self.pieces_of(&job.run, 0, 1).await?.pop(),
        };
        let plain = match piece {
            Some(piece) => self.open_piece(&job.run, piece).await?,
            None => Bytes::new(),
        };
        let whole = u64::try_from(plain.len()).ok();
        if job.run.file.as_ref().is_none_or(|file| Some(file.bytes) != whole) {
            return Err(Stop::unreadable(NOT_WHOLE.to_owned()));
        }
        if compression == Compression::None {
            return Ok(plain);
        }
        let packed = tokio::task::spawn_blocking(move || compressed(compression, plain)).await;
        let packed = packed.map_err(|_| Stop::GiveBack)?;
        packed.map(Bytes::from).map_err(|error| Stop::unreadable(error.to_string()))
    }

    /// Stored pieces of the file that a run sends, from a number on; none behind the last one.
    async fn pieces_of(&self, run: &Run, number: i64, max: u32) -> Result<Vec<Chunk>, Stop> {
        Ok(runs::chunks(&mut *self.store.read().await?, run.source, number, max).await?)
    }

    async fn open_piece(&self, run: &Run, piece: Chunk) -> Result<Bytes, Stop> {
        let Chunk { number, payload_key, sealed_data: mut sealed } = piece;
        let closed = || Stop::unreadable(format!("piece {number} of the file cannot be opened"));
        let key = self.settings.payloads.of_day(payload_key).await?.ok_or_else(closed)?;
        let plain = key.decrypt_in_place(&piece_context(run.source, number), &mut sealed);
        let plain = plain.map_err(|_| closed())?;
        Ok(Bytes::from(sealed).slice(plain))
    }

    /// The stored pieces of the file that a run sends. The end is left to the caller.
    pub(super) async fn feed_file(
        &self,
        run: &Run,
        compression: Compression,
        outlet: &Outlet,
    ) -> Result<Made, Fed> {
        let mut tap = Tap::new(outlet, compression)?;
        let (mut number, mut bytes) = (0, 0_u64);
        loop {
            let pieces = self.pieces_of(run, number, PIECES_TOGETHER).await?;
            if pieces.is_empty() {
                break;
            }
            for piece in pieces {
                if piece.number != number {
                    return Err(Stop::unreadable(NOT_WHOLE.to_owned()).into());
                }
                let plain = self.open_piece(run, piece).await?;
                bytes += u64::try_from(plain.len()).unwrap_or(u64::MAX);
                tap.push(plain).await?;
                number += 1;
            }
        }
        if run.file.as_ref().is_none_or(|file| file.bytes != bytes) {
            return Err(Stop::unreadable(NOT_WHOLE.to_owned()).into());
        }
        tap.finish().await
    }

    /// All records of a run that were not sent yet, in one file. The end is left to the caller.
    pub(super) async fn feed_records(
        &self,
        job: &Job,
        exporter: &Exporter,
        outlet: &Outlet,
    ) -> Result<Made, Fed> {
        let run = &job.run;
        let mut tap = Tap::new(outlet, exporter.compression)?;
        let stamp = job.set_up.stamp();
        let mut encoder = Encoder::new(&exporter.format, |text| stamp.fill(text, 1));
        let mut records = Records::behind(self, run, &run.sent_to);
        let mut out = Vec::with_capacity(2 * PIECE_BYTES);
        encoder.start(&mut out);
        while let Some(record) = records.next().await? {
            encoder.push(&record.as_record(), &mut out);
            tap.made.records += 1;
            records.taken();
            if out.len() >= PIECE_BYTES {
                let piece = std::mem::replace(&mut out, Vec::with_capacity(2 * PIECE_BYTES));
                tap.push(piece).await?;
            }
        }
        // Those of a run that is sent again may be on their way out.
        if tap.made.records != run.records.saturating_sub(run.sent_records) {
            return Err(Stop::unreadable(RECORDS_GONE.to_owned()).into());
        }
        encoder.finish(&mut out);
        tap.push(out).await?;
        tap.finish().await
    }
}
