//! A pushed file, sent as it came: opened piece by piece while it leaves, and never held whole.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use consign_core::catalog::size;
use consign_core::connector::Message;
use consign_core::connector::exporter::{Bulk, Compression, Exporter, Load};
use consign_core::time::Timestamp;
use consign_store::runs::Run;
use consign_transport::{Limits, Pieces, Sent, Stream};

use super::bulk::Content;
use super::feed::Fed;
use super::outlet::Outlet;
use super::{Job, Stop, Told};
use crate::engine::Engine;
use crate::engine::authorize::Authorized;
use crate::telemetry;

/// A request of which nothing moves for so long is given up.
const STILL_MAX: Duration = Duration::from_secs(60);
/// Between two looks at how far it has come.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl Engine {
    pub(super) async fn send_file(
        self: &Arc<Self>,
        job: &Job,
        exporter: &Exporter,
        bulk: &Bulk,
        run: &mut Run,
    ) -> Result<Told, Stop> {
        let content_type = run.file.as_ref().map_or("", |file| file.content_type.as_str());
        let load = Load::File { name: &run.file_name, content_type };
        let message = bulk.message(exporter, run.id, load);
        let started = self.now();
        self.send_load(job, bulk, &message, &Content::File(&job.run)).await?;
        run.requests = 1;
        run.sent_bytes = job.moving.bytes();
        let millis = self.now().since(started).as_millis();
        let line = format!("Request 1: {} → accepted in {millis} ms.", size(run.sent_bytes));
        metrics::counter!(telemetry::EXPORTER_BYTES).increment(run.sent_bytes);
        let message = format!("Sent {}, {}.", run.file_name, size(run.sent_bytes));
        // It is written down with the end of the run: what was accepted is not sent again.
        Ok(Told { lines: vec![line], message })
    }

    /// One request with the file as its body.
    pub(super) async fn stream_file(
        &self,
        job: &Job,
        run: &Run,
        message: &Message,
        authorized: &Authorized,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Sent, Stop> {
        let compression = job.set_up.exporter.compression;
        let length = run.file.as_ref().map(|file| file.bytes).filter(|_| compression == Compression::None);
        let (pieces, body) = Stream::new(length, STILL_MAX);
        let sending = body.sending();
        let mut sent = pin!(self.network.send_stream(&authorized.access, message, body, limits, now));
        let mut fed = pin!(self.feed_request(run, compression, pieces));
        let mut whole = false;
        loop {
            tokio::select! {
                sent = &mut sent => {
                    job.moving.is_at(sending.bytes());
                    return Ok(sent);
                }
                made = &mut fed, if !whole => match made {
                    Ok(()) | Err(Fed::Closed) => whole = true,
                    Err(Fed::Stop(stop)) => return Err(stop),
                },
                () = tokio::time::sleep(LOOK_EVERY) => {
                    job.moving.is_at(sending.bytes());
                    if sending.is_whole() {
                        job.moving.has_left();
                    }
                }
            }
        }
    }

    async fn feed_request(&self, run: &Run, compression: Compression, pieces: Pieces) -> Result<(), Fed> {
        let outlet = Outlet::Request(pieces);
        self.feed_file(run, compression, &outlet).await?;
        Ok(outlet.end().await?)
    }
}
