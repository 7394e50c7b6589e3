//! The body of a request from a client that may stop sending.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::Sleep;

/// The longest silence within a body.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// The longest that a body may take from its first wait on: a megabyte over a slow line is there by then.
const BODY_TIME_MAX: Duration = Duration::from_secs(60);

/// A body that ends with an error when nothing of it comes for a while. A body that is there costs no timer.
pub(super) struct Patient {
    incoming: Incoming,
    hurried: bool,
    silence: Option<Pin<Box<Sleep>>>,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    pub(super) fn new(incoming: Incoming) -> Self {
        Self { incoming, hurried: true, silence: None, deadline: None }
    }

    /// The same without a limit: whoever reads it has its own.
    pub(super) fn unhurried(incoming: Incoming) -> Self {
        Self { hurried: false, ..Self::new(incoming) }
    }
}

impl Body for Patient {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(context) {
            self.silence = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        if !self.hurried {
            return Poll::Pending;
        }
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(BODY_TIME_MAX)));
        if deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err("the client sends too slowly".into())));
        }
        let silence = self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(SILENCE_MAX)));
        match silence.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(Err("the client stopped sending".into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
