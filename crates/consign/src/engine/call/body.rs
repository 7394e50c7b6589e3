//! The body of a call, from the application to the tool. Short ones are read first, so that they can be sent again; long
//! ones stream, piece by piece as the tool takes them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use consign_core::connector::Gateway;
use consign_transport::{Onward, Pieces, Sending, Stream};
use http_body_util::BodyExt as _;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What is held of a body, for the one repeat.
const HELD_BYTES_MAX: u64 = 1 << 20;
/// For whoever reads the body to say how that ended, when the tool says that it did.
const END_TIME_MAX: Duration = Duration::from_secs(1);

/// Why a body is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is larger than so many bytes.
    TooLarge(u64),
    /// The application stopped sending.
    TooSlow,
    /// The application hung up.
    Gone,
}

/// A body that was taken from an application.
pub(super) enum Taken {
    /// All of it was.
    Whole(Bytes),
    /// It is taken while it is sent.
    Streaming { reader: Option<JoinHandle<Result<Option<Bytes>, Unread>>>, sending: Sending },
}

/// Takes a body: what there is to send now, and what can be known of it later.
///
/// # Errors
/// Why it is not there.
pub(super) async fn take<B>(
    body: B,
    gateway: &Gateway,
    count: Arc<AtomicU64>,
) -> Result<(Taken, Onward), Unread>
where
    B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
{
    let hint = body.size_hint();
    let (bytes_max, idle) = (gateway.max_request_bytes, Duration::from_secs(u64::from(gateway.idle_seconds)));
    if hint.lower() > bytes_max {
        return Err(Unread::TooLarge(bytes_max));
    }
    let patience = Duration::from_secs(u64::from(gateway.timeout_seconds.max(gateway.idle_seconds)));
    let mut reader = Reader { body, bytes_max, idle, count };
    match hint.exact() {
        Some(length) if length <= HELD_BYTES_MAX => {
            // In all, too: whoever sends a byte now and then keeps no place.
            let bytes = timeout(patience, reader.all()).await.unwrap_or(Err(Unread::TooSlow))?;
            Ok((Taken::Whole(bytes.clone()), Onward::Whole(bytes)))
        }
        length => {
            let (pieces, stream) = Stream::new(length, idle);
            let sending = stream.sending();
            let reader = Some(tokio::spawn(reader.pass_on(pieces)));
            Ok((Taken::Streaming { reader, sending }, Onward::Stream(stream)))
        }
    }
}

impl Taken {
    /// The same body once more, if it is still held.
    pub(super) async fn again(&mut self) -> Option<Onward> {
        match self {
            Self::Whole(bytes) => Some(Onward::Whole(bytes.clone())),
            Self::Streaming { reader, sending } if sending.is_whole() => {
                let read = timeout(END_TIME_MAX, reader.take()?).await;
                let bytes = read.ok()?.ok()?.ok()??;
                *self = Self::Whole(bytes.clone());
                Some(Onward::Whole(bytes))
            }
            Self::Streaming { .. } => None,
        }
    }

    /// How it broke off, if it did.
    pub(super) async fn unread(&mut self) -> Option<Unread> {
        let Self::Streaming { reader, sending } = self else { return None };
        let reader = reader.take()?;
        if sending.is_whole() || !reader.is_finished() && !sending.is_over() {
            return None;
        }
        timeout(END_TIME_MAX, reader).await.ok()?.ok()?.err()
    }
}

struct Reader<B> {
    body: B,
    bytes_max: u64,
    idle: Duration,
    count: Arc<AtomicU64>,
}

impl<B> Reader<B>
where
    B: hyper::body::Body<Data = Bytes> + Unpin,
{
    /// All of it at once.
    async fn all(&mut self) -> Result<Bytes, Unread> {
        let Some(first) = self.next().await? else { return Ok(Bytes::new()) };
        let mut all = BytesMut::new();
        while let Some(piece) = self.next().await? {
            if all.is_empty() {
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&piece);
        }
        Ok(if all.is_empty() { first } else { all.freeze() })
    }

    /// Piece by piece; what is short enough comes back as well. Whatever goes wrong breaks the request off.
    async fn pass_on(mut self, pieces: Pieces) -> Result<Option<Bytes>, Unread> {
        let mut held = Some(BytesMut::new());
        while let Some(piece) = self.next().await? {
            held = held.filter(|held| held.len() as u64 + piece.len() as u64 <= HELD_BYTES_MAX);
            if let Some(held) = &mut held {
                held.extend_from_slice(&piece);
            }
            if pieces.send(piece).await.is_err() {
                return Ok(None);
            }
        }
        // When the tool has answered it may have hung up; then there is nobody to tell.
        let _ = pieces.end().await;
        Ok(held.map(BytesMut::freeze))
    }

    /// The next piece. Trailers stay here.
    async fn next(&mut self) -> Result<Option<Bytes>, Unread> {
        loop {
            let frame = match timeout(self.idle, Pin::new(&mut self.body).frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(_))) => return Err(Unread::Gone),
                Ok(None) => return Ok(None),
                Err(_) => return Err(Unread::TooSlow),
            };
            let Ok(piece) = frame.into_data() else { continue };
            let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            let before = self.count.fetch_add(length, Ordering::Relaxed);
            if before.saturating_add(length) > self.bytes_max {
                return Err(Unread::TooLarge(self.bytes_max));
            }
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }
}
