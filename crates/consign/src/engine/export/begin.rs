//! Beginning runs: by the clock, by hand, for a pushed file, again.

use std::sync::Arc;

use consign_core::catalog::Protocol;
use consign_core::connector::exporter::{Destination, SetUp};
use consign_core::connector::{Connector, Exporter};
use consign_core::id::RunId;
use consign_core::time::Timestamp;
use consign_core::vault::DerivedKey;
use consign_store::runs::{self, Cause, NewRun, PushedFile, Run, SealedSetUp};
use consign_store::{StoreError, Tx, connectors};

use crate::engine::Engine;

/// What a run is to be.
pub struct Beginning<'a> {
    /// Its id.
    pub id: RunId,
    /// Why.
    pub cause: Cause,
    /// Who asked; empty for the schedule.
    pub by: &'a str,
    /// The time that its names are made of.
    pub at: Timestamp,
    /// The run whose records or file it sends again.
    pub again: Option<&'a Again>,
    /// The file that was pushed, with its name.
    pub file: Option<(&'a str, &'a PushedFile)>,
    /// Seals what it is made by: the payload key of the day, from before the transaction.
    pub key: &'a (i64, Arc<DerivedKey>),
}

/// A run to send again.
pub struct Again {
    /// The run.
    pub run: Run,
    /// What it was made by.
    pub set_up: SetUp,
    /// It is sent by that; without, what it sent goes out as its exporter is now.
    pub as_it_was: bool,
}

/// What became of it.
#[derive(Debug)]
pub enum Begun {
    /// It waits for its turn.
    New(RunId),
    /// Another one is not finished.
    Busy(Box<Run>),
    /// The exporter is not what the caller knows: it was edited or deleted in this moment.
    Changed,
}

impl Engine {
    /// Begins a run in a transaction of the caller. Only a pushed file may wait behind an unfinished run of records; pushed
    /// files keep no run of records from beginning, which then has its turn among them. What it is made by
    /// is fixed here: an edit of its exporter is for the runs after it.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn begin_run(
        &self,
        tx: &mut Tx,
        connector: &Connector,
        exporter: &Exporter,
        of: &Beginning<'_>,
    ) -> Result<Begun, StoreError> {
        // The row of the exporter is locked from here on: of two that begin, one sees the other.
        let locked = connectors::lock(tx, connector.id).await?;
        if locked.is_none_or(|locked| locked.revision != connector.revision) {
            return Ok(Begun::Changed);
        }
        if of.file.is_none()
            && let Some(open) = runs::open_of_records(tx, connector.id).await?
        {
            return Ok(Begun::Busy(Box::new(open)));
        }
        let Some(number) = runs::next_number(tx, connector.id).await? else { return Ok(Begun::Changed) };
        let name = connector.name.as_str();
        let set_up = match of.again {
            Some(again) if again.as_it_was => again.set_up.clone(),
            Some(again) => SetUp::new(exporter.clone(), name, number, of.at, again.set_up.pushed()),
            None => SetUp::new(exporter.clone(), name, number, of.at, of.file.map(|(name, _)| name)),
        };
        let file_name = match of.again {
            // It may have got a number where it went.
            Some(again) if again.as_it_was => again.run.file_name.clone(),
            _ => set_up.file_name(),
        };
        let file =
            of.again.and_then(|again| again.run.file.as_ref()).or_else(|| of.file.map(|(_, file)| file));
        let (payload_key, key) = of.key;
        let sealed_data = key.encrypt(&set_up_context(of.id), set_up.to_stored().as_bytes());
        let new = NewRun {
            id: of.id,
            connector: connector.id,
            number,
            cause: of.cause,
            started_by: of.by,
            source: of.again.map_or(of.id, |again| again.run.source),
            protocol: match set_up.exporter.destination {
                Destination::Https(_) => Protocol::Https,
                Destination::Sftp(_) => Protocol::Sftp,
            },
            exporter_revision: match of.again {
                Some(again) if again.as_it_was => again.run.exporter_revision,
                _ => connector.revision,
            },
            set_up: &SealedSetUp { payload_key: *payload_key, sealed_data },
            file_name: &file_name,
            base_name: &set_up.file_name(),
            file,
        };
        let now = tx.now();
        runs::insert(tx, &new, now).await?;
        let line = match of.cause {
            Cause::Schedule => format!("Started by its schedule, for {}.", of.at),
            Cause::Hand => format!("Started by {}.", of.by),
            Cause::File => format!("A file was pushed by {}.", of.by),
            Cause::Again => {
                let number = of.again.map_or(0, |again| again.run.number);
                format!("Run {number} is sent again, asked for by {}.", of.by)
            }
        };
        runs::log(tx, of.id, &line, now).await?;
        Ok(Begun::New(of.id))
    }

    /// What a run is made by; `None` when it was removed with what the run sent, or cannot be opened.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn set_up_of(&self, run: &Run) -> Result<Option<SetUp>, StoreError> {
        let Some(kept) = &run.set_up else { return Ok(None) };
        let Some(key) = self.settings.payloads.of_day(kept.payload_key).await? else { return Ok(None) };
        let plain = key.decrypt(&set_up_context(run.id), &kept.sealed_data).ok();
        Ok(plain.and_then(|plain| SetUp::from_stored(&plain)))
    }

    /// Begins the runs whose time has come. Ticks that were missed while nothing ran are one run.
    pub(super) async fn take_ticks(&self, now: Timestamp) -> Result<(), StoreError> {
        let due = runs::ticks_due(&mut *self.store.read().await?, now).await?;
        let snapshot = self.snapshot();
        for tick in due {
            let connector = snapshot.connector(tick.connector);
            let Some((connector, exporter)) = connector.and_then(|one| Some((one, one.exporter()?))) else {
                continue;
            };
            if !snapshot.fits(connector.id) {
                // Nothing is made by what nobody saved; the tick is taken when it is repaired.
                continue;
            }
            let key = self.settings.payloads.current(now).await?;
            let mut tx = self.store.begin().await?;
            if !runs::take_tick(&mut tx, tick, exporter.schedule.next_after(now)).await? {
                // Another replica was faster.
                continue;
            }
            let id = RunId::new(tx.now());
            let of = Beginning {
                id,
                cause: Cause::Schedule,
                by: "",
                at: tick.at,
                again: None,
                file: None,
                key: &key,
            };
            match self.begin_run(&mut tx, connector, exporter, &of).await? {
                Begun::New(_) => {}
                Begun::Busy(open) => {
                    let now = tx.now();
                    runs::log_once(&mut tx, open.id, SKIPPED, now).await?;
                }
                // The snapshot is behind: the tick stays for the next look.
                Begun::Changed => continue,
            }
            tx.commit().await?;
        }
        Ok(())
    }
}

/// Once: what the run waits for has to stay in sight.
const SKIPPED: &str = "Runs of the schedule are skipped until this one is finished.";

/// What a set-up is sealed for: one run, so that no two can be swapped.
fn set_up_context(run: RunId) -> String {
    format!("{run}/set-up")
}
