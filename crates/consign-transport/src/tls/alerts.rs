//! A secure connection that remembers the alert that ended its handshake (RFC 8446 section 6): under TLS 1.3 the client
//! learns behind its own part of it what the server thinks of its certificate, and HTTP passes the cause on as text at best.
//!
//! Only what comes first counts. A server that has sent anything of its own may have read what we sent.

use std::io::{self, IoSlice, Read as _};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use rustls::{AlertDescription, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// The alert that refused a connection before anything was said over it.
#[derive(Clone, Default)]
pub(crate) struct Alert(Arc<OnceLock<AlertDescription>>);

impl Alert {
    /// The alert, if one came.
    pub(crate) fn get(&self) -> Option<AlertDescription> {
        self.0.get().copied()
    }

    fn note(&self, error: &io::Error) {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        if let Some(rustls::Error::AlertReceived(alert)) = inner {
            // The first one ended it.
            let _ = self.0.set(*alert);
        }
    }
}

/// The connection.
pub(crate) struct Watched {
    stream: TlsStream<TcpStream>,
    alert: Alert,
    /// Something was said over it, or its handshake had an end of its own (TLS 1.2).
    is_open: bool,
}

impl Watched {
    pub(crate) fn new(stream: TlsStream<TcpStream>) -> Self {
        let is_open = stream.get_ref().1.protocol_version() != Some(ProtocolVersion::TLSv1_3);
        Self { stream, alert: Alert::default(), is_open }
    }

    pub(crate) fn alert(&self) -> Alert {
        self.alert.clone()
    }

    /// Whether something came together with the alert and was not read.
    fn has_unread(&mut self) -> bool {
        matches!(self.stream.get_mut().1.reader().read(&mut [0]), Ok(1..))
    }

    /// Whether the handshake agreed on HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        self.stream.get_ref().1.alpn_protocol() == Some(b"h2")
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        match &read {
            Err(error) if !self.is_open && !self.has_unread() => self.alert.note(error),
            _ => self.is_open |= buffer.filled().len() > before,
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
