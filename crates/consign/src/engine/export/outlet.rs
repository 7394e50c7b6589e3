//! Where the bytes of what is sent go while they are made: into a request, or into a file on a server.

use bytes::Bytes;
use consign_transport::sftp::Part;
use consign_transport::{Closed, Pieces};
use tokio::sync::mpsc;

/// Dropped before [`Outlet::end`], what was sent of it is never taken for a whole.
pub(super) enum Outlet {
    /// The body of a request.
    Request(Pieces),
    /// A file on a server.
    File(mpsc::Sender<Part>),
}

impl Outlet {
    /// Waits until there is room, and gives a piece.
    pub(super) async fn send(&self, bytes: Bytes) -> Result<(), Closed> {
        if bytes.is_empty() {
            return Ok(());
        }
        match self {
            Self::Request(pieces) => pieces.send(bytes).await,
            Self::File(parts) => parts.send(Part::Bytes(bytes)).await.map_err(|_| Closed),
        }
    }

    /// It is whole.
    pub(super) async fn end(self) -> Result<(), Closed> {
        match self {
            Self::Request(pieces) => pieces.end().await,
            Self::File(parts) => parts.send(Part::End).await.map_err(|_| Closed),
        }
    }
}
