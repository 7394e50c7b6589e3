//! Bodies of requests: bytes at hand, or a bounded stream of them that is never held whole.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

/// Pieces that wait for the connection; with pieces of 256 KiB about a megabyte.
const PIECES_WAITING_MAX: usize = 4;

/// A body that is made while it is sent.
#[derive(Debug)]
pub struct Stream {
    pieces: mpsc::Receiver<Piece>,
    length: Option<u64>,
    still_max: Duration,
    sent: Sending,
}

/// Where the pieces of a [`Stream`] go. Dropped before [`Pieces::end`], it breaks the request off: what was sent of it
/// is never taken for a whole.
#[derive(Debug)]
pub struct Pieces {
    pieces: mpsc::Sender<Piece>,
    sending: Sending,
}

/// How far the sending of a [`Stream`] has come. A clone is the same one.
#[derive(Clone, Debug, Default)]
pub struct Sending(Arc<State>);

#[derive(Debug, Default)]
struct State {
    bytes: AtomicU64,
    whole: AtomicBool,
    over: AtomicBool,
    told: Notify,
}

#[derive(Debug)]
enum Piece {
    Bytes(Bytes),
    End,
}

/// The connection takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection takes no more")]
pub struct Closed;

impl Stream {
    /// A stream and its other side. `length`: as announced, where it is known. When nothing of it moves for
    /// `still_max`, the request is given up.
    pub fn new(length: Option<u64>, still_max: Duration) -> (Pieces, Self) {
        let (sender, pieces) = mpsc::channel(PIECES_WAITING_MAX);
        let sending = Sending::default();
        let sent = sending.clone();
        (Pieces { pieces: sender, sending }, Self { pieces, length, still_max, sent })
    }

    /// To look on while it is sent.
    pub fn sending(&self) -> Sending {
        self.sent.clone()
    }
}

impl Pieces {
    /// Waits until the connection has room, and gives it a piece.
    ///
    /// # Errors
    /// When the request is over.
    pub async fn send(&self, bytes: Bytes) -> Result<(), Closed> {
        self.give(Piece::Bytes(bytes)).await
    }

    /// The body is whole.
    ///
    /// # Errors
    /// When the request is over.
    pub async fn end(self) -> Result<(), Closed> {
        self.give(Piece::End).await
    }

    /// A connection that waits for its peer does not notice that its request is over: it is told.
    async fn give(&self, piece: Piece) -> Result<(), Closed> {
        tokio::select! {
            given = self.pieces.send(piece) => given.map_err(|_| Closed),
            () = self.sending.over() => Err(Closed),
        }
    }
}

impl Sending {
    /// Bytes that the connection took.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Whether it took all.
    pub fn is_whole(&self) -> bool {
        self.0.whole.load(Ordering::Relaxed)
    }

    /// Counts bytes, and answers how many there are now.
    fn took(&self, bytes: usize) -> u64 {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes)
    }

    fn ended(&self) {
        self.0.whole.store(true, Ordering::Relaxed);
    }

    /// Whether its request ended, with or without an answer.
    pub fn is_over(&self) -> bool {
        self.0.over.load(Ordering::Relaxed)
    }

    /// The request ended, with or without an answer.
    fn end(&self) {
        self.0.over.store(true, Ordering::Relaxed);
        self.0.told.notify_waiters();
    }

    async fn over(&self) {
        let mut told = std::pin::pin!(self.0.told.notified());
        // Registered before looking, so that no end is missed.
        told.as_mut().enable();
        if !self.is_over() {
            told.await;
        }
    }
}

/// While a request with a [`Stream`] is under way. When it ends early, or is dropped, who makes the body learns it, and
/// the connection ends with it.
pub(crate) struct Request {
    sending: Sending,
    connection: Option<AbortHandle>,
    answered: bool,
    handed_back: bool,
}

impl Request {
    pub(crate) fn new(sending: &Sending, connection: Option<AbortHandle>) -> Self {
        Self { sending: sending.clone(), connection, answered: false, handed_back: false }
    }

    /// The answer begins: behind a whole body the connection is as good as before.
    pub(crate) fn answered(&mut self) {
        self.answered = true;
    }

    /// Whether all of its body is out.
    pub(crate) fn is_whole(&self) -> bool {
        self.sending.is_whole()
    }

    /// Nothing of it was sent: it will go over another connection.
    pub(crate) fn handed_back(mut self) {
        self.handed_back = true;
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.handed_back {
            return;
        }
        self.sending.end();
        let good = self.answered && self.sending.is_whole();
        if let Some(connection) = self.connection.take().filter(|_| !good) {
            connection.abort();
        }
    }
}

/// What a connection reads.
pub(crate) enum Body {
    Whole(Full<Bytes>),
    Stream(Stream),
}

impl Default for Body {
    fn default() -> Self {
        Self::from(Bytes::new())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Full::new(bytes))
    }
}

impl Body {
    /// Its length, where it is known.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Self::Whole(whole) => whole.size_hint().exact(),
            Self::Stream(stream) => stream.length,
        }
    }

    /// How far it has come, for one that is made while it is sent, and for how long it may stand still.
    pub(crate) fn sending(&self) -> Option<(Sending, Duration)> {
        match self {
            Self::Whole(_) => None,
            Self::Stream(stream) => Some((stream.sending(), stream.still_max)),
        }
    }
}

/// The side that makes the body went away before its end.
#[derive(Debug, thiserror::Error)]
#[error("the body broke off")]
pub(crate) struct BrokenOff;

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match &mut *self {
            Self::Whole(whole) => Pin::new(whole).poll_frame(context).map_err(|never| match never {}),
            Self::Stream(stream) if stream.sent.is_over() && !stream.sent.is_whole() => {
                Poll::Ready(Some(Err(BrokenOff)))
            }
            Self::Stream(stream) => match stream.pieces.poll_recv(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Some(Piece::Bytes(bytes))) => {
                    if stream.sent.took(bytes.len()) >= stream.length.unwrap_or(u64::MAX) {
                        stream.sent.ended();
                    }
                    Poll::Ready(Some(Ok(Frame::data(bytes))))
                }
                Poll::Ready(Some(Piece::End)) => {
                    stream.sent.ended();
                    Poll::Ready(None)
                }
                Poll::Ready(None) if stream.sent.is_whole() => Poll::Ready(None),
                Poll::Ready(None) => Poll::Ready(Some(Err(BrokenOff))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Stream(stream) => stream.sent.is_whole(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (self, self.length()) {
            (Self::Stream(stream), Some(length)) => {
                SizeHint::with_exact(length.saturating_sub(stream.sent.bytes()))
            }
            (_, Some(length)) => SizeHint::with_exact(length),
            (_, None) => SizeHint::default(),
        }
    }
}
