//! Requests with many records each, one after the other. What was accepted is written down before the next one leaves.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use consign_core::catalog::size;
use consign_core::connector::exporter::{Bulk, Exporter, Load, REQUEST_BYTES_MAX, Step};
use consign_core::connector::format::Encoder;
use consign_core::connector::{Message, Success};
use consign_core::credential::Rate;
use consign_core::delivery::{CredentialLesson, Next, Outcome, Refusal, Verdict};
use consign_core::id::CredentialId;
use consign_core::time::Timestamp;
use consign_store::runs::{self, Progress, Run};
use consign_transport::{Limits, Sent};

use super::compress::compressed;
use super::feed::RECORDS_GONE;
use super::records::Records;
use super::{Job, Stop, counted};
use crate::engine::authorize::Authorized;
use crate::engine::deliver::{ANSWER_BYTES_MAX, Kept, Seen, asks_for_renewal, seen, words_of};
use crate::engine::lanes::Borrowed;
use crate::engine::{Engine, LEASE};
use crate::telemetry;

/// Between two looks for a free place of the credential.
const PLACE_WAIT: Duration = Duration::from_millis(50);

/// What one request holds.
struct Part {
    body: Vec<u8>,
    records: u64,
    /// The last record in it.
    last: String,
}

/// The body of a request, as often as it is needed.
pub(super) enum Content<'a> {
    Bytes(Bytes),
    File(&'a Run),
}

impl Engine {
    /// Sends the records of a run from where it was.
    pub(super) async fn send_records(
        self: &Arc<Self>,
        job: &Job,
        exporter: &Exporter,
        bulk: &Bulk,
        run: &mut Run,
    ) -> Result<String, Stop> {
        let reader = job.run.clone();
        let mut records = Records::behind(self, &reader, &run.sent_to);
        while let Some(part) = self.next_part(job, exporter, bulk, run, &mut records).await? {
            if self.lanes.is_stopping() || !self.may_send(job, run.requests == job.run.requests) {
                return Err(Stop::GiveBack);
            }
            let load = Load::Records { number: run.requests + 1 };
            let message = bulk.message(exporter, run.id, load);
            let compression = exporter.compression;
            let body = tokio::task::spawn_blocking(move || compressed(compression, part.body));
            let body = body
                .await
                .map_err(|_| Stop::GiveBack)?
                .map_err(|error| Stop::unreadable(error.to_string()))?;
            let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
            let started = self.now();
            self.send_load(job, bulk, &message, &Content::Bytes(Bytes::from(body))).await?;
            run.requests += 1;
            run.sent_records += part.records;
            run.sent_bytes += bytes;
            run.sent_to = part.last;
            let line = format!(
                "Request {}: {}, {} → accepted in {} ms.",
                run.requests,
                counted(part.records, "record", "records"),
                size(bytes),
                self.now().since(started).as_millis(),
            );
            self.advance(run, &line).await?;
            metrics::counter!(telemetry::EXPORTER_ROWS).increment(part.records);
            metrics::counter!(telemetry::EXPORTER_BYTES).increment(bytes);
        }
        // Those of a run that is sent again may be on their way out.
        if run.sent_records != run.records {
            return Err(Stop::unreadable(RECORDS_GONE.to_owned()));
        }
        Ok(format!(
            "Sent {} in {}, {}.",
            counted(run.sent_records, "record", "records"),
            counted(run.requests, "request", "requests"),
            size(run.sent_bytes),
        ))
    }

    /// Writes what the next request holds; the same records give the same bytes.
    async fn next_part(
        &self,
        job: &Job,
        exporter: &Exporter,
        bulk: &Bulk,
        run: &Run,
        records: &mut Records<'_>,
    ) -> Result<Option<Part>, Stop> {
        let stamp = job.set_up.stamp();
        let mut encoder = Encoder::new(&exporter.format, |text| stamp.fill(text, 1));
        let mut part = Part { body: Vec::new(), records: 0, last: String::new() };
        encoder.start(&mut part.body);
        while part.records < u64::from(bulk.records_max) {
            let Some(record) = records.next().await? else { break };
            let before = part.body.len();
            encoder.push(&record.as_record(), &mut part.body);
            if part.records > 0 && part.body.len() > REQUEST_BYTES_MAX {
                part.body.truncate(before);
                break;
            }
            part.records += 1;
            part.last = records.taken().map(|record| record.id).unwrap_or_default();
        }
        let empty_run = run.records == 0 && run.requests == 0;
        if part.records == 0 && !(exporter.send_empty && empty_run) {
            return Ok(None);
        }
        encoder.finish(&mut part.body);
        Ok(Some(part))
    }

    /// What arrived is on disk before anything else leaves.
    pub(super) async fn advance(&self, run: &mut Run, line: &str) -> Result<(), Stop> {
        run.step = Step::Upload;
        let progress = Progress::of(run);
        let mut tx = self.store.begin().await?;
        let (now, until) = (tx.now(), tx.now().plus(LEASE));
        if !runs::advance(&mut tx, run, &progress, until).await? {
            return Err(Stop::Lost);
        }
        runs::log(&mut tx, run.id, line, now).await?;
        tx.commit().await?;
        (run.attempts, run.crashes, run.throttled_since) = (0, 0, None);
        Ok(())
    }

    /// One request with the proof of the credential, once more with a new token where that may help.
    pub(super) async fn send_load(
        self: &Arc<Self>,
        job: &Job,
        bulk: &Bulk,
        message: &Message,
        content: &Content<'_>,
    ) -> Result<(), Stop> {
        let _place = self.place_for(job, bulk.max_per_second).await?;
        let now = self.now();
        let refused = |refusal: Refusal| {
            let words = words_of(&refusal);
            Stop::refused(refusal, words)
        };
        let authorized = self.authorize(&job.credential, now).await.map_err(refused)?;
        let sent = self.send_once(job, bulk, message, content, &authorized, now).await?;
        let renewable = authorized.token.filter(|token| asks_for_renewal(&sent.outcome, token.ended));
        let again = match renewable {
            Some(token) => self.authorize_again(&job.credential, token.generation).await.map_err(refused)?,
            None => None,
        };
        let (authorized, sent) = match again {
            Some(fresh) => {
                let sent = self.send_once(job, bulk, message, content, &fresh, now).await?;
                (fresh, sent)
            }
            None => (authorized, sent),
        };
        let (_, key) = self.settings.payloads.current(now).await?;
        let kept = Kept { record: &job.run.id.to_string(), success_when: Success::Status, outputs: &[] };
        let seen = seen(&kept, &job.credential, &authorized, message, sent, &key);
        if !matches!(seen.outcome, Outcome::Accepted { .. }) {
            return Err(Stop::Attempt(Box::new(seen)));
        }
        self.learn_that_it_works(job, &seen, now).await;
        Ok(())
    }

    pub(super) async fn learn_that_it_works(&self, job: &Job, seen: &Seen, now: Timestamp) {
        let works = Some(CredentialLesson::Works);
        let verdict = Verdict { next: Next::Deliver, lane: None, credential: works };
        self.learn(&job.connector, Some(&job.credential), seen, &verdict, now).await;
    }

    async fn send_once(
        &self,
        job: &Job,
        bulk: &Bulk,
        message: &Message,
        content: &Content<'_>,
        authorized: &Authorized,
        now: Timestamp,
    ) -> Result<Sent, Stop> {
        let limits = Limits { timeout: bulk.timeout, head_timeout: None, answer_bytes_max: ANSWER_BYTES_MAX };
        match content {
            Content::Bytes(bytes) => {
                Ok(self.network.send(&authorized.access, message, bytes.clone(), &limits, now).await)
            }
            Content::File(run) => self.stream_file(job, run, message, authorized, &limits, now).await,
        }
    }

    /// A place among the requests of the credential, and the pace of both.
    pub(super) async fn place_for(
        self: &Arc<Self>,
        job: &Job,
        rate: Option<Rate>,
    ) -> Result<BorrowedPlace, Stop> {
        loop {
            if !self.may_send(job, true) {
                return Err(Stop::GiveBack);
            }
            let now = self.now();
            let wait = match self.lanes.borrow(job.connector.id, rate, &job.credential, now) {
                Borrowed::Place => {
                    return Ok(BorrowedPlace { engine: self.clone(), credential: job.credential.id });
                }
                Borrowed::WaitUntil(at) => at.since(now).max(Duration::from_millis(1)),
                Borrowed::Full => PLACE_WAIT,
                Borrowed::Stopping => return Err(Stop::GiveBack),
            };
            tokio::time::sleep(wait).await;
        }
    }
}

/// A place among the requests of a credential; free again when it is dropped.
pub(super) struct BorrowedPlace {
    engine: Arc<Engine>,
    credential: CredentialId,
}

impl Drop for BorrowedPlace {
    fn drop(&mut self) {
        self.engine.borrowed_place_is_free(self.credential);
    }
}
