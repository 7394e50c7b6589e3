//! Runs of exporters: claimed by lease, collected, written page by page, sent; ended in one row.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use consign_core::connector::exporter::{Destination, Step};
use consign_core::connector::{Connector, ConnectorState, Exporter, HeldBy};
use consign_core::delivery::{CRASHES_MAX, Outcome, Refusal};
use consign_core::id::ConnectorId;
use consign_core::time::Timestamp;
use consign_store::StoreError;
use consign_store::runs::{self, Chunk, Claimed, Room, Run};
use tokio::sync::Notify;

use super::deliver::Seen;
use super::schedule::is_due;
use super::snapshot::Snapshot;
use super::{Engine, LEASE};

pub use begin::{Again, Beginning, Begun};
pub use intake::{FILE_PIECE_BYTES, Intake, IntakeFault, Unfinished};
pub(super) use ledger::Change;

use job::{Job, Moving};
use leases::Leases;
use under_way::{Counted, Counts};

mod begin;
mod bulk;
mod compress;
mod ending;
mod feed;
mod file;
mod intake;
mod job;
mod keep;
mod leases;
mod ledger;
mod name;
mod outlet;
mod patience;
mod records;
mod rest;
mod server;
mod side_by_side;
mod turns;
mod under_way;

const TICK: Duration = Duration::from_secs(1);
/// Records that one transaction takes: short enough that an accept behind it hardly waits.
const COLLECT_PORTION: u32 = 5_000;
/// A folder holds the parts that runs left behind for so long at least.
const CLEAN_EVERY: Duration = Duration::from_secs(3_600);
/// What does not open with the key ring of this server.
const SET_UP: &str = "What the run is made by cannot be opened with the key ring of this server.";
const CONTENT: &str = "What the run sends cannot be opened with the key ring of this server, or is damaged.";
/// Of runs that are done one after the other, that the last one was is written down this often.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// The runs of this process.
#[derive(Default)]
pub(super) struct Exports {
    wake: Notify,
    wake_files: Notify,
    counts: Counts,
    /// When the folder of each exporter was last looked through for what runs left behind.
    cleaned_at: Mutex<HashMap<ConnectorId, Option<Timestamp>>>,
    /// When it was last written down that a run of each exporter was done.
    noted_at: Mutex<HashMap<ConnectorId, Option<Timestamp>>>,
    /// The leases of the runs under way.
    leases: Leases,
    /// How many files of each exporter arrived since the start.
    arrived: Mutex<HashMap<ConnectorId, u64>>,
    /// Whose turn it is among the files of an exporter that go one by one.
    one_by_one: Mutex<HashMap<ConnectorId, Arc<tokio::sync::Mutex<()>>>>,
}

impl Exports {
    /// There may be a run to do.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
        self.wake_files.notify_one();
    }

    fn is_noting_due(&self, exporter: ConnectorId, now: Timestamp) -> bool {
        let mut noted_at = self.noted_at.lock().unwrap_or_else(PoisonError::into_inner);
        is_due(noted_at.entry(exporter).or_default(), NOTE_EVERY, now)
    }

    fn is_cleaning_due(&self, exporter: ConnectorId, now: Timestamp) -> bool {
        let mut cleaned_at = self.cleaned_at.lock().unwrap_or_else(PoisonError::into_inner);
        is_due(cleaned_at.entry(exporter).or_default(), CLEAN_EVERY, now)
    }

    /// A file of an exporter is on its server.
    fn note_arrived(&self, exporter: ConnectorId) {
        *self.arrived.lock().unwrap_or_else(PoisonError::into_inner).entry(exporter).or_default() += 1;
    }

    fn arrived_of(&self, exporter: ConnectorId) -> u64 {
        let arrived = self.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.get(&exporter).copied().unwrap_or_default()
    }

    fn one_by_one(&self, exporter: ConnectorId) -> Arc<tokio::sync::Mutex<()>> {
        self.one_by_one.lock().unwrap_or_else(PoisonError::into_inner).entry(exporter).or_default().clone()
    }

    /// Runs that are worked on.
    pub(super) fn under_way(&self) -> usize {
        self.counts.all()
    }
}

/// What there is to say of a run that is done.
pub(super) struct Told {
    /// For its log, before the message.
    lines: Vec<String>,
    message: String,
}

impl From<String> for Told {
    fn from(message: String) -> Self {
        Self { lines: Vec::new(), message }
    }
}

/// Why the work on a run ended before the run did.
pub(super) enum Stop {
    /// The lease was lost, or a person stopped the run: nothing is to be written.
    Lost,
    /// The program stops, or the exporter was paused: the run stays due.
    GiveBack,
    /// An attempt did not work.
    Attempt(Box<Seen>),
    /// The server took new keys without a proof: with a new session it goes on.
    NewKeys(Box<Seen>),
    /// The database cannot be used.
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Stop {
    fn refused(refusal: Refusal, message: Option<String>) -> Self {
        Self::Attempt(Box::new(Seen::nothing(Outcome::Refused { refusal }, message)))
    }

    /// What is to be sent cannot be read.
    fn unreadable(what: String) -> Self {
        let words = format!("The file could not be made: {what}.");
        Self::refused(Refusal::NotRendered(what), Some(words))
    }
}

impl Engine {
    pub(super) async fn export_loop(self: Arc<Self>) {
        while !self.lanes.is_stopping() {
            let woken = self.exports.wake.notified();
            // A stop waits for what is being taken.
            let round = self.rounds.read().await;
            if self.lanes.is_stopping() {
                return;
            }
            if let Err(error) = self.export_round().await {
                tracing::error!(%error, "runs of exporters could not be looked for; trying again in a second");
            }
            drop(round);
            drop(tokio::time::timeout(TICK, woken).await);
        }
    }

    async fn export_round(self: &Arc<Self>) -> Result<(), StoreError> {
        let now = self.now();
        self.take_ticks(now).await?;
        self.take_the_rest(now).await?;
        if self.lanes.is_paused() {
            return Ok(());
        }
        let under_way = self.exports.counts.large();
        if turns::is_room(&under_way) {
            let due = runs::due(&mut *self.store.read().await?, now).await?;
            let snapshot = self.snapshot();
            let due: Vec<_> = due.into_iter().map(|one| (one, server_of(&snapshot, one))).collect();
            let next = turns::next(&due, under_way);
            if !next.is_empty() {
                let mut tx = self.store.begin().await?;
                let (now, until) = (tx.now(), tx.now().plus(LEASE));
                let claimed = runs::claim(&mut tx, &next, now, until, &self.by).await?;
                tx.commit().await?;
                for claimed in claimed {
                    self.spawn_run(claimed, false);
                }
            }
        }
        self.probe_held_exporters(now).await
    }

    /// One held run tells whether the tool lets us in again.
    async fn probe_held_exporters(self: &Arc<Self>, now: Timestamp) -> Result<(), StoreError> {
        let snapshot = self.snapshot();
        for (connector, _) in snapshot.exporters() {
            let held = ConnectorState::Held(HeldBy::SignInRefused);
            let locked = ConnectorState::Held(HeldBy::CredentialLocked);
            let credential = connector.credential.and_then(|id| snapshot.credential(id));
            let Some(credential) = credential.filter(|one| one.seen.code.holds()) else { continue };
            if ![held, locked].contains(&connector.state) || !self.probe_is_due(credential, now) {
                continue;
            }
            let mut tx = self.store.begin().await?;
            let (now, until) = (tx.now(), tx.now().plus(LEASE));
            let claimed = runs::claim_held(&mut tx, connector.id, now, until, &self.by).await?;
            tx.commit().await?;
            if let Some(claimed) = claimed {
                self.memory().probed.insert(credential.id, now);
                self.spawn_run(claimed, true);
            }
        }
        Ok(())
    }

    fn spawn_run(self: &Arc<Self>, claimed: Claimed, probe: bool) {
        let server = server_of(&self.snapshot(), claimed.run.connector);
        self.spawn_counted(Counted::large(self.clone(), server), claimed, None, probe);
    }

    fn spawn_counted(
        self: &Arc<Self>,
        counted: Counted,
        claimed: Claimed,
        piece: Option<Chunk>,
        probe: bool,
    ) {
        let engine = self.clone();
        tokio::spawn(async move {
            let _counted = counted;
            let run = claimed.run.id;
            if let Err(error) = engine.work_on(claimed, piece, probe).await {
                // The lease runs out, and the run goes on from where it was.
                tracing::error!(run.id = %run, %error, "a run could not be written down; it goes on later");
            }
        });
    }

    async fn work_on(
        self: &Arc<Self>,
        claimed: Claimed,
        piece: Option<Chunk>,
        probe: bool,
    ) -> Result<(), StoreError> {
        let snapshot = self.snapshot();
        let Claimed { run, abandoned } = claimed;
        let Some(connector) = snapshot.connector(run.connector).cloned() else {
            return self.put_run_back(&run).await;
        };
        let Some(exporter) = connector.exporter() else { return self.put_run_back(&run).await };
        if abandoned && run.crashes >= CRASHES_MAX {
            return self.crashed_too_often(&run, &connector).await;
        }
        let credential = connector.credential.and_then(|id| snapshot.credential(id)).cloned();
        let Some(credential) = credential else { return self.put_run_back(&run).await };
        let fits = snapshot.fits(connector.id) && snapshot.fits(credential.id);
        let set_up = match self.set_up_of(&run).await {
            Ok(Some(set_up)) => set_up,
            // Another key ring may open it.
            Ok(None) | Err(StoreError::Damaged(_)) => return self.look_again_later(&run, SET_UP).await,
            Err(error) => return self.put_run_back_soon(&run, error).await,
        };
        let set_up = Arc::new(set_up.within_limits_of(exporter));
        let exporter = &set_up.exporter;
        let (connector, set_up) = (connector.clone(), set_up.clone());
        let (piece, moving) = (Mutex::new(piece), Moving::default());
        let mut job = Job { run, connector: connector.clone(), credential, set_up, probe, piece, moving };
        let worked = if fits {
            self.run_steps(&mut job, exporter).await
        } else {
            Err(Stop::refused(Refusal::NotAsSaved, None))
        };
        match worked {
            Ok(told) => self.run_is_done(&job.run, &connector, told).await,
            Err(Stop::Lost) => {
                tracing::info!(run.id = %job.run.id, "the run is no longer ours");
                Ok(())
            }
            Err(Stop::GiveBack) => self.put_run_back(&job.run).await,
            Err(Stop::Store(StoreError::Damaged(what))) => {
                tracing::error!(run.id = %job.run.id, what, "what a run sends cannot be read");
                self.look_again_later(&job.run, CONTENT).await
            }
            Err(Stop::Store(error)) => self.put_run_back_soon(&job.run, error).await,
            Err(Stop::Attempt(seen) | Stop::NewKeys(seen)) => {
                self.attempt_failed(&job, exporter, *seen).await
            }
        }
    }

    /// Collects and sends. The answer is what there is to say about it.
    async fn run_steps(self: &Arc<Self>, job: &mut Job, exporter: &Exporter) -> Result<Told, Stop> {
        if !job.run.collected {
            self.collect_records(&mut job.run, exporter).await?;
        }
        if job.run.file.is_none() && job.run.records == 0 && !exporter.send_empty {
            return Ok("There was nothing to send.".to_owned().into());
        }
        let mut run = job.run.clone();
        let sent = async {
            match &exporter.destination {
                Destination::Https(bulk) if run.file.is_some() => {
                    self.send_file(job, exporter, bulk, &mut run).await
                }
                Destination::Https(bulk) => {
                    self.send_records(job, exporter, bulk, &mut run).await.map(Told::from)
                }
                Destination::Sftp(place) => self.send_to_server(job, exporter, place, &mut run).await,
            }
        };
        let sent = tokio::select! {
            sent = sent => sent,
            stop = self.keep_run(job) => Err(stop),
        };
        job.run = run;
        sent
    }

    /// Takes the records that have no run, in portions, as long as its file has room; afterwards they stay the same.
    async fn collect_records(&self, run: &mut Run, exporter: &Exporter) -> Result<(), Stop> {
        let mut tx = self.store.begin().await?;
        let to = runs::begin_collecting(&mut tx, run).await?.ok_or(Stop::Lost)?;
        let bytes_max = self.file_bytes_max(exporter);
        let bytes = if bytes_max.is_some() { runs::taken_bytes(&mut tx, run).await? } else { 0 };
        tx.commit().await?;
        let mut room = Room { records: COLLECT_PORTION, bytes, bytes_max };
        loop {
            if self.lanes.is_stopping() {
                return Err(Stop::GiveBack);
            }
            let mut tx = self.store.begin().await?;
            let until = tx.now().plus(LEASE);
            if !runs::keep_lease(&mut tx, run, Step::Collect, 0, until).await? {
                return Err(Stop::Lost);
            }
            let taken = runs::collect(&mut tx, run, &to, room).await?;
            room.bytes += taken.bytes;
            if !taken.is_full && taken.records >= u64::from(COLLECT_PORTION) {
                tx.commit().await?;
                continue;
            }
            run.records = runs::end_collecting(&mut tx, run, taken.is_full).await?.ok_or(Stop::Lost)?;
            run.collected = true;
            let line = rest::collected_line(&counted(run.records, "record", "records"), taken);
            let now = tx.now();
            runs::log(&mut tx, run.id, &line, now).await?;
            tx.commit().await?;
            return Ok(());
        }
    }

    /// Whether a run may send now: a person may have paused its exporter, or all sending, since it began. To see whether a
    /// tool lets us in again, one request goes to it all the same.
    fn may_send(&self, job: &Job, is_first: bool) -> bool {
        !self.lanes.is_paused() && (self.still_sends(job.connector.id) || (job.probe && is_first))
    }

    /// The database did not do what was asked of it: at once it would hardly do so.
    async fn put_run_back_soon(&self, run: &Run, error: StoreError) -> Result<(), StoreError> {
        tokio::time::sleep(TICK).await;
        self.put_run_back(run).await?;
        Err(error)
    }

    async fn put_run_back(&self, run: &Run) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        runs::give_back(&mut tx, run.id, run.fence).await?;
        tx.commit().await
    }

    /// Whether an exporter still sends, as a person may have paused it since its run began.
    pub(super) fn still_sends(&self, connector: ConnectorId) -> bool {
        let snapshot = self.snapshot();
        let active = |one: &Arc<Connector>| one.state == ConnectorState::Active;
        !self.lanes.is_paused() && snapshot.connector(connector).is_some_and(active)
    }
}

/// What an exporter sends to: runs to one server share the places of it.
fn server_of(snapshot: &Snapshot, exporter: ConnectorId) -> String {
    let connector = snapshot.connector(exporter);
    let credential = connector.and_then(|one| one.credential).and_then(|id| snapshot.credential(id));
    credential.map_or_else(|| exporter.to_string(), |credential| credential.target.to_string())
}

/// "1 record", "1,000 records".
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    let digits = consign_core::catalog::with_commas(usize::try_from(count).unwrap_or(usize::MAX));
    format!("{digits} {}", if count == 1 { one } else { many })
}
