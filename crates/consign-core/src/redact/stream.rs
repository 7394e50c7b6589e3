//! Hides secrets in bytes that are passed on while they come: each hit becomes as many `*`, so that no length changes.
//!
//! A secret may be split between any two pieces. What could be the start of one is held back until what follows tells,
//! and nothing else is.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{CHAR_BYTES_MAX, End, Form, MASK, Scrubber, Text, is_base64};

/// Takes pieces and gives them without secrets.
pub struct Mask {
    scrubber: Arc<Scrubber>,
    /// What was given last, before it was masked: as much as tells whether a word begins.
    before: Vec<u8>,
    /// What could be the start of a secret.
    held: Bytes,
    /// Hits that reach into what is held.
    pending: Vec<Range<usize>>,
    has_hidden: bool,
}

impl Mask {
    /// At the start of what will come.
    pub fn new(scrubber: Arc<Scrubber>) -> Self {
        Self { scrubber, before: Vec::new(), held: Bytes::new(), pending: Vec::new(), has_hidden: false }
    }

    /// What can be passed on now; may be empty.
    pub fn push(&mut self, piece: Bytes) -> Bytes {
        if self.scrubber.needles.is_empty() {
            return piece;
        }
        let text = joined(std::mem::take(&mut self.held), piece);
        let mut hits = std::mem::take(&mut self.pending);
        let decided = self.scrubber.search(self.text(&text, End::Open), &mut hits);
        // The character before the Base64 of a secret holds some of its bits.
        let reaches_back = self.scrubber.reaches_back() && text[..decided].last().is_some_and(is_base64);
        self.release(&text, decided - usize::from(reaches_back), hits)
    }

    /// The rest, at the end. A secret that the end cuts is hidden as well when at least four of its characters are there.
    pub fn finish(&mut self) -> Bytes {
        let text = std::mem::take(&mut self.held);
        let mut hits = std::mem::take(&mut self.pending);
        self.scrubber.search(self.text(&text, End::Cut), &mut hits);
        self.release(&text, text.len(), hits)
    }

    /// Whether a secret was hidden so far.
    pub fn has_hidden(&self) -> bool {
        self.has_hidden
    }

    /// How many bytes are held back.
    pub fn held_bytes(&self) -> u64 {
        u64::try_from(self.held.len()).unwrap_or(u64::MAX)
    }

    fn text<'a>(&'a self, bytes: &'a [u8], end: End) -> Text<'a> {
        Text { before: &self.before, bytes, end }
    }

    /// Gives the start of a text, masked, and holds the rest.
    fn release(&mut self, text: &Bytes, length: usize, hits: Vec<Range<usize>>) -> Bytes {
        self.has_hidden |= !hits.is_empty();
        let mut given = text.slice(..length);
        if hits.first().is_some_and(|first| first.start < length) {
            let mut masked = BytesMut::from(&given[..]);
            for hit in hits.iter().filter(|hit| hit.start < length) {
                masked[hit.start..hit.end.min(length)].fill(MASK);
            }
            given = masked.freeze();
        }
        let rest = hits.into_iter().filter(|hit| hit.end > length);
        self.pending = rest.map(|hit| hit.start.saturating_sub(length)..hit.end - length).collect();
        self.before.extend_from_slice(&text[length.saturating_sub(CHAR_BYTES_MAX)..length]);
        self.before.drain(..self.before.len().saturating_sub(CHAR_BYTES_MAX));
        self.held = text.slice(length..);
        given
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mask").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

impl Scrubber {
    /// Whether a hit can begin before the position where it is found.
    fn reaches_back(&self) -> bool {
        self.needles.iter().any(|needle| matches!(needle.form, Form::Base64 { before: true, .. }))
    }
}

fn joined(held: Bytes, piece: Bytes) -> Bytes {
    if held.is_empty() {
        return piece;
    }
    let mut both = BytesMut::with_capacity(held.len() + piece.len());
    both.extend_from_slice(&held);
    both.extend_from_slice(&piece);
    both.freeze()
}
