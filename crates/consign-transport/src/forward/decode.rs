//! Answers that come compressed: gzip (RFC 1952) and Zstandard (RFC 8878, with the window of RFC 9659), piece by piece.
//!
//! What a piece becomes is made in bounded steps, each when the one before was taken: a small answer that unfolds to
//! gigabytes fills no memory.

use std::io;

use bytes::{Buf as _, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, Operation as _};

/// The most bytes of one step.
const STEP_BYTES: usize = 32 << 10;
/// The largest window of zlib.
const GZIP_WINDOW_BITS: u8 = 15;
/// 8 MiB: more is not sent over HTTP (RFC 9659).
const ZSTD_WINDOW_BITS: u32 = 23;

/// How an answer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Gzip,
    Zstd,
}

impl Encoding {
    /// What `Content-Encoding` says: `Some(None)` for plain, `None` for what cannot be undone here.
    pub(super) fn of(headers: &HeaderMap) -> Option<Option<Self>> {
        let lines = headers.get_all(CONTENT_ENCODING).iter();
        let codings =
            lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
        let is = |coding: &[u8], name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
        let mut codings = codings.filter(|coding| !coding.is_empty() && !is(coding, "identity"));
        let encoding = match codings.next() {
            None => return Some(None),
            Some(coding) if is(coding, "gzip") || is(coding, "x-gzip") => Self::Gzip,
            Some(coding) if is(coding, "zstd") => Self::Zstd,
            Some(_) => return None,
        };
        // One in another is nobody's habit.
        codings.next().is_none().then_some(Some(encoding))
    }
}

/// Takes pieces and gives what they become.
pub(super) struct Decoder {
    format: Format,
    input: Bytes,
    /// A whole member or frame ended where the input ends.
    whole: bool,
    /// The last step filled its room: there may be more without more input.
    full: bool,
}

enum Format {
    Gzip(Box<Decompress>),
    Zstd(ZstdDecoder<'static>),
}

impl Decoder {
    pub(super) fn new(encoding: Encoding) -> io::Result<Self> {
        let format = match encoding {
            Encoding::Gzip => Format::Gzip(Box::new(Decompress::new_gzip(GZIP_WINDOW_BITS))),
            Encoding::Zstd => {
                let mut decoder = ZstdDecoder::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_BITS))?;
                Format::Zstd(decoder)
            }
        };
        Ok(Self { format, input: Bytes::new(), whole: false, full: false })
    }

    /// The next piece, once all of the one before has been given.
    pub(super) fn feed(&mut self, piece: Bytes) {
        self.input = piece;
    }

    /// A step of what was fed; `None` when that is used up.
    ///
    /// # Errors
    /// When it is not what it should be.
    pub(super) fn next(&mut self) -> io::Result<Option<Bytes>> {
        while !self.input.is_empty() || self.full {
            let mut room = vec![0; STEP_BYTES];
            let step = match &mut self.format {
                Format::Gzip(decoder) => gunzip(decoder, &self.input, &mut room, self.whole)?,
                Format::Zstd(decoder) => {
                    let status = decoder.run_on_buffers(&self.input, &mut room)?;
                    let ended = status.remaining == 0;
                    Step { read: status.bytes_read, written: status.bytes_written, ended }
                }
            };
            if step.read == 0 && step.written == 0 && !self.full && !step.ended {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.input.advance(step.read);
            self.full = step.written == STEP_BYTES && !step.ended;
            self.whole = step.ended;
            room.truncate(step.written);
            if !room.is_empty() {
                return Ok(Some(Bytes::from(room)));
            }
        }
        Ok(None)
    }

    /// Whether the answer may end here.
    pub(super) fn is_whole(&self) -> bool {
        self.whole && self.input.is_empty()
    }
}

struct Step {
    read: usize,
    written: usize,
    ended: bool,
}

/// One step of gzip. Members may follow each other; each has its checksum, which is compared.
fn gunzip(decoder: &mut Box<Decompress>, input: &[u8], room: &mut [u8], ended: bool) -> io::Result<Step> {
    if ended {
        **decoder = Decompress::new_gzip(GZIP_WINDOW_BITS);
    }
    let (read, written) = (decoder.total_in(), decoder.total_out());
    let status = decoder.decompress(input, room, FlushDecompress::None)?;
    let count = |after: u64, before: u64| usize::try_from(after - before).unwrap_or(usize::MAX);
    Ok(Step {
        read: count(decoder.total_in(), read),
        written: count(decoder.total_out(), written),
        ended: status == Status::StreamEnd,
    })
}

#[cfg(test)]
mod tests;
