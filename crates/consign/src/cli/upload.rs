//! A body that is read from a file or a pipe while it is sent.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

const PIECE_BYTES: usize = 256 << 10;
const PIECES_WAITING_MAX: usize = 4;

/// What is sent.
pub(crate) struct Upload {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    length: Option<u64>,
    sent: UploadProgress,
}

/// How far it has come.
#[derive(Clone, Default)]
pub(crate) struct UploadProgress(Arc<AtomicU64>);

impl UploadProgress {
    /// The bytes that the connection took.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Upload {
    /// Reads in a thread of its own: files and pipes may keep us waiting.
    pub(crate) fn new(mut from: Box<dyn Read + Send>, length: Option<u64>) -> Self {
        let (sender, pieces) = mpsc::channel(PIECES_WAITING_MAX);
        tokio::task::spawn_blocking(move || {
            loop {
                let mut piece = vec![0; PIECE_BYTES];
                let read = match from.read(&mut piece) {
                    Ok(0) => return,
                    Ok(read) => read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => {
                        // The request breaks off, unless it is over already.
                        drop(sender.blocking_send(Err(error)));
                        return;
                    }
                };
                piece.truncate(read);
                if sender.blocking_send(Ok(Bytes::from(piece))).is_err() {
                    return;
                }
            }
        });
        Self { pieces, length, sent: UploadProgress::default() }
    }

    /// To look on while it is sent.
    pub(crate) fn progress(&self) -> UploadProgress {
        self.sent.clone()
    }

    /// Its length, where it is known.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let polled = self.pieces.poll_recv(context);
        polled.map(|piece| {
            piece.map(|piece| {
                let piece = piece?;
                self.sent.0.fetch_add(piece.len() as u64, Ordering::Relaxed);
                Ok(Frame::data(piece))
            })
        })
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Some(length) => SizeHint::with_exact(length.saturating_sub(self.sent.bytes())),
            None => SizeHint::default(),
        }
    }
}
