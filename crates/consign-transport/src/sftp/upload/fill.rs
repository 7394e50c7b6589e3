//! What is written into an open file: many writes under way at once, and its end behind them.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use aws_lc_rs::digest;
use bytes::{Buf as _, Bytes, BytesMut};
use tokio::sync::mpsc;

use super::{Body, Content, IfExists, Part, Upload, Uploaded, exists, same_size};
use crate::sftp::channel::Answer;
use crate::sftp::file::{Files, found, is_ok};
use crate::sftp::{SftpFault, SftpWhy};

/// So many bytes are under way at once: more than the windows of servers are.
pub(super) const IN_FLIGHT_BYTES: usize = 3 << 20;
/// So many bytes are under way of a file that goes step by step.
const STEP_BYTES: usize = 32 << 10;

/// An open file that is being written.
pub(super) struct File<'a> {
    pub(super) files: &'a Files,
    pub(super) folder: &'a str,
    pub(super) part: &'a str,
    pub(super) target: &'a str,
    pub(super) handle: &'a [u8],
    /// What is there already.
    pub(super) arrived: u64,
    pub(super) upload: &'a Upload<'a>,
}

impl File<'_> {
    /// Writes all, puts it on the disk, closes it and compares the size. Tells when the server wrote it, where it says so;
    /// `open` becomes false once it is asked to close it.
    pub(super) async fn fill(
        &self,
        content: Content,
        open: &mut bool,
    ) -> Result<(Uploaded, Option<u32>), SftpFault> {
        let mut flight = Flight { file: self, under_way: VecDeque::new(), bytes: 0, offset: 0 };
        let mut hash = self.upload.hash.then(|| digest::Context::new(&digest::SHA256));
        let at_once = matches!(content, Content::AtOnce(_));
        match content {
            Content::AtOnce(bytes) | Content::Body(Body::Whole(bytes)) => {
                hash.iter_mut().for_each(|hash| hash.update(&bytes));
                flight.write_all(bytes, self.chunk_bytes().await).await?;
            }
            Content::Body(Body::Stream(parts)) => self.stream(parts, &mut flight, &mut hash).await?,
        }
        let bytes = flight.offset;
        if !at_once {
            flight.land_all().await?;
        }
        *open = false;
        let ending = self.files.ask_to_end(self.handle, self.part).await?;
        // Some servers replace at every rename: the name is looked at again where time went by since the beginning.
        let taken = match self.upload.if_exists {
            IfExists::Fail if !at_once => Some(self.files.ask_stat(self.target).await?),
            _ => None,
        };
        flight.land_all().await?;
        let (synced, there) = ending.reply().await?;
        same_size(there.size, bytes)?;
        if let Some(taken) = taken
            && found(taken.reply().await?)?.is_some()
        {
            return Err(exists());
        }
        let sha256 = hash.and_then(|hash| hash.finish().as_ref().try_into().ok());
        Ok((Uploaded { bytes, sha256, synced }, there.modified_seconds))
    }

    /// What one request carries of it.
    async fn chunk_bytes(&self) -> usize {
        let most = self.files.write_bytes().await;
        if self.upload.step_by_step { most.min(STEP_BYTES) } else { most }
    }

    async fn stream(
        &self,
        mut parts: mpsc::Receiver<Part>,
        flight: &mut Flight<'_>,
        hash: &mut Option<digest::Context>,
    ) -> Result<(), SftpFault> {
        let most = self.chunk_bytes().await;
        let mut gathered = BytesMut::new();
        loop {
            match parts.recv().await {
                Some(Part::Bytes(mut bytes)) => {
                    hash.iter_mut().for_each(|hash| hash.update(&bytes));
                    // What is large enough by itself is not copied first.
                    while gathered.is_empty() && bytes.len() >= most {
                        flight.write(bytes.split_to(most)).await?;
                    }
                    gathered.extend_from_slice(&bytes);
                }
                Some(Part::End) => break,
                None => {
                    let detail = "What was to be sent ended before its end.";
                    return Err(SftpFault::new(SftpWhy::SourceEnded, detail));
                }
            }
            while gathered.len() >= most {
                flight.write(gathered.split_to(most).freeze()).await?;
            }
        }
        flight.write(gathered.freeze()).await
    }
}

/// Writes that were sent and not answered yet, oldest first.
struct Flight<'a> {
    file: &'a File<'a>,
    under_way: VecDeque<(usize, Answer)>,
    bytes: usize,
    offset: u64,
}

impl Flight<'_> {
    /// Writes in chunks of at most so many bytes.
    async fn write_all(&mut self, mut bytes: Bytes, most: usize) -> Result<(), SftpFault> {
        while !bytes.is_empty() {
            self.write(bytes.split_to(most.min(bytes.len()))).await?;
        }
        Ok(())
    }

    async fn write(&mut self, mut chunk: Bytes) -> Result<(), SftpFault> {
        // What arrived before is only counted.
        let before = usize::try_from(self.file.arrived.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let before = before.min(chunk.len());
        chunk.advance(before);
        self.offset += before as u64;
        if chunk.is_empty() {
            return Ok(());
        }
        let length = chunk.len();
        let most = if self.file.upload.step_by_step { STEP_BYTES } else { IN_FLIGHT_BYTES };
        while self.bytes + length > most {
            self.land().await?;
        }
        let answer = self.file.files.write(self.file.handle, self.offset, chunk).await?;
        self.under_way.push_back((length, answer));
        self.bytes += length;
        self.offset += length as u64;
        Ok(())
    }

    async fn land(&mut self) -> Result<(), SftpFault> {
        let Some((length, answer)) = self.under_way.pop_front() else { return Ok(()) };
        let reply = answer.reply().await?;
        if !is_ok(&reply) {
            return Err(self.file.files.refused_write(&reply, self.file.folder).await);
        }
        self.bytes -= length;
        if let Some(progress) = self.file.upload.progress {
            progress.fetch_add(length as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn land_all(&mut self) -> Result<(), SftpFault> {
        while !self.under_way.is_empty() {
            self.land().await?;
        }
        Ok(())
    }
}
