//! The wire side of a gateway: a call is passed on over a kept or guarded connection, both bodies stream, and the answer is
//! searched for secrets on its way (RFC 9110 section 8.4 for its encodings).
//!
//! Nothing is held whole: a piece of the answer is read when the one before was taken, so that whoever is slow slows the
//! other side.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use consign_core::connector::Message;
use consign_core::credential::Access;
use consign_core::delivery::NoAnswer;
use consign_core::redact::{Mask, Scrubber};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderMap, Method, StatusCode};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

use crate::body::{self, Body, Stream};
use crate::http::{Answered, Draft, Waits, idle_max, nothing_sent, unanswered};
use crate::pool::Lease;
use crate::{Network, NothingSent, Sent, Timing, To, now as clock};

use decode::{Decoder, Encoding};

mod decode;

/// The body of a call.
#[derive(Debug)]
pub enum Onward {
    /// At hand.
    Whole(Bytes),
    /// Made while it is sent.
    Stream(Stream),
}

/// Whether an answer is searched for secrets.
#[derive(Clone, Debug)]
pub enum Searched {
    /// It is passed on as it comes.
    Not,
    /// For these; what comes compressed is passed on plain.
    For(Arc<Scrubber>),
}

/// How long a tool may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// To the head of its answer, once the request is out.
    pub first_byte: Duration,
    /// Between two pieces of its answer.
    pub idle: Duration,
}

/// An answer that has begun.
#[derive(Debug)]
pub struct Forwarded {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, as they fit the body that follows. They were not searched: some of them lead elsewhere first.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Flow,
}

/// Why an answer that has begun does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broke {
    /// The connection ended within it.
    #[error("the connection to the tool ended within its answer")]
    Lost,
    /// Nothing came for too long.
    #[error("the tool stopped sending within its answer")]
    Still,
    /// It is not what its `Content-Encoding` says.
    #[error("the answer of the tool does not decompress")]
    Encoding,
}

/// See [`Network::forward`].
pub(crate) async fn forward(
    network: &Network,
    access: &Access,
    message: &Message,
    body: Onward,
    searched: Searched,
    waits: &Patience,
) -> Result<Forwarded, Box<Sent>> {
    let body = match body {
        Onward::Whole(bytes) => Body::from(bytes),
        Onward::Stream(stream) => Body::Stream(stream),
    };
    let draft = Draft::passing_on(access, message, body);
    let mut draft = draft.map_err(|fault| Box::new(nothing_sent(NothingSent::from(fault))))?;
    let times = Waits { timeout: waits.first_byte, head_timeout: None, deadline: clock() + waits.first_byte };
    let answered = draft.exchange(network, To::of(access), &times, &mut Timing::default()).await?;
    begun(answered, &message.method, searched, waits).map_err(|what| {
        let words = format!("{} {what}", access.origin.host());
        Box::new(unanswered(NoAnswer::ConnectionLost, words, draft.bytes()))
    })
}

/// Reads the head of an answer.
fn begun(
    answered: Answered,
    method: &Method,
    searched: Searched,
    waits: &Patience,
) -> Result<Forwarded, &'static str> {
    let Answered { lease, response, under_way } = answered;
    let (Parts { status, mut headers, .. }, incoming) = response.into_parts();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err("left HTTP without being asked.");
    }
    if !is_plainly_framed(&headers) {
        return Err("sent an answer in a transfer coding that nobody asked for.");
    }
    let kept_for = idle_max(&headers);
    let (decoder, mask) = match searched {
        Searched::Not => (None, None),
        Searched::For(scrubber) => {
            let has_body = *method != Method::HEAD && !incoming.is_end_stream();
            let encoding = if has_body { undone(status, &mut headers)? } else { None };
            let decoder = encoding.map(Decoder::new).transpose();
            (
                decoder.map_err(|_| "sent an answer that cannot be decompressed here.")?,
                Some(Mask::new(scrubber)),
            )
        }
    };
    let body = Flow {
        incoming,
        connection: Some((lease, kept_for)),
        under_way,
        decoder,
        mask,
        idle: waits.idle,
        silence: None,
        state: State::Reading,
    };
    Ok(Forwarded { status, headers, body })
}

/// How an answer is compressed that will be passed on plain.
fn undone(status: StatusCode, headers: &mut HeaderMap) -> Result<Option<Encoding>, &'static str> {
    let encoding = Encoding::of(headers).ok_or("sent an answer in an encoding that cannot be searched.")?;
    if status == StatusCode::PARTIAL_CONTENT {
        // A secret that is asked for in pieces is in none of them.
        return Err("sent a part of an answer, which cannot be searched.");
    }
    if encoding.is_none() {
        return Ok(None);
    }
    headers.remove(CONTENT_ENCODING);
    headers.remove(CONTENT_LENGTH);
    Ok(encoding)
}

/// Whether the length of an answer is told in no other way than we read it.
fn is_plainly_framed(headers: &HeaderMap) -> bool {
    let codings = headers
        .get_all(TRANSFER_ENCODING)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let mut codings = codings.map(<[u8]>::trim_ascii);
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(only), None) => only.eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

/// The body of an answer, as it comes.
pub struct Flow {
    incoming: Incoming,
    /// Given back when all was read; dropped before, the connection ends.
    connection: Option<(Lease, Option<Duration>)>,
    under_way: Option<body::Request>,
    decoder: Option<Decoder>,
    mask: Option<Mask>,
    idle: Duration,
    silence: Option<Pin<Box<Sleep>>>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// All of it was read, but for what is held back.
    Read,
    Over,
}

impl Flow {
    /// Whether all of it was given.
    pub fn is_over(&self) -> bool {
        self.state == State::Over || (self.state == State::Reading && self.is_end_stream())
    }

    /// Whether a secret was hidden in it so far.
    pub fn has_hidden(&self) -> bool {
        self.mask.as_ref().is_some_and(Mask::has_hidden)
    }

    /// The next piece; `None` at the end.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broke>>> {
        loop {
            if let Some(decoder) = &mut self.decoder {
                match decoder.next() {
                    Ok(Some(piece)) => match self.searched(piece) {
                        piece if piece.is_empty() => continue,
                        piece => return Poll::Ready(Some(Ok(piece))),
                    },
                    Ok(None) => {}
                    Err(_) => return Poll::Ready(Some(Err(Broke::Encoding))),
                }
            }
            match self.state {
                State::Reading => {}
                State::Read => {
                    self.state = State::Over;
                    let rest = self.mask.as_mut().map(Mask::finish).unwrap_or_default();
                    if !rest.is_empty() {
                        return Poll::Ready(Some(Ok(rest)));
                    }
                    continue;
                }
                State::Over => return Poll::Ready(None),
            }
            let piece = match std::task::ready!(self.poll_incoming(context)) {
                Some(piece) => piece?,
                None if self.decoder.as_ref().is_some_and(|decoder| !decoder.is_whole()) => {
                    return Poll::Ready(Some(Err(Broke::Encoding)));
                }
                None => {
                    self.state = State::Read;
                    self.release();
                    continue;
                }
            };
            let piece = match &mut self.decoder {
                Some(decoder) => {
                    decoder.feed(piece);
                    continue;
                }
                None => self.searched(piece),
            };
            if !piece.is_empty() {
                return Poll::Ready(Some(Ok(piece)));
            }
        }
    }

    /// What the tool sends next, within its time. Trailers stay here.
    fn poll_incoming(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broke>>> {
        loop {
            if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(context) {
                self.silence = None;
                match frame {
                    None => return Poll::Ready(None),
                    Some(Err(_)) => return Poll::Ready(Some(Err(Broke::Lost))),
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => return Poll::Ready(Some(Ok(data))),
                        Err(_) => continue,
                    },
                }
            }
            let idle = self.idle;
            let silence = self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
            std::task::ready!(silence.as_mut().poll(context));
            return Poll::Ready(Some(Err(Broke::Still)));
        }
    }

    fn searched(&mut self, piece: Bytes) -> Bytes {
        match &mut self.mask {
            Some(mask) => mask.push(piece),
            None => piece,
        }
    }

    /// The connection is free for the next request, unless this one is still being sent.
    fn release(&mut self) {
        let sent = self.under_way.take().is_none_or(|request| request.is_whole());
        if let Some((lease, kept_for)) = self.connection.take().filter(|_| sent) {
            lease.give_back_later(kept_for);
        }
    }
}

impl HttpBody for Flow {
    type Data = Bytes;
    type Error = Broke;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broke>>> {
        self.poll_piece(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        let nothing_held = self.mask.as_ref().is_none_or(|mask| mask.held_bytes() == 0);
        match self.state {
            State::Reading => self.decoder.is_none() && nothing_held && self.incoming.is_end_stream(),
            State::Read => self.decoder.is_none() && nothing_held,
            State::Over => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        if self.decoder.is_some() {
            return SizeHint::default();
        }
        let held = self.mask.as_ref().map_or(0, Mask::held_bytes);
        match self.incoming.size_hint().exact() {
            Some(left) => SizeHint::with_exact(left.saturating_add(held)),
            None => SizeHint::default(),
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        // Whoever knows its length need not ask for the end.
        if self.incoming.is_end_stream() {
            self.release();
        }
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow").field("over", &self.is_over()).finish_non_exhaustive()
    }
}
