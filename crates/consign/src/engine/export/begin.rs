//! Beginning runs: by the clock, by hand, for a pushed file, again.

use consign_core::connector::exporter::Destination;
use consign_core::connector::{Connector, Exporter};
use consign_core::id::RunId;
use consign_core::time::Timestamp;
use consign_store::runs::{self, Cause, NewRun, PushedFile, Run};
use consign_store::{StoreError, Tx};

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
    pub again: Option<&'a Run>,
    /// The file that was pushed, with its name.
    pub file: Option<(&'a str, &'a PushedFile)>,
}

/// What became of it.
#[derive(Debug)]
pub enum Begun {
    /// It waits for its turn.
    New(RunId),
    /// Another one is not finished.
    Busy(Box<Run>),
    /// There is no such exporter any more.
    Gone,
}

impl Engine {
    /// Begins a run in a transaction of the caller. Only a pushed file may wait behind an unfinished run.
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
        let Some(number) = runs::next_number(tx, connector.id).await? else { return Ok(Begun::Gone) };
        if of.file.is_none()
            && let Some(open) = runs::open_of(tx, connector.id).await?
        {
            return Ok(Begun::Busy(Box::new(open)));
        }
        let stamp = exporter.stamp(connector.name.as_str(), number, of.at);
        let file_name = match (&of.again, &of.file, &exporter.destination) {
            // What is sent again keeps its name.
            (Some(run), ..) => run.file_name.clone(),
            (None, Some((name, _)), _) => exporter.name_of_pushed(name),
            (None, None, Destination::Sftp(place)) => place.file_name.of(&stamp, 1),
            (None, None, Destination::Https(_)) => String::new(),
        };
        let file = of.again.and_then(|run| run.file.as_ref()).or_else(|| of.file.map(|(_, file)| file));
        let new = NewRun {
            id: of.id,
            connector: connector.id,
            number,
            cause: of.cause,
            started_by: of.by,
            source: of.again.map_or(of.id, |run| run.source),
            file_name: &file_name,
            file,
        };
        let now = tx.now();
        runs::insert(tx, &new, now).await?;
        let line = match of.cause {
            Cause::Schedule => format!("Started by its schedule, for {}.", of.at),
            Cause::Hand => format!("Started by {}.", of.by),
            Cause::File => format!("A file was pushed by {}.", of.by),
            Cause::Again => {
                let number = of.again.map_or(0, |run| run.number);
                format!("Run {number} is sent again, asked for by {}.", of.by)
            }
        };
        runs::log(tx, of.id, &line, now).await?;
        Ok(Begun::New(of.id))
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
            let mut tx = self.store.begin().await?;
            if !runs::take_tick(&mut tx, tick, exporter.schedule.next_after(now)).await? {
                // Another replica was faster.
                continue;
            }
            let id = RunId::new(tx.now());
            let of = Beginning { id, cause: Cause::Schedule, by: "", at: tick.at, again: None, file: None };
            if let Begun::Busy(open) = self.begin_run(&mut tx, connector, exporter, &of).await? {
                let line = format!("The run of {} was skipped, the previous run is not finished.", tick.at);
                let now = tx.now();
                runs::log(&mut tx, open.id, &line, now).await?;
            }
            tx.commit().await?;
        }
        Ok(())
    }
}
