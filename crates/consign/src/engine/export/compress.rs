//! Compression of what runs send, piece by piece: gzip (RFC 1952) and Zstandard (RFC 8878). The same bytes in give the
//! same bytes out; no time and no name stands in the head.

use std::io::{self, Write as _};

use bytes::Bytes;
use consign_core::connector::exporter::Compression;
use flate2::write::GzEncoder;
use zstd::stream::write::Encoder as ZstdEncoder;

/// What most tools use when nobody asks: beyond it a few percent cost twice the time.
const ZSTD_LEVEL: i32 = 3;

/// Takes pieces and gives what they became.
pub(super) enum Compressor {
    None(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(ZstdEncoder<'static, Vec<u8>>),
}

impl Compressor {
    pub(super) fn new(compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::None(Vec::new()),
            Compression::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::default())),
            Compression::Zstd => Self::Zstd(ZstdEncoder::new(Vec::new(), ZSTD_LEVEL)?),
        })
    }

    /// What a piece became, as far as it is ready; may be empty.
    pub(super) fn push(&mut self, piece: impl Into<Bytes>) -> io::Result<Bytes> {
        let piece = piece.into();
        let ready = match self {
            Self::None(_) => return Ok(piece),
            Self::Gzip(encoder) => {
                encoder.write_all(&piece)?;
                std::mem::take(encoder.get_mut())
            }
            Self::Zstd(encoder) => {
                encoder.write_all(&piece)?;
                std::mem::take(encoder.get_mut())
            }
        };
        Ok(Bytes::from(ready))
    }

    /// What is left.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::None(rest) => Ok(rest),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

/// All at once.
pub(super) fn compressed(compression: Compression, bytes: impl Into<Bytes>) -> io::Result<Vec<u8>> {
    let mut compressor = Compressor::new(compression)?;
    let mut out = Vec::from(compressor.push(bytes)?);
    out.extend(compressor.finish()?);
    Ok(out)
}

#[cfg(test)]
mod tests;
