//! A connection that ends when its owner lets go, whatever the other end does.

use std::convert::Infallible;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Dropping it ends the connection.
pub(super) type Leash = oneshot::Sender<Infallible>;

/// The connection at the other end of the leash.
pub(super) struct Leashed {
    stream: TcpStream,
    leash: Option<oneshot::Receiver<Infallible>>,
}

/// Puts a connection on a leash.
pub(super) fn leash(stream: TcpStream) -> (Leash, Leashed) {
    let (leash, receiver) = oneshot::channel();
    (leash, Leashed { stream, leash: Some(receiver) })
}

impl Leashed {
    fn is_cut(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(leash) = &mut self.leash else { return true };
        if Pin::new(leash).poll(cx).is_pending() {
            return false;
        }
        self.leash = None;
        true
    }
}

fn cut<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::Error::from(io::ErrorKind::ConnectionAborted)))
}

impl AsyncRead for Leashed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_cut(cx) { cut() } else { Pin::new(&mut self.stream).poll_read(cx, buf) }
    }
}

impl AsyncWrite for Leashed {
    // Only the reader waits for the leash; a writer that is stuck ends with it.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.leash.is_none() { cut() } else { Pin::new(&mut self.stream).poll_write(cx, buf) }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
