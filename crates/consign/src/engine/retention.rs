//! Retention: payloads and records of what has ended go after their time, in small portions between other work.

use std::sync::Arc;
use std::time::Duration;

use consign_core::audit::Table;
use consign_core::id::{RunId, UploadId};
use consign_core::time::Timestamp;
use consign_store::{StoreError, connectors, idempotency, operations, retention, signing_keys, uploads};

use serde_json::json;

use super::{Engine, PayloadKeys};
use crate::telemetry;

/// Rows in one transaction: short enough that an accept behind it hardly waits.
const PORTION_ROWS: u32 = 500;
/// Pieces of files in one transaction: each is a quarter of a megabyte.
const PIECES: u32 = 128;
/// Between two portions others write.
const PAUSE: Duration = Duration::from_millis(20);
const ROUND_EVERY: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(86_400);
/// A file that is being pushed may go on for so long after the last of it arrived.
pub const UPLOADS_KEPT: Duration = DAY;
/// Answers of idempotent requests are kept for so long.
const ANSWERS_KEPT: Duration = DAY;

/// How long what has ended is kept.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Payloads and parts of answers.
    pub payloads: Duration,
    /// Deliveries, attempts and events.
    pub deliveries: Duration,
    /// Calls through gateways.
    pub calls: Duration,
}

impl Engine {
    pub(super) async fn retention_loop(self: Arc<Self>) {
        while !self.lanes.is_stopping() {
            if let Err(error) = self.retention_round().await {
                tracing::error!(%error, "what is past its time could not be removed; trying again in ten minutes");
            }
            tokio::time::sleep(ROUND_EVERY).await;
        }
    }

    /// Removes what is past its time by now.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn retention_round(&self) -> Result<(), StoreError> {
        let now = self.now();
        let kept = self.delivery_rules().kept();
        let payloads_before = now.minus(kept.payloads);
        let records_before = now.minus(kept.deliveries);
        self.in_portions(Portion::Payloads, payloads_before).await?;
        self.in_run_portions(payloads_before).await?;
        self.in_portions(Portion::Runs, records_before).await?;
        self.in_portions(Portion::Uploads, now.minus(UPLOADS_KEPT)).await?;
        self.in_portions(Portion::UnownedPieces, now).await?;
        self.in_portions(Portion::UnownedRecords, now).await?;
        self.in_portions(Portion::Deliveries, records_before).await?;
        self.in_portions(Portion::Events, records_before).await?;
        self.in_portions(Portion::Calls, now.minus(kept.calls)).await?;
        self.delete_ended_signing_keys(now).await?;
        let mut tx = self.store.begin().await?;
        idempotency::delete_old(&mut tx, now.minus(ANSWERS_KEPT)).await?;
        operations::delete_old(&mut tx, records_before).await?;
        // A key goes a day after the last payload that it can have sealed; with it goes every copy of them.
        retention::delete_payload_keys(&mut tx, PayloadKeys::day(records_before.minus(DAY))).await?;
        tx.commit().await
    }

    /// Forgets a file that is on its way, and removes what is stored of it.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn forget_upload(&self, upload: UploadId, run: RunId) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        let was_there = uploads::delete(&mut tx, upload).await?;
        tx.commit().await?;
        if was_there { self.remove_pieces(run).await } else { Ok(()) }
    }

    /// Removes the pieces of a file that nobody needs any more: it is not on its way, and no run has it.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn remove_pieces(&self, run: RunId) -> Result<(), StoreError> {
        loop {
            let mut tx = self.store.begin().await?;
            let gone = retention::delete_pieces_of(&mut tx, run, PIECES).await?;
            tx.commit().await?;
            metrics::counter!(telemetry::RETENTION_DELETED_ROWS, "table" => "run_chunk").increment(gone);
            if gone < u64::from(PIECES) {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Keys are in the record of their webhook: that they went is one, too. A webhook that is not as it was saved keeps
    /// what it has, so that no record takes it for right.
    async fn delete_ended_signing_keys(&self, now: Timestamp) -> Result<(), StoreError> {
        let owners = signing_keys::with_ended(&mut *self.store.read().await?, now).await?;
        for owner in owners {
            let mut tx = self.store.begin().await?;
            let (table, id) = (Table::Connector, owner.to_string());
            if !self.records.fits(&mut tx, table, &id).await? {
                continue;
            }
            let Some(connector) = connectors::find(&mut tx, owner).await? else { continue };
            let gone = signing_keys::delete_ended(&mut tx, owner, now).await?;
            let rows = self.records.changed(&mut tx, &[(table, id.clone())]).await?;
            let object = ("webhook", id.as_str(), connector.name.as_str());
            let changes = json!({ "keys": gone });
            self.records
                .append_own(&mut tx, "Destroyed ended signing secrets", object, changes, rows)
                .await?;
            self.records.commit(tx).await?;
        }
        Ok(())
    }

    async fn in_portions(&self, portion: Portion, before: Timestamp) -> Result<(), StoreError> {
        loop {
            let mut tx = self.store.begin().await?;
            let (table, gone) = match portion {
                Portion::Payloads => {
                    ("payload", retention::delete_payloads(&mut tx, before, PORTION_ROWS).await?)
                }
                Portion::Deliveries => {
                    ("delivery", retention::delete_deliveries(&mut tx, before, PORTION_ROWS).await?)
                }
                Portion::Uploads => {
                    ("upload", retention::delete_uploads(&mut tx, before, PORTION_ROWS).await?)
                }
                Portion::Runs => ("run", retention::delete_runs(&mut tx, before, PORTION_ROWS).await?),
                Portion::UnownedPieces => {
                    ("run_chunk", retention::delete_unowned_pieces(&mut tx, PIECES).await?)
                }
                Portion::UnownedRecords => {
                    ("run_record", retention::delete_unowned_records(&mut tx, PORTION_ROWS).await?)
                }
                Portion::Events => ("event", retention::delete_events(&mut tx, before, PORTION_ROWS).await?),
                Portion::Calls => {
                    ("gateway_call", retention::delete_gateway_calls(&mut tx, before, PORTION_ROWS).await?)
                }
            };
            tx.commit().await?;
            metrics::counter!(telemetry::RETENTION_DELETED_ROWS, "table" => table).increment(gone);
            let last = match portion {
                // A portion ends with its run or file; there may be another.
                Portion::UnownedPieces | Portion::UnownedRecords => gone == 0,
                Portion::Payloads
                | Portion::Deliveries
                | Portion::Runs
                | Portion::Uploads
                | Portion::Events
                | Portion::Calls => gone < u64::from(PORTION_ROWS),
            };
            if last {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What runs sent: their records and the pieces of their files, which are far larger.
    async fn in_run_portions(&self, before: Timestamp) -> Result<(), StoreError> {
        loop {
            let mut tx = self.store.begin().await?;
            let gone = retention::delete_run_payloads(&mut tx, before, PORTION_ROWS, PIECES).await?;
            tx.commit().await?;
            for (table, rows) in [("run_record", gone.records), ("run_chunk", gone.pieces)] {
                metrics::counter!(telemetry::RETENTION_DELETED_ROWS, "table" => table).increment(rows);
            }
            if !gone.more {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[derive(Clone, Copy)]
enum Portion {
    Payloads,
    Deliveries,
    Events,
    Calls,
    Uploads,
    Runs,
    UnownedPieces,
    UnownedRecords,
}
