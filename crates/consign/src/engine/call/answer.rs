//! The body of an answer, from the tool to the application, and what becomes of it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use consign_transport::{Broke, Flow};
use hyper::body::{Body, Frame};

use super::super::Engine;
use super::ledger::{CLIENT_GONE, CUT, Ledger};

/// Streams an answer, counts it, and ends its call.
pub struct CallBody {
    engine: Arc<Engine>,
    flow: Flow,
    ledger: Ledger,
}

impl CallBody {
    pub(super) fn new(engine: Arc<Engine>, flow: Flow, ledger: Ledger) -> Self {
        Self { engine, flow, ledger }
    }
}

impl Body for CallBody {
    type Data = Bytes;
    type Error = Broke;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broke>>> {
        self.ledger.asked();
        let polled = std::task::ready!(Pin::new(&mut self.flow).poll_frame(context));
        match &polled {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                let now = self.engine.now();
                self.ledger.gave(length, now);
            }
            // Whoever reads it must not take it for the whole.
            Some(Err(_)) => self.ledger.cut(CUT),
            None => {}
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.flow.is_end_stream()
    }

    // No size: the length that the tool named stands in the headers, where it is right for HEAD and 304 as well.
}

impl Drop for CallBody {
    fn drop(&mut self) {
        if self.flow.has_hidden() {
            self.ledger.hidden();
        }
        if !self.flow.is_over() {
            self.ledger.ended(CLIENT_GONE);
        }
    }
}

impl fmt::Debug for CallBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallBody").field("flow", &self.flow).finish_non_exhaustive()
    }
}
